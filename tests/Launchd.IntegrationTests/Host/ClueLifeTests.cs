using System.Globalization;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What real programs meet, and what the supervisor says of it.</summary>
public sealed class ClueLifeTests
{
    [Fact]
    public async Task InputThatIsOpen_NeverEnds_AndTheSupervisorHoldsNothingOfIt()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.open]
            command = ["cat"]
            input = "open"
            [services.empty]
            command = ["cat"]
            start_limit = { burst = 1 }
            """);
        Happening ready = await supervisor.Event("ready", "open");
        Happening failed = await supervisor.Event("failed", "empty");

        Assert.Contains("input = \"open\"", failed.Text("reason"), StringComparison.Ordinal);
        string facts = File.ReadAllText($"/proc/{ready.Pid}/fdinfo/0");
        string flags = facts.Split('\n').Single(l => l.StartsWith("flags:", StringComparison.Ordinal))["flags:".Length..].Trim();
        Assert.Equal(2, Convert.ToInt32(flags, 8) & 3);
        string? pipe = new FileInfo($"/proc/{ready.Pid}/fd/0").LinkTarget;
        Assert.StartsWith("pipe:", pipe, StringComparison.Ordinal);
        string[] own = Directory.GetFiles($"/proc/{await supervisor.Pid()}/fd");
        Assert.DoesNotContain(own, f => DescriptorLinks.IsTo(f, pipe!));
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "exited" && e.Service == "open");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AReadyOfAChild_IsNamedInTheReason_AndAProbesLastAnswer()
    {
        using Socket held = LoopbackPort.Hold(out int port);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [defaults]
            ready_timeout = "5s"
            restart = "never"
            [services.wrapped]
            command = ["/bin/sh", "-c", "${DOTNET} ${PROBE} --ready --exit 0; exit 3"]
            ready = "notify"
            ready_timeout = "1h"
            [services.probed]
            command = ["sleep", "2147483647"]
            ready = { tcp = "localhost:{{port.ToString(CultureInfo.InvariantCulture)}}" }
            [services.quiet]
            command = ["sleep", "2147483647"]
            ready = { output = "ready" }
            """);

        string? wrapped = (await supervisor.Event("failed", "wrapped")).Text("reason");
        Assert.Contains("READY=1 came from process", wrapped, StringComparison.Ordinal);
        Assert.Contains("notify_access", wrapped, StringComparison.Ordinal);
        string? probed = (await supervisor.Event("failed", "probed")).Text("reason");
        Assert.Contains("(neither 127.0.0.1 nor ::1)", probed, StringComparison.Ordinal);
        string? quiet = (await supervisor.Event("failed", "quiet")).Text("reason");
        Assert.Contains("it has written nothing", quiet, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }
}
