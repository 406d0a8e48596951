using System.Net;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Sockets;
using Tmds.Linux;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Listeners that a holder spoils. The holder is the test: it takes a copy of the supervisor's own descriptor by pidfd_getfd(2), which
/// is the same open file description that a program has.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class ListenerGuardTests
{
    private const int SO_LOCK_FILTER = 44;

    [FactWhenRootAndTool("python3")]
    public Task APortOfTheKernelsChoiceThatWasShutDownIsMended() =>
        Spoilt("tcp://127.0.0.1:0", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "mended");

    [FactWhenRootAndTool("python3")]
    public Task APortOfTheFileThatWasShutDownIsMended() =>
        Spoilt($"tcp://127.0.0.1:{LoopbackPort.Free()}", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "mended");

    [FactWhenRootAndTool("python3")]
    public Task APortThatWasDisconnectedIsMended() => Spoilt("tcp://127.0.0.1:0", Disconnect, "mended");

    [FactWhenRootAndTool("python3")]
    public Task AUnixSocketThatWasShutDownIsMadeAnew() =>
        Spoilt("unix:web.sock", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "made anew", replaces: true);

    [FactWhenRootAndTool("python3")]
    public Task AFilterIsFoundBeforeTheNextStart() => Spoilt("tcp://127.0.0.1:0", DropAll, "mended", restarts: true);

    [FactWhenRootAndTool("python3")]
    public Task AFilterThatIsLockedIsLeftBehind() => Spoilt(
        "tcp://127.0.0.1:0",
        s =>
        {
            DropAll(s);
            Lock(s);
        },
        "made anew", restarts: true);

    [FactWhenRootAndTool("python3")]
    public Task AQueueThatWasShortenedIsFoundBeforeTheNextStart() =>
        Spoilt("tcp://127.0.0.1:0", s => Assert.Equal(0, listen(s, 1)), "mended", restarts: true);

    [FactWhenRootAndTool("python3")]
    public Task AUnixQueueThatWasShortenedIsFoundToo() =>
        Spoilt("unix:web.sock", s => Assert.Equal(0, listen(s, 1)), "mended", restarts: true);

    [FactWhenTool("python3")]
    public async Task WhoSpoilsAgainAndAgainIsMendedOnceASecond_AndKeepsItsProcess()
    {
        await using Supervisor supervisor = Supervisor.StartText(Web("tcp://127.0.0.1:0", Spoiler));
        Happening ready = await supervisor.Event("ready", "web");
        int pid = await supervisor.Pid();
        // The first is mended at once, the second after a rest, and so on.
        Happening first = await supervisor.Event("listener-healed");
        long wakeUps = WakeUpsOf(pid);

        Happening fifth = await supervisor.Event("listener-healed", nth: 5);

        TimeSpan taken = Time(fifth) - Time(first);
        Assert.True(taken >= TimeSpan.FromSeconds(3.9), $"five repairs within {taken}");
        Assert.True(WakeUpsOf(pid) - wakeUps < 400, $"{WakeUpsOf(pid) - wakeUps} wake-ups for four repairs");
        Assert.All(supervisor.Events.All().Where(e => e.Kind == "listener-healed"), e => Assert.Equal("mended", e.Text("remedy")));
        Assert.True(Living.IsAlive(ready.Pid));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task WhatIsSpoiltAgainWhileItRestsIsMendedWithinASecond()
    {
        await using Supervisor supervisor = Start("tcp://127.0.0.1:0");
        _ = await supervisor.Event("ready", "web");
        using FileDescriptor held = await Take(supervisor);
        string address = await Address(supervisor);
        Assert.Equal(0, shutdown(held.Number, SHUT_RD));
        _ = await supervisor.Event("listener-healed");
        DateTimeOffset spoilt = DateTimeOffset.UtcNow;
        Assert.Equal(0, shutdown(held.Number, SHUT_RD));
        // It rests now, and is not watched: what is done to it meanwhile is only seen by who looks when the rest is over.
        _ = shutdown(held.Number, SHUT_RD);

        Happening again = await supervisor.Event("listener-healed", nth: 2);

        Assert.True(Time(again) - spoilt < TimeSpan.FromSeconds(5), $"mended after {Time(again) - spoilt}");
        // Where this test stood still for a second, the first of the two was mended before the second came.
        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.Until(() => ConnectionDiagnostics.TakesConnections(held), () => "shut down");
        Assert.StartsWith("one", await Supervisor.Ask(IPEndPoint.Parse(address["tcp://".Length..]), "x"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Programs shorten the queue at each start, which must not put off what keeps clients away.</summary>
    [FactWhenRootAndTool("python3")]
    public async Task AHangUpSoonAfterAShortQueueIsMendedAtOnce()
    {
        await using Supervisor supervisor = Supervisor.StartText(Web("tcp://127.0.0.1:0", Server) + """

            [services.other]
            command = ["python3", "-c", "print('begun'); import signal; signal.pause()"]
            ready = { output = "begun" }
            environment = { PYTHONUNBUFFERED = "1" }
            """);
        _ = await supervisor.Event("ready", "web");
        _ = await supervisor.Event("ready", "other");
        using FileDescriptor held = await Take(supervisor);
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal(0, listen(held.Number, 1));
        _ = await control.Call("Restart", """{"services":["web"]}""");
        Assert.StartsWith("its queue", (await supervisor.Event("listener-healed")).Text("fault"), StringComparison.Ordinal);

        Assert.Equal(0, shutdown(held.Number, SHUT_RD));

        // Before another program could be started.
        _ = await control.Call("Restart", """{"services":["other"]}""");
        _ = await supervisor.Event("ready", "other", nth: 2);
        string[] order = [.. supervisor.Events.All().Where(IsOfInterest).Select(e => e.Text("fault") ?? e.Kind)];
        Assert.Equal(["its queue was shortened from 4096 to 1", "it was shut down", "ready"], order);
        Assert.Equal(0, await supervisor.Stop());

        static bool IsOfInterest(Happening e) =>
            e.Kind == "listener-healed" || (e is { Kind: "ready", Service: "other" } && e.Number("generation") > 1);
    }

    /// <summary>By getsockname(2) programs find the path whose mode they change, and which of their addresses it is.</summary>
    [FactWhenRootAndTool("python3")]
    public async Task AUnixSocketThatIsMadeAnewBearsItsPath()
    {
        await using Supervisor supervisor = Supervisor.StartText(Web("unix:web.sock", Server).Replace(
            "n.sendto(b\"READY=1\"", "n.sendto(b\"READY=1\\nSTATUS=\" + s.getsockname().encode()", StringComparison.Ordinal));
        _ = await supervisor.Event("ready", "web");
        using FileDescriptor held = await Take(supervisor);

        Assert.Equal(0, shutdown(held.Number, SHUT_RD));

        _ = await supervisor.Event("ready", "web", nth: 2);
        IEnumerable<string> lines = supervisor.Events.All().Where(e => e.Kind == "notified").SelectMany(e => e.Texts("lines"));
        string[] names = [.. lines.Where(l => l.StartsWith("STATUS=", StringComparison.Ordinal))];
        Assert.Equal(Enumerable.Repeat("STATUS=" + supervisor.Scratch.At("web.sock"), 2), names);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static DateTimeOffset Time(Happening happening) =>
        DateTimeOffset.Parse(happening.Text("time")!, System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>How often the supervisor's threads have slept so far: any of several may run its loop.</summary>
    private static long WakeUpsOf(int pid)
    {
        const string Key = "voluntary_ctxt_switches:";
        return Directory.GetDirectories($"/proc/{pid}/task").Sum(task =>
        {
            try
            {
                return long.Parse(
                    File.ReadLines(task + "/status").First(l => l.StartsWith(Key, StringComparison.Ordinal))[Key.Length..].Trim());
            }
            catch (IOException)
            {
                return 0; // It has ended meanwhile.
            }
        });
    }

    private static async Task Spoilt(string listen, Action<int> spoil, string remedy, bool restarts = false, bool replaces = false)
    {
        await using Supervisor supervisor = Start(listen);
        Happening ready = await supervisor.Event("ready", "web");
        using FileDescriptor held = await Take(supervisor);
        string address = await Address(supervisor);

        spoil(held.Number);

        using ControlSocket control = await ControlSocket.To(supervisor);
        if (restarts)
            _ = await control.Call("Restart", """{"services":["web"]}""");
        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal(("http", remedy), (healed.Text("socket"), healed.Text("remedy")));
        Assert.Equal(address, await Address(supervisor));
        if (replaces)
        {
            // The successor is ready before its predecessor ends.
            _ = await supervisor.Event("ready", "web", nth: 2);
        }
        if (restarts || replaces)
            _ = await supervisor.Event("exited", "web");
        string answer = listen.StartsWith("unix", StringComparison.Ordinal)
            ? await Supervisor.Ask(supervisor.Scratch.At("web.sock"), "x")
            : await Supervisor.Ask(IPEndPoint.Parse(address["tcp://".Length..]), "x");
        Assert.StartsWith("one", answer, StringComparison.Ordinal);
        Assert.Equal(1, await control.Counter("listeners-healed"));
        Assert.Equal(!restarts && !replaces, Living.IsAlive(ready.Pid));
        JsonElement socket = (await control.Call("Status")).GetProperty("sockets")[0];
        Assert.Equal(4096, socket.GetProperty("backlog_count").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(string listen) => Supervisor.StartText(Web(listen, Server));

    private static string Web(string listen, string script) => $$"""
        [sockets.http]
        listen = "{{listen}}"
        non_blocking = true

        [services.web]
        command = ["python3", "-c", {{script}}]
        sockets = ["http"]
        ready = "notify"
        rollout = { prove = "0s" }
        """;

    // Shuts its listener down as soon as it finds it well.
    private const string Spoiler = """
        '''
        import os, select, socket
        s = socket.socket(fileno=3)
        n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while True:
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                s.shutdown(socket.SHUT_RD)
            select.select([], [], [], 0.002)
        '''
        """;

    // Answers each connection, and when accept(2) is refused, tries again: a program that minds nothing that is done to its listener.
    private const string Server = """
        '''
        import os, select, socket
        s = socket.socket(fileno=3)
        n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while True:
            select.select([s], [], [], 0.05)
            try:
                c, _ = s.accept()
            except OSError:
                continue
            c.recv(64)
            c.sendall(b"one")
            c.close()
        '''
        """;

    private static async Task<string> Address(Supervisor supervisor)
    {
        using ControlSocket control = await ControlSocket.To(supervisor);
        return (await control.Call("Status")).GetProperty("sockets")[0].GetProperty("address").GetString()!;
    }

    private static async Task<FileDescriptor> Take(Supervisor supervisor)
    {
        using ControlSocket control = await ControlSocket.To(supervisor);
        int number = (await control.Call("Descriptors")).GetProperty("descriptors").EnumerateArray()
            .Single(d => d.GetProperty("origin").GetString() == "socket").GetProperty("number").GetInt32();
        using PidFd supervising = PidFd.Open(await supervisor.Pid());
        return supervising.GetDescriptor(number);
    }

    private static unsafe void Disconnect(int socket)
    {
        sockaddr_storage unspecified = default;
        Assert.Equal(0, connect(socket, (sockaddr*)&unspecified, (uint)sizeof(sockaddr_storage)));
    }

    private static unsafe void Lock(int socket)
    {
        int on = 1;
        Assert.Equal(0, setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(int)));
    }

    private static unsafe void DropAll(int socket)
    {
        ulong instruction = 0x06;
        nuint* program = stackalloc nuint[2];
        program[0] = 1;
        program[1] = (nuint)(&instruction);
        Assert.Equal(0, setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, program, 16));
    }
}
