using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Each form of <c>ready</c>: not before it is met, then at once; in vain; and an end that comes first.</summary>
public sealed class ReadinessTests
{
    private const string Sleep = "exec sleep 2147483647";

    /// <summary>Forms that the service itself meets once it is let through the gate: the form, and what it does then.</summary>
    public static TheoryData<string, string> OwnForms => new()
    {
        { "{ descriptor = 3 }", "echo >&3; " + Sleep },
        { "{ descriptor = 9 }", "echo a word first, then the end of the line >&9; " + Sleep },
        { "{ output = \"^it is beg.n$\" }", "echo; echo not yet; echo it is begun; " + Sleep },
        { "{ output = \"begun\" }", "echo begun >&2; " + Sleep },
        // A prompt has no newline.
        { "{ output = \"begun> $\" }", "printf 'begun> '; " + Sleep },
        { "{ command = [\"test\", \"-e\", \"flag\"] }", "touch flag; " + Sleep },
        { "\"notify\"", "exec ${DOTNET} ${PROBE} --ready" },
    };

    /// <summary>All forms, none of which is met.</summary>
    public static TheoryData<string> AllForms => new()
    {
        "{ descriptor = 3 }", "{ output = \"begun\" }", "{ command = [\"false\"] }",
        "{ command = [\"sleep\", \"2147483640\"] }", "\"notify\"",
        "{ http = \"http://127.0.0.1:1/\" }", "{ tcp = \"127.0.0.1:1\" }", "{ unix = \"nobody-is-here\" }",
    };

    [Theory]
    [MemberData(nameof(OwnForms))]
    public async Task ItIsReadyWhenItSaysSo_NotBefore(string form, string then)
    {
        using Gate gate = new();
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "read go < {{gate.FilePath}}; {{then.Replace("\"", "\\\"", StringComparison.Ordinal)}}"]
            ready = {{form}}
            ready_timeout = "1h"
            [services.next]
            command = ["sleep", "2147483647"]
            requires = ["app"]
            after = ["app"]
            """);
        _ = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal("waiting", (await control.Service("next")).GetProperty("state").GetString());

        await gate.Open();

        _ = await supervisor.Event("ready", "app");
        _ = await supervisor.Event("ready", "next");
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("tcp", "")]
    [InlineData("unix", "")]
    [InlineData("http", "HTTP/1.1 204 No Content\r\n\r\n")]
    [InlineData("http", "HTTP/1.0 302 Found\r\n\r\n")]
    public async Task AProbeAsksUntilItIsAnswered(string kind, string answer)
    {
        using Scratch place = new();
        int port = LoopbackPort.Free();
        string target = kind switch
        {
            "unix" => place.At("asked"), "tcp" => $"127.0.0.1:{port}", _ => $"http://127.0.0.1:{port}/health?deep",
        };
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["sleep", "2147483647"]
            ready = { {{kind}} = "{{target}}" }
            ready_timeout = "1h"
            """);
        _ = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());

        using Socket listener = kind == "unix"
            ? Listen(new UnixDomainSocketEndPoint(place.At("asked")))
            : Listen(new IPEndPoint(IPAddress.Loopback, port));
        if (kind == "http")
        {
            // Neither an answer of another code, nor none at all, nor half of one is one.
            string request = await Answer(listener, "HTTP/1.1 503 Busy\r\n\r\n");
            Assert.StartsWith($"GET /health?deep HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n", request, StringComparison.Ordinal);
            _ = await Answer(listener, "");
            _ = await Answer(listener, "HTTP/1.1 2");
            Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());
        }

        // A probe that had to wait too long for this test has given up, and the next one asks.
        Task ready = supervisor.Event("ready", "app");
        while (kind == "http" && !ready.IsCompleted)
            await AnswerNext(listener, answer, ready);
        await ready;
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [MemberData(nameof(AllForms))]
    public async Task WhatIsNotReadyInTimeIsEndedAndHasFailed(string form)
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["sleep", "2147483647"]
            ready = {{form}}
            ready_timeout = "300ms"
            restart = "never"
            """);

        Happening failed = await supervisor.Event("failed", "app");

        Assert.Contains("was not ready within 300ms", failed.Text("reason"), StringComparison.Ordinal);
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "ready");
        // A probe that still ran would be left over.
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [MemberData(nameof(AllForms))]
    public async Task AnEndBeforeItIsReadyIsAFailure_EvenAGoodOne(string form)
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["true"]
            ready = {{form}}
            ready_timeout = "1h"
            restart = "never"
            [services.next]
            command = ["sleep", "2147483647"]
            requires = ["app"]
            after = ["app"]
            """);

        Happening failed = await supervisor.Event("failed", "app");

        Assert.Contains("exited with 0 before it was ready", failed.Text("reason"), StringComparison.Ordinal);
        Assert.Contains("app", (await supervisor.Event("failed", "next")).Text("reason"), StringComparison.Ordinal);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "ready");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AFirstLineCountsThoughItComesBeforeTheBirthIsTold()
    {
        const int count = 64;
        await using Supervisor supervisor = Supervisor.StartText(
            $$"""
            [services.app]
            command = ["sh", "-c", "echo up; exec sleep 2147483647"]
            ready = { output = "^up$" }
            ready_timeout = "1h"
            instances = {{count}}
            """,
            Supervisor.Unaudited);

        _ = await supervisor.Event("ready", "app", nth: count);

        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AReadyDescriptorThatIsClosedWithoutANewlineSaysNothing()
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "printf half >&3; exec 3>&-; {{Sleep}}"]
            ready = { descriptor = 3 }
            ready_timeout = "300ms"
            restart = "never"
            """);

        Assert.Contains("was not ready", (await supervisor.Event("failed", "app")).Text("reason"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Socket Listen(EndPoint at)
    {
        Socket listener = new(at.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(at);
        listener.Listen();
        return listener;
    }

    /// <summary>The same for whoever asks next, unless something else is over before anybody does.</summary>
    private static async Task AnswerNext(Socket listener, string answer, Task over)
    {
        using CancellationTokenSource isOver = new();
        Task<string> answered = Answer(listener, answer, isOver.Token);
        _ = await Task.WhenAny(answered, over);
        await isOver.CancelAsync();
        try
        {
            _ = await answered;
        }
        catch (Exception nobody) when (nobody is OperationCanceledException or SocketException)
        {
            // Nobody asked any more, or who asked has left.
        }
    }

    /// <summary>Takes one connection, reads the request, answers, closes.</summary>
    private static async Task<string> Answer(Socket listener, string answer, CancellationToken over = default)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(over);
        deadline.CancelAfter(Deadline.Generous);
        using Socket asked = await listener.AcceptAsync(deadline.Token);
        StringBuilder request = new();
        byte[] buffer = new byte[4096];
        while (!request.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)
            && await asked.ReceiveAsync(buffer, deadline.Token) is > 0 and int got)
        {
            _ = request.Append(Encoding.ASCII.GetString(buffer, 0, got));
        }
        if (answer.Length > 0)
            _ = await asked.SendAsync(Encoding.ASCII.GetBytes(answer), deadline.Token);
        return request.ToString();
    }
}
