using Launchd.Cli.Verbs;
using Launchd.Control;

namespace Launchd.Cli.Parsing;

/// <summary>What the help of a verb says beside its options.</summary>
/// <param name="Examples">Calls, and what each does.</param>
/// <param name="ExitCodes">The codes that a script will meet, in the verb's own words.</param>
internal sealed record VerbHelp((string Call, string Does)[] Examples, (ExitCode Code, string Meaning)[] ExitCodes)
{
    private static readonly (ExitCode, string) _usage = (ExitCode.Usage, "the arguments are wrong");
    private static readonly (ExitCode, string) _unreachable = (ExitCode.Unreachable, "no supervisor can be reached");
    private static readonly (ExitCode, string) _noSuchService = (ExitCode.NoSuchService, "no service has that name");
    private static readonly (ExitCode, string) _notPermitted = (ExitCode.NotPermitted, "the supervisor does not let this user");

    /// <summary>The help of a verb. Every verb that is shown has one.</summary>
    public static VerbHelp Of(string verb, bool isRoot) => isRoot ? Root() : verb switch
    {
        "run" => Run(),
        "check" => Check(),
        "status" => Status(),
        "start" => Order(
            "launchd-cs start web", "starts web and what it requires; returns when it is ready, or a job done",
            "launchd-cs start 'worker-*' --no-wait", "orders it and returns", "all are ready",
            "one did not become ready; its reason and last output are printed"),
        "stop" => Order(
            "launchd-cs stop web", "ends web within its stop_timeout", "launchd-cs stop --all", "ends all services; the supervisor goes on",
            "all have ended", "one could not be stopped"),
        "restart" => Order(
            "launchd-cs restart web", "replaces web as its 'update' and 'rollout' say", "launchd-cs restart web --overlap",
            "the new instance is ready before the old one ends", "all are ready anew, and the old ones have ended",
            "one was rolled back or failed; its reason and last output are printed"),
        "reload" => Reload(),
        "scale" => Order(
            "launchd-cs scale 4 worker", "four instances of worker, whatever the file says", "launchd-cs scale 2 'worker-*' --no-wait",
            "orders it and returns", "all are ready, and what was too many has ended",
            "one did not become ready; its reason and last output are printed"),
        "reload-service" => Order(
            "launchd-cs reload-service web", "does what 'reload' of web says", "launchd-cs reload-service --all", "of all services",
            "all have reloaded", "one could not, for the reason printed"),
        "signal" => Order(
            "launchd-cs signal USR1 web", "sends SIGUSR1 to the main process of each of web's instances", "launchd-cs signal HUP --all",
            "to all services", "sent", "it could not be sent, for the reason printed"),
        "logs" => Logs(),
        "events" => Events(),
        "fds" => Descriptors(),
        FetchCommand.Name => Fetch(),
        AttachCommand.Name => Attach(),
        "upgrade" => Upgrade(),
        "shutdown" => Shutdown(),
        "doctor" => Doctor(),
        "completion" => Completion(),
        ActivateCommand.Name => Activate(),
        _ => throw new InvalidOperationException($"no help is written for '{verb}'"),
    };

    private static VerbHelp Root() => new(
        [
            ("launchd-cs run shop.toml", "runs a configuration"),
            ("launchd-cs status", "shows what it does"),
            ("launchd-cs restart web --help", "help of one verb"),
        ],
        [
            (ExitCode.Done, "done"), (ExitCode.Failed, "failed for the reason printed"), (ExitCode.NotRunning, "status: not all is ready"),
            _noSuchService, _usage, _unreachable, (ExitCode.InternalError, "internal error"),
            (ExitCode.SystemRefused, "the operating system refused at start"), (ExitCode.TimedOut, "timed out: trying again may help"),
            _notPermitted, (ExitCode.BadConfiguration, "the configuration is wrong"),
        ]);

