using System.Net;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>The first promise: a listener, once open, answers, whatever becomes of the program behind it.</summary>
public sealed class ListenerTests
{
    private const string Echo = """
        [sockets.echo]
        listen = "tcp://127.0.0.1:0"

        [services.echo]
        command = ["${DOTNET}", "${PROBE}", "--greet", "{pid} ", "--ready", "--echo"]
        sockets = ["echo"]
        ready = "notify"
        backoff = { initial = "50ms", jitter = 0.0 }

        """;

    [Fact]
    public async Task AConnectionMadeWhileTheProgramIsDeadIsAnsweredByTheNextOne()
    {
        await using Supervisor supervisor = Supervisor.StartText(Echo);
        IPEndPoint address = await supervisor.Address("echo");
        Happening first = await supervisor.Event("ready", "echo");

        Assert.Equal(0, (await supervisor.Verb("signal", "KILL", "echo")).Code);
        _ = await supervisor.Event("exited", "echo");
        string answer = await Supervisor.Ask(address, "are you there");

        Happening second = await supervisor.Event("ready", "echo", nth: 2);
        Assert.Equal($"{second.Pid} are you there", answer);
        Assert.NotEqual(first.Pid, second.Pid);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task StopLeavesTheListenerOpen_AndStartServesWhatWaited()
    {
        await using Supervisor supervisor = Supervisor.StartText(Echo);
        IPEndPoint address = await supervisor.Address("echo");
        _ = await supervisor.Event("ready", "echo");
        Assert.Equal(0, (await supervisor.Verb("stop", "echo")).Code);

        Task<string> waiting = Supervisor.Ask(address, "patient");
        Assert.Equal(0, (await supervisor.Verb("start", "echo")).Code);

        Assert.EndsWith(" patient", await waiting, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ADemandServiceIsNotStartedBeforeTheFirstConnection()
    {
        await using Supervisor supervisor = Supervisor.StartText(Echo + "start = \"demand\"\n");
        IPEndPoint address = await supervisor.Address("echo");
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "spawned");

        string answer = await Supervisor.Ask(address, "wake up");

        Happening spawned = await supervisor.Event("spawned", "echo");
        Assert.Equal($"{spawned.Pid} wake up", answer);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task EveryConnectionGetsAnInstanceOfItsOwn()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.each]
            listen = "tcp://127.0.0.1:0"

            [services.each]
            command = ["/bin/sh", "-c", "echo $$$$ $$REMOTE_ADDR; exec cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """);
        IPEndPoint address = await supervisor.Address("each");

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(n => Supervisor.Ask(address, $"said {n}")));

        Assert.All(answers.Index(), a => Assert.EndsWith($" 127.0.0.1\nsaid {a.Index}", a.Item, StringComparison.Ordinal));
        Assert.Equal(8, answers.Select(a => a.Split(' ')[0]).Distinct().Count());
        Assert.Equal(0, await supervisor.Stop());
    }
}
