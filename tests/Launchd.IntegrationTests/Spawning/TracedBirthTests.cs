using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Spawning;

/// <summary>Births as strace(1) sees them, and with calls that it makes fail: the right stage, the right error, nothing left.</summary>
[Collection(nameof(Supervisors))]
public sealed class TracedBirthTests
{
    private const int EXDEV = 18, ESRCH = 3;

    [FactWhenRootAndTool("strace")]
    public async Task EverythingIsClosedBeforeAnythingIsGivenUp()
    {
        using Scratch place = new();
        await using Supervisor supervisor = Start(
            ["-o", place.At("trace"), "-e", "trace=close_range,setgroups,setresgid,setresuid,execve"],
            """
            [services.app]
            command = ["sleep", "2147483647"]
            user = "nobody"
            working_directory = "/"
            """);
        Happening spawned = await supervisor.Event("spawned", "app");
        Living.Signal(await supervisor.Pid(), Living.SIGTERM);
        Assert.Equal(0, await supervisor.Ended());

        // "PID call(arguments) = result", or in two lines, of which the second is "PID <... call resumed>) = result".
        string[] calls = [.. File.ReadLines(place.At("trace")).Where(l => l.StartsWith($"{spawned.Pid} ", StringComparison.Ordinal))
            .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1])
            .Where(c => c.Contains('(')).Select(c => c[..c.IndexOf('(')])];
        Assert.Equal(["setgroups", "setresgid", "setresuid", "execve"], calls.Where(c => c != "close_range").Distinct());
        Assert.Contains("close_range", calls);
        Assert.True(Array.LastIndexOf(calls, "close_range") < Array.IndexOf(calls, "setgroups"), string.Join(' ', calls));
    }

    [TheoryWhenRootAndTool("strace")]
    [InlineData("clone", "clone", EXDEV)]
    [InlineData("setsid", "session", EXDEV)]
    [InlineData("close_range", "descriptors", EXDEV)]
    [InlineData("setpriority", "nice", EXDEV)]
    [InlineData("chdir", "working directory", EXDEV)]
    [InlineData("setgroups", "groups", EXDEV)]
    [InlineData("setresgid", "group", EXDEV)]
    [InlineData("setresuid", "user", EXDEV)]
    [InlineData("getresuid", "verify", EXDEV)]
    [InlineData("capset", "capabilities", EXDEV)]
    [InlineData("getppid", "parent death signal", ESRCH)]
    public async Task ACallThatFailsIsNamed_AndNothingIsLeft(string call, string stage, int errno)
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            start = "manual"
            restart = "never"
            user = "nobody"
            working_directory = "/"
            nice = 5
            ambient_capabilities = ["CAP_NET_BIND_SERVICE"]
            parent_death_signal = "KILL"
            no_new_privileges = true
            """,
            Untraced);
        int pid = await supervisor.Pid();
        // Only now, so that the supervisor itself can be started.
        await using Command trace = Command.Start(["strace", "-f", "-qq", "-o", "/dev/null", "-e", $"trace={call}",
            "-e", $"inject={call}:error=EXDEV", "-p", pid.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await supervisor.Until(() => Living.IsTraced(pid));
        using ControlSocket control = await ControlSocket.To(supervisor);
        const string Start1 = """{"services":["app"]}""";
        _ = await control.Call("Start", Start1);
        int before = Living.DescriptorCount(pid);
        // One more than what other threads may have opened meanwhile.
        for (int i = 0; i <= Living.DescriptorsOfBirthThreads; i++)
            _ = await control.Call("Start", Start1);

        Happening failed = await supervisor.Event("exec-failed", "app", nth: 2);

        Assert.Equal((stage, errno), (failed.Text("stage"), failed.Number("errno")));
        await control.DescriptorsAtMost(pid, before + Living.DescriptorsOfBirthThreads);
        await control.Until(() => !Living.ZombiesOf(pid).Any(), () => $"zombies {string.Join(' ', Living.ZombiesOf(pid))}");
        Living.Signal(pid, Living.SIGTERM);
        Assert.Equal(0, await supervisor.Ended());
    }

    // A child can have one tracer only, so nobody else may look at it.
    private static Supervisor Start(IEnumerable<string> options, string text) => Supervisor.StartTextBy(
        ["strace", "-f", "-qq", .. options],
        text,
        Untraced);

    private static Dictionary<string, string> Untraced => new(Supervisor.Unaudited) { ["LAUNCHD_SPAWN"] = "clone" };
}
