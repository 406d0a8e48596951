using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Clients in the queue of a service that does not take them, and a supervisor that cannot take them: nothing spins, the port stays open,
/// and what comes next is served without an operator.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed partial class ActivationLimitTests
{
    private const int Nofile = 7;

    [Fact]
    public async Task AServiceThatNeverTakesItsClientsRests_AndTheNextGoodVersionServesThem()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.echo]
            listen = "tcp://127.0.0.1:0"
            trigger_limit = { burst = 5, interval = "1s" }

            [services.echo]
            command = ["/bin/sh", "-c", "test -e good || exit 0; exec \"$$@\"", "sh",
              "${DOTNET}", "${PROBE}", "--greet", "served ", "--echo"]
            sockets = ["echo"]
            start = "demand"
            """);
        IPEndPoint address = await supervisor.Address("echo");
        Task<string> answer = Supervisor.Ask(address, "patient");

        Happening paused = await supervisor.Event("activation-paused", "echo");
        Assert.Contains(
            "more than 5 activations within 1s; a program that ends without taking", paused.Text("reason"), StringComparison.Ordinal);
        Happening third = await supervisor.Event("activation-paused", "echo", nth: 3);
        // Three limits of five were used up, and nothing beside them.
        Assert.InRange(supervisor.Events.All().TakeWhile(e => e != third).Count(e => e.Kind == "spawned"), 15, 20);

        File.WriteAllText(supervisor.Scratch.At("good"), "");
        Assert.Equal("served patient", await answer);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AServiceThatFailsAtOnceBacksOffAndRests_WithItsPortOpen()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.echo]
            listen = "tcp://127.0.0.1:0"

            [services.echo]
            command = ["/bin/sh", "-c", "test -e good || exit 1; exec \"$$@\"", "sh",
              "${DOTNET}", "${PROBE}", "--greet", "served ", "--echo"]
            sockets = ["echo"]
            start = "demand"
            backoff = { initial = "10ms", jitter = 0.0 }
            start_limit = { burst = 3, interval = "2s" }
            """);
        IPEndPoint address = await supervisor.Address("echo");
        Task<string> answer = Supervisor.Ask(address, "patient");

        Happening paused = await supervisor.Event("activation-paused", "echo");
        Assert.Contains("started too often", paused.Text("reason"), StringComparison.Ordinal);
        // It rests for two seconds at most, and this test may have stood still for as long.
        Assert.Equal(3, supervisor.Events.All().TakeWhile(e => e.Kind != "activation-paused").Count(e => e.Kind == "spawned"));
        File.WriteAllText(supervisor.Scratch.At("good"), "");

        Assert.Equal("served patient", await answer);
        _ = await supervisor.Event("activation-resumed", "echo");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AProgramThatCannotBeExecutedLeavesItsListenerWhole()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.echo]
            listen = "tcp://127.0.0.1:0"

            [services.echo]
            command = ["./server"]
            sockets = ["echo"]
            start = "demand"
            restart = "never"
            start_limit = { burst = 1, interval = "1s" }
            """);
        IPEndPoint address = await supervisor.Address("echo");
        Task<string> answer = Supervisor.Ask(address, "patient");
        _ = await supervisor.Event("exec-failed", "echo");
        string probe = Repository.Built("Probe", "probe.dll");
        string script = supervisor.Scratch.Write("server", $"#!/bin/sh\nexec {Repository.DotnetPath} {probe} --greet 'served ' --echo\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Assert.Equal("served patient", await answer);
        Assert.Equal(0, await supervisor.Stop());
    }

    // systemd: poll-limit.
    [Fact]
    public async Task ConnectionsAboveTheTriggerLimitWaitInTheQueue_AndAreAllServed()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "tcp://127.0.0.1:0"
            trigger_limit = { burst = 3, interval = "1s" }

            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        IPEndPoint address = await supervisor.Address("each");
        Task<string[]> answers = Task.WhenAll(Enumerable.Range(0, 10).Select(n => Supervisor.Ask(address, $"{n}")));
        _ = await supervisor.Event("activation-paused", "each");
        // Those before it were accepted; whether they are born by then is another matter.
        Assert.InRange(supervisor.Events.All().TakeWhile(e => e.Kind != "activation-paused").Count(e => e.Kind == "spawned"), 0, 3);
        Assert.Equal(Enumerable.Range(0, 10).Select(n => $"{n}"), await answers);
        Assert.Equal(0, await supervisor.Stop());
    }

    // A client that was gone before its turn came gets no process.
    [Fact]
    public async Task ConnectionsThatWereResetInTheQueueCostNoInstance()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "tcp://127.0.0.1:0"
            max_connections = 1

            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        IPEndPoint address = await supervisor.Address("each");
        TcpClient first = await Echoing(address);
        for (int i = 0; i < 20; i++)
        {
            using Socket gone = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
            {
                LingerState = new LingerOption(true, 0),
            };
            await gone.ConnectAsync(address);
        }
        Task<string> answer = Supervisor.Ask(address, "patient");
        first.Dispose();
        Assert.Equal("patient", await answer);
        _ = await supervisor.Event("exited", "each", nth: 2);
        Assert.Equal(2, supervisor.Events.All().Count(e => e.Kind == "spawned"));
        string status = (await supervisor.Verb("status", "--json")).Output.Replace(" ", "", StringComparison.Ordinal);
        Assert.Contains("\"connections-gone\":20", status, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    // systemd: socket-max-connection.
    [Fact]
    public async Task OverTheLimitOfItsSourceAConnectionIsRefusedAtOnce_AndOneOfAnotherSourceIsServed()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "tcp://127.0.0.1:0"
            max_connections_per_source = 2

            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        IPEndPoint address = await supervisor.Address("each");
        using TcpClient first = await Echoing(address), second = await Echoing(address);
        Assert.Equal("", await Supervisor.Ask(address, ""));

        using Socket other = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0));
        await other.ConnectAsync(address);
        await Echoes(other);
        Assert.Equal(0, await supervisor.Stop());
    }

    // The same of Unix sockets, where the source is the user.
    [FactWhenRootAndTool("setpriv")]
    public async Task OverTheLimitOfItsUserAConnectionIsRefusedAtOnce_AndOneOfAnotherUserIsServed()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "unix:each.sock"
            max_connections_per_source = 2

            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        _ = await supervisor.Event("listener-opened");
        string path = supervisor.Scratch.At("each.sock");
        using Socket first = await Echoing(path), second = await Echoing(path);
        using Socket third = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await third.ConnectAsync(new UnixDomainSocketEndPoint(path));
        Assert.Equal(0, await Deadline.Await(third.ReceiveAsync(new byte[8]), "end", () => ""));

        File.SetUnixFileMode(supervisor.Scratch.FolderPath, (UnixFileMode)0b111_101_101);
        await using Command other = Command.Start(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                Repository.DotnetPath, Repository.ForEverybody(Repository.Built("Probe", "probe.dll")),
                "--ask", path, "other", "--exit", "0"],
            supervisor.Scratch.FolderPath);
        Assert.Equal(0, await other.Exit());
        Assert.Contains("\"text\":\"other\"", other.Output.ToString(), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenNativeRoot]
    public async Task WithoutDescriptorsClientsAndOperatorsWaitAndNothingSpins_AndThenAllAreServed()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "tcp://127.0.0.1:0"
            trigger_limit = { burst = 0 }

            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        IPEndPoint address = await supervisor.Address("each");
        using TcpClient first = await Echoing(address);
        int pid = await supervisor.Pid();
        // Its connection is closed here before this is told.
        _ = await supervisor.Event("ready", "each");
        // All numbers below the first that is free: not one more.
        ulong[] before = LeaveDescriptors(pid, 0);

        long cpuBefore = CpuTicks(pid);
        long from = Environment.TickCount64;
        Task<string> waiting = Supervisor.Ask(address, "patient");
        _ = await supervisor.Event("activation-paused", "each", nth: 4);
        // An operator finds the supervisor by the descriptor that is kept for him.
        (int code, string status, string errors) = await supervisor.Verb("status", "--json");
        Assert.True(code == 0 && status.Contains("each", StringComparison.Ordinal), errors);
        _ = await supervisor.Event("activation-paused", "each", nth: 5);

        // 1.5 seconds have passed (100, 200, 400, 800 ms); a loop that spins would have used them all. Ticks are 10 ms.
        long elapsed = Environment.TickCount64 - from;
        Assert.InRange(elapsed, 1_400, 60_000);
        Assert.InRange((CpuTicks(pid) - cpuBefore) * 10, 0, elapsed / 4);

        Limit(pid, Nofile, before, set: true);
        Assert.Equal("patient", await waiting);
        Assert.Equal(0, await supervisor.Stop());
    }

    // Enough to accept, not enough for a process: at another step of its making each time.
    [TheoryWhenNativeRoot]
    [InlineData("connection", 1)]
    [InlineData("connection", 2)]
    [InlineData("connection", 3)]
    [InlineData("connection", 5)]
    [InlineData("demand", 0)]
    [InlineData("demand", 2)]
    [InlineData("demand", 4)]
    public async Task WithoutDescriptorsForAProcessClientsWait_AndNoneIsSentAway(string start, int left)
    {
        bool isDemand = start == "demand";
        string program = isDemand ? """["${DOTNET}", "${PROBE}", "--echo"]""" : """["/bin/cat"]""";
        string streams = isDemand ? "" : "input = \"socket\"\noutput = \"socket\"\nerror = \"log\"\n";
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.echo]
            listen = "tcp://127.0.0.1:0"

            [services.echo]
            command = {{program}}
            sockets = ["echo"]
            start = "{{start}}"
            start_limit = { burst = 1, interval = "1h" }
            {{streams}}
            """);
        IPEndPoint address = await supervisor.Address("echo");
        int pid = await supervisor.Pid();
        // The connection of the verb that told the address is closed before this one, which stays, is answered.
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Status");
        ulong[] before = LeaveDescriptors(pid, left);
        Task<string[]> answers = Task.WhenAll(Enumerable.Range(0, 3).Select(n => Supervisor.Ask(address, $"{n}")));
        _ = await supervisor.Event("exec-failed", "echo", nth: 3);

        Limit(pid, Nofile, before, set: true);
        Assert.Equal(["0", "1", "2"], await answers);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "failed");
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenNativeRoot]
    [InlineData(64)]
    [InlineData(100)]
    public async Task ALimitOfDescriptorsThatIsTooLowToStartAnythingIsSaid(int limit)
    {
        using Scratch scratch = new();
        string file = scratch.Write("config.toml", Supervisor.WithRuntimeDirectory("""
            [services.app]
            command = ["sleep", "2147483647"]
            """));
        await using Command run = Command.Start(
            ["/bin/sh", "-c", $"ulimit -n {limit}; exec \"$@\"", "sh", .. Repository.LaunchdCommand, "run", file], scratch.FolderPath);
        Assert.Equal(71, await run.Exit());
        Assert.Contains($"the hard limit of open files, {limit}, is too low to start anything",
            Assert.Single(run.Errors.All()), StringComparison.Ordinal);
    }

    /// <summary>Lets a process have so many descriptors more than it has, and returns its former limit.</summary>
    private static ulong[] LeaveDescriptors(int pid, int more)
    {
        ulong[] before = Limit(pid, Nofile, [0, 0], set: false);
        HashSet<int> open = [.. Directory.GetFileSystemEntries($"/proc/{pid}/fd")
            .Select(p => int.Parse(Path.GetFileName(p), CultureInfo.InvariantCulture))];
        int free = 0, limit = 0;
        for (; free <= more; limit++)
            free += open.Contains(limit) ? 0 : 1;
        return Limit(pid, Nofile, [(ulong)(limit - 1), before[1]], set: true);
    }

    private static async Task<TcpClient> Echoing(IPEndPoint address)
    {
        TcpClient client = new();
        await client.ConnectAsync(address);
        await Echoes(client.Client);
        return client;
    }

    private static async Task<Socket> Echoing(string path)
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(path));
        await Echoes(client);
        return client;
    }

    private static async Task Echoes(Socket socket)
    {
        await socket.SendAsync("x"u8.ToArray());
        byte[] back = new byte[8];
        Assert.Equal(1, await Deadline.Await(socket.ReceiveAsync(back), "echo", () => ""));
    }

    /// <summary>User and system time of a process, in hundredths of a second.</summary>
    private static long CpuTicks(int pid)
    {
        string[] fields = File.ReadAllText($"/proc/{pid}/stat").Split(") ")[^1].Split(' ');
        return long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
    }

    private static unsafe ulong[] Limit(int pid, int resource, ulong[] value, bool set)
    {
        ulong[] old = new ulong[2];
        fixed (ulong* next = value, before = old)
            Assert.True(prlimit(pid, resource, set ? next : null, before) == 0, Errno.Last.Text);
        return old;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial int prlimit(int pid, int resource, ulong* next, ulong* old);
}
