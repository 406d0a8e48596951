using Tomlyn.Parsing;
using Tomlyn.Syntax;

namespace Launchd.Config;

/// <summary>
/// Lists the syntax errors of a text that <see cref="TomlTreeReader"/> has refused: its own first error, and those that Tomlyn's parser,
/// which goes on after an error, finds in later lines. One for each line, as the rest of a broken line is noise.
/// </summary>
internal static class TomlSyntaxErrors
{
    // Tomlyn's parser calls itself for each bracket, and a stack overflow ends the process: a text of too many of them is not
    // given to it. Counted without regard to strings and nesting, because a broken text may hide either.
    private const int MostBrackets = 1500;

    private const int MostErrors = 50;

    public static void Report(SourceText source, TomlSyntaxError first, DiagnosticBag diagnostics)
    {
        if (first.Message is null)
            return;
        (int firstLine, _) = source.PlaceOf(first.Start);
        diagnostics.Error(DiagnosticCode.BadSyntax, new SourceSpan(source, first.Start, first.Length), $"not valid TOML: {first.Message}");
        if (source.Text.AsSpan().Count('[') + source.Text.AsSpan().Count('{') > MostBrackets)
            return;

        HashSet<int> lines = [firstLine];
        foreach (DiagnosticMessage message in FurtherErrors(source))
        {
            (int line, _) = source.PlaceOf(message.Span.Start.Offset);
            if (line <= firstLine || lines.Count >= MostErrors || !lines.Add(line))
                continue;
            SourceSpan span = new(source, message.Span.Start.Offset, Math.Max(message.Span.Length, 1));
            diagnostics.Error(DiagnosticCode.BadSyntax, span, $"not valid TOML: {Sentence(message.Message)}");
        }
    }

    private static IEnumerable<DiagnosticMessage> FurtherErrors(SourceText source)
    {
        try
        {
            return [.. SyntaxParser.Parse(source.Text, source.DisplayPath, validate: false).Diagnostics];
        }
#pragma warning disable CA1031 // Whatever a foreign parser throws at a text that is known to be broken, the first error is told already.
        catch (Exception)
#pragma warning restore CA1031
        {
            return [];
        }
    }

    private static string Sentence(string message)
    {
        string line = message.AsSpan().TrimEnd('.').ToString().ReplaceLineEndings(" ");
        return line.Length == 0 ? "something is wrong here" : char.ToLowerInvariant(line[0]) + line[1..];
    }
}
