using System.Net;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>Every example is started as it stands, but for port and runtime directory, and asked what its comments promise.</summary>
public sealed class ExampleTests
{
    [Fact]
    public async Task HelloGivesBackWhatItGets_AndTicks()
    {
        int port = LoopbackPort.Free();
        await using Supervisor supervisor = Start("hello.toml", (7007, port));
        _ = await supervisor.Event("listener-opened");

        Assert.Equal("one\n", await Supervisor.Ask(new IPEndPoint(IPAddress.Loopback, port), "one\n"));
        Assert.Equal("two\n", await Supervisor.Ask(new IPEndPoint(IPAddress.Loopback, port), "two\n"));
        _ = await supervisor.Output.First(l => l.EndsWith("ticker.0 │ tick 2", StringComparison.Ordinal), "second tick");
        Assert.Equal(0, await supervisor.Stop());
    }

    [NeedsToolFact("python3")]
    public async Task WebIsAnsweredByTheNextInstance_WhenTheServerWasKilled()
    {
        int port = LoopbackPort.Free();
        IPEndPoint address = new(IPAddress.Loopback, port);
        await using Supervisor supervisor = Start("web.toml", (7080, port));
        Happening first = await supervisor.Event("ready", "web");
        Assert.Contains($"hello from process {first.Pid}", await Supervisor.Get(address, "/"), StringComparison.Ordinal);

        Assert.Equal(0, (await supervisor.Verb("signal", "KILL", "web")).Code);
        string answer = await Supervisor.Get(address, "/");

        Happening second = await supervisor.Event("ready", "web", nth: 2);
        Assert.NotEqual(first.Pid, second.Pid);
        Assert.Contains($"hello from process {second.Pid}", answer, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [NeedsToolFact("python3")]
    public async Task EachWorkerOfThePoolIsSpawned_AndTheyAnswer()
    {
        int port = LoopbackPort.Free();
        await using Supervisor supervisor = Start("pool.toml", (7081, port));
        for (int n = 1; n <= 3; n++)
            _ = await supervisor.Event("ready", "worker", n);

        string answer = await Supervisor.Ask(new IPEndPoint(IPAddress.Loopback, port), "");

        Assert.Matches(@"^hello \S+, this is worker\.[012]\n$", answer);
        IEnumerable<Happening> spawned = supervisor.Events.All().Where(e => e is { Kind: "spawned", Service: "worker" });
        Assert.Equal([0, 1, 2], spawned.Select(e => e.Number("slot")).Order());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task TheContainerEndsWhenItIsAsked_AndTheApplicationFinishesFirst()
    {
        await using Supervisor supervisor = Start("container.toml", default, "--exit-with", "app");
        _ = await supervisor.Output.First(l => l.Contains("serving", StringComparison.Ordinal), "line of the application");

        Assert.Equal(0, await supervisor.Stop());
        Assert.Contains("finishing what is under way", supervisor.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task EveryExamplePassesCheck()
    {
        string[] examples = Directory.GetFiles(Path.Combine(Repository.Root, "config", "examples"), "*.toml");
        Assert.NotEmpty(examples);
        foreach (string example in examples)
        {
            await using Command check = Command.Launchd(["check", example]);
            int code = await check.Exit();
            Assert.True(code == 0, $"{example}: {code}\n{check.Output}\n{check.Errors}");
        }
    }

    private static Supervisor Start(string name, (int From, int To) port, params string[] options)
    {
        string text = File.ReadAllText(Path.Combine(Repository.Root, "config", "examples", name));
        if (port != default)
        {
            Assert.Contains($"tcp://127.0.0.1:{port.From}\"", text, StringComparison.Ordinal);
            text = text.Replace($"tcp://127.0.0.1:{port.From}\"", $"tcp://127.0.0.1:{port.To}\"", StringComparison.Ordinal);
        }
        // Relative to the file: the example's own log stays in the scratch folder.
        return Supervisor.StartText(text, new Dictionary<string, string> { ["TMPDIR"] = "." }, options);
    }
}
