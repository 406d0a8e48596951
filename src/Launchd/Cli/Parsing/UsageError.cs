using System.CommandLine;
using System.CommandLine.Parsing;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Launchd.Control;

namespace Launchd.Cli.Parsing;

/// <summary>Explains arguments that could not be read: what is wrong, what was probably meant, where the help is.</summary>
internal static class UsageError
{
    public static CliException Explain(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        return WithHelp(command, What(parsed, command, command is RootCommand));
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
        string hint = SimilarName.Hint(token, names.Where(n => n.StartsWith("--", StringComparison.Ordinal)));
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
                return $"unknown verb '{shown}'{SimilarName.Hint(token, command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name))}";
            return $"'{command.Name}' does not take '{shown}'";
        }
        if (isRoot)
            return "a verb is missing";
        if (OptionWithoutValue(parsed) is { } option)
            return $"{option.IdentifierToken?.Value ?? option.Option.Name} needs a value, {option.Option.HelpName ?? "VALUE"}";
        // The sentences above are ours; of what else the parser may find, its own is better than none.
        string message = parsed.Errors[0].Message;
        return char.ToLowerInvariant(message[0]) + TerminalText.Escape(message[1..].TrimEnd('.'));
    }

    private static OptionResult? OptionWithoutValue(ParseResult parsed) =>
        parsed.CommandResult.Children.Concat(parsed.RootCommandResult.Children).OfType<OptionResult>().FirstOrDefault(
            o => !o.Implicit && o.Tokens.Count == 0 && o.Option.Arity.MinimumNumberOfValues > 0);
}
