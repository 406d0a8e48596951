using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Tomlyn.Parsing;
using Tomlyn.Syntax;
using SourceSpan = Launchd.Config.Sources.SourceSpan;

namespace Launchd.Config.Toml;

/// <summary>
/// Lists the syntax errors of a text that <see cref="TomlTreeReader"/> has refused: its own first error, and those that Tomlyn's parser,
/// which goes on after an error, finds in later lines. One for each line, as the rest of a broken line is noise.
/// </summary>
internal static class TomlSyntaxErrors
{
    // Tomlyn's parser works for minutes on some broken texts of a megabyte: of a large one only the first error is told.
    private const int MostCharacters = 64 << 10;
    private const int MostBrackets = 1500;

    private const int MostErrors = 50;

    public static void Report(SourceText source, TomlSyntaxError first, DiagnosticBag diagnostics)
    {
        if (first.Message is null)
            return;
        (int firstLine, _) = source.PlaceOf(first.Start);
        diagnostics.Error(DiagnosticCode.BadSyntax, new SourceSpan(source, first.Start, first.Length), $"not valid TOML: {first.Message}",
            first.Hint);

        ReadOnlySpan<char> text = source.Text;
        if (text.Length > MostCharacters || text.Count('[') + text.Count('{') > MostBrackets)
            return;

        HashSet<int> lines = [firstLine];
        foreach (DiagnosticMessage message in FurtherErrors(source))
        {
            (int line, _) = source.PlaceOf(message.Span.Start.Offset);
            if (line <= firstLine || lines.Count >= MostErrors || !lines.Add(line))
                continue;
            SourceSpan span = new(source, message.Span.Start.Offset, Math.Max(message.Span.Length, 1));
            (string sentence, string? hint) = Explain(message.Message);
            diagnostics.Error(DiagnosticCode.BadSyntax, span, $"not valid TOML: {sentence}", hint);
        }
    }

    private static IEnumerable<DiagnosticMessage> FurtherErrors(SourceText source)
    {
        try
        {
            return [.. SyntaxParser.Parse(source.Text, source.DisplayPath, validate: false).Diagnostics];
        }
#pragma warning disable CA1031 // Nesting too deep, a text that ends within an escape: the first error is told already.
        catch (Exception)
#pragma warning restore CA1031
        {
            return [];
        }
    }

    /// <summary>
    /// A text of Tomlyn as a sentence of ours: the frequent ones in our words and with what to do, the others as they are.
    /// </summary>
    public static (string Sentence, string? Hint) Explain(string message)
    {
        if (message.Contains("newline in a string", StringComparison.OrdinalIgnoreCase))
        {
            return ("the string is not closed in this line",
                "add the closing quote; a text of several lines stands between three quotes");
        }
        if (message.Contains("not followed by", StringComparison.Ordinal))
            return ("a carriage return stands alone", "save the file with the line ends of Unix");
        if (message.Contains("leading 0", StringComparison.OrdinalIgnoreCase))
            return ("a number does not begin with 0", "write a mode in quotes, such as \"0640\"");
        if (message.Contains("escape character", StringComparison.OrdinalIgnoreCase))
            return ("there is no such escape with a backslash", "write two backslashes for one, or the text in single quotes");
        string line = message.AsSpan().TrimEnd('.').ToString().ReplaceLineEndings(" ").Replace('`', '\'');
        return (line.Length == 0 ? "something is wrong here" : char.ToLowerInvariant(line[0]) + line[1..], null);
    }
}
