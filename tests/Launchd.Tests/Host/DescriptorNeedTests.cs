using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Host.Startup;
using Launchd.Model;
using Launchd.Tests.Config;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class DescriptorNeedTests
{
    [Theory]
    [InlineData(400, 1, 1024, true)]
    [InlineData(100, 4, 1024, true)]
    [InlineData(400, 1, 4096, false)]
    [InlineData(10, 1, 1024, false)]
    [InlineData(1, 1000, 4096, true)]
    public void ItIsSaidWhenNotAllServicesHaveRoom(int services, int instances, int limit, bool isSaid)
    {
        SupervisorDefinition definition = A.Definition(
            [.. Enumerable.Range(0, services).Select(i => A.Service($"s{i}") with { InstanceCount = instances })]);

        string? warning = DescriptorNeed.WarningFor(definition, (ulong)limit);

        Assert.Equal(isSaid, warning is not null);
        if (isSaid)
            Assert.Contains($"hard limit of open files is {limit}", warning, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutServicesItIsSaidAtASocket()
    {
        ConfigResult read = Reading.Read("""
            [sockets.many]
            listen = "tcp://127.0.0.1:8080"
            shards = 1024
            """);
        string need = DescriptorNeed.WarningFor(read.Definition!, hardLimit: 1024)!;

        Diagnostic warning = MachineCheck.OfNeed(read, need)!;

        Assert.StartsWith("its sockets and files need about 1132 descriptors", need, StringComparison.Ordinal);
        Assert.Contains("web.toml:2:", DiagnosticPrinter.OneLine(warning), StringComparison.Ordinal);
    }

    [Fact]
    public void ATerminalHasTwoEnds() => Assert.Equal(
        1 + DescriptorNeed.Of(A.Definition(A.Service("web"))),
        DescriptorNeed.Of(A.Definition(A.Service("web") with { HasTerminal = true })));

    [Fact]
    public void ServicesForConnectionsNeedNoneBeforeSomebodyComes() =>
        Assert.Equal(
            DescriptorNeed.Of(A.Definition()), DescriptorNeed.Of(A.Definition(A.Connection("each"))));
}
