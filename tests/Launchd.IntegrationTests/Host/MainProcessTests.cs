using System.Globalization;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary><c>MAINPID=</c> and <c>MAINPIDFD=1</c>: who may name which process, and how it is supervised then.</summary>
[Collection(nameof(Supervisors))]
public sealed class MainProcessTests
{
    private const string Waiting = """
        [services.app]
        command = ["sleep", "2147483647"]
        ready = "notify"
        ready_timeout = "1h"
        notify_access = "all"
        backoff = { initial = "1h", max = "1h", jitter = 0 }

        """;

    [FactWhenTool("systemd-notify")]
    public async Task ADaemonThatLeftItsParentIsSupervised_AndItsEndIsKnown()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "setsid sleep 2147483646 & echo $! > child; systemd-notify --ready MAINPID=$!; exit 0"]
            ready = "notify"
            notify_access = "all"
            backoff = { initial = "1h", max = "1h", jitter = 0 }
            """.Replace("$!", "$$!", StringComparison.Ordinal));
        Happening ready = await supervisor.Event("ready", "app");
        int child = int.Parse(File.ReadAllText(supervisor.Scratch.At("child")), CultureInfo.InvariantCulture);

        Assert.Equal(child, ready.Pid);
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        // Its parent is still leaving, perhaps: an orphan is ours, and then its end is told to us.
        while (ProcessFacts.Read(child)?.Parent != pid)
            _ = await control.Call("Status");
        Living.Kill(child);

        Happening exited = await supervisor.Event("exited", "app");
        Assert.Equal(child, exited.Pid);
        Assert.Contains("KILL", exited.Text("signal"), StringComparison.Ordinal);
        _ = await supervisor.Event("restarting", "app");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("systemd-notify")]
    public async Task AProcessBelowTheMainOneTakesItsPlace_AndTheStopReachesBoth()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "sleep 2147483646 & echo $! > child; systemd-notify --ready MAINPID=$!; exec sleep 2147483647"]
            ready = "notify"
            notify_access = "all"
            """.Replace("$!", "$$!", StringComparison.Ordinal));
        Happening ready = await supervisor.Event("ready", "app");
        Happening spawned = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.NotEqual(spawned.Pid, ready.Pid);
        Assert.Equal(ready.Pid, (await control.Service("app")).GetProperty("instances")[0].GetProperty("pid").GetInt32());
        _ = await control.Call("Stop", """{"services":["app"]}""");

        Assert.Equal(ready.Pid, (await supervisor.Event("exited", "app")).Pid);
        Assert.False(Living.IsAlive(spawned.Pid));
        Assert.False(Living.IsAlive(ready.Pid));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task RootMayNameAStranger_OfWhoseEndNothingIsInvented()
    {
        await using Command stranger = Command.Start(["sleep", "2147483645"]);
        await using Supervisor supervisor = Supervisor.StartText(Waiting);
        _ = await supervisor.Event("spawned", "app");
        using Sender sender = new(supervisor);

        sender.Send($"MAINPID={stranger.Pid}\nREADY=1");

        Assert.Equal(stranger.Pid, (await supervisor.Event("ready", "app")).Pid);
        Living.Kill(stranger.Pid);
        Happening exited = await supervisor.Event("exited", "app");
        Assert.Equal((stranger.Pid, -1), (exited.Pid, exited.Number("code")));
        // Its pidfd tells from Linux 6.15 on.
        Assert.True(exited.Text("signal") is "SIGKILL" or null);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task APidfdNamesAProcessForSure()
    {
        await using Command stranger = Command.Start(["sleep", "2147483645"]);
        await using Supervisor supervisor = Supervisor.StartText(Waiting);
        _ = await supervisor.Event("spawned", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        using ProcessHandle process = ProcessHandle.TryOpen(stranger.Pid)!;
        // Its end of the control connection counts as well.
        _ = await control.Call("Status");
        int before = Living.PidfdCount(pid);

        sender.Send("MAINPIDFD=1\nREADY=1", process.Descriptor);

        Assert.Equal(stranger.Pid, (await supervisor.Event("ready", "app")).Pid);
        _ = await control.Call("Status");
        // The new one in the place of the former.
        await control.Until(() => Living.PidfdCount(pid) == before, () => $"{Living.PidfdCount(pid)} pidfds, not {before}");
        _ = await control.Call("Stop", """{"services":["app"]}""");
        Assert.Equal(128 + Living.SIGTERM, await stranger.Exit());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task NobodyMayNameTheFirstProcess_TheSupervisor_AnothersOrADeadOne()
    {
        await using Supervisor supervisor = Supervisor.StartText(Waiting + """
            [services.other]
            command = ["sleep", "2147483646"]
            """);
        Happening spawned = await supervisor.Event("spawned", "app");
        Happening other = await supervisor.Event("spawned", "other");
        int pid = await supervisor.Pid();
        int dead;
        await using (Command ended = Command.Start(["true"]))
        {
            dead = ended.Pid;
            _ = await ended.Exit();
        }
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        _ = await control.Call("Status");
        int before = Living.PidfdCount(pid);

        foreach (int named in (int[])[pid, other.Pid, dead])
            sender.Send($"MAINPID={named}");
        // What cannot be the number of a service's process is no number at all.
        sender.Send("MAINPID=1\nMAINPID=0\nMAINPID=-5\nMAINPID=x");
        sender.Send("MAINPIDFD=1");
        using (ProcessHandle first = ProcessHandle.TryOpen(1)!)
        {
            sender.Send("MAINPIDFD=1", first.Descriptor);
            sender.Send("MAINPIDFD=1", first.Descriptor, first.Descriptor);
        }
        sender.Send("READY=1");

        Assert.Equal(spawned.Pid, (await supervisor.Event("ready", "app")).Pid);
        Assert.Equal(6, await control.Counter("main-pid-refused"));
        await control.Until(() => Living.PidfdCount(pid) == before, () => $"{Living.PidfdCount(pid)} pidfds, not {before}");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("systemd-notify")]
    public async Task AnotherUserMayNotNameAStranger()
    {
        await using Command stranger = Command.Start(["sleep", "2147483645"]);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "systemd-notify MAINPID={{stranger.Pid}}; systemd-notify --ready; exec sleep 2147483647"]
            working_directory = "/"
            user = "nobody"
            ready = "notify"
            notify_access = "all"
            start = "manual"
            """);
        using ControlSocket control = await ControlSocket.To(supervisor);
        // The way to the notify socket, which that user has to walk.
        File.SetUnixFileMode(supervisor.Scratch.FolderPath, (UnixFileMode)0b111_001_001);
        _ = await control.Call("Start", """{"services":["app"]}""");

        Happening ready = await supervisor.Event("ready", "app");

        Assert.NotEqual(stranger.Pid, ready.Pid);
        Assert.Equal(1, await control.Counter("main-pid-refused"));
        Assert.Equal(0, await supervisor.Stop());
        Assert.True(stranger.IsRunning);
    }
}
