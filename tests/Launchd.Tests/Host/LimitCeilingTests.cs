using Launchd.Host.Provisioning;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class LimitCeilingTests
{
    [Fact]
    public void InfinityOfOpenFilesIsWhatTheKernelGives()
    {
        (int resource, ulong soft, ulong hard) = LimitCeiling.Resolve(
            new ResourceLimit(ResourceKind.Nofile, ResourceLimit.Infinity, ResourceLimit.Infinity));

        Assert.Equal((int)ResourceKind.Nofile, resource);
        Assert.True(hard <= LimitCeiling.MostFiles);
        Assert.Equal(hard, soft);
        Assert.Null(LimitCeiling.FaultOf([(resource, soft, hard)]));
        Assert.Equal(hard, LimitCeiling.Resolve(new ResourceLimit(ResourceKind.Nofile, 256, ResourceLimit.Infinity)).Hard);
        Assert.Equal(256UL, LimitCeiling.Resolve(new ResourceLimit(ResourceKind.Nofile, 256, ResourceLimit.Infinity)).Soft);
    }

    [Fact]
    public void OfOtherResourcesInfinityIsNone() =>
        Assert.Equal(
            ((int)ResourceKind.Core, 0UL, ResourceLimit.Infinity),
            LimitCeiling.Resolve(new ResourceLimit(ResourceKind.Core, 0, ResourceLimit.Infinity)));

    [Fact]
    public void AboveTheCeiling_LimitCeilingAndRemedyAreNamed()
    {
        string fault = LimitCeiling.FaultOf([((int)ResourceKind.Core, 0, 0), ((int)ResourceKind.Nofile, 1024, 4_000_000_000)])!;

        Assert.StartsWith(
            $"nofile = \"1024:4000000000\" is above fs.nr_open, which is {LimitCeiling.MostFiles}", fault, StringComparison.Ordinal);
        Assert.Contains("sysctl -w fs.nr_open=4000000000", fault, StringComparison.Ordinal);
        Assert.Null(LimitCeiling.FaultOf([((int)ResourceKind.Nofile, 16, 16)]));
    }
}
