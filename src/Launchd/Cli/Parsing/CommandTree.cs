using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Help;
using System.Globalization;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Launchd.Control;
using Launchd.Model;

namespace Launchd.Cli.Parsing;

/// <summary>The verbs with their arguments and options, bound to the code that runs them.</summary>
internal sealed class CommandTree
{
    private readonly CliContext _context;
    private readonly Option<string?> _name = new("--name")
    {
        Description = "the supervisor, where several run", HelpName = "NAME", Recursive = true,
    };

    public CommandTree(CliContext context)
    {
        _context = context;
        Root = new RootCommand("Supervises processes and hands them their sockets.");
        Root.Options.Remove(Root.Options.OfType<VersionOption>().Single());
        Root.Options.Remove(Root.Options.OfType<HelpOption>().Single());
        Root.Options.Add(new HelpOption("--help", "-h") { Description = "what the verb does, with examples and exit codes" });
        Root.Options.Add(_name);
        Root.Options.Add(Version);
        _name.CompletionSources.Add(_ => new SupervisorFinder(_context).RunningNames());
        AddRunAndCheck();
        AddStatus();
        AddOrder("start", "Start", "starts services and waits until they are ready");
        AddOrder("stop", "Stop", "stops services and waits until they have ended");
        AddOrder("restart", "Restart", "replaces the instances of services by new ones");
        AddReload();
        AddScale();
        AddOrder("reload-service", "ReloadService", "tells services to read their own configuration again");
        AddSignal();
        AddLogs();
        AddEventsAndDescriptors();
        Root.Subcommands.Add(AttachCommand.Describe(_context, _name, RunningServices));
        AddUpgrade();
        AddShutdown();
        AddActivate();
        AddHelpers();
    }

    public RootCommand Root { get; }
    public Option<bool> Version { get; } = new("--version") { Description = "prints the version" };

    private static Option<bool> Json() => new("--json") { Description = "prints JSON for programs" };

    private static Option<bool> Follow() => new("--follow", "-f") { Description = "goes on with what comes, until Ctrl-C" };

    private void AddRunAndCheck()
    {
        Argument<string?> file = new("FILE")
        {
            Arity = ArgumentArity.ZeroOrOne, Description = "the configuration (default: launchd.toml)",
        };
        Option<string?> exitWith = new("--exit-with")
        {
            HelpName = "SERVICE", Description = "ends with this service and with its exit code",
        };
        Option<bool> trust = new("--trust-config")
        {
            Description = "as root: reads files that others may write, as those that are mounted into a container",
        };
        Option<bool> takeOver = new("--take-over")
        {
            Description = "ends the programs that a killed supervisor has left, instead of adopting them; keeps their listeners open",
        };
        Command run = new("run", "runs the configuration in the foreground") { file, exitWith, trust, takeOver };
        RefuseName(run, "the file names the supervisor");
        run.SetAction(p => RunCommand.Run(
            new RunOptions(p.GetValue(file), p.GetValue(exitWith), p.GetValue(trust), p.GetValue(takeOver))));

        Option<string?> graph = new("--graph") { HelpName = "dot|mermaid", Description = "prints the dependency graph (default: dot)" };
        graph.CompletionSources.Add("dot", "mermaid");
        Option<bool> plan = new("--plan") { Description = "prints what a reload of the running supervisor would change" };
        Option<bool> json = new("--json") { Description = "with --plan: prints JSON for programs" };
        Option<bool> elsewhere = new("--elsewhere") { Description = "looks at the files alone, not at what this machine has and permits" };
        Command check = new("check", "says all that is wrong with a configuration") { file, graph, plan, elsewhere, json, trust };
        check.SetAction(p =>
        {
            GraphFormat? format = p.GetValue(graph) switch
            {
                null => null,
                "dot" => GraphFormat.Dot,
                "mermaid" => GraphFormat.Mermaid,
                var other => throw new CliException(ExitCode.Usage, $"--graph takes dot or mermaid, not '{TerminalText.Escape(other)}'"),
            };
            return CheckCommand.Run(_context, new CheckOptions(
                p.GetValue(file), format, p.GetValue(plan), p.GetValue(_name), p.GetValue(json), p.GetValue(elsewhere),
                p.GetValue(trust)));
        });

        Root.Subcommands.Add(run);
        Root.Subcommands.Add(check);
    }

    private void AddActivate()
    {
        Command activate = ActivateCommand.Describe(_context);
        RefuseName(activate, "it runs a supervisor of its own");
        Root.Subcommands.Add(activate);
    }

