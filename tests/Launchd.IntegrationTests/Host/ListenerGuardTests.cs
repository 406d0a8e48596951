using System.Net;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Tmds.Linux;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Listeners that a holder spoils. The holder is the test: it takes a copy of the supervisor's own descriptor by pidfd_getfd(2), which is the
/// same open file description that a program has.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class ListenerGuardTests
{
    private const int SO_LOCK_FILTER = 44;

    [FactWhenRoot]
    public Task APortOfTheKernelsChoiceThatWasShutDownIsMended() => Spoilt("tcp://127.0.0.1:0", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "mended");

    [FactWhenRoot]
    public Task APortOfTheFileThatWasShutDownIsMended() =>
        Spoilt($"tcp://127.0.0.1:{Supervisor.FreePort()}", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "mended");

    [FactWhenRoot]
    public Task APortThatWasDisconnectedIsMended() => Spoilt("tcp://127.0.0.1:0", Disconnect, "mended");

    [FactWhenRoot]
    public Task AUnixSocketThatWasShutDownIsMadeAnew() => Spoilt("unix:web.sock", s => Assert.Equal(0, shutdown(s, SHUT_RD)), "made anew", replaces: true);

    [FactWhenRoot]
    public Task AFilterIsFoundBeforeTheNextStart() => Spoilt("tcp://127.0.0.1:0", DropAll, "mended", restarts: true);

    [FactWhenRoot]
    public Task AFilterThatIsLockedIsLeftBehind() => Spoilt(
        "tcp://127.0.0.1:0",
        s =>
        {
            DropAll(s);
            Lock(s);
        },
        "made anew", restarts: true);

    [FactWhenRoot]
    public Task AQueueThatWasShortenedIsFoundBeforeTheNextStart() => Spoilt("tcp://127.0.0.1:0", s => Assert.Equal(0, listen(s, 1)), "mended", restarts: true);

    [FactWhenRoot]
    public Task AUnixQueueThatWasShortenedIsFoundToo() => Spoilt("unix:web.sock", s => Assert.Equal(0, listen(s, 1)), "mended", restarts: true);

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
            _ = await supervisor.Event("exited", "web");
        }
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

    private static Supervisor Start(string listen) => Supervisor.StartText($$"""
        [sockets.http]
        listen = "{{listen}}"
        non_blocking = true

        [services.web]
        command = ["python3", "-c", {{Server}}]
        sockets = ["http"]
        ready = "notify"
        rollout = { prove = "0s" }
        """);

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
        using Launchd.Client.PidFd supervising = Launchd.Client.PidFd.Open(await supervisor.Pid());
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
