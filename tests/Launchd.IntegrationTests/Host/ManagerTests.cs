using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Linux.Loop;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What a service manager, such as systemd, is told by the supervisor that it has started.</summary>
public sealed class ManagerTests : IDisposable
{
    private const string Services = """
        [services.web]
        command = ["sleep", "2147483647"]

        [services.broken]
        command = ["/bin/false"]
        ready = "notify"
        restart = "never"
        """;

    private readonly Scratch _folder = new();
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly Happenings<string> _heard = new();

    public ManagerTests()
    {
        _socket.Bind(new UnixDomainSocketEndPoint(_folder.At("notify")));
    }

    [Fact]
    public async Task ItIsToldOfTheStart_OfReloads_AndOfTheStop()
    {
        await using Supervisor supervisor = Supervisor.StartText(Text("7"), Variables());
        _ = Hear();
        string up = await Heard(m => m.StartsWith("READY=1\n", StringComparison.Ordinal));
        Assert.Equal("READY=1\nSTATUS=1 of 2 services up; failed: broken", up);

        supervisor.Scratch.Write("config.toml", Supervisor.WithRuntimeDirectory(Text("8")));
        long before = Clock.MonotonicNanoseconds / 1000;
        Living.Signal(supervisor.StartedPid, 1);
        string begun = await Heard(m => m.StartsWith("RELOADING=1\n", StringComparison.Ordinal));
        Assert.StartsWith("RELOADING=1\nMONOTONIC_USEC=", begun, StringComparison.Ordinal);
        long since = long.Parse(begun[(begun.IndexOf("_USEC=", StringComparison.Ordinal) + 6)..], CultureInfo.InvariantCulture);
        Assert.InRange(since, before, Clock.MonotonicNanoseconds / 1000);
        _ = await Heard(m => m.StartsWith("READY=1\n", StringComparison.Ordinal), nth: 2);

        supervisor.Scratch.Write("config.toml", "no = configuration");
        Living.Signal(supervisor.StartedPid, 1);
        _ = await Heard(m => m.StartsWith("RELOADING=1\n", StringComparison.Ordinal), nth: 2);
        _ = await Heard(m => m.StartsWith("READY=1\n", StringComparison.Ordinal), nth: 3);
        _ = await Heard(m => m.StartsWith("STATUS=not reloaded: ", StringComparison.Ordinal));

        Assert.Equal(0, await supervisor.Stop());
        // The limit for the whole shutdown, and five seconds.
        _ = await Heard(m => m == "STOPPING=1\nEXTEND_TIMEOUT_USEC=95000000");
    }

    // It tries without end, and the manager is not to wait for that; nor is a second limit put on what the configuration does not limit.
    [Fact]
    public async Task AServiceThatNeverComesUpKeepsNobodyWaiting()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            shutdown_timeout = "0s"
            [services.slow]
            command = ["sleep", "2147483647"]
            ready = "notify"
            ready_timeout = "50ms"
            start_limit = { burst = 0 }
            [services.behind]
            command = ["sleep", "2147483647"]
            requires = ["slow"]
            after = ["slow"]
            """, Variables());
        _ = Hear();
        Assert.Equal("READY=1\nSTATUS=0 of 2 services up", await Heard(m => m.StartsWith("READY=1\n", StringComparison.Ordinal)));
        Assert.Equal(0, await supervisor.Stop());
        _ = await Heard(m => m == "STOPPING=1");
    }

    [Fact]
    public async Task ItsWatchdogHearsThatTheLoopRuns()
    {
        Dictionary<string, string> variables = Variables();
        variables["WATCHDOG_USEC"] = "20000";
        await using Supervisor supervisor = Supervisor.StartText(Text("7"), variables);
        _ = Hear();
        _ = await Heard(m => m == "WATCHDOG=1", nth: 20);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task OneThatDoesNotRead_IsNotWaitedFor_AndHearsEverythingInTheEnd()
    {
        Dictionary<string, string> variables = Variables();
        // Its queue is full after some of them.
        variables["WATCHDOG_USEC"] = "2000";
        await using Supervisor supervisor = Supervisor.StartText(Text("7"), variables);
        _ = await supervisor.Event("ready", "web");
        (int code, _, string errors) = await supervisor.Verb("restart", "web");
        Assert.True(code == 0, errors);
        _ = Hear();
        _ = await Heard(m => m.StartsWith("READY=1\n", StringComparison.Ordinal));
        _ = await Heard(m => m == "WATCHDOG=1", nth: 1000);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ItIsToldWhyTheSupervisorDoesNotStart()
    {
        string file = _folder.Write("config.toml", "services.web.comand = [\"/bin/true\"]\n");
        await using Command run = Command.Start([.. Repository.LaunchdCommand, "run", file], _folder.FolderPath, Variables());
        _ = Hear();
        Assert.Equal(78, await run.Exit());
        string heard = await Heard(_ => true);
        Assert.StartsWith("STATUS=", heard, StringComparison.Ordinal);
        Assert.Contains("comand", heard, StringComparison.Ordinal);
    }

    [Fact]
    public async Task OneThatIsNotThereIsNoReasonNotToServe()
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Text("7"), new Dictionary<string, string> { ["NOTIFY_SOCKET"] = _folder.At("nobody") });
        _ = await supervisor.Event("ready", "web");
        _ = await supervisor.Errors.First(l => l.Contains("NOTIFY_SOCKET cannot be used", StringComparison.Ordinal), "the warning");
        Assert.Equal(0, await supervisor.Stop());
    }

    public void Dispose()
    {
        _socket.Dispose();
        _folder.Dispose();
    }

    private static string Text(string title) => Services + $"""

        [services.other]
        command = ["/bin/true", "{title}"]
        start = "manual"
        """;

    private Dictionary<string, string> Variables() => new() { ["NOTIFY_SOCKET"] = _folder.At("notify") };

    private Task<string> Heard(Func<string, bool> which, int nth = 1) => _heard.First(which, "the message", nth);

    private async Task Hear()
    {
        byte[] message = new byte[4096];
        try
        {
            while (true)
                _heard.Add(Encoding.UTF8.GetString(message, 0, await _socket.ReceiveAsync(message)));
        }
        catch (Exception over) when (over is SocketException or ObjectDisposedException)
        {
            // The test has ended.
        }
    }
}
