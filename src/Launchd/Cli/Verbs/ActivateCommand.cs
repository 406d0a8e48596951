using System.CommandLine;
using System.CommandLine.Parsing;
using Launchd.Cli.Surroundings;
using Launchd.Config.Reading;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Host.Reporting;
using Launchd.Host.Startup;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Cli.Verbs;

/// <summary>
/// <c>activate</c>: one service without a file. The options are named as those of systemd-socket-activate where it has them.
/// </summary>
internal static class ActivateCommand
{
    public const string Name = "activate";

    public const string Usage = "launchd-cs activate --listen ADDR… [options] -- CMD [ARG…]";

    public static Command Describe(CliContext context)
    {
        Option<string[]> listen = Many(
            "--listen", "ADDR", "8080, HOST:PORT, '*:PORT', /path, @name, or an address as in a file (udp://…)", "-l");
        Option<bool> now = new("--now") { Description = "starts the program at once, not at the first traffic" };
        Option<bool> accept = new("--accept", "-a") { Description = "starts one program for each connection" };
        Option<bool> inetd = new("--inetd") { Description = "the socket becomes standard input and output" };
        Option<bool> datagram = new("--datagram", "-d") { Description = "addresses without a scheme are datagram sockets" };
        Option<bool> seqPacket = new("--seqpacket") { Description = "paths and names are sequential-packet sockets" };
        Option<string[]> files = Many(
            "--file", "[NAME=]PATH[:MODE]", "passes an open file after the sockets; MODE read, write, append, read-write");
        Option<string?> names = new("--fdname") { HelpName = "NAME[:NAME…]", Description = "names in LISTEN_FDNAMES; one holds for all" };
        Option<string[]> environment = Many("--setenv", "NAME=VALUE", "sets a variable beside the inherited ones", "-E");
        Option<string[]> watch = Many("--watch", "PATH", "starts the program anew when a file there changes; the socket stays open");
        Argument<string[]> program = new("CMD") { Arity = ArgumentArity.ZeroOrMore, Hidden = true };
        Command command = new(Name, "opens sockets and starts a program when somebody comes")
        {
            listen, now, accept, inetd, datagram, seqPacket, names, files, environment, watch, program,
        };
        command.SetAction(p => Run(context, new ActivationOptions
        {
            Listen = [.. p.GetValue(listen) ?? []],
            Files = [.. p.GetValue(files) ?? []],
            Command = [.. p.GetValue(program) ?? []],
            Now = p.GetValue(now),
            Accept = p.GetValue(accept),
            Inetd = p.GetValue(inetd),
            Datagram = p.GetValue(datagram),
            SeqPacket = p.GetValue(seqPacket),
            Environment = [.. p.GetValue(environment) ?? []],
            Names = p.GetValue(names),
            Watch = [.. p.GetValue(watch) ?? []],
        }));
        return command;
    }

