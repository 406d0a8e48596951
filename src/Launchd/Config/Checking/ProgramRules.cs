using System.Collections.Frozen;
using Launchd.Addresses;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>
/// What is known not to work, program by program; all of it was measured. <c>docs/programs.md</c> has a row for each program, and
/// says the same in words. A rule stands here only if the configuration alone decides: what a program's own files say is not known.
/// </summary>
internal static class ProgramRules
{
    private const string Sockets = ProgramRule.OfSockets;

    public static readonly ProgramRule[] All =
    [
        new("nginx", "1.22.1", Sockets, IsBlocking, u => u.HasVariable("NGINX"),
            "a worker of nginx may wait in accept on '{socket}', which is blocking, and its other clients with it",
            "write non_blocking = true into [sockets.{socket}]"),
        new("nginx", "1.22.1", Sockets, IsStream, u => !u.MayHaveVariable("NGINX"),
            "nginx does not read LISTEN_FDS, and takes '{socket}' only if the variable NGINX names it",
            "add environment = { NGINX = \"${fd:{socket}};\" }"),
        new("h2o", "2.2.5", Sockets, IsStream, u => !u.MayHaveVariable("SERVER_STARTER_PORT"),
            "h2o does not read LISTEN_FDS, and takes '{socket}' only if the variable SERVER_STARTER_PORT names it",
            "add environment = { SERVER_STARTER_PORT = \"ADDRESS=${fd:{socket}}\" }"),
        EndsAtHup("h2o", "2.2.5"),
        TakesNoSocket("squid", "5.7"),

        new("php-fpm", "8.2.36", Sockets, IsNonBlocking, Always,
            "children of php-fpm end on '{socket}', which is non-blocking, and are started anew some 65 times a second",
            "take non_blocking out of [sockets.{socket}]"),
        new("php-fpm", "8.2.36", Sockets, IsStream, u => !u.MayHaveVariable("FPM_SOCKETS"),
            "php-fpm does not read LISTEN_FDS, and takes '{socket}' only if the variable FPM_SOCKETS names it",
            "add environment = { FPM_SOCKETS = \"ADDRESS=${fd:{socket}}\" }"),
        new("fcgiwrap", "1.1.0", Sockets, IsNonBlocking, Always,
            "fcgiwrap ends at once, with exit code 0, on '{socket}', which is non-blocking; with -c it answers nobody",
            "take non_blocking out of [sockets.{socket}]"),
        EndsAtHup("fcgiwrap", "1.1.0"),
        new("starlet", "0.31", Sockets, IsNonBlocking, Always,
            "Starlet waits in a loop on '{socket}', which is non-blocking, and takes half of a processor",
            "take non_blocking out of [sockets.{socket}]"),
        new("starman", "0.4016", Sockets, IsNonBlocking, Always,
            "Starman's calls of accept fail on '{socket}', which is non-blocking", "take non_blocking out of [sockets.{socket}]"),
        new("starman", "0.4016", Sockets, IsUnixStream, Always,
            "Starman takes each client of '{socket}', a Unix socket, for one of TCP and resets it", "give it a TCP socket"),

        new("uwsgi", "2.0.21", "reload", IsStream, u => ReloadsByHup(u) && !u.Mentions("fd://") && !HasConfigFile(u),
            "at SIGHUP uwsgi executes itself without LISTEN_FDS, does not find '{socket}' again and ends with exit code 1",
            "name the descriptor: \"--http-socket\", \"fd://${fd:{socket}}\" (or --socket)"),
        new("uwsgi", "2.0.21", "command", IsStream, RestartsAtTerm,
            "SIGTERM makes a master of uwsgi start anew instead of ending", "add \"--die-on-term\""),
        new("uvicorn", "0.17.6", "reload", IsStream, u => ReloadsByHup(u) && u.ValueOf("--workers") is not (null or "1"),
            "SIGHUP ends uvicorn's parent process, and its workers go on accepting from '{socket}' until they are killed",
            "take reload out and restart the service, unless it is a version that knows SIGHUP"),
        new("gunicorn", "20.1.0", Sockets, IsDatagram, u => u.Service.ListenEnvironment,
            "gunicorn calls listen on all that LISTEN_FDS names, and ends at '{socket}', which takes datagrams",
            "give '{socket}' to another service"),
        EndsAtHup("hypercorn", "0.13.2"),
        new("daphne", "4.0.0", Sockets, IsUnixStream, Always,
            "Daphne takes each client of '{socket}', a Unix socket, for one of TCP and resets it", "give it a TCP socket"),
        EndsAtHup("daphne", "4.0.0"),
        new("twistd", "22.4.0", Sockets, l => IsUnixStream(l) && !l.PinPath, SharesUnix,
            "an instance of twistd that ends shuts '{socket}', a Unix socket, down for the next one too, and for who waits in its queue",
            "write pin_path = true in [sockets.{socket}], give it a TCP socket, or write update = \"replace\""),

        new("bun", "1.4.5", Sockets, IsStream, IsNotAsked,
            "if this program calls Bun.serve or node:http, it takes no notice of '{socket}' and opens a port of its own",
            "call Bun.listen or node:net, and let ready = { http = \"...\" } ask whether it answers"),
        new("deno", "2.9.6", Sockets, IsStream, IsNotAsked,
            "if this program calls Deno.serve or Deno.listen, it takes no notice of '{socket}' and opens a port of its own",
            "call node:http or node:net, and let ready = { http = \"...\" } ask whether it answers"),

        new("sshd", "9.2p1", "reload", IsStream, ReloadsByHup,
            "at SIGHUP sshd lets '{socket}' go and binds port 22 of all addresses, or its Port",
            "take reload out: restart the service instead"),
        new("sshd", "9.2p1", Sockets, IsUnixStream, Always,
            "sshd ends with exit code 255 at '{socket}', which is a Unix socket", "give it a TCP socket"),
        new("dovecot", "2.3.19", Sockets, IsUnixStream, Always,
            "dovecot ends with exit code 89 at '{socket}', which is a Unix socket", "give it TCP sockets and let it bind Unix ones itself"),
        EndsAtHup("cupsd", "2.4.2"),
        RefusesDatagrams("mariadbd", "10.11.19"),
        RefusesDatagrams("stunnel", "5.68"),
        RefusesDatagrams("dbus-daemon", "1.14.10"),
        TakesNoSocket("redis-server", "7.0.15"),
        TakesNoSocket("knotd", "3.2.6"),
        TakesNoSocket("mosquitto", "2.0.11"),
        TakesNoSocket("dnsmasq", "2.90"),
    ];

