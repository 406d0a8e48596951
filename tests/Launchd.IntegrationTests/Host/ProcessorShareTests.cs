using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Programs that compute without end have less of the processors than their supervisor.</summary>
public sealed class ProcessorShareTests
{
    [FactWhenAutogroups]
    public async Task InASessionOfItsOwn_TheSupervisorGoesBeforeItsServices()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["setsid"], """
            [supervisor]
            keeper = false
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        Happening spawned = await supervisor.Events.First(e => e.Kind == "spawned", "birth");

        Assert.EndsWith($" nice {Autogroup.Nice}", Share(supervisor.StartedPid));
        Assert.EndsWith(" nice 0", Share(spawned.Pid));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenAutogroups]
    public async Task TheSessionOfAShell_IsLeftAsItIs()
    {
        string before = Share(Environment.ProcessId);
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = false
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Events.First(e => e.Kind == "spawned", "birth");

        Assert.Equal(before, Share(supervisor.StartedPid));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>The keeper gives it one, so that it always goes before its services.</summary>
    [FactWhenAutogroups]
    public async Task AsAChildOfTheKeeper_TheSupervisorHasASessionOfItsOwn()
    {
        string before = Share(Environment.ProcessId);
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Events.First(e => e.Kind == "spawned", "birth");

        Assert.EndsWith($" nice {Autogroup.Nice}", Share(await supervisor.Pid()));
        Assert.Equal(before, Share(supervisor.StartedPid));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Share(int pid) => File.ReadAllText($"/proc/{pid}/autogroup").Trim();
}