    private static VerbHelp Run() => new(
        [
            ("launchd-cs run", "runs launchd.toml of this directory"),
            ("launchd-cs run shop.toml", "runs another file"),
            ("launchd-cs run --exit-with web", "in a container: ends with web, and as web ended"),
            ("launchd-cs run --trust-config /config/shop.toml", "in a container: a file that is mounted, whoever owns it outside"),
            ("launchd-cs run --take-over", "after kill -9 of a supervisor and its keeper: ends what it would else adopt"),
        ],
        [
            (ExitCode.Done, "shut down as asked; with --exit-with the service's own code, 128 + N after signal N"), _usage,
            (ExitCode.InternalError, "internal error"), (ExitCode.SystemRefused, "the operating system refused at start"),
            (ExitCode.TimedOut, "another supervisor runs in the same runtime directory, or programs of a killed one that it cannot adopt"),
            (ExitCode.BadConfiguration, "the configuration is wrong"),
        ]);

    private static VerbHelp Activate() => new(
        [
            ("launchd-cs activate -l 8080 -- python3 app.py", "starts app.py at the first connection to 127.0.0.1:8080, as descriptor 3"),
            ("launchd-cs activate -l 8080 --now --watch src -- dotnet run", "starts at once, and anew when a file in src changes"),
            ("launchd-cs activate -l 7000 --accept --inetd -- cat", "one cat for each connection, which is its input and output"),
            ("launchd-cs activate -l '*:8080' -l ./app.sock --fdname http:admin -- ./app", "two sockets with names, one open to all"),
            ("launchd-cs activate -l 'udp://127.0.0.1:5353' --file zone=db.txt -- ./dns", "a datagram socket, and a file as descriptor 4"),
        ],
        [
            (ExitCode.Done, "ended by Ctrl-C; else the program's own code, 128 + N after signal N"), _usage,
            (ExitCode.SystemRefused, "an address could not be opened"), (ExitCode.NotPermitted, "an address is not permitted to this user"),
            ((ExitCode)126, "the program cannot be executed"), ((ExitCode)127, "the program was not found"),
        ]);

    private static VerbHelp Check() => new(
        [
            ("launchd-cs check", "checks launchd.toml of this directory"),
            ("launchd-cs check shop.toml --graph | dot -Tsvg", "draws the dependencies"),
            ("launchd-cs check --plan", "compares with the running supervisor"),
            ("launchd-cs check --elsewhere shop.toml", "checks the file of another machine"),
        ],
        [
            (ExitCode.Done, "nothing is wrong"), (ExitCode.Failed, "--plan: the reload would be refused, for the reason printed"), _usage,
            _unreachable, (ExitCode.BadConfiguration, "the configuration is wrong, or this machine cannot open its sockets"),
        ]);

    private static VerbHelp Status() => new(
        [
            ("launchd-cs status", "all services and sockets"),
            ("launchd-cs status web --json", "one service, for programs"),
            ("launchd-cs status --watch", "stays and follows the changes"),
        ],
        [
            (ExitCode.Done, "all services that are meant to run are ready; with SERVICE: it is ready"),
            (ExitCode.NotRunning, "not all of them are"), _noSuchService, _usage, _unreachable, _notPermitted,
        ]);

    private static VerbHelp Order(string call, string does, string otherCall, string otherDoes, string done, string failed) => new(
        [(call, does), (otherCall, otherDoes)],
        [(ExitCode.Done, done), (ExitCode.Failed, failed), _noSuchService, _usage, _unreachable, _notPermitted]);

    private static VerbHelp Logs() => new(
        [
            ("launchd-cs logs", "the last 10 lines of each service"),
            ("launchd-cs logs web -n 100 --follow", "the last 100 of web, and what comes"),
        ],
        [(ExitCode.Done, "printed, or interrupted while following"), _noSuchService, _usage, _unreachable, _notPermitted]);

    private static VerbHelp Events() => new(
        [
            ("launchd-cs events", "the last 4096 events"),
            ("launchd-cs events --follow --json | jq .event", "a stream for programs, one object a line"),
        ],
        [(ExitCode.Done, "printed, or interrupted while following"), _usage, _unreachable, _notPermitted]);