    private void AddHelpers()
    {
        Option<bool> json = Json();
        Command doctor = new("doctor", "says what this kernel and container allow") { json };
        RefuseName(doctor, "it asks the kernel, not a supervisor");
        doctor.SetAction(p => (int)DoctorCommand.Run(_context, p.GetValue(json)));

        Argument<string?> shell = new("SHELL") { Arity = ArgumentArity.ZeroOrOne, HelpName = "bash|zsh|fish", Description = "the shell" };
        shell.CompletionSources.Add(CompletionCommand.Shells);
        Command completion = new("completion", "prints the completion script of a shell") { shell };
        RefuseName(completion, "it needs no supervisor");
        completion.SetAction(p => (int)CompletionCommand.Run(_context, p.GetValue(shell)));

        foreach (Command command in (ReadOnlySpan<Command>)[doctor, completion])
            Root.Subcommands.Add(command);
    }

    private void AddStatus()
    {
        Argument<string?> service = Service();
        Option<bool> watch = new("--watch") { Description = "shows it again whenever it changes, until Ctrl-C" };
        Option<bool> json = Json();
        Command status = new("status", "shows services, instances and sockets") { service, watch, json };
        status.SetAction(p => (int)StatusCommand.Run(
            _context, new StatusOptions(p.GetValue(_name), p.GetValue(service), p.GetValue(watch), p.GetValue(json))));
        Root.Subcommands.Add(status);
    }

    private void AddOrder(string verb, string method, string description)
    {
        Argument<string[]> services = Services();
        Option<bool> all = All();
        Option<bool> noWait = new("--no-wait") { Description = "returns once the supervisor has taken the order" };
        Option<bool> json = Json();
        Option<bool> replace = new("--replace") { Description = "ends the old instance first; clients wait in the listen queue" };
        Option<bool> overlap = new("--overlap") { Description = "ends the old instance once the new one is ready" };
        Command command = new(verb, description) { services, all, noWait, json };
        if (method == "Restart")
        {
            command.Options.Add(replace);
            command.Options.Add(overlap);
        }
        command.SetAction(p =>
        {
            if (method == "Restart" && p.GetValue(replace) && p.GetValue(overlap))
                throw new CliException(ExitCode.Usage, "--replace and --overlap contradict each other: give one");
            string? update = method != "Restart" ? null : p.GetValue(replace) ? "replace" : p.GetValue(overlap) ? "overlap" : null;
            ServicesRequest request = Request(verb, p.GetValue(services), p.GetValue(all)) with
            {
                Wait = !p.GetValue(noWait), Update = update,
            };
            return (int)ServiceCommands.Run(_context, new OrderOptions(method, p.GetValue(_name), request, p.GetValue(json)));
        });
        Root.Subcommands.Add(command);
    }

