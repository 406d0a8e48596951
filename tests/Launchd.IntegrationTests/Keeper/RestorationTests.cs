using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>
/// SIGKILL of the supervisor: nothing happens to what it has started, and the next one goes on with all that it had begun.
/// </summary>
public sealed partial class RestorationTests
{
    private const int SIGUSR1 = 10;

    private const string Kept = "[supervisor]\nkeeper = true\n";

    [Fact]
    public async Task ServicesClientsOutputAndReadiness_NoticeNothing()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [sockets.rare]
            listen = "unix:rare.sock"
            [services.web]
            command = ["${DOTNET}", "${PROBE}", "--greet", "{pid} ", "--echo", "--ready"]
            sockets = ["http"]
            ready = "notify"
            [services.rare]
            command = ["${DOTNET}", "${PROBE}", "--greet", "rare ", "--echo", "--ready"]
            sockets = ["rare"]
            start = "demand"
            [services.counts]
            command = ["/bin/sh", "-c", "trap 'echo asked' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            [services.late]
            command = ["/bin/sh", "-c", "trap 'echo now' USR1; echo waits; sleep 1000 & wait $!; sleep 1000 & wait $!"]
            ready = { output = "now" }
            ready_timeout = "1h"
            """);
        IPEndPoint http = await supervisor.Address("http");
        int web = (await supervisor.Event("ready", "web")).Pid, counts = (await supervisor.Event("ready", "counts")).Pid;
        int late = (await supervisor.Event("spawned", "late")).Pid;
        _ = await Line(supervisor, "late", "waits");
        int keeper = supervisor.StartedPid;
        for (int death = 1; death <= 2; death++)
        {
            // A client that has asked and is not answered yet, when the supervisor dies.
            Task<string> before = Supervisor.Ask(http, $"{death}");
            await Kill(supervisor, death);
            Assert.Equal($"{web} {death}", await before);
            Assert.Equal($"{web} again", await Supervisor.Ask(http, "again"));
            Living.Signal(counts, SIGUSR1);
            _ = await Line(supervisor, "counts", "asked", death);
        }
        Assert.Equal(keeper, supervisor.StartedPid);
        Living.Signal(late, SIGUSR1);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        _ = await supervisor.Says("'late.0' is ready after");
        Assert.Equal((web, counts, late), (await control.PidOf("web"), await control.PidOf("counts"), await control.PidOf("late")));
        // What waits for a client still does.
        Assert.Equal("rare client", await Supervisor.Ask(supervisor.Scratch.At("rare.sock"), "client"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AnEndWhileThereIsNoSupervisorIsAccountedFor()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [services.ends]
            command = ["/bin/sh", "-c", "trap 'exit 7' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            [services.other]
            command = ["/bin/sh", "-c", "trap 'exit 9' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            restart = "never"
            """);
        int ends = (await supervisor.Event("ready", "ends")).Pid, other = (await supervisor.Event("ready", "other")).Pid;

        Living.Kill(await supervisor.Pid());
        Living.Signal(ends, SIGUSR1);
        Living.Signal(other, SIGUSR1);

        _ = await supervisor.WentOn(1);
        _ = await supervisor.Says($"'ends.0' (pid {ends}) exited with 7");
        _ = await supervisor.Says($"'other.0' (pid {other}) exited with 9");
        _ = await supervisor.Says("'ends.0' is ready after", nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ARolloutAndAStop_GoOnWhereTheyWere()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [services.web]
            command = ["/bin/sh", "-c", "trap 'exit 0' TERM; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            update = "overlap"
            rollout = { prove = "3s" }
            [services.deaf]
            command = ["/bin/sh", "-c", "trap 'echo heard' TERM; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            stop_timeout = "3s"
            """);
        int web = (await supervisor.Event("ready", "web")).Pid, deaf = (await supervisor.Event("ready", "deaf")).Pid;
        int pid = await supervisor.Pid();
        Task<(int Code, string, string)> restart = supervisor.Verb("restart", "web"), stop = supervisor.Verb("stop", "deaf");
        int next = (await supervisor.Event("ready", "web", nth: 2)).Pid;
        _ = await Line(supervisor, "deaf", "heard");

        Living.Kill(pid);

        _ = await supervisor.WentOn(1);
        // Their orders' connections are gone, and the orders stand.
        Assert.NotEqual(0, (await restart).Code);
        Assert.NotEqual(0, (await stop).Code);
        _ = await supervisor.Says("'web': generation 2 has taken over");
        _ = await supervisor.Says($"'web.0' (pid {web}) exited with 0");
        _ = await supervisor.Says($"'deaf.0' (pid {deaf}) killed by SIGKILL");
        // It was told once, or once more: the first supervisor died right after it had told.
        Assert.InRange(supervisor.Output.All().Count(l => Is(l, "deaf", "heard")), 1, 2);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(next, await control.PidOf("web"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatAnInstanceHasLeftRunning_IsEndedWithIt_AndWhatItHasStoredIsKept()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [services.leaves]
            command = ["${DOTNET}", "${PROBE}", "--store-fd", "kept", "--fork-daemon", "--ready"]
            ready = "notify"
            fd_store = 4
            """);
        _ = await supervisor.Event("ready", "leaves");
        string daemon = await supervisor.Output.First(l => Forked().IsMatch(l), "the daemon's pid");
        int left = int.Parse(Forked().Match(daemon).Groups[1].ValueSpan, CultureInfo.InvariantCulture);

        await Kill(supervisor, 1);

        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(1, (await control.Service("leaves")).GetProperty("held_descriptors").GetInt32());
        Assert.True(Living.IsAlive(left));
        Assert.True((await control.Call("Stop", """{"services":["leaves"]}""")).GetProperty("results")[0].GetProperty("ok").GetBoolean());
        Assert.False(Living.IsAlive(left));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task Kill(Supervisor supervisor, int nth)
    {
        Living.Kill(Living.ChildrenOf(supervisor.StartedPid).Single(IsSupervisor));
        _ = await supervisor.WentOn(nth);
    }

    private static bool IsSupervisor(int pid) => File.ReadAllText($"/proc/{pid}/comm") == "launchd-cs\n";

    private static Task<string> Line(Supervisor supervisor, string service, string text, int nth = 1) =>
        supervisor.Output.First(l => Is(l, service, text), $"{service}: {text}", nth);

    private static bool Is(string line, string service, string text) =>
        line.StartsWith(service, StringComparison.Ordinal) && line.EndsWith(text, StringComparison.Ordinal);

    [GeneratedRegex("\"forked\",\"pid\":([0-9]+)")]
    private static partial Regex Forked();
}