    private static readonly FrozenDictionary<string, ProgramRule[]> ByProgram =
        All.GroupBy(r => r.Program).ToFrozenDictionary(g => g.Key, g => g.ToArray(), StringComparer.Ordinal);

    /// <summary>The rules about a program; none for most.</summary>
    public static ProgramRule[] For(string program) => ByProgram.GetValueOrDefault(program, []);

    private static ProgramRule EndsAtHup(string program, string version) => new(
        program, version, "reload", IsStream, ReloadsByHup, $"SIGHUP ends {program} when it was given its sockets",
        "take reload out: restart the service instead");

    private static ProgramRule RefusesDatagrams(string program, string version) => new(
        program, version, Sockets, IsDatagram, u => u.Service.ListenEnvironment,
        $"{program} ends with an error at '{{socket}}', which takes datagrams", "give '{socket}' to another service");

    private static ProgramRule TakesNoSocket(string program, string version) => new(
        program, version, Sockets, l => IsStream(l) || IsDatagram(l), Always,
        $"{program} does not read LISTEN_FDS and binds its addresses itself, which fails while '{{socket}}' has them",
        "take the socket out and let it bind");

    private static bool Always(ProgramUse use) => true;

    private static bool ReloadsByHup(ProgramUse use) =>
        use.Service.Reload is ReloadAction.Signal reload && reload.Number == SignalNumber.Hup;

    // A file of uwsgi's own may hold every option of its command line.
    private static bool HasConfigFile(ProgramUse use) =>
        use.Arguments.Any(a => a.StartsWith("--emperor", StringComparison.Ordinal) || a is "--ini" or "--yaml" or "--xml" or "--json"
            || Path.GetExtension(a) is ".ini" or ".yaml" or ".yml" or ".xml" or ".json");

    private static bool RestartsAtTerm(ProgramUse use) =>
        use.Service.Stop.Signal == SignalNumber.Term && use.Service.Stop.Command.IsEmpty && (use.Has("--master") || use.Has("-M"))
        && !use.Has("--die-on-term") && !HasConfigFile(use);

    // With another domain it is told of another socket, and without one it decides for itself what it does with this one.
    private static bool SharesUnix(ProgramUse use) =>
        use.Service.Update == UpdateKind.Overlap && (use.Mentions("domain=UNIX") || !use.Mentions("domain="));

    // A probe that needs an answer fails if nobody accepts; one that only connects succeeds, for the queue takes it.
    private static bool IsNotAsked(ProgramUse use) =>
        !NeedsAnswer((use.Service.Ready as Readiness.Probed)?.Target) && !NeedsAnswer(use.Service.Health?.Target);

    private static bool NeedsAnswer(ProbeTarget? target) => target is ProbeTarget.Http or ProbeTarget.Command;

    private static bool IsStream(ListenerDefinition listener) => listener.Addresses.Any(a => a.IsConnectionOriented);

    private static bool IsBlocking(ListenerDefinition listener) => IsStream(listener) && !listener.Options.NonBlocking;

    private static bool IsNonBlocking(ListenerDefinition listener) => IsStream(listener) && listener.Options.NonBlocking;

    private static bool IsDatagram(ListenerDefinition listener) =>
        listener.Addresses.Any(a => a is ListenAddress.Udp or ListenAddress.Unix { Kind: UnixSocketKind.Datagram });

    private static bool IsUnixStream(ListenerDefinition listener) =>
        listener.Addresses.Any(a => a is ListenAddress.Unix { Kind: not UnixSocketKind.Datagram });
}
