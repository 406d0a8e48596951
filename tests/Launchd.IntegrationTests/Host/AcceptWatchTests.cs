using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Programs that are ready and take no notice of the socket that they were given.</summary>
public sealed class AcceptWatchTests
{
    [TheoryWhenTool("python3")]
    [InlineData("tcp://127.0.0.1:0", false)]
    [InlineData("unix:web.sock", true)]
    public async Task ClientsThatNobodyTakesFromTheQueueAreTold_UntilSomebodyDoes(string listen, bool accepts)
    {
        await using Supervisor supervisor = Start(listen);
        Happening ready = await supervisor.Event("ready", "web");
        using Socket first = await Connect(supervisor, listen), second = await Connect(supervisor, listen);

        Happening told = await supervisor.Event("listener-not-accepted");

        Assert.Equal(("web", 2), (told.Text("socket"), told.Number("waiting")));
        Assert.Equal(["web.0"], told.Texts("holders"));
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("nobody accepts: 2 clients wait", await control.Trouble("web"));
        if (accepts)
        {
            Living.Signal(ready.Pid, 10);
            await control.UntilNoTrouble("web");
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task APortOfItsOwnIsToldOnce()
    {
        await using Supervisor supervisor = Start("tcp://127.0.0.1:0", "o = socket.create_server(('127.0.0.1', 0))");
        _ = await supervisor.Event("ready", "web");

        Happening told = await supervisor.Event("listens-elsewhere", "web");

        Assert.StartsWith("127.0.0.1:", told.Text("address"), StringComparison.Ordinal);
        Assert.NotEqual((await supervisor.Address("web")).ToString(), told.Text("address"));
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listener-not-accepted");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task AStrangerAtTheSamePortIsTold()
    {
        // SO_REUSEPORT, which a program has set on the listener that it was given.
        const string share = "s.setsockopt(1, 15, 1)";
        string listen = $"tcp://127.0.0.1:{LoopbackPort.Free()}";
        await using Supervisor supervisor = Start(listen, share);
        _ = await supervisor.Event("ready", "web");
        IPEndPoint address = await supervisor.Address("web");
        await using Command stranger = Command.Start(["python3", "-u", "-c", $"""
            import signal, socket
            s = socket.socket()
            {share}
            s.bind(('{address.Address}', {address.Port}))
            s.listen()
            print("listens")
            signal.pause()
            """]);
        _ = await stranger.Output.First(l => l == "listens", "the stranger");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        Happening told = await supervisor.Event("port-shared");
        Assert.Equal(("web", address.ToString(), stranger.Pid), (told.Text("socket"), told.Text("address"), told.Pid));
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listens-elsewhere");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(string listen, string more = "pass") => Supervisor.StartText($$"""
        [sockets.web]
        listen = "{{listen}}"

        [services.web]
        command = ["python3", "-u", "-c", '''
        import signal, socket
        s = socket.socket(fileno=3)
        def accept(*_):
            while True: s.accept()
        signal.signal(signal.SIGUSR1, accept)
        {{more}}
        print("begun")
        while True: signal.pause()
        ''']
        sockets = ["web"]
        ready = { output = "begun" }
        """);

    private static async Task<Socket> Connect(Supervisor supervisor, string listen)
    {
        bool isUnix = listen.StartsWith("unix", StringComparison.Ordinal);
        EndPoint address = isUnix ? new UnixDomainSocketEndPoint(supervisor.Scratch.At("web.sock")) : await supervisor.Address("web");
        Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(address);
        return client;
    }
}
