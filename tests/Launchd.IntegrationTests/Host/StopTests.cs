using System.Globalization;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>How instances and whole trees end. Every test ends with the check that nothing is left.</summary>
[Collection(nameof(Supervisors))]
public sealed class StopTests
{
    [Theory]
    [InlineData("process")]
    [InlineData("group")]
    [InlineData("tree")]
    public async Task TheMainProcessIsSignalledOnce(string kill)
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["${DOTNET}", "${PROBE}", "--to", "said", "--drain", "300ms", "--ready"]
            ready = "notify"
            kill = "{{kill}}"
            """);
        _ = await supervisor.Event("ready", "app");

        Assert.Equal(0, await supervisor.Stop());

        // The second of two is what many programs take for "at once". SIGCONT, which is sent along, is not caught.
        Assert.Equal(["SIGTERM"], Signals(supervisor));
    }

    [Fact]
    public async Task AStoppedProcessIsContinuedSoThatItCanEnd()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "trap 'exit 0' TERM; kill -STOP $$$$; while :; do read x < /dev/zero; done"]
            stop_timeout = "1h"
            """);
        Happening spawned = await supervisor.Event("spawned", "app");
        await supervisor.Until(() => File.ReadAllText($"/proc/{spawned.Pid}/stat").Contains(") T ", StringComparison.Ordinal));

        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("group", "TERM")]
    [InlineData("tree", "TERM")]
    [InlineData("group", "HUP")]
    [InlineData("tree", "USR1")]
    public async Task AStoppedGroupIsContinuedSoThatAllOfItCanEnd(string kill, string signal)
    {
        // Both end in good order on the signal, the main one only after the other; deaf as long as they are stopped.
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "{{Script(signal)}}"]
            kill = "{{kill}}"
            stop_signal = "{{signal}}"
            stop_timeout = "1h"
            ready = { output = "begun" }
            """);
        Happening ready = await supervisor.Event("ready", "app");
        Living.Signal(-ready.Pid, Living.SIGSTOP);
        await supervisor.Until(() => File.ReadAllText($"/proc/{ready.Pid}/stat").Contains(") T ", StringComparison.Ordinal));

        Assert.Equal(0, await supervisor.Stop());

        Assert.Equal(0, (await supervisor.Event("exited", "app")).Number("code"));
        Assert.Equal("the other ended\n", File.ReadAllText(supervisor.Scratch.At("told")));

        // Nothing is started over and over: a shell that is stopped between vfork(2) and exec waits for its child and never shows as
        // stopped. And what is started has begun: until its exec it takes a signal by the handler of the shell, and loses it.
        static string Script(string signal) =>
            $"trap 'kill -{signal} $$!; wait $$!; exit 0' {signal}; "
            + $"(trap 'echo the other ended > told; exit 0' {signal}; sleep 2147483647 & "
            + "until [ \\\"$c\\\" = sleep ]; do read c < /proc/$!/comm; done; echo begun; wait) & wait";
    }

    [Fact]
    public async Task AStopCommandKnowsTheMainProcess_AndEndsIt()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            stop_command = ["/bin/sh", "-c", "echo $MAINPID $LAUNCHD_SERVICE > told; kill -USR1 $MAINPID; sleep 0.05"]
            stop_timeout = "1h"
            """.Replace("$MAINPID", "$$MAINPID", StringComparison.Ordinal).Replace("$LAUNCHD", "$$LAUNCHD", StringComparison.Ordinal));
        Happening ready = await supervisor.Event("ready", "app");

        Assert.Equal(0, await supervisor.Stop());

        Happening exited = await supervisor.Event("exited", "app");
        Assert.Equal($"{ready.Pid} app\n", File.ReadAllText(supervisor.Scratch.At("told")));
        Assert.Contains("USR1", exited.Text("signal"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AStopCommandThatHangsIsEndedAtTheTimeout()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            stop_command = ["sleep", "2147483646"]
            stop_timeout = "200ms"
            """);
        _ = await supervisor.Event("ready", "app");

        Assert.Equal(0, await supervisor.Stop());
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);
    }

    [Theory]
    // Killed with its main process: a child of the group; one that left the group; an orphan that left the session and is deaf.
    [InlineData("tree", "sleep 2147483646 & echo $! > child", true)]
    [InlineData("tree", "setsid sleep 2147483646 & echo $! > child", true)]
    [InlineData("tree", "(setsid sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 1; done' &)", true)]
    [InlineData("group", "sleep 2147483646 & echo $! > child", true)]
    [InlineData("group", "(sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 1; done' &)", true)]
    // Meant to be left alone.
    [InlineData("group", "(setsid sh -c 'echo $$ > child; exec sleep 2147483646' &)", false)]
    [InlineData("process", "sleep 2147483646 & echo $! > child", false)]
    public async Task WhatIsLeftOfAnInstanceEndsByTheKindOfKill(string kill, string script, bool ends)
    {
        using ChildFile child = new();
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", {{Quoted(script.Replace("> child", "> " + child.FilePath, StringComparison.Ordinal)
                + "; echo begun; exec sleep 2147483647")}}]
            kill = "{{kill}}"
            ready = { output = "begun" }
            stop_timeout = "500ms"
            """);
        _ = await supervisor.Event("ready", "app");
        int pid = await child.Pid(supervisor);
        // It is what it is to be, and has the environment by which it is known: between two programs it has none.
        await supervisor.Until(() => File.ReadAllText($"/proc/{pid}/comm") == (script.Contains("sh -c 'trap", StringComparison.Ordinal)
            ? "sh\n" : "sleep\n") && File.ReadAllText($"/proc/{pid}/environ").Length > 0);
        Assert.True(Living.IsAlive(pid));
        using ControlSocket control = await ControlSocket.To(supervisor);

        _ = await control.Call("Stop", """{"services":["app"]}""");

        Assert.Equal(ends, !Living.IsAlive(pid));
        if (!ends)
            Living.Kill(pid);
        Assert.Equal(0, await supervisor.Stop());
    }

    // Between two programs a process has no environment for a moment, by which it could be known; these spend much of their time there.
    [Fact]
    public async Task WhatExecutesItselfWithoutPauseEndsWithItsInstance()
    {
        const int count = 8;
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", {{Quoted($"for i in $(seq {count}); do (setsid ./again & echo $! >> pids); done; "
                + "echo begun; exec sleep 2147483647")}}]
            ready = { output = "begun" }
            """, scratch => File.SetUnixFileMode(
                scratch.Write("again", "#!/bin/sh\nexec ./again\n"), (UnixFileMode)0b111_101_101));
        _ = await supervisor.Event("ready", "app");
        int[] pids = [.. File.ReadAllLines(supervisor.Scratch.At("pids")).Select(l => int.Parse(l, CultureInfo.InvariantCulture))];
        Assert.Equal(count, pids.Count(Living.IsAlive));

        Assert.Equal(0, (await supervisor.Verb("stop", "app")).Code);

        Assert.Equal(0, pids.Count(Living.IsAlive));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatACrashedInstanceLeftEndsBeforeTheNextOneStarts()
    {
        using ChildFile child = new();
        // What is left is known by its environment, which it has not between two programs.
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", {{Quoted($"[ -s {child.FilePath} ] && exec sleep 2147483647; "
                + $"setsid sleep 2147483646 & echo $! > {child.FilePath}; "
                + "until [ \"$c\" = sleep ] && grep -qa LAUNCHD_MARK /proc/$!/environ; do read c < /proc/$!/comm; done; kill -KILL $$")}}]
            backoff = { initial = "1ms" }
            """);
        _ = await supervisor.Event("spawned", "app", nth: 2);

        Assert.False(Living.IsAlive(await child.Pid(supervisor)));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData(3)]
    [InlineData(30)]
    [InlineData(37)]
    public async Task QuitPowerFailureAndHalt_ShutDownInOrder(int signal)
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Event("ready", "app");
        Living.Signal(supervisor.StartedPid, signal);
        Assert.Equal(0, await supervisor.Ended());
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TwoInterruptsAtOnceAreOne_AndALaterOneKills()
    {
        // The program itself tells that more than half a second has passed since the first one reached it.
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.deaf]
            command = ["/bin/sh", "-c", "trap 'sleep 0.7; echo later' TERM; echo begun; while :; do sleep 1000 & wait; done"]
            ready = { output = "begun" }
            stop_timeout = "1h"
            """);
        _ = await supervisor.Event("ready", "deaf");
        int pid = await supervisor.Pid();

        Living.Signal(pid, Living.SIGINT);
        _ = await supervisor.Event("draining", "deaf");
        Living.Signal(pid, Living.SIGINT);
        _ = await supervisor.Output.First(line => line.Contains("later", StringComparison.Ordinal), "later");
        Living.Signal(pid, Living.SIGINT);

        Assert.Equal(0, await supervisor.Ended());
        Assert.Contains("KILL", (await supervisor.Event("exited", "deaf")).Text("signal"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AShutdownFollowsTheDependenciesBackwards()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.c]
            command = ["sleep", "2147483647"]
            after = ["b"]
            [services.a]
            command = ["sleep", "2147483647"]
            [services.b]
            command = ["sleep", "2147483647"]
            after = ["a"]
            """);
        _ = await supervisor.Event("ready", "c");

        Assert.Equal(0, await supervisor.Stop());

        IEnumerable<string> ends = supervisor.Events.All()
            .Where(e => e.Kind is "draining" or "exited").Select(e => $"{e.Kind} {e.Service}");
        Assert.Equal(["draining c", "exited c", "draining b", "exited b", "draining a", "exited a"], ends);
    }

    [Theory]
    [InlineData("exit 0", "always", 0)]
    [InlineData("exit 3", "never", 3)]
    [InlineData("kill -TERM $$$$", "never", 128 + 15)]
    [InlineData("kill -SEGV $$$$", "on-failure", 128 + 11)]
    public async Task ExitWithEndsAsTheServiceDid(string script, string restart, int code)
    {
        // A service that is started again has not ended: that is what the limit is for here.
        await using Supervisor supervisor = Supervisor.StartText(
            $$"""
            [services.app]
            command = ["/bin/sh", "-c", "{{script}}"]
            restart = "{{restart}}"
            start_limit = { burst = 1, interval = "1h" }
            backoff = { initial = "1ms" }

            [services.other]
            command = ["sleep", "2147483647"]
            """,
            environment: null,
            "--exit-with", "app");

        Assert.Equal(code, await supervisor.Ended());
    }

    private static IEnumerable<string> Signals(Supervisor supervisor) =>
        supervisor.Said("said", "signal").Select(s => s.GetProperty("name").GetString()!);

    private static string Quoted(string text) =>
        "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("$", "$$",
            StringComparison.Ordinal) + "\"";

    /// <summary>Where a child writes its pid: outside the scratch folder, which is gone over for processes.</summary>
    private sealed class ChildFile : IDisposable
    {
        public string FilePath { get; } = Path.GetTempFileName();

        public async Task<int> Pid(Supervisor supervisor)
        {
            await supervisor.Until(() => File.ReadAllText(FilePath).EndsWith('\n'));
            return int.Parse(File.ReadAllText(FilePath), CultureInfo.InvariantCulture);
        }

        public void Dispose() => File.Delete(FilePath);
    }
}