    private void AddScale()
    {
        Argument<string?> count = new("N") { Arity = ArgumentArity.ZeroOrOne, Description = "slots of the pool, 1 to 1000" };
        Argument<string[]> services = Services();
        Option<bool> all = All();
        Option<bool> noWait = new("--no-wait") { Description = "returns once the supervisor has taken the order" };
        Option<bool> json = Json();
        Command command = new("scale", "gives services as many instances") { count, services, all, noWait, json };
        command.SetAction(p =>
        {
            string text = p.GetValue(count)
                ?? throw new CliException(ExitCode.Usage, "scale needs a number and the name of a service; see 'launchd-cs scale --help'");
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int slots) || slots is < 1 or > 1000)
            {
                string hint = slots == 0 && text == "0" ? "; 'launchd-cs stop' ends all instances"
                    : char.IsLetter(text.FirstOrDefault()) ? ", which stands before the services: launchd-cs scale N SERVICE" : "";
                throw new CliException(ExitCode.Usage, $"'{TerminalText.Escape(text)}' is no number from 1 to 1000{hint}");
            }
            ServicesRequest request = Request("scale", p.GetValue(services), p.GetValue(all)) with
            {
                Wait = !p.GetValue(noWait), Count = slots,
            };
            return (int)ServiceCommands.Run(_context, new OrderOptions("Scale", p.GetValue(_name), request, p.GetValue(json)));
        });
        Root.Subcommands.Add(command);
    }

    private void AddSignal()
    {
        Argument<string?> signal = new("SIGNAL") { Arity = ArgumentArity.ZeroOrOne, Description = "HUP, SIGHUP, 1, RTMIN+3 …" };
        signal.CompletionSources.Add(_ => SignalNumber.AllNames);
        Argument<string[]> services = Services();
        Option<bool> all = All();
        Option<bool> json = Json();
        Command command = new("signal", "sends a signal to the main processes of services") { signal, services, all, json };
        command.SetAction(p =>
        {
            string text = p.GetValue(signal)
                ?? throw new CliException(
                    ExitCode.Usage, "signal needs a signal and the name of a service; see 'launchd-cs signal --help'");
            SignalNumber number = SignalNumber.Parse(text) ?? throw new CliException(
                ExitCode.Usage,
                $"'{TerminalText.Escape(text)}' is no signal{SimilarName.Hint(text.ToUpperInvariant(), SignalNumber.AllNames)}");
            ServicesRequest request = Request("signal", p.GetValue(services), p.GetValue(all)) with { Signal = number.ToString() };
            return (int)ServiceCommands.Run(_context, new OrderOptions("Signal", p.GetValue(_name), request, p.GetValue(json)));
        });
        Root.Subcommands.Add(command);
    }

    private void AddLogs()
    {
        Argument<string?> service = Service();
        Option<bool> follow = Follow();
        Option<string?> lines = new("--lines", "-n") { HelpName = "N", Description = "newest lines of each service (default: 10)" };
        Option<bool> json = Json();
        Command logs = new("logs", "prints what services wrote") { service, follow, lines, json };
        logs.SetAction(p =>
        {
            LogsOptions options = new(
                p.GetValue(_name), p.GetValue(service), LogsCommand.ReadLines(p.GetValue(lines)), p.GetValue(follow), p.GetValue(json));
            return (int)LogsCommand.Run(_context, options);
        });
        Root.Subcommands.Add(logs);
    }

    private void AddEventsAndDescriptors()
    {
        Option<bool> follow = Follow();
        Option<bool> eventsJson = Json();
        Command events = new("events", "prints what happened since the start") { follow, eventsJson };
        events.SetAction(p => (int)EventsCommand.Run(
            _context, new EventsOptions(p.GetValue(_name), p.GetValue(follow), p.GetValue(eventsJson))));
        Root.Subcommands.Add(events);

        Argument<string?> service = Service();
        Option<bool> json = Json();
        Command fds = new("fds", "lists the descriptors that are held or passed") { service, json };
        fds.SetAction(p => (int)DescriptorsCommand.Run(
            _context, new DescriptorsOptions(p.GetValue(_name), p.GetValue(service), p.GetValue(json))));
        Root.Subcommands.Add(fds);
        Root.Subcommands.Add(FetchCommand.Describe(_context, _name));
    }

    private void AddReload()
    {
        Option<bool> noWait = new("--no-wait") { Description = "returns once the new configuration holds" };
        Option<bool> json = Json();
        Command reload = new("reload", "reads the configuration again and makes it hold, or changes nothing") { noWait, json };
        reload.SetAction(p => (int)ReloadCommand.Run(_context, new ReloadOptions(p.GetValue(_name), p.GetValue(noWait), p.GetValue(json))));
        Root.Subcommands.Add(reload);
    }

    private void AddShutdown()
    {
        Option<bool> json = Json();
        Command shutdown = new("shutdown", "stops all services and then the supervisor") { json };
        shutdown.SetAction(p => (int)ShutdownCommand.Run(_context, p.GetValue(_name), p.GetValue(json)));
        Root.Subcommands.Add(shutdown);
    }

    private void AddUpgrade()
    {
        Option<string?> binary = new("--binary")
        {
            HelpName = "PATH", Description = "the program (default: what is now where the supervisor's own was started from)",
        };
        Option<bool> json = Json();
        Command upgrade = new("upgrade", "replaces the supervisor by another program, everything kept") { binary, json };
        upgrade.SetAction(p => (int)UpgradeCommand.Run(
            _context, new UpgradeOptions(p.GetValue(_name), p.GetValue(binary), p.GetValue(json))));
        Root.Subcommands.Add(upgrade);
    }

    private Argument<string?> Service()
    {
        Argument<string?> service = new("SERVICE")
        {
            Arity = ArgumentArity.ZeroOrOne, Description = "a name or pattern such as 'web*' (default: all)",
        };
        service.CompletionSources.Add(RunningServices);
        return service;
    }

    private Argument<string[]> Services()
    {
        Argument<string[]> services = new("SERVICE") { Arity = ArgumentArity.ZeroOrMore, Description = "names or patterns such as 'web*'" };
        services.CompletionSources.Add(RunningServices);
        return services;
    }

    private static Option<bool> All() => new("--all") { Description = "all services" };

    private static ServicesRequest Request(string verb, string[]? services, bool all)
    {
        if (all == services is { Length: > 0 })
            throw new CliException(ExitCode.Usage, $"{verb} needs either names of services or --all; see 'launchd-cs {verb} --help'");
        return new ServicesRequest { Services = services ?? [], All = all };
    }

    private void RefuseName(Command command, string reason) => command.Validators.Add(result =>
    {
        if (result.GetResult(_name) is not null)
            result.AddError($"{command.Name} takes no --name: {reason}");
    });

    private IEnumerable<CompletionItem> RunningServices(CompletionContext completion) =>
        Suggestions.ServiceNames(_context, completion.ParseResult.GetValue(_name)).Select(n => new CompletionItem(n));
}
