using System.Globalization;
using System.Net;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>
/// SIGKILL of the supervisor and of its keeper, if it has one: the next <c>run</c> adopts what runs, and starts nothing twice.
/// </summary>
public sealed class AdoptionTests
{
    private const int SIGUSR1 = 10;

    private const string Services = """
        [sockets.http]
        listen = "tcp://127.0.0.1:0"
        [sockets.path]
        listen = "unix:path.sock"
        [sockets.rare]
        listen = "unix:rare.sock"
        [services.web]
        command = ["${DOTNET}", "${PROBE}", "--greet", "{pid} ", "--echo", "--ready"]
        sockets = ["http", "path"]
        ready = "notify"
        [services.rare]
        command = ["${DOTNET}", "${PROBE}", "--greet", "rare ", "--echo", "--ready"]
        sockets = ["rare"]
        start = "demand"
        [services.tree]
        command = ["/bin/sh", "-c", "setsid sleep 1000 & echo child $!; trap 'echo asked' USR1; while :; do sleep 1000 & wait $!; done"]
        ready = { output = "child" }
        [services.gone]
        command = ["/bin/sh", "-c", "trap 'exit 3' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
        ready = { output = "begun" }
        restart = "on-failure"
        [services.bare]
        command = ["/usr/bin/env", "-i", "/bin/sh", "-c", "echo begun; while :; do sleep 1000 & wait $!; done"]
        ready = { output = "begun" }
        [services.stays]
        command = ["/bin/sh", "-c", "echo begun; while :; do sleep 1000 & wait $!; done"]
        ready = { output = "begun" }
        """;

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public async Task ProgramsAndListenersAreAdopted_AndAreAsOthersFromThenOn(string keeper)
    {
        await using Supervisor first = Supervisor.StartText($"[supervisor]\nkeeper = {keeper}\n{Services}");
        IPEndPoint http = await first.Address("http");
        int web = (await first.Event("ready", "web")).Pid, tree = (await first.Event("ready", "tree")).Pid;
        int gone = (await first.Event("ready", "gone")).Pid, stays = (await first.Event("ready", "stays")).Pid;
        // It has no mark in its environment.
        int bare = (await first.Event("ready", "bare")).Pid;
        string said = await first.Output.First(l => l.Contains("child ", StringComparison.Ordinal), "the child");
        using ProcessHandle child = ProcessHandle.TryOpen(int.Parse(said.Split("child ")[1], CultureInfo.InvariantCulture))!;
        await KillAll(first);
        using (ProcessHandle its = ProcessHandle.TryOpen(gone)!)
        {
            Living.Signal(gone, SIGUSR1);
            Living.AwaitEnd(its);
        }
        // Nobody supervises, and the port is the program's.
        Assert.Equal($"{web} alone", await Supervisor.Ask(http, "alone"));

        await using Supervisor second = Supervisor.After(first);

        Assert.Equal("adopted", (await second.Event("supervisor-started")).Text("reason"));
        // Whether that can still be known depends on whether its new parent has reaped it by then, and on the kernel.
        _ = await second.Errors.First(
            l => l.Contains($"'gone.0' (pid {gone}) ended, it is not known how", StringComparison.Ordinal)
                || l.Contains($"'gone.0' (pid {gone}) exited with 3", StringComparison.Ordinal), "its end");
        _ = await second.Event("ready", "gone");
        using ControlSocket control = await ControlSocket.To(second.Scratch);
        Assert.Equal((web, tree, bare), (await control.PidOf("web"), await control.PidOf("tree"), await control.PidOf("bare")));
        Assert.Equal($"{web} again", await Supervisor.Ask(http, "again"));
        Assert.Equal($"{web} again", await Supervisor.Ask(second.Scratch.At("path.sock"), "again"));
        // Nobody had this listener: it is another one at the same path.
        Assert.Equal("rare client", await Supervisor.Ask(second.Scratch.At("rare.sock"), "client"));
        // Its output is read again.
        Living.Signal(tree, SIGUSR1);
        _ = await second.Output.First(l => l.Contains("asked", StringComparison.Ordinal), "a line");
        // What it has left elsewhere ends with it, though the kernel gives that to another process.
        Assert.Equal(0, (await second.Verb("restart", "tree")).Code);
        Living.AwaitEnd(child);
        // An end is seen without SIGCHLD, and the port is held meanwhile.
        Living.Signal(web, Living.SIGKILL);
        Assert.Matches("^[0-9]+ anew$", await Supervisor.Ask(http, "anew"));
        int next = (await second.Event("ready", "web")).Pid;
        Assert.NotEqual(web, next);
        Assert.All(["web", "tree", "gone"], name => Assert.Single(second.Events.All(), e => e.Kind == "spawned" && e.Service == name));
        Assert.DoesNotContain(second.Events.All(), e => e is { Kind: "spawned", Service: "stays" });
        if (keeper == "true")
        {
            // The next supervisor of the same keeper has them from that.
            Living.Kill(await second.Pid());
            _ = await second.WentOn(nth: 2);
        }
        Living.Signal(stays, Living.SIGKILL);
        _ = await second.Says($"'stays.0' (pid {stays}) ");
        Assert.Equal(0, await second.Stop());
    }

    [Fact]
    public async Task WhereTheKeeperAloneIsKilled_ThatIsSaid_AndTheEndsOfItsChildrenAreSeen()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = true
            [services.ends]
            command = ["/bin/sh", "-c", "sleep 1000 & trap 'exit 7' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            kill = "tree"
            """);
        int ends = (await supervisor.Event("ready", "ends")).Pid, pid = await supervisor.Pid();
        Living.Kill(pid);
        string runs = await supervisor.Says("runs as pid", nth: 2);
        using ProcessHandle next = ProcessHandle.TryOpen(int.Parse(runs.Split("pid ")[1].Split(',')[0], CultureInfo.InvariantCulture))!;
        _ = await supervisor.WentOn();
        Living.Kill(supervisor.StartedPid);
        _ = await supervisor.Says("the keeper has ended");

        (_, string status, _) = await supervisor.Verb("status");
        Assert.Contains($"its keeper (pid {supervisor.StartedPid}) has died", status, StringComparison.Ordinal);
        (int code, _, string errors) = await supervisor.Verb("upgrade");
        Assert.Equal(1, code);
        Assert.Contains("this supervisor's keeper has died", errors, StringComparison.Ordinal);
        Living.Signal(ends, SIGUSR1);
        string end = await supervisor.Says($"'ends.0' (pid {ends}) e");
        // Its pidfd tells from Linux 6.15 on.
        Assert.Matches("exited with 7|ended, it is not known how", end);
        _ = await supervisor.Says("'ends.0' is ready after", nth: 2);
        Assert.Equal(0, (await supervisor.Verb("shutdown")).Code);
        Living.AwaitEnd(next);
        Assert.Equal([], supervisor.Scratch.Processes());
    }

    /// <summary>The keeper first, which would start another supervisor.</summary>
    private static async Task KillAll(Supervisor supervisor)
    {
        int pid = await supervisor.Pid(), started = supervisor.StartedPid;
        Living.Kill(started);
        if (pid != started)
            Living.Kill(pid);
    }
}
