using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Control;
using Launchd.Host.Provisioning;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;

namespace Launchd.Cli.Verbs;

/// <summary><c>fd get</c>: fetches a descriptor of a running service, and becomes a program that has it.</summary>
internal static class FetchCommand
{
    public const string Name = "fd";
    public const string Usage = "launchd-cs fd get SERVICE/NAME [--at N] -- CMD [ARG…]";
    public const string ProgramArgument = "CMD";
    private const int First = 3;
    private const int MostNumber = 1023;

    public static Command Describe(CliContext context, Option<string?> supervisor)
    {
        Argument<string?> action = new("ACTION")
        {
            Arity = ArgumentArity.ZeroOrOne, HelpName = "get", Description = "fetches a descriptor",
        };
        action.CompletionSources.Add("get");
        Argument<string?> target = new("TARGET")
        {
            Arity = ArgumentArity.ZeroOrOne, HelpName = "SERVICE/NAME",
            Description = "web/http; web.1/http of one slot; web/@7 by the number in the main process",
        };
        Argument<string[]> program = new(ProgramArgument) { Arity = ArgumentArity.ZeroOrMore, Hidden = true };
        Option<string?> at = new("--at") { HelpName = "N", Description = "as descriptor N (default: 3, and LISTEN_FDS=1)" };
        Command command = new(Name, "runs a program with a descriptor of a running service") { action, target, program, at };
        command.SetAction(
            p => Run(context, p.GetValue(supervisor), p.GetValue(action), p.GetValue(target), p.GetValue(at), ProgramOf(p, program)));
        return command;
    }

    /// <summary>The words behind <c>--</c>, which must be there, because options of the program are not options of this command.</summary>
    private static string[] ProgramOf(ParseResult parsed, Argument<string[]> program)
    {
        int behind = parsed.Tokens.Reverse().TakeWhile(t => t.Type != TokenType.DoubleDash).Count();
        string[] words = parsed.GetValue(program) ?? [];
        bool hasDashes = parsed.Tokens.Any(t => t.Type == TokenType.DoubleDash);
        return hasDashes && words.Length == behind && behind > 0 ? words : throw Wrong("the program and its arguments stand behind '--'");
    }

    private static int Run(CliContext context, string? supervisor, string? action, string? target, string? at, string[] program)
    {
        if (action != "get")
            throw Wrong(action is null ? "fd needs an action" : $"fd has no action '{TerminalText.Escape(action)}'");
        if (target?.IndexOf('/') is not ({ } slash and > 0) || slash == target.Length - 1)
            throw Wrong("say which descriptor as SERVICE/NAME");
        int number = First;
        if (at is not null && (!int.TryParse(at, NumberStyles.None, CultureInfo.InvariantCulture, out number) || number > MostNumber))
            throw Wrong($"--at takes a number from 0 to {MostNumber}");
        FetchRequest request = RequestOf(target[..slash], target[(slash + 1)..]);
        FileDescriptor fetched = Fetch(context, supervisor, request, out FetchReply reply);
        Errno refused = Successor.Execute(program, VariablesOf(number, reply.Name), fetched, number);
        SpawnRequest asked = new()
        {
            Arguments = program,
            Candidates = ProgramSearch.CandidatesOf(program[0], OwnStart.Variable("PATH")),
            Environment = [],
            Descriptors = [],
            WorkingDirectory = context.WorkingDirectory ?? "/",
        };
        throw new CliException((ExitCode)(refused == Errno.ENOENT ? 127 : 126),
            $"cannot execute '{TerminalText.Escape(program[0])}': {TerminalText.Escape(ProgramFault.Explain(asked, refused))}");
    }

    private static FetchRequest RequestOf(string service, string name)
    {
        if (name[0] != '@')
            return new FetchRequest(service, name);
        return int.TryParse(name.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? new FetchRequest(service, Number: number)
            : throw Wrong($"'{TerminalText.Escape(name)}' is no number: write @7, or a name");
    }

    private static FileDescriptor Fetch(CliContext context, string? supervisor, FetchRequest request, out FetchReply reply)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(supervisor);
        reply = client.Call("Fetch", request, ControlClient.Json.FetchRequest, ControlClient.Json.FetchReply, context.AnswerTimeout);
        return client.TakeDescriptor() ?? throw new CliException(ExitCode.Failed, "the supervisor's answer came without the descriptor");
    }

    // LISTEN_FDS can announce the descriptor only at the first number of its protocol.
    private static List<string> VariablesOf(int number, string name)
    {
        List<string> variables = [];
        foreach ((string key, string value) in OwnStart.Environment)
        {
            if (!key.StartsWith("LISTEN_", StringComparison.Ordinal))
                variables.Add($"{key}={value}");
        }
        if (number == First)
            variables.AddRange(["LISTEN_FDS=1", $"LISTEN_PID={System.Environment.ProcessId}", $"LISTEN_FDNAMES={name}"]);
        return variables;
    }

    private static CliException Wrong(string what) => new(ExitCode.Usage, $"{what}: {Usage}; see 'launchd-cs fd --help'");
}
