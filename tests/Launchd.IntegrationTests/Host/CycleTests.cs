using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What a start takes, a stop gives back.</summary>
public sealed class CycleTests
{
    private const int Cycles = 2000;
    private const string One = """{"services":["app"]}""";

    [FactWhenRoot]
    public async Task ThousandsOfStartsAndStopsLeaveNothing()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            start = "manual"
            """);
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        await Cycle(control, 5);
        int before = Living.DescriptorCount(pid);

        await Cycle(control, Cycles);

        await control.DescriptorsAtMost(pid, before + Living.DescriptorsOfBirthThreads);
        await control.Until(() => !Living.ZombiesOf(pid).Any(), () => $"zombies {string.Join(' ', Living.ZombiesOf(pid))}");
        // A resting slot keeps its socket for its next instance.
        Assert.Single(Directory.GetFileSystemEntries(supervisor.Scratch.At("run/notify")), f => Path.GetFileName(f) != "state");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task Cycle(ControlSocket control, int count)
    {
        for (int i = 0; i < count; i++)
        {
            foreach (string verb in (string[])["Start", "Stop"])
            {
                System.Text.Json.JsonElement result = (await control.Call(verb, One)).GetProperty("results")[0];
                Assert.True(result.GetProperty("ok").GetBoolean(), $"{verb} {i}: {result}");
            }
        }
    }
}
