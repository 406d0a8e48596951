using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Ready instances that are asked whether they serve.</summary>
[Collection(nameof(Supervisors))]
public sealed class HealthTests
{
    [Fact]
    public async Task AnInstanceWhoseCommandFailsOftenEnoughIsReplaced_AndTheCommandKnowsWhoseItIs()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            instances = 2
            health.command = ["/bin/sh", "-c", "echo $$LAUNCHD_SLOT $$MAINPID >> asked; [ $$LAUNCHD_SLOT = 0 ]"]
            health.interval = "20ms"
            health.failures = 3
            backoff = { initial = "1ms" }
            """);
        Happening first = await supervisor.Events.First(e => e is { Kind: "spawned" } && e.Number("slot") == 1, "slot 1");

        Happening second = await supervisor.Events.First(e => e is { Kind: "spawned" } && e.Number("slot") == 1, "slot 1 again", nth: 2);

        Assert.Equal(3, File.ReadLines(supervisor.Scratch.At("asked")).Count(l => l == $"1 {first.Pid}"));
        Assert.NotEqual(first.Pid, second.Pid);
        Happening draining = await supervisor.Events.First(e => e is { Kind: "draining" } && e.Pid == first.Pid, "the end of the first");
        Assert.Contains(
            "failed its health check: 3 times in a row, last 'sh' exited with 1", draining.Text("reason"), StringComparison.Ordinal);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "draining" && e.Number("slot") == 0);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhoAcceptsAndSaysNothingHasALimit()
    {
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["sleep", "2147483647"]
            health = { http = "http://{{silent.LocalEndpoint}}/", interval = "20ms", timeout = "50ms", failures = 2 }
            """);

        Happening draining = await supervisor.Event("draining", "app");

        Assert.Contains(
            $"GET http://{silent.LocalEndpoint}/: did not answer within 50ms", draining.Text("reason"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ACommandThatHangsIsKilled_AndTwoNeverOverlap()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            restart = "never"
            health.command = ["/bin/sh", "-c", "echo begun >> asked; sleep 2147483646 & wait"]
            health.interval = "10ms"
            health.timeout = "2s"
            health.failures = 1
            """);

        // Time enough for a shell to write its word, however busy the machine is.
        Happening draining = await supervisor.Event("draining", "app");

        Assert.Contains("'sh' did not answer within 2s", draining.Text("reason"), StringComparison.Ordinal);
        Assert.Single(File.ReadLines(supervisor.Scratch.At("asked")));
        // No process is left: the whole group was killed.
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("HTTP/1.1 503 No\r\n\r\n", "answered 503")]
    [InlineData("hello, this is not HTTP at all\r\n", "did not answer in HTTP")]
    [InlineData("", "closed the connection without an answer")]
    public async Task WrongAnswersCount(string answer, string reason)
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        Task serving = Serve(server, answer);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["sleep", "2147483647"]
            health = { http = "http://{{server.LocalEndpoint}}/", interval = "10ms", failures = 1 }
            """);

        Assert.Contains(reason, (await supervisor.Event("draining", "app")).Text("reason"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
        server.Stop();
        await serving;
    }

    [Fact]
    public async Task AReloadChangesTheCheckOfARunningInstance()
    {
        const string app = """
            [services.app]
            command = ["sleep", "2147483647"]

            """;
        await using Supervisor supervisor = Supervisor.StartText(app);
        Happening ready = await supervisor.Event("ready", "app");

        (int code, string output, string errors) = await supervisor.Change(app
            + "health = { command = [\"/bin/sh\", \"-c\", \"echo $$MAINPID >> asked; exit 1\"], interval = \"10ms\", failures = 1 }\n");

        Assert.True(code == 0, output + errors);
        Assert.Contains("in place", output, StringComparison.Ordinal);
        Assert.Equal(ready.Pid, (await supervisor.Event("draining", "app")).Pid);
        // The next instance, which is asked as soon as it is ready, adds its lines.
        Assert.Equal($"{ready.Pid}", File.ReadLines(supervisor.Scratch.At("asked")).First());
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task Serve(TcpListener server, string answer)
    {
        try
        {
            while (true)
            {
                using Socket client = await server.AcceptSocketAsync();
                byte[] request = new byte[4096];
                _ = await client.ReceiveAsync(request);
                if (answer.Length > 0)
                    _ = await client.SendAsync(System.Text.Encoding.ASCII.GetBytes(answer));
            }
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }
}