    /// <summary>Finds a word before <c>--</c> that is no option: either it is mistyped, or the <c>--</c> is missing.</summary>
    public static CliException? FindMistake(ParseResult parsed)
    {
        // Options take several values, so the parser takes a mistyped option for a value of the one before.
        string? value = parsed.CommandResult.Children.OfType<OptionResult>().SelectMany(o => o.Tokens).Select(t => t.Value)
            .FirstOrDefault(v => v.Length > 1 && v[0] == '-');
        if (value is not null)
            return Mistyped(parsed, value);
        List<string> before = [.. parsed.Tokens.TakeWhile(t => t.Type != TokenType.DoubleDash).Select(t => t.Value)];
        Token[] words = [.. parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens)];
        int behind = parsed.Tokens.Count - before.Count - 1;
        bool hasDashes = behind >= 0;
        int mistaken = words.Length - Math.Max(0, behind);
        if (mistaken <= 0)
        {
            return behind > 0 ? null
                : new CliException(ExitCode.Usage, $"activate needs a program behind '--': {Usage}; see 'launchd-cs activate --help'");
        }
        string first = words[0].Value;
        if (!hasDashes && !first.StartsWith('-'))
        {
            string program = TerminalText.Escape(string.Join(' ', words.Select(w => w.Value)));
            return new CliException(ExitCode.Usage, $"write the program behind '--': launchd-cs activate … -- {program}");
        }
        return Mistyped(parsed, first);
    }

    private static CliException Mistyped(ParseResult parsed, string word)
    {
        IEnumerable<string> known = parsed.CommandResult.Command.Options.Where(o => !o.Hidden).SelectMany(o => o.Aliases.Append(o.Name));
        string what = word.StartsWith('-') ? $"there is no option '{TerminalText.Escape(word)}'{SimilarName.Hint(word, known)}"
            : $"'{TerminalText.Escape(word)}' is no option";
        return new CliException(
            ExitCode.Usage,
            $"{what}{(what.EndsWith('?') ? " The" : "; the")} program and its arguments stand behind '--'; "
                + "see 'launchd-cs activate --help'");
    }

    private static int Run(CliContext context, ActivationOptions options)
    {
        if (options.Command.IsEmpty)
            throw new CliException(ExitCode.Usage, $"activate needs a program behind '--': {Usage}");
        if (context.WorkingDirectory is null)
            throw new CliException(ExitCode.SystemRefused, "the working directory cannot be told: change to another one");
        ConfigSource source = RunCommand.ConfigurationOf(Name);
        // Read once before anything is made, so that wrong options are reported at once.
        if (ActivationReader.Read(options, source, "/").Definition is null)
            throw new CliException(ExitCode.Usage, ActivationReader.Read(options, source, "/").Problem);
        try
        {
            // May execute this program once more; then everything from here on happens in the second execution.
            SignalMask.Enter();
            using FileWatcher? watcher = Watcher(options, source);
            string directory = MakeDirectory();
            try
            {
                SupervisorDefinition definition = ActivationReader.Read(options, source, directory).Definition!;
                ServiceDefinition service = definition.Services[0];
                ServiceName? exitWith = options.Accept || watcher is not null ? null : service.Name;
                ActivateSession? session = null;
                int code = SupervisorRun.Run(definition, [], exitWith, ManagerOffer.None, source: null,
                    host => session = new ActivateSession(
                        service, watcher, HasColour(context), host.Core, host.Events, host.Parts.Descriptors, host.Listeners,
                        host.Signals, host.Parts.Journal, host.Parts.Loop, host.Parts.Delays));
                return session?.ExecFailure is { } failure ? failure : code;
            }
            finally
            {
                Discard(directory);
            }
        }
        catch (StartRefusedException refused)
        {
            // The keys of the made-up configuration mean nothing to an operator who wrote options.
            bool hasKey = refused.Message.StartsWith("sockets.", StringComparison.Ordinal)
                || refused.Message.StartsWith("files.", StringComparison.Ordinal);
            throw new CliException(
                refused.Code, hasKey ? refused.Message[(refused.Message.IndexOf(": ", StringComparison.Ordinal) + 2)..] : refused.Message);
        }
        catch (SystemCallException refused)
        {
            throw new CliException(ExitCode.SystemRefused, refused.Message);
        }
    }

    private static string MakeDirectory()
    {
        try
        {
            return Directory.CreateTempSubdirectory("launchd-cs-activate-").FullName;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw new CliException(
                ExitCode.SystemRefused, $"cannot make a directory in {Path.GetTempPath()} (TMPDIR): {FileFault.Text(refused)}");
        }
    }

    private static void Discard(string directory)
    {
        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (Exception left) when (left is IOException or UnauthorizedAccessException)
        {
            // The directory was removed by somebody else: nothing is lost.
        }
    }

    private static FileWatcher? Watcher(ActivationOptions options, ConfigSource source)
    {
        if (options.Watch.IsEmpty)
            return null;
        string home = Path.GetDirectoryName(source.FilePath)!;
        FileWatcher? watcher = FileWatcher.Open(
            options.Watch.Select(p => Path.TrimEndingDirectorySeparator(Path.GetFullPath(p, home))), out string? problem);
        return watcher ?? throw new CliException(ExitCode.Failed, $"--watch: {problem}");
    }

    private static bool HasColour(CliContext context) =>
        !Console.IsErrorRedirected && context.Environment("NO_COLOR") is null or "" && context.Environment("TERM") is not (null or "dumb");

    private static Option<string[]> Many(string name, string value, string description, params string[] aliases) => new(name, aliases)
    {
        HelpName = value, Description = description, AllowMultipleArgumentsPerToken = true, Arity = ArgumentArity.OneOrMore,
    };
}
