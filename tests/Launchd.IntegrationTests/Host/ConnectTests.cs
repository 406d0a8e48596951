using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Files that are connections (<c>connect</c>): each instance is born with its own. Whoever does not answer
/// keeps that instance waiting, and nobody else.
/// </summary>
public sealed class ConnectTests : IDisposable
{
    private const int ECONNREFUSED = 111, ETIMEDOUT = 110;
    private const string Greeted = "command = [\"/bin/sh\", \"-c\", \"read word <&${fd:db}; echo said $$word; exec sleep 2147483647\"]";

    private readonly string _path = $"/tmp/lcs-{Guid.NewGuid():N}";
    private readonly List<Socket> _sockets = [];

    public void Dispose()
    {
        _sockets.ForEach(s => s.Dispose());
        File.Delete(_path);
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task WhileNobodyAnswers_TheSupervisorServesOthers_AndThenTheInstanceIsBornWithItsConnection(string kind)
    {
        (Socket server, string address) = FullServer(kind);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [files.db]
            connect = "{{address}}"
            [services.slow]
            {{Greeted}}
            files = ["db"]
            ready = { output = "said hello" }
            backoff = { initial = "1ms", max = "1ms" }
            start_limit = { burst = 0 }
            [services.other]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Event("ready", "other");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("starting", (await control.Service("slow")).GetProperty("state").GetString());

        // Room for one more; what stood before it in the queue hangs up.
        using (await Accept(server, supervisor))
        {
        }
        await Greet(server, supervisor.Event("ready", "slow"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task AStopMeanwhile_IsDoneAtOnce(string kind)
    {
        (_, string address) = FullServer(kind);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [files.db]
            connect = "{{address}}"
            [services.slow]
            {{Greeted}}
            files = ["db"]
            start = "manual"
            """);
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Start", """{"services":["slow"],"wait":false}""");
        Assert.Equal("starting", (await control.Service("slow")).GetProperty("state").GetString());

        JsonElement stopped = (await control.Call("Stop", """{"services":["slow"]}""")).GetProperty("results")[0];

        Assert.True(stopped.GetProperty("ok").GetBoolean(), stopped.ToString());
        Assert.Equal(0, await supervisor.Stop());
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind is "spawned" or "exec-failed");
    }

    [Fact]
    public async Task WhoeverNeverAnswers_IsNamed()
    {
        (_, string address) = FullServer("unix");
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [files.db]
            connect = "{{address}}"
            [services.slow]
            {{Greeted}}
            files = ["db"]
            restart = "never"
            """);
        Happening failed = await supervisor.Event("exec-failed", "slow");

        Assert.Equal(("file", ETIMEDOUT), (failed.Text("stage"), failed.Number("errno")));
        Assert.Contains($"file \"db\": cannot connect to {address}", failed.Text("text"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ARefusedConnection_IsAFailedStart_AndTheNextAttemptMakesItsOwn()
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [files.db]
            connect = "unix:{{_path}}"
            [files.plain]
            path = "config.toml"
            [services.app]
            command = ["/bin/sh", "-c", "read word <&3; read line <&4; echo said $$word to $$line $$LISTEN_FDNAMES; exec sleep 2147483647"]
            files = ["db", "plain"]
            ready = { output = "said hello to .* db:plain" }
            backoff = { initial = "10ms", max = "10ms" }
            start_limit = { burst = 0 }
            """);
        Happening failed = await supervisor.Event("exec-failed", "app");
        Assert.Contains($"cannot connect to unix:{_path}", failed.Text("text"), StringComparison.Ordinal);

        using Socket server = Listen(AddressFamily.Unix, new UnixDomainSocketEndPoint(_path));
        await Greet(server, supervisor.Event("ready", "app"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task NobodyListensThere_SaysSo()
    {
        using Socket held = LoopbackPort.Hold(out int port);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [files.db]
            connect = "tcp://127.0.0.1:{{port}}"
            [services.app]
            {{Greeted}}
            files = ["db"]
            restart = "never"
            """);
        Happening failed = await supervisor.Event("exec-failed", "app");

        Assert.Equal(ECONNREFUSED, failed.Number("errno"));
        Assert.Equal(
            $"cannot start app: file \"db\": cannot connect to tcp://127.0.0.1:{port}: Connection refused (nobody listens there)",
            failed.Text("text"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Its queue is full: whoever connects next waits, for room (Unix) or for an answer (TCP).</summary>
    private (Socket Server, string Address) FullServer(string kind)
    {
        bool isUnix = kind == "unix";
        Socket server = isUnix ? Listen(AddressFamily.Unix, new UnixDomainSocketEndPoint(_path))
            : Listen(AddressFamily.InterNetwork, new IPEndPoint(IPAddress.Loopback, 0));
        Socket first = new(server.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        _sockets.Add(first);
        first.Connect(server.LocalEndPoint!);
        return (server, isUnix ? $"unix:{_path}" : $"tcp://{server.LocalEndPoint}");
    }

    private Socket Listen(AddressFamily family, EndPoint at)
    {
        Socket server = new(family, SocketType.Stream, ProtocolType.Unspecified);
        _sockets.Add(server);
        server.Bind(at);
        server.Listen(0);
        return server;
    }

    /// <summary>
    /// Greets whoever comes until the service has been. On a busy machine one may have waited too long already, and have been given up.
    /// </summary>
    private async Task Greet(Socket server, Task ready)
    {
        using CancellationTokenSource isOver = new();
        while (!ready.IsCompleted)
        {
            Task<Socket> coming = server.AcceptAsync(isOver.Token).AsTask();
            if (await Task.WhenAny(coming, ready) != coming)
                break;
            Socket connection = await coming;
            _sockets.Add(connection);
            try
            {
                _ = await connection.SendAsync("hello\n"u8.ToArray());
            }
            catch (SocketException gone) when (gone.SocketErrorCode is SocketError.Shutdown or SocketError.ConnectionReset)
            {
                // The next one is greeted.
            }
        }
        await isOver.CancelAsync();
        await ready;
    }

    private static Task<Socket> Accept(Socket server, Supervisor supervisor) =>
        Deadline.Await(server.AcceptAsync(), "a connection", supervisor.Events.ToString);
}
