using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Who is alive, and whose: programs that stop without ending, processes that evade whoever looks for them, and strangers that pretend to
/// belong to an instance. Each program writes <c>name pid</c> lines into the file <c>pids</c>.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class AliveTests
{
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
}
