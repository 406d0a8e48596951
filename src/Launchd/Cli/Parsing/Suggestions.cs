using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Net.Sockets;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Launchd.Control;

namespace Launchd.Cli.Parsing;

/// <summary>
/// Answers the completion scripts: <c>launchd-cs "[suggest:POSITION]" "LINE"</c> prints what may stand at the position, one a line. The
/// first word of the line is the command however the shell calls it.
/// </summary>
internal static class Suggestions
{
    private const string Directive = "[suggest";

    public static bool IsAsked(string[] arguments) => arguments is [var first, ..] && first.StartsWith(Directive, StringComparison.Ordinal);

    public static int Write(RootCommand root, string[] arguments, CliContext context)
    {
        string line = arguments.Length > 1 ? arguments[1] : "";
        string digits = arguments[0].TrimEnd(']')[Directive.Length..].TrimStart(':');
        if (int.TryParse(digits, out int position) && position >= 0 && position < line.Length)
            line = line[..position];

        int end = line.IndexOf(' ');
        string rest = end < 0 ? "" : line[end..].TrimStart();
        bool isNewWord = rest.Length == 0 || char.IsWhiteSpace(rest[^1]);
        List<string> words = [.. CommandLineParser.SplitCommandLine(rest)];
        if (isNewWord)
            words.Add("");
        string typed = words[^1];
        foreach (string found in Find(root, words, typed))
            context.Output.WriteLine(found);
        return (int)ExitCode.Done;
    }

    /// <summary>
    /// Names of the running supervisor's services; none when there is no supervisor, because completion never reports errors.
    /// </summary>
    public static IReadOnlyList<string> ServiceNames(CliContext context, string? name)
    {
        try
        {
            using ControlClient client = new SupervisorFinder(context).Connect(name);
            return [.. StatusCommand.Ask(context, client, service: null).Services.Select(s => s.Service)];
        }
        catch (Exception e) when (e is CliException or SocketException)
        {
            return [];
        }
    }

    private static IEnumerable<string> Find(RootCommand root, List<string> words, string typed)
    {
        bool isOption = typed.StartsWith('-');
        ParseResult parsed = root.Parse(words, new ParserConfiguration { ResponseFileTokenReplacer = null });
        IEnumerable<CompletionItem> items = OptionBefore(parsed, words) is { } option
            ? option.GetCompletions(CompletionContext.Empty) : parsed.GetCompletions();
        // Where a verb takes several arguments, words of the line are arguments already and are not offered again.
        return items.Select(i => i.InsertText ?? i.Label)
            .Where(t => t.StartsWith(typed, StringComparison.Ordinal) && t.StartsWith('-') == isOption)
            .Where(t => t == typed || !words.Contains(t)).Distinct();
    }

    /// <summary>The option whose value is being typed, or null.</summary>
    private static Option? OptionBefore(ParseResult parsed, List<string> words)
    {
        if (words.Count < 2)
            return null;
        IEnumerable<Option> options = parsed.CommandResult.Command.Options.Concat(parsed.RootCommandResult.Command.Options);
        Option? option = options.FirstOrDefault(o => o.Name == words[^2] || o.Aliases.Contains(words[^2]));
        return option is { HelpName: not null } ? option : null;
    }
}
