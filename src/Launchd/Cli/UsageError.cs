using System.CommandLine;
using System.CommandLine.Parsing;
using Launchd.Control;

namespace Launchd.Cli;

/// <summary>Explains arguments that could not be read: what is wrong, what was probably meant, where the help is.</summary>
internal static class UsageError
{
    public static CliException Explain(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        return WithHelp(command, What(parsed, command, command is RootCommand));
    }

    /// <summary>The closest of <paramref name="known"/>, as a question to append, or nothing where none is close.</summary>
    public static string DidYouMean(string typed, IEnumerable<string> known)
    {
        int most = Math.Max(1, typed.Length / 3);
        string? closest = known.MinBy(k => Distance(typed, k));
        return closest is not null && Distance(typed, closest) <= most ? $", did you mean '{closest}'?" : "";
    }

    /// <summary>
    /// An argument that looks like an option, or null. The parser takes an unknown option for an argument where a verb has some; no
    /// service, signal or shell is named so, and a file can be written <c>./-name</c>.
    /// </summary>
    public static CliException? FindMistakenOption(ParseResult parsed)
    {
        if (parsed.CommandResult.Command.Name == ActivateCommand.Name)
            return ActivateCommand.FindMistake(parsed);
        Token? token = parsed.CommandResult.Children.OfType<ArgumentResult>().Where(a => a.Argument.Name != FetchCommand.ProgramArgument)
            .SelectMany(a => a.Tokens).FirstOrDefault(t => t.Value.StartsWith('-'));
        if (token is null)
            return null;
        Command command = parsed.CommandResult.Command;
        return WithHelp(command, UnknownOption(parsed, command, token.Value));
    }

    private static CliException WithHelp(Command command, string what)
    {
        string help = command is RootCommand ? "launchd-cs --help" : $"launchd-cs {command.Name} --help";
        return new CliException(ExitCode.Usage, what + (what.EndsWith('?') ? $" See '{help}'" : $"; see '{help}'"));
    }

    private static string UnknownOption(ParseResult parsed, Command command, string token)
    {
        IEnumerable<Option> global = parsed.RootCommandResult.Command.Options.Where(o => command is RootCommand || o.Recursive);
        IEnumerable<string> names = global.Concat(command.Options).Where(o => !o.Hidden).SelectMany(o => o.Aliases.Append(o.Name));
        string hint = DidYouMean(token, names.Where(n => n.StartsWith("--", StringComparison.Ordinal)));
        return $"unknown option '{TerminalText.Escape(token)}'{hint}";
    }

    private static string What(ParseResult parsed, Command command, bool isRoot)
    {
        if (parsed.UnmatchedTokens is [var token, ..])
        {
            string shown = TerminalText.Escape(token);
            if (token.StartsWith('-'))
                return UnknownOption(parsed, command, token);
            if (isRoot)
                return $"unknown verb '{shown}'{DidYouMean(token, command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name))}";
            return $"'{command.Name}' does not take '{shown}'";
        }
        if (isRoot)
            return "a verb is missing";
        string message = parsed.Errors[0].Message;
        return char.ToLowerInvariant(message[0]) + TerminalText.Escape(message[1..].TrimEnd('.'));
    }

    /// <summary>Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.</summary>
    private static int Distance(string a, string b)
    {
        int[,] table = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
            table[i, 0] = i;
        for (int j = 0; j <= b.Length; j++)
            table[0, j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = table[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                table[i, j] = Math.Min(replaced, Math.Min(table[i - 1, j], table[i, j - 1]) + 1);
                bool isSwap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if (isSwap)
                    table[i, j] = Math.Min(table[i, j], table[i - 2, j - 2] + 1);
            }
        }
        return table[a.Length, b.Length];
    }
}