    private static VerbHelp Descriptors() => new(
        [("launchd-cs fds", "all descriptors"), ("launchd-cs fds web", "what web was given or has stored")],
        [(ExitCode.Done, "printed"), _noSuchService, _usage, _unreachable, _notPermitted]);

    private static VerbHelp Reload() => new(
        [
            ("launchd-cs check --plan", "shows beforehand what would change"),
            ("launchd-cs reload", "changes it, and waits until the services have followed"),
            ("launchd-cs reload --json | jq '.changes[].table'", "for programs"),
        ],
        [
            (ExitCode.Done, "the new configuration holds, and the services have followed"),
            (ExitCode.Failed, "nothing was changed, or a service was rolled back or failed, for the reason printed"), _usage, _unreachable,
            _notPermitted, (ExitCode.BadConfiguration, "the configuration is wrong; nothing was changed"),
        ]);

    private static VerbHelp Fetch() => new(
        [
            ("launchd-cs fd get web/http -- ./web --debug", "runs another web by hand, which accepts from web's own listener"),
            ("launchd-cs fd get cache/ring --at 0 -- xxd -l 64", "the first bytes of what cache has published as ring"),
            ("launchd-cs fd get web/@7 -- ls -l /proc/self/fd/3", "what descriptor 7 of web's main process is"),
        ],
        [
            (ExitCode.Done, "the program's own code"),
            (ExitCode.Failed, "there is no such descriptor, or nothing runs"), _noSuchService, _usage,
            _unreachable, (ExitCode.NotPermitted, "the supervisor or the kernel does not let this user"),
            ((ExitCode)126, "the program cannot be executed"),
            ((ExitCode)127, "the program was not found"),
        ]);

    private static VerbHelp Attach() => new(
        [
            ("launchd-cs attach game", "the console of game; Ctrl-] leaves it, and game goes on"),
            ("launchd-cs attach game --read-only", "looks, and types nothing"),
            ("launchd-cs attach game.1 --detach-keys ctrl-p,ctrl-q", "of one slot, with the keys of docker"),
            ("echo save-all | launchd-cs attach game", "types one line, and shows what comes until Ctrl-C or the end of game"),
        ],
        [
            (ExitCode.Done, "left, or the program has ended"), (ExitCode.Failed, "it has no terminal, or does not run"), _noSuchService,
            _usage, (ExitCode.Unreachable, "no supervisor can be reached, or the connection was cut off"),
            (ExitCode.TimedOut, "too many are attached: trying again may help"),
            (ExitCode.NotPermitted, "the supervisor lets this user look only, or not even that"),
        ]);

    private static VerbHelp Upgrade() => new(
        [
            ("launchd-cs upgrade", "to what a package manager has put in the place of the running program"),
            ("launchd-cs upgrade --binary ./launchd-cs-2.0", "to another file"),
        ],
        [
            (ExitCode.Done, "the new program goes on with everything"),
            (ExitCode.Failed, "nothing was changed, for the reason printed"), _usage, _unreachable,
            (ExitCode.TimedOut, "nothing was changed: something has to be over first, trying again may help"), _notPermitted,
        ]);

    private static VerbHelp Shutdown() => new(
        [
            ("launchd-cs shutdown", "returns when all services have ended"),
            ("launchd-cs shutdown --name shop", "where several supervisors run"),
        ],
        [
            (ExitCode.Done, "all services have ended"), (ExitCode.Failed, "failed for the reason printed"), _usage, _unreachable,
            _notPermitted,
        ]);

    private static VerbHelp Doctor() => new(
        [("launchd-cs doctor", "each finding with its consequence"), ("launchd-cs doctor --json", "for programs")],
        [(ExitCode.Done, "nothing that is needed is missing"), (ExitCode.Failed, "something is missing"), _usage]);

    private static VerbHelp Completion() => new(
        [
            ("source <(launchd-cs completion bash)", "completes in this shell"),
            ("launchd-cs completion bash > /etc/bash_completion.d/launchd-cs", "in every shell"),
        ],
        [(ExitCode.Done, "printed"), _usage]);
}
