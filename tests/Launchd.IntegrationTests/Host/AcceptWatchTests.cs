using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Programs that are ready and take no notice of the socket that they were given.</summary>
public sealed class AcceptWatchTests
{
    // Both kinds in one supervisor: the look at which trouble ends comes ten seconds after the one that found it.
    [FactWhenTool("python3")]
    public async Task ClientsThatNobodyTakesFromTheQueueAreTold_UntilSomebodyDoes()
    {
        string[] names = ["tcp", "unix"];
        await using Supervisor supervisor = Supervisor.StartText(Text("tcp", "tcp://127.0.0.1:0") + Text("unix", "unix:unix.sock"));
        Happening[] ready = [await supervisor.Event("ready", "tcp"), await supervisor.Event("ready", "unix")];
        IPEndPoint port = await supervisor.Address("tcp");
        UnixDomainSocketEndPoint path = new(supervisor.Scratch.At("unix.sock"));
        using Socket first = await Connect(port), second = await Connect(port), third = await Connect(path), fourth = await Connect(path);

        using ControlSocket control = await ControlSocket.To(supervisor);
        foreach (string name in names)
        {
            Happening told = await supervisor.Events.First(
                e => e.Kind == "listener-not-accepted" && e.Text("socket") == name, $"listener-not-accepted of {name}");
            Assert.Equal(2, told.Number("waiting"));
            Assert.Equal([$"{name}.0"], told.Texts("holders"));
            Assert.Equal("nobody accepts: 2 clients wait", await control.Trouble(name));
        }
        foreach (Happening program in ready)
            Living.Signal(program.Pid, Living.SIGUSR1);
        foreach (string name in names)
            await control.UntilNoTrouble(name);
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

    private static Supervisor Start(string listen, string more) => Supervisor.StartText(Text("web", listen, more));

    private static string Text(string name, string listen, string more = "pass") => $$"""
        [sockets.{{name}}]
        listen = "{{listen}}"

        [services.{{name}}]
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
        sockets = ["{{name}}"]
        ready = { output = "begun" }

        """;

    private static async Task<Socket> Connect(EndPoint address)
    {
        Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(address);
        return client;
    }
}
