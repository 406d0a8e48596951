using System.Net;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Restarts that overlap, in place and in pools, with real processes: what serves, what is rolled back, what the operator reads.
/// </summary>
public sealed class RolloutTests
{
    private const string Socket = """
        [sockets.port]
        listen = "tcp://127.0.0.1:0"

        """;

    /// <summary>What the second generation does depends on a file that the test writes between the two.</summary>
    private const string Variable = Socket + """
        [services.app]
        command = ["/bin/sh", "-c", ". ./behaviour; exec $DOTNET $PROBE $STEPS"]
        environment = { DOTNET = "${DOTNET}", PROBE = "${PROBE}" }
        sockets = ["port"]
        ready = "notify"
        ready_timeout = "1h"
        rollout = { prove = "1h" }

        """;

    [Fact]
    public async Task EveryRequestIsAnswered_WhileOneGenerationFollowsTheOther()
    {
        await using Supervisor supervisor = Supervisor.StartText(Socket + """
            [services.app]
            command = ["${DOTNET}", "${PROBE}", "--greet", "{pid}\n", "--echo", "--drain", "1s", "--ready"]
            sockets = ["port"]
            ready = "notify"
            rollout = { prove = "50ms" }
            """);
        _ = await supervisor.Event("ready", "app");
        IPEndPoint address = await supervisor.Address("port");
        using CancellationTokenSource done = new();
        Task<HashSet<string>> load = Load(address, done.Token);

        for (int restart = 0; restart < 3; restart++)
        {
            (int code, string output, string errors) = await supervisor.Verb("restart", "app", "--no-wait");
            Assert.True(code == 0, output + errors);
            _ = await supervisor.Event("rollout-finished", "app", restart + 1);
        }
        await done.CancelAsync();

        Assert.True((await load).Count >= 2, "no later generation ever answered");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("--line broken --exit 7", "exited with 7 before it was ready; generation 1 serves on", "broken")]
    [InlineData("--ready --line broken --exit-after 20ms:3", "exited with 3", "broken")]
    [InlineData("--signal-self KILL", "killed by SIGKILL before it was ready; generation 1 serves on", "")]
    public async Task ABrokenRelease_IsRolledBack_AndTheOldOneServesOn(string steps, string reason, string lastLine)
    {
        await using Supervisor supervisor = Start(Variable);
        Happening ready = await supervisor.Event("ready", "app");
        IPEndPoint address = await supervisor.Address("port");
        Behave(supervisor, steps);

        (int code, string output, _) = await supervisor.Verb("restart", "app");

        Assert.Equal(1, code);
        Assert.Contains(reason, output, StringComparison.Ordinal);
        Assert.Contains(lastLine, output, StringComparison.Ordinal);
        Assert.StartsWith(reason.Split(';')[0], (await supervisor.Event("rolled-back", "app")).Text("reason"), StringComparison.Ordinal);
        Assert.Equal($"{ready.Pid}x", await Supervisor.Ask(address, "x"));
        Assert.Single(await Instances(supervisor));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatIsNeverReady_AndWhatCannotBeExecuted_CostNothing()
    {
        await using Supervisor supervisor = Start(Variable);
        Happening ready = await supervisor.Event("ready", "app");
        // In place, so that the limit is for those alone who are to miss it.
        (int changed, _, string errors) = await supervisor.Change(
            Prepared(Variable.Replace("ready_timeout = \"1h\"", "ready_timeout = \"2s\"", StringComparison.Ordinal)));
        Assert.True(changed == 0, errors);
        Behave(supervisor, "--never-ready");
        (int code, string output, _) = await supervisor.Verb("restart", "app");
        Assert.Equal(1, code);
        Assert.Matches("was not ready within 2s: .*; generation 1 serves on", output);

        File.WriteAllText(supervisor.Scratch.At("behaviour"), "exec /nowhere/at/all\n");
        (code, output, _) = await supervisor.Verb("restart", "app");
        Assert.Equal(1, code);
        Assert.Contains("generation 1 serves on", output, StringComparison.Ordinal);
        Assert.Equal(ready.Pid, (await Instances(supervisor)).Single().GetProperty("pid").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("--line hangs --ready --watchdog-for 1", "sent no WATCHDOG=1 for 1s; generation 1 serves on")]
    [InlineData(
        "--to said --line hangs --watchdog", "was not ready within 10s: it said WATCHDOG=1, but not READY=1; generation 1 serves on")]
    public async Task AWatchdogThatHearsNothing_BeforeItIsReadyOrWhileItProvesItself_CostsNothing(string steps, string reason)
    {
        // The first one has no watchdog, and as much time as it likes: a busy machine must not cost it.
        await using Supervisor supervisor = Start(Variable);
        Happening ready = await supervisor.Event("ready", "app");
        IPEndPoint address = await supervisor.Address("port");
        Behave(supervisor, steps);
        string next = steps.Contains("--ready", StringComparison.Ordinal)
            ? Variable : Variable.Replace("ready_timeout = \"1h\"", "ready_timeout = \"10s\"", StringComparison.Ordinal);

        (int code, string output, _) = await supervisor.Change(Prepared(next + "watchdog = \"1s\"\n"));

        Assert.Equal(1, code);
        Assert.Contains(reason, output, StringComparison.Ordinal);
        Assert.Contains("hangs", output, StringComparison.Ordinal);
        // .NET's runtime survives the first SIGABRT; nothing has to wait for the stop timeout.
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "killing");
        Assert.Equal($"{ready.Pid}x", await Supervisor.Ask(address, "x"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task APool_IsExchangedSlotBySlot_AndScaled()
    {
        await using Supervisor supervisor = Supervisor.StartText(Socket + """
            [services.app]
            command = ["${DOTNET}", "${PROBE}", "--echo", "--ready"]
            sockets = ["port"]
            ready = "notify"
            instances = 2
            rollout = { prove = "50ms" }
            """);
        _ = await supervisor.Event("ready", "app", nth: 2);

        Assert.Equal(0, (await supervisor.Verb("restart", "app")).Code);
        Assert.All(await Instances(supervisor), i => Assert.Equal(2, i.GetProperty("generation").GetInt32()));

        Assert.Equal(0, (await supervisor.Verb("scale", "3", "app")).Code);
        Assert.Equal(3, (await Instances(supervisor)).Count);
        Assert.Equal(0, (await supervisor.Verb("scale", "1", "app")).Code);
        Assert.Equal(0, (await Instances(supervisor)).Single().GetProperty("slot").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AStopDuringARollout_EndsBothGenerations()
    {
        await using Supervisor supervisor = Start(Variable);
        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, (await supervisor.Verb("restart", "app", "--no-wait")).Code);
        _ = await supervisor.Event("ready", "app", nth: 2);
        Assert.Equal(["successor"],
            (await Instances(supervisor)).Where(i => i.TryGetProperty("role", out _)).Select(i => i.GetProperty("role").GetString()));

        Assert.Equal(0, (await supervisor.Verb("stop", "app")).Code);

        _ = await supervisor.Event("exited", "app", nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Prepared(string text) => text.Replace("$STEPS", "$$STEPS", StringComparison.Ordinal)
        .Replace("exec $DOTNET $PROBE", "exec $$DOTNET $$PROBE", StringComparison.Ordinal) + "start = \"manual\"\n";

    private static Supervisor Start(string text)
    {
        Supervisor supervisor = Supervisor.StartText(Prepared(text));
        Behave(supervisor, "--greet {pid} --echo --ready");
        _ = supervisor.Events.First(e => e.Kind == "supervisor-started", "start")
            .ContinueWith(_ => supervisor.Verb("start", "app"), TaskScheduler.Default);
        return supervisor;
    }

    private static void Behave(Supervisor supervisor, string steps) =>
        File.WriteAllText(supervisor.Scratch.At("behaviour"), $"STEPS='{steps}'\n");

    private static async Task<IReadOnlyList<JsonElement>> Instances(Supervisor supervisor)
    {
        (_, string output, string errors) = await supervisor.Verb("status", "app", "--json");
        Assert.True(output.Length > 0, errors);
        return [.. JsonElement.Parse(output).GetProperty("services")[0].GetProperty("instances").EnumerateArray()];
    }

    /// <summary>Asks again and again, each time over a connection of its own and never twice, until told to end. Who answered.</summary>
    private static async Task<HashSet<string>> Load(IPEndPoint address, CancellationToken done)
    {
        HashSet<string> seen = [];
        for (int request = 0; !done.IsCancellationRequested; request++)
        {
            string answer = await Supervisor.Ask(address, $"request {request}");
            string[] parts = answer.Split('\n');
            Assert.Equal($"request {request}", parts[1]);
            seen.Add(parts[0]);
        }
        return seen;
    }
}
