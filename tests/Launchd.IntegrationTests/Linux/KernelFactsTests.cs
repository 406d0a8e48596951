using System.Collections.Immutable;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Facts;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

public sealed class KernelFactsTests
{
    [Fact]
    public void EveryFindingIsComplete_NamedOnce_AndChangesNothing()
    {
        using var directory = new TemporaryDirectory();
        ImmutableArray<KernelFinding> findings = KernelFacts.Collect(directory["not/yet/there"]);

        Assert.All(findings, finding => Assert.False(string.IsNullOrEmpty(finding.Text) || string.IsNullOrEmpty(finding.Consequence),
            finding.Name));
        Assert.Equal(findings.Length, findings.Select(finding => finding.Name).Distinct().Count());
        Assert.Empty(Directory.GetFileSystemEntries(directory.Path));
        KernelFinding place = findings.Single(finding => finding.Name == "runtime-directory");
        Assert.Equal((FindingState.Ok, $"{directory["not/yet/there"]} can be made in {directory.Path}"), (place.State, place.Text));
    }

    [FactWhenKernel(6, 16)]
    public void OnANewKernelTheProbesFindWhatItHas()
    {
        Dictionary<string, FindingState> states = KernelFacts.Collect("/tmp").ToDictionary(finding => finding.Name, finding =>
            finding.State);
        foreach (string name in new[] { "kernel", "pidfd-open", "pidfd-inodes", "close-range", "so-passpidfd", "so-peerpidfd",
            "so-passrights", "memory-sealing" })
        {
            Assert.Equal((name, FindingState.Ok), (name, states[name]));
        }
    }
}
