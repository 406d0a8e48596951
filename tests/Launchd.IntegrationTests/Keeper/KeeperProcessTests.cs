using System.Net;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>The keeper as an operator has it: signals, exit codes, and a supervisor that may be killed.</summary>
public sealed class KeeperProcessTests
{
    private const int SIGHUP = 1, SIGABRT = 6, SIGUSR1 = 10, SIGALRM = 14, SIGWINCH = 28;

    private const string Kept = "[supervisor]\nkeeper = true\n";

    private const string Idle = Kept + """
        [services.app]
        command = ["sleep", "2147483647"]
        start = "manual"
        """;

    [Fact]
    public async Task SignalsReachTheSupervisor_WhichHasASessionOfItsOwn()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [services.deaf]
            command = ["/bin/sh", "-c", '''
            env | grep LAUNCHD_KEEPER
            trap 'sleep 0.7; echo later' TERM
            echo begun
            while :; do sleep 1000 & wait; done
            ''']
            ready = { output = "begun" }
            stop_timeout = "1h"
            """);
        _ = await supervisor.Event("ready", "deaf");
        int pid = await supervisor.Pid();
        Assert.NotEqual(supervisor.StartedPid, pid);
        Assert.Equal([pid], Living.ChildrenOf(supervisor.StartedPid));
        Assert.Equal("launchd-keeper\n", await File.ReadAllTextAsync($"/proc/{supervisor.StartedPid}/comm"));
        Assert.Equal(pid, SessionOf(pid));
        Assert.DoesNotContain("LAUNCHD_KEEPER", supervisor.Output.ToString(), StringComparison.Ordinal);

        // One that means nothing is counted there, one that has no effect has none, and the keeper minds neither.
        Living.Signal(supervisor.StartedPid, SIGWINCH);
        Living.Signal(supervisor.StartedPid, SIGALRM);
        using ControlSocket control = await ControlSocket.To(supervisor);
        while (await control.Counter("signals-ignored") != 1)
        {
        }
        Living.Signal(supervisor.StartedPid, Living.SIGINT);
        _ = await supervisor.Event("draining", "deaf");
        Assert.True(Living.IsAlive((await supervisor.Event("spawned", "deaf")).Pid));
        // One SIGINT of the keeper's is one of the supervisor's: only a second one kills, half a second later.
        _ = await supervisor.Output.First(l => l.Contains("later", StringComparison.Ordinal), "that it was told");
        Living.Signal(supervisor.StartedPid, Living.SIGINT);

        Assert.Equal(0, await supervisor.Ended());
        Assert.Contains("KILL", (await supervisor.Event("exited", "deaf")).Text("signal"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhereItIsNotWanted_ItIsTheSupervisor_WithTheLimitsThatItWasStartedWith()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["/bin/sh", "-c", "ulimit -S -n 777; exec \"$@\"", "sh"], """
            [supervisor]
            keeper = false
            [services.app]
            command = ["/bin/sh", "-c", "ulimit -n; exec sleep 2147483647"]
            ready = { output = "[0-9]" }
            """);

        _ = await supervisor.Event("ready", "app");

        Assert.Equal(supervisor.StartedPid, await supervisor.Pid());
        Assert.Equal("launchd-cs\n", await File.ReadAllTextAsync($"/proc/{supervisor.StartedPid}/comm"));
        _ = Assert.Single(Living.ChildrenOf(supervisor.StartedPid));
        // Under the JIT the runtime has raised it before anybody could look.
        if (Repository.LaunchdCommand.Length == 1)
            _ = await supervisor.Output.First(l => l.EndsWith("777", StringComparison.Ordinal), "the limit");
        // A thread may end while they are looked at.
        IEnumerable<string> threads = Directory.GetDirectories($"/proc/{supervisor.StartedPid}/task").Select(NameOf);
        Assert.DoesNotContain("closer\n", threads);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Whoever wants an end before it is known which process it is for gets it, in order.</summary>
    [Fact]
    public async Task ASignalBeforeItIsKnownWhetherItIsWanted_IsHeard()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = false
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        // That may be over already.
        string name = $"/proc/{supervisor.StartedPid}/comm";
        while (await File.ReadAllTextAsync(name) != "launchd-keeper\n" && supervisor.Events.All().Count == 0)
        {
            await Task.Yield();
        }

        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ItEndsWithTheCodeOfTheServiceThatItIsFor()
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Kept + "[services.app]\ncommand = [\"/bin/sh\", \"-c\", \"exit 7\"]\nrestart = \"never\"\n", null, "--exit-with", "app");

        Assert.Equal(7, await supervisor.Ended());
    }

    [Fact]
    public async Task AStartThatIsRefusedIsNoDeath()
    {
        await using Supervisor supervisor = Supervisor.StartText(Idle);
        _ = await supervisor.Event("supervisor-started");

        // The directory is the other's. The configuration is read, so this is not the first execution's own refusal.
        await using Command second = Command.Launchd(["run", supervisor.Scratch.At("config.toml")], supervisor.Scratch.FolderPath);

        Assert.Equal(75, await second.Exit());
        Assert.DoesNotContain(second.Errors.All(), l => l.Contains("keeper:", StringComparison.Ordinal));
        await using Command bad = Command.Launchd(["run", supervisor.Scratch.Write("bad.toml", Kept + "nonsense = 1\n")]);
        Assert.Equal(78, await bad.Exit());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AKilledSupervisorIsReplaced_ByOneThatAnswers()
    {
        await using Supervisor supervisor = Supervisor.StartText(Idle);
        int first = await supervisor.Pid();
        _ = await Runs(supervisor, 1);

        Living.Kill(first);

        Assert.Equal($"launchd-cs keeper: the supervisor (pid {first}) was killed by SIGKILL; started anew",
            await supervisor.Errors.First(IsKeepers, "the keeper's line"));
        _ = await Runs(supervisor, 2);
        int second = Assert.Single(Living.ChildrenOf(supervisor.StartedPid));
        Assert.NotEqual(first, second);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(second, (await control.Call("Status")).GetProperty("supervisor").GetProperty("pid").GetInt32());
        (_, string events, _) = await supervisor.Verb("events", "--json");
        Assert.Contains("\"restored\"", events, StringComparison.Ordinal);

        // Killed again, and asked to end while there is none: the next one is started for that alone.
        Living.Kill(second);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Without a supervisor the keeper ends what is left, the deaf as well, and what those leave.</summary>
    [Fact]
    public async Task ASupervisorThatDiesTooOftenIsGivenUp_UntilTheOperatorHasIt()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept + """
            [services.app]
            command = ["/bin/sh", "-c", "trap 'trap \"\" TERM' USR1; echo begun; while :; do sleep 1000 & wait $!; done"]
            ready = { output = "begun" }
            """);
        int app = (await supervisor.Event("ready", "app")).Pid;
        for (int death = 1; death <= 6; death++)
        {
            await Begins(death);
            string said = await Dies(supervisor, death);
            Assert.Equal(death is >= 3 and < 6, said.EndsWith("does not trust what was recorded", StringComparison.Ordinal));
            Assert.Equal(death == 6, said.Contains("not started any more", StringComparison.Ordinal));
            // As long as the records are trusted nothing happens to it, and then it is started anew, never beside itself.
            Assert.Equal(death <= 3, Living.IsAlive(app));
        }
        int left = Assert.Single(Living.ChildrenOf(supervisor.StartedPid));
        Assert.False(IsSupervisor(left));

        string remedy = $"'kill -HUP {supervisor.StartedPid}' has it try once more";
        (int code, _, string errors) = await supervisor.Verb("status");
        Assert.Equal(69, code);
        Assert.Contains(remedy, errors, StringComparison.Ordinal);
        // Nobody starts a second copy of what the keeper holds.
        (code, _, errors) = await supervisor.Verb("run", supervisor.Scratch.At("config.toml"));
        Assert.Equal(75, code);
        Assert.Contains(remedy, errors, StringComparison.Ordinal);
        (code, string found, _) = await supervisor.Verb("doctor");
        Assert.Equal(1, code);
        Assert.Contains(remedy, found, StringComparison.Ordinal);

        Living.Signal(supervisor.StartedPid, SIGHUP);
        await Begins(7);
        Assert.Contains("not started any more", await Dies(supervisor, 7), StringComparison.Ordinal);
        left = Assert.Single(Living.ChildrenOf(supervisor.StartedPid));
        Living.Signal(left, SIGUSR1);
        while (!IsDeaf(left))
            await Task.Yield();

        Living.Signal(supervisor.StartedPid, Living.SIGTERM);
        _ = await supervisor.Errors.First(l => l.Contains("ends all services", StringComparison.Ordinal), "the last words");
        // Who cannot wait for ten seconds.
        Living.Signal(supervisor.StartedPid, Living.SIGINT);
        // The keeper knows no path: what a dead supervisor has left there the next one replaces.
        File.Delete(supervisor.Scratch.At("run/control.sock"));
        Assert.Equal(1, await supervisor.Ended());

        // The second and the third supervisor go on with it.
        async Task Begins(int life) => _ = life is 2 or 3 ? "" : await supervisor.Errors.First(
            l => l.Contains("'app.0' is ready", StringComparison.Ordinal), $"life {life}", nth: life == 1 ? 1 : life - 2);
    }

    [FactWhenTool("python3")]
    public async Task SocketsOfTheServiceManagerReachEachSupervisor()
    {
        const string manager = """
            import os, socket, sys
            s = socket.create_server(("127.0.0.1", 0))
            print("port", s.getsockname()[1], flush=True)
            high = __import__("fcntl").fcntl(s, 0, 200)
            os.dup2(high, 3)
            os.closerange(4, 300)
            os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web", WATCHDOG_PID=str(os.getpid()))
            os.execvp(sys.argv[1], sys.argv[1:])
            """;
        await using Supervisor supervisor = Supervisor.StartTextBy(["python3", "-c", manager], Kept + """
            [sockets.web]
            listen = "inherited:web"
            [services.web]
            command = ["/bin/sh", "-c", "read x; echo served"]
            sockets = ["web"]
            start = "connection"
            input = "socket"
            output = "socket"
            """);
        string port = (await supervisor.Output.First(l => l.StartsWith("port ", StringComparison.Ordinal), "the port"))["port ".Length..];
        IPEndPoint address = new(IPAddress.Loopback, int.Parse(port));
        _ = await Runs(supervisor, 1);
        Assert.Equal("served\n", await Supervisor.Ask(address, "?\n"));

        Living.Kill(await supervisor.Pid());

        _ = await Runs(supervisor, 2);
        Assert.Equal("served\n", await Supervisor.Ask(address, "?\n"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>As PID 1 of a container: the orphans of everybody are its children, and its end is the end of all.</summary>
    [FactWhenRoot]
    public async Task AsTheFirstProcessItEndsWithItsCode_AndReplacesASupervisor()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["unshare", "--fork", "--pid", "--mount-proc"], Kept + """
            [services.app]
            command = ["/bin/sh", "-c", "[ -e once ] && exit 8; : > once; kill -KILL $PPID; exit 7"]
            restart = "never"
            """, "--exit-with", "app");

        string died = await supervisor.Errors.First(IsKeepers, "the death");
        Assert.Contains("killed by SIGKILL; started anew", died, StringComparison.Ordinal);
        Assert.Equal(7, await supervisor.Ended());
    }

    private static bool IsKeepers(string line) => line.StartsWith("launchd-cs keeper: the supervisor", StringComparison.Ordinal);

    private static Task<string> Runs(Supervisor supervisor, int nth) =>
        supervisor.Errors.First(l => l.Contains("runs as pid", StringComparison.Ordinal), $"start {nth} of the supervisor", nth);

    /// <summary>
    /// The nth supervisor dies once it runs, by no doing of others; returns what the keeper says of that. Under the JIT the runtime
    /// survives the first signal.
    /// </summary>
    private static async Task<string> Dies(Supervisor supervisor, int nth)
    {
        _ = await Runs(supervisor, nth);
        int pid = Living.ChildrenOf(supervisor.StartedPid).Single(IsSupervisor);
        using ProcessHandle process = ProcessHandle.TryOpen(pid) ?? throw new InvalidOperationException($"{pid} has ended");
        while (process.Signal(SIGABRT) == Errno.None)
            await Task.Yield();
        return await supervisor.Errors.First(IsKeepers, $"the line of death {nth}", nth);
    }

    private static bool IsDeaf(int pid) => File.ReadLines($"/proc/{pid}/status")
        .Any(l => l.StartsWith("SigIgn:", StringComparison.Ordinal) && (Convert.ToUInt64(l[7..].Trim(), 16) & (1UL << 14)) != 0);

    private static bool IsSupervisor(int pid) =>
        SessionOf(pid) == pid && File.ReadAllText($"/proc/{pid}/cmdline").Contains("launchd-cs", StringComparison.Ordinal);

    private static int SessionOf(int pid) => int.Parse(File.ReadAllText($"/proc/{pid}/stat").Split(") ")[^1].Split(' ')[3]);

    private static string NameOf(string thread)
    {
        try
        {
            return File.ReadAllText(thread + "/comm");
        }
        catch (IOException)
        {
            return "";
        }
    }
}
