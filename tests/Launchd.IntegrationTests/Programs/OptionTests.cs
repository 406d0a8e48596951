using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Programs;

/// <summary>Programs that leave options on the listener that they were given, and one that shuts it down.</summary>
public sealed class OptionTests
{
    /// <summary>Asks for encryption, which PgBouncer answers with one letter (PostgreSQL's protocol, SSLRequest).</summary>
    private static readonly byte[] SslRequest = [0, 0, 0, 8, 4, 210, 22, 47];

    [FactWhenRootAndTool("pgbouncer")]
    public async Task PgBouncerLeavesThree_AndTheNextOneFindsNone()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.pool]
            listen = "tcp://127.0.0.1:0"

            [services.pool]
            command = ["pgbouncer", "pgb.ini"]
            user = "nobody"
            sockets = ["pool"]
            ready = "notify"
            update = "replace"
            stop_signal = "SIGINT"
            """, scratch =>
        {
            // It refuses to run as root, and reads its file as its user.
            File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b111_101_101);
            scratch.Write("pgb.ini", "[databases]\n[pgbouncer]\nauth_type = any\npidfile =\n");
        });
        _ = await supervisor.Event("ready", "pool");

        Assert.Equal(0, (await supervisor.Verb("restart", "pool")).Code);

        await PutBack(supervisor, "TCP_DEFER_ACCEPT", "SO_KEEPALIVE", "TCP_NODELAY");
        Assert.Equal("N"u8.ToArray(), await Answer(await supervisor.Address("pool"), SslRequest, byteCount: 1));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenMountsAndTool("unbound")]
    public async Task UnboundLeavesItsPortToStrangers_AndTheNextOneDoesNot()
    {
        int port = LoopbackPort.Free();
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.dns]
            listen = "tcp://127.0.0.1:{{port}}"

            [services.dns]
            command = ["unshare", "--mount", "/bin/sh", "-c", '''
            mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec unbound -d -p -c unbound.conf''']
            sockets = ["dns"]
            ready = { tcp = "127.0.0.1:{{port}}" }
            update = "replace"
            """, scratch => scratch.Write("unbound.conf", $"""
            server:
              use-systemd: yes
              do-daemonize: no
              do-udp: no
              interface: 127.0.0.1@{port}
              username: ""
              chroot: ""
              directory: "{scratch.FolderPath}"
              use-syslog: no
              module-config: "iterator"
              local-zone: "test." static
              local-data: "host.test. A 192.0.2.7"
            remote-control:
              control-enable: no

            """));
        _ = await supervisor.Event("ready", "dns");
        await HasAnswered(supervisor);

        Assert.Equal(0, (await supervisor.Verb("restart", "dns")).Code);

        await PutBack(supervisor, "SO_REUSEPORT", "TCP_FASTOPEN");
        await HasAnswered(supervisor);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task DotnetThatDisposesItsSocketLeavesALingerOfZero_AndTheNextOneDoesNotCutOff()
    {
        await using Supervisor supervisor = StartDotnet("tcp://127.0.0.1:0", "pending");
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        await PutBack(supervisor, "SO_LINGER");
        Assert.Equal("served", await Supervisor.Ask(await supervisor.Address("web"), ""));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("tcp://127.0.0.1:0", "mended")]
    [InlineData("unix:web.sock", "made anew")]
    public async Task DotnetThatDisposesItsSocketInAcceptShutsItDown_AndTheNextOneServes(string listen, string remedy)
    {
        await using Supervisor supervisor = StartDotnet(listen, "accepting");
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        Assert.Equal(("it was shut down", remedy), await supervisor.Healed("it was shut down"));
        string answer = listen.StartsWith("unix", StringComparison.Ordinal)
            ? await AskUntilServed(supervisor.Scratch.At("web.sock"))
            : await Supervisor.Ask(await supervisor.Address("web"), "");
        Assert.Equal("served", answer);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>
    /// A Unix listener that is made anew has its holders replaced, and each shuts down at its end what it was given: who asks meanwhile may
    /// be refused or let go. A listener that is mended is never closed, and is asked once.
    /// </summary>
    private static async Task<string> AskUntilServed(string path)
    {
        long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        while (true)
        {
            try
            {
                string answer = await Supervisor.Ask(path, "");
                if (answer.Length > 0 || Environment.TickCount64 >= end)
                    return answer;
            }
            catch (Exception lost) when (lost is IOException or SocketException && Environment.TickCount64 < end)
            {
            }
        }
    }

    private static Supervisor StartDotnet(string listen, string how) => Supervisor.StartText($$"""
        [sockets.web]
        listen = "{{listen}}"

        [services.web]
        command = ["${DOTNET}", "{{Repository.Built("ClientProbe", "ClientProbe.dll")}}", "dispose", "{{how}}"]
        sockets = ["web"]
        ready = { output = "begun" }
        update = "replace"
        """);

    private static async Task PutBack(Supervisor supervisor, params string[] options)
    {
        foreach (string option in options)
            Assert.Equal("put back", (await supervisor.Healed(option)).Remedy);
    }

    /// <summary>One question by TCP: two bytes of length, then the message (RFC 1035).</summary>
    private static async Task HasAnswered(Supervisor supervisor)
    {
        byte[] name = [4, .. Encoding.ASCII.GetBytes("host"), 4, .. Encoding.ASCII.GetBytes("test"), 0];
        byte[] question = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, .. name, 0, 1, 0, 1];
        byte[] answer = await Answer(
            await supervisor.Address("dns"), [0, (byte)question.Length, .. question], byteCount: 2 + question.Length + 16);
        Assert.Equal([192, 0, 2, 7], answer[^4..]);
    }

    private static async Task<byte[]> Answer(IPEndPoint address, byte[] question, int byteCount)
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        using TcpClient client = new();
        await client.ConnectAsync(address, deadline.Token);
        await client.GetStream().WriteAsync(question, deadline.Token);
        byte[] answer = new byte[byteCount];
        await client.GetStream().ReadExactlyAsync(answer, deadline.Token);
        return answer;
    }
}
