using System.CommandLine;

namespace Launchd.Cli;

/// <summary>Explains arguments that could not be read: what is wrong, what was probably meant, where the help is.</summary>
internal static class UsageError
{
    public static CliException Explain(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        bool isRoot = command is RootCommand;
        string help = isRoot ? "launchd-cs --help" : $"launchd-cs {command.Name} --help";
        return new CliException(ExitCode.Usage, $"{What(parsed, command, isRoot)}; see '{help}'");
    }

    /// <summary>The closest of <paramref name="known"/>, as a question to append, or nothing where none is close.</summary>
    public static string DidYouMean(string typed, IEnumerable<string> known)
    {
        int most = Math.Max(1, typed.Length / 3);
        string? closest = known.MinBy(k => Distance(typed, k));
        return closest is not null && Distance(typed, closest) <= most ? $", did you mean '{closest}'?" : "";
    }

    private static string What(ParseResult parsed, Command command, bool isRoot)
    {
        if (parsed.UnmatchedTokens is [var token, ..])
        {
            string shown = TerminalText.Escape(token);
            if (token.StartsWith('-'))
            {
                IEnumerable<Option> options = parsed.RootCommandResult.Command.Options.Where(o => isRoot || o.Recursive).Concat(command.Options);
                IEnumerable<string> names = options.Where(o => !o.Hidden).SelectMany(o => o.Aliases.Append(o.Name));
                return $"unknown option '{shown}'{DidYouMean(token, names)}";
            }
            if (isRoot)
                return $"unknown verb '{shown}'{DidYouMean(token, command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name))}";
            return $"'{command.Name}' does not take '{shown}'";
        }
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
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    table[i, j] = Math.Min(table[i, j], table[i - 2, j - 2] + 1);
            }
        }
        return table[a.Length, b.Length];
    }
}
