using System.Globalization;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Logs;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Who is alive, and whose: programs that stop without ending, processes that evade whoever looks for them, and strangers that pretend to
/// belong to an instance. Each program writes <c>name pid</c> lines into the file <c>pids</c>.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class AliveTests
{
    private const int OpenToWrite = 1; // open(2): O_WRONLY

    /// <summary>What every program begins with: <c>leave</c> is a child that is deaf, in a session of its own.</summary>
    private const string Preamble = """
        import ctypes, os, signal, sys, threading, time
        libc = ctypes.CDLL(None, use_errno=True)
        exit_thread = 93 if os.uname().machine == "aarch64" else 60
        def deaf():
            os.setsid()
            for number in range(1, 32):
                if number not in (9, 17, 19): signal.signal(number, signal.SIG_IGN)
        def tell(name):
            with open("pids", "a") as file: file.write(f"{name} {os.getpid()}\n")
        def rest():
            while True: signal.pause()
        def daemon():
            "In the grandchild: true, and its parent has ended."
            if os.fork(): return False
            if os.fork(): os._exit(0)
            return True
        def begun(count):
            while not os.path.exists("pids") or open("pids").read().count("\n") < count: time.sleep(0.01)
            print("begun", flush=True)

        """;

    [TheoryWhenTool("python3")]
    [InlineData("process")]
    [InlineData("tree")]
    public async Task AProgramThatHasItselfTracedIsNotDead(string kill)
    {
        await using Supervisor supervisor = Start(
            """
            libc.ptrace(0, 0, 0, 0)
            signal.signal(signal.SIGUSR1, lambda number, frame: tell("usr1"))
            print("begun", flush=True)
            while True: time.sleep(1000)
            """,
            $"kill = \"{kill}\"");
        Happening ready = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        for (int count = 1; count <= 3; count++)
        {
            _ = await control.Call("Signal", """{"services":["app"],"signal":"SIGUSR1"}""");
            await control.Until(() => Lines(supervisor).Length == count, () => $"{count} signals");
        }
        Living.Signal(ready.Pid, Living.SIGSTOP);
        await control.Until(() => File.ReadAllText($"/proc/{ready.Pid}/stat").Contains(") T ", StringComparison.Ordinal), () => "stopped");
        Assert.Equal(ready.Pid, (await control.Service("app")).GetProperty("instances")[0].GetProperty("pid").GetInt32());
        _ = await control.Call("Stop", """{"services":["app"]}""");

        Assert.False(Living.IsAlive(ready.Pid));
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool("python3")]
    // A child of the second thread of an orphan: it comes to us after SIGKILL was sent.
    [InlineData("""
        def second():
            if os.fork() == 0: deaf(); tell("child"); rest()
        if daemon():
            deaf(); tell("orphan"); threading.Thread(target=second).start(); rest()
        begun(2)
        """)]
    // Its first thread has ended, and with it its environment.
    [InlineData("""
        if daemon():
            deaf(); threading.Thread(target=rest).start(); tell("headless"); libc.syscall(exit_thread, 0)
        begun(1)
        """)]
    // One of the group is the child of one that is not, and has nothing by which it could be known; nobody reaps it.
    [InlineData("""
        if os.fork() == 0:
            if os.fork() == 0:
                for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
                tell("member"); rest()
            deaf(); tell("parent"); os.execve("/bin/sleep", ["sleep", "2147483646"], {})
        begun(2)
        """)]
    // The tracer of the main process keeps its end from us.
    [InlineData("""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # at which a traced process would stop
        main = os.getpid()
        if daemon():
            deaf(); print(libc.ptrace(0x4206, main, 0, 0), flush=True); tell("tracer")
            os.execve(sys.executable, ["python3", "-c", "import signal\nwhile True: signal.pause()"], {})
        begun(1)
        """)]
    // As before, and nobody looks at it before SIGKILL: its environment is empty, so it takes several
    // looks until it is known to be a stray.
    [InlineData("""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        main = os.getpid()
        if daemon():
            deaf(); libc.ptrace(0x4206, main, 0, 0)
            then = "import os, signal\nopen('pids', 'a').write(f'tracer {os.getpid()}\\n')\nwhile True: signal.pause()"
            os.execve(sys.executable, ["python3", "-c", then], {})
        begun(1)
        """, "stop_signal = \"SIGKILL\"\nstop_timeout = \"300ms\"")]
    // Whatever ends starts another first.
    [InlineData("""
        if os.fork() == 0:
            deaf(); signal.signal(signal.SIGCHLD, signal.SIG_IGN); tell("first")
            while True:
                if os.fork(): os._exit(0)
                os.setsid()
        begun(1)
        """)]
    // The same, several at once, so that whoever chases one is late for the others.
    [InlineData("""
        for number in range(6):
            if os.fork() == 0:
                deaf(); signal.signal(signal.SIGCHLD, signal.SIG_IGN); tell("first")
                while True:
                    if os.fork(): os._exit(0)
                    os.setsid()
        begun(6)
        """)]
    public async Task WhatEvadesIsFoundAndEnded(string program, string stop = "stop_timeout = \"300ms\"")
    {
        await using Supervisor supervisor = Start(program + "\nwhile True: time.sleep(1000)", "restart = \"never\"", stop);
        _ = await supervisor.Event("ready", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);

        _ = await control.Call("Stop", """{"services":["app"]}""");

        Assert.Equal("stopped", (await control.Service("app")).GetProperty("state").GetString());
        Assert.All(Lines(supervisor), line => Assert.False(Living.IsAlive(PidOf(line)), line));
        // Nobody lives any more, and those that have ended are reaped a moment later.
        Assert.DoesNotContain(Living.ChildrenOf(pid), Living.IsAlive);
        await control.Until(() => Living.ChildrenOf(pid).Length == 0, () => "children " + string.Join(' ', Living.ChildrenOf(pid)));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhoIsLongInEndingIsKnownByWhomItLeaves()
    {
        // Its memory goes first, its descriptors later: the last copy of a pipe that somebody holds keeps it in between.
        await using Supervisor supervisor = Start(
            """
            os.mkfifo("pipe")
            if daemon():
                os.setsid()
                if os.fork() == 0: deaf(); tell("left"); rest()
                pipe = os.open("pipe", os.O_RDWR | os.O_NONBLOCK)
                os.write(pipe, b"x"); tell("ending"); signal.pause()
            begun(2)
            while True: time.sleep(1000)
            """,
            "stop_timeout = \"300ms\"");
        _ = await supervisor.Event("ready", "app");
        int left = PidNamed(supervisor, "left"), ending = PidNamed(supervisor, "ending");
        using FileDescriptor pipe = Files.Open(null, supervisor.Scratch.At("pipe"), OpenToWrite, 0, out _)!;
        using HeldPipe hold = new(pipe);
        Living.Signal(ending, Living.SIGTERM);
        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.Until(
            () => File.ReadAllText($"/proc/{ending}/stat").Contains(") D ", StringComparison.Ordinal), () => "it waits in its end");

        Task stopping = control.Call("Stop", """{"services":["app"]}""");
        _ = await supervisor.Event("killing", "app");
        hold.Release("x");
        await stopping;

        Assert.False(Living.IsAlive(left));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task OrphansOfASupervisorInsideBelongToTheInstanceThatItWas()
    {
        // As a supervisor marks its own, within the mark that it has itself.
        await using Supervisor supervisor = Start(
            """
            if os.path.exists("pids"):
                while True: time.sleep(1000)
            inner = {"LAUNCHD_INSTANCE": "1", "LAUNCHD_MARK": "0" * 32 + ":" + os.environ["LAUNCHD_MARK"]}
            if daemon():
                os.setsid(); tell("inner"); os.execve("/bin/sleep", ["sleep", "2147483646"], inner)
            begun(1)
            inner = open("pids").read().split()[1]  # which has no environment between two programs
            while open(f"/proc/{inner}/comm").read() != "sleep\n" or not open(f"/proc/{inner}/environ").read(): pass
            os.kill(os.getpid(), 9)
            """,
            "backoff = { initial = \"1ms\" }");

        _ = await supervisor.Event("spawned", "app", nth: 2);

        Assert.False(Living.IsAlive(PidOf(Assert.Single(Lines(supervisor)))));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task NobodyBelongsToAnInstanceByGuessing_AndWhoCannotBeToldApartIsNamed()
    {
        await using Supervisor supervisor = Start(
            """
            for number in range(1, 6):
                if daemon():
                    deaf(); tell("stranger")
                    os.execve(sys.executable, ["python3", "-c", "import signal\nwhile True: signal.pause()"],
                        {"LAUNCHD_INSTANCE": str(number), "LAUNCHD_MARK": "0" * 32})
            begun(5)
            while True: time.sleep(1000)
            """);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Start", """{"services":["victim"]}""");

        _ = await control.Call("Stop", """{"services":["victim"]}""");

        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "killing");
        Assert.All(Lines(supervisor), line => Assert.True(Living.IsAlive(PidOf(line)), line));
        string stranger = $"process {PidOf(Lines(supervisor)[0])} ";
        _ = await supervisor.Errors.First(line => line.Contains(stranger, StringComparison.Ordinal), "the stranger is named");

        // In the end they are ended all the same.
        Assert.Equal(0, await supervisor.Stop());
        Assert.All(Lines(supervisor), line => Assert.False(Living.IsAlive(PidOf(line)), line));
    }

    [TheoryWhenRootAndTool("setpriv")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WhoMayNotBeLookedIntoIsEndedIfItCanOnlyBeOfOne_AndNamedOtherwise(bool isAlone)
    {
        using Scratch scratch = new();
        string victim = isAlone ? "manual" : "boot";
        string configuration = scratch.Write("config.toml", Supervisor.WithRuntimeDirectory($$"""
            [services.victim]
            command = ["sleep", "2147483647"]
            start = "{{victim}}"
            [services.app]
            command = ["python3", "app.py"]
            after = ["victim"]
            ready = { output = "begun" }
            stop_timeout = "200ms"
            """));
        scratch.Write("app.py", Preamble + """
            if daemon():
                deaf(); libc.prctl(4, 0, 0, 0, 0); tell("secret"); rest()
            begun(1)
            while True: time.sleep(1000)
            """);
        File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b1_111_111_111);
        await using Command run = Command.Start(
            ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all", .. Repository.LaunchdCommandForEverybody, "run", configuration],
            scratch.FolderPath);
        _ = await run.Output.First(line => line.Contains("ready in", StringComparison.Ordinal), "it is up");
        using ControlSocket control = await ControlSocket.To(scratch);
        int secret = PidOf(File.ReadAllLines(scratch.At("pids"))[0]);

        _ = await control.Call("Stop", """{"services":["app"]}""");

        Assert.Equal(isAlone, !Living.IsAlive(secret));
        if (!isAlone)
            _ = await run.Errors.First(line => line.Contains($"process {secret} ", StringComparison.Ordinal), "it is named");
        Assert.True(run.Signal(Living.SIGTERM));
        Assert.Equal(0, await run.Exit());
        Assert.False(Living.IsAlive(secret));
    }

    [FactWhenRootAndTool("unshare")]
    public async Task AForeignProcIsNotBelieved()
    {
        // Births are not looked at: that needs a /proc to be believed.
        await using Supervisor supervisor = Supervisor.StartTextBy(
            ["unshare", "--fork", "--pid"],
            """
            [services.app]
            command = ["/bin/sh", "-c", "sleep 2147483646 & echo begun; exec sleep 2147483647"]
            ready = { output = "begun" }
            """,
            Supervisor.Unaudited);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.Equal(1, await control.Counter("proc-not-ours"));
        _ = await supervisor.Errors.First(line => line.Contains("another pid namespace", StringComparison.Ordinal), "it is said");
        _ = await control.Call("Stop", """{"services":["app"]}""");
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);

        _ = await control.Call("Shutdown");
        Assert.Equal(0, await supervisor.Ended());
    }

    private static Supervisor Start(string program, params string[] keys) => Supervisor.StartText(
        $$"""
        [services.app]
        command = ["python3", "app.py"]
        ready = { output = "begun" }
        {{string.Join('\n', keys)}}

        [services.victim]
        command = ["sleep", "2147483647"]
        start = "manual"
        """,
        scratch => scratch.Write("app.py", Preamble + program));

    private static string[] Lines(Supervisor supervisor) =>
        File.Exists(supervisor.Scratch.At("pids")) ? File.ReadAllLines(supervisor.Scratch.At("pids")) : [];

    private static int PidNamed(Supervisor supervisor, string name) =>
        PidOf(Lines(supervisor).Single(l => l.StartsWith(name + " ", StringComparison.Ordinal)));

    private static int PidOf(string line) => int.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture);
}
