using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary><c>idle_timeout</c> with running programs: who is not used is stopped, goes on listening, and comes back.</summary>
[Collection(nameof(Supervisors))]
public sealed class IdleTests
{
    private static string Lazy(string name, string listen, string step = "--echo", string more = "") => $$"""
        [sockets.{{name}}]
        listen = "{{listen}}"

        [services.{{name}}]
        command = ["${DOTNET}", "${PROBE}", "--to", "said-{{name}}", "--greet", "{pid} ", "{{step}}", "--ready"]
        sockets = ["{{name}}"]
        start = "demand"
        ready = "notify"
        idle_timeout = "300ms"
        {{more}}

        """;

    [Fact]
    public async Task AServiceThatNobodyUsesIsStopped_AndTheNextClientStartsIt()
    {
        await using Supervisor supervisor = Supervisor.StartText(Lazy("echo", "tcp://127.0.0.1:0"));
        IPEndPoint address = await supervisor.Address("echo");
        Happening first = await Served(supervisor, address, nth: 1);

        Happening draining = await supervisor.Event("draining", "echo");
        Assert.Equal("nobody used it for 300ms", draining.Text("reason"));
        _ = await supervisor.Event("stopped", "echo");
        (_, string status, _) = await supervisor.Verb("status");
        Assert.Contains("listening", status, StringComparison.Ordinal);

        Happening second = await Served(supervisor, address, nth: 2);
        Assert.NotEqual(first.Pid, second.Pid);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind is "failed" or "restarting" or "activation-paused");
        Assert.Equal(0, await supervisor.Stop());
    }

    // Its clients came before the other's, whose end shows that their times are over.
    [Fact]
    public async Task AnOpenConnectionKeepsAServiceRunning_HoweverSilent()
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Lazy("tcp", "tcp://127.0.0.1:0") + Lazy("unix", "unix:u.sock") + Lazy("other", "tcp://127.0.0.1:0"));
        using Socket tcp = await Greeted(await supervisor.Address("tcp"));
        using Socket unix = await Greeted(new UnixDomainSocketEndPoint(supervisor.Scratch.At("u.sock")));
        IPEndPoint other = await supervisor.Address("other");

        for (int life = 1; life <= 3; life++)
        {
            _ = await Supervisor.Ask(other, "x");
            _ = await supervisor.Event("stopped", "other", life);
        }

        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "draining" && e.Service != "other");
        tcp.Dispose();
        unix.Dispose();
        _ = await supervisor.Event("stopped", "tcp");
        _ = await supervisor.Event("stopped", "unix");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AConnectionInTheMomentOfTheStopIsServedByTheNextStart()
    {
        await using Supervisor supervisor = Supervisor.StartText(Lazy("echo", "tcp://127.0.0.1:0", more: """
            stop_command = ["/bin/sh", "-c", "read go < gate"]
            stop_signal = "SIGKILL"
            """));
        string gate = supervisor.Scratch.At("gate");
        Assert.Equal(0, MakeFifo(gate, 0b110_000_000));
        IPEndPoint address = await supervisor.Address("echo");
        Happening first = await Served(supervisor, address, nth: 1);
        _ = await supervisor.Event("draining", "echo");
        // From here on it accepts nothing, and is not over before the gate opens.
        Living.Signal(first.Pid, 19);
        while (!Directory.GetDirectories($"/proc/{first.Pid}/task")
            .All(t => File.ReadAllText(t + "/stat").Contains(") T ", StringComparison.Ordinal)))
        {
            _ = await supervisor.Verb("status");
        }
        Task<string> answer = Supervisor.Ask(address, "late");
        await File.WriteAllTextAsync(gate, "\n");

        Happening second = await supervisor.Event("spawned", "echo", nth: 2);
        Assert.Equal($"{second.Pid} late", await answer);
        await File.WriteAllTextAsync(gate, "\n");
        _ = await supervisor.Event("stopped", "echo", nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task APoolRestsAndComesBackAsAWhole()
    {
        await using Supervisor supervisor = Supervisor.StartText(Lazy("echo", "tcp://127.0.0.1:0", more: "instances = 3"));
        IPEndPoint address = await supervisor.Address("echo");
        for (int life = 1; life <= 2; life++)
        {
            _ = await Supervisor.Ask(address, "x");
            _ = await supervisor.Event("ready", "echo", 3 * life);
            _ = await supervisor.Event("stopped", "echo", 3 * life);
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task DatagramsStartIt_AndTheirAbsenceStopsIt()
    {
        await using Supervisor supervisor = Supervisor.StartText(Lazy("echo", "udp://127.0.0.1:0"));
        IPEndPoint address = await supervisor.Address("echo");
        using UdpClient client = new();
        client.Connect(address);
        for (int life = 1; life <= 2; life++)
        {
            await client.SendAsync(Encoding.UTF8.GetBytes($"life {life}"));
            UdpReceiveResult answer = await Deadline.Await(client.ReceiveAsync(), "answer", supervisor.Events.ToString);
            Assert.Equal($"life {life}", Encoding.UTF8.GetString(answer.Buffer));
            _ = await supervisor.Event("stopped", "echo", life);
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("fifo:pipe")]
    [InlineData("unix-dgram:box.sock")]
    [InlineData("mqueue:/lcs-{id}")]
    [InlineData("netlink:route")]
    [InlineData("unix-seqpacket:q.sock")]
    public async Task EveryOtherKindOfSocketStartsIt_AndItRests(string listen)
    {
        bool isConnection = listen.StartsWith("unix-seqpacket", StringComparison.Ordinal);
        listen = listen.Replace("{id}", Guid.NewGuid().ToString("N"), StringComparison.Ordinal);
        if (listen.StartsWith("netlink", StringComparison.Ordinal) && !Environment.IsPrivilegedProcess)
            return;
        await using Supervisor supervisor = Supervisor.StartText(Lazy("taker", listen, isConnection ? "--echo" : "--take"));
        _ = await supervisor.Event("listener-opened");
        for (int life = 1; life <= 2; life++)
        {
            await Messages.Send(supervisor, listen, $"life {life}");
            _ = await supervisor.Event("activated", "taker", life);
            _ = await supervisor.Event("stopped", "taker", life);
        }
        if (!isConnection)
            Assert.Equal(["life 1", "life 2"], supervisor.Said("said-taker", "took").Select(t => t.GetProperty("text").GetString()![^6..]));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<Happening> Served(Supervisor supervisor, IPEndPoint address, int nth)
    {
        string answer = await Supervisor.Ask(address, "x");
        Happening ready = await supervisor.Event("ready", "echo", nth);
        Assert.Equal(string.Create(CultureInfo.InvariantCulture, $"{ready.Pid} x"), answer);
        return ready;
    }

    private static async Task<Socket> Greeted(EndPoint address)
    {
        Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(address);
        byte[] greeting = new byte[64];
        Assert.True(await Deadline.Await(client.ReceiveAsync(greeting), "greeting", () => "") > 0);
        return client;
    }

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "mkfifo")]
    private static extern int MakeFifo(
        [System.Runtime.InteropServices.MarshalAs(System.Runtime.InteropServices.UnmanagedType.LPUTF8Str)] string path, int mode);
}
