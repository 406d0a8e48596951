using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// As the first process of a pid namespace, which a container is: it reaps everybody's orphans, and its end is the end of all.
/// </summary>
public sealed class FirstProcessTests
{
    private static readonly string[] Unshared = ["unshare", "--fork", "--pid", "--mount-proc"];

    [TheoryWhenRoot]
    [InlineData("true")]
    [InlineData("false")]
    public async Task OrphansAreReaped_AndServicesEndWhenItIsAsked(string keeper)
    {
        const string orphans = "for i in 1 2 3 4 5; do (setsid sh -c 'exit 3' &); done; (setsid sleep 2147483646 &)";
        await using Supervisor supervisor = Supervisor.StartTextBy(Unshared, $"""
            [supervisor]
            keeper = {keeper}
            [services.app]
            command = ["/bin/sh", "-c", "{orphans}; exec sleep 2147483647"]
            """);
        Happening started = await supervisor.Event("supervisor-started");
        Happening spawned = await supervisor.Event("spawned", "app");
        int first = ChildOf(supervisor.StartedPid);
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.Equal(keeper == "false", started.Pid == 1);
        int parent = keeper == "false" ? first : ChildOf(first);
        Assert.True(spawned.Pid < 100, "its number is one of the namespace");
        // The service and the orphan that stays; no ended one is left. Each answer is a turn of the loop.
        await control.Until(
            () => Living.ChildrenOf(parent).Length == 2 && !Living.ZombiesOf(parent).Concat(Living.ZombiesOf(first)).Any(),
            () => "children " + string.Join(' ', Living.ChildrenOf(parent)));

        Living.Signal(first, Living.SIGTERM);

        Assert.Equal(0, await supervisor.Ended());
        Assert.Contains("TERM", (await supervisor.Event("exited", "app")).Text("signal"), StringComparison.Ordinal);
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task ItsOutputAndEnvironmentAreThereForTheProgramsOfAContainer()
    {
        // The capabilities of Docker's default, which have no CAP_SYS_PTRACE. A birth as another user comes first.
        const string capabilities = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
            + "+sys_chroot,+mknod,+audit_write,+setfcap";
        await using Supervisor supervisor = Supervisor.StartTextBy(
            [.. Unshared, "setpriv", $"--bounding-set={capabilities}", "--inh-caps=-all"], """
            [services.other]
            command = ["sleep", "2147483647"]
            user = "nobody"
            working_directory = "/"
            [services.cron]
            command = ["sh", "-c", "grep -qz PATH= /proc/1/environ && echo from cron > /proc/1/fd/1; exec sleep 2147483647"]
            requires = ["other"]
            """,
            // Nor may the supervisor look into children of another user.
            Supervisor.Unaudited);

        _ = await supervisor.Output.First(line => line == "from cron", "what it wrote to the output of the first process");

        Living.Signal(ChildOf(supervisor.StartedPid), Living.SIGTERM);
        Assert.Equal(0, await supervisor.Ended());
    }

    [FactWhenRoot]
    public async Task ItEndsWithTheCodeOfTheServiceThatItIsFor()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(
            Unshared,
            """
            [services.app]
            command = ["/bin/sh", "-c", "exit 7"]
            restart = "never"
            [services.other]
            command = ["sleep", "2147483647"]
            """,
            "--exit-with", "app");

        Assert.Equal(7, await supervisor.Ended());
    }

    [FactWhenRoot]
    public async Task AServiceThatKillsEverybodyItCanDoesNotEndIt()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(Unshared, """
            [supervisor]
            keeper = false
            [services.app]
            command = ["/bin/sh", "-c", "[ -e once ] && exec sleep 2147483647; : > once; kill -KILL -1; kill -KILL $$$$"]
            backoff = { initial = "1ms" }
            """);

        // kill(2): -1 spares the first process, and the kernel keeps SIGKILL of its own namespace from it.
        Happening second = await supervisor.Event("spawned", "app", nth: 2);
        _ = await supervisor.Events.First(e => e.Kind == "ready" && e.Pid == second.Pid, "the second is ready");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());

        Living.Signal(ChildOf(supervisor.StartedPid), Living.SIGTERM);
        Assert.Equal(0, await supervisor.Ended());
    }

    private static int ChildOf(int pid) => Assert.Single(Living.ChildrenOf(pid));
}
