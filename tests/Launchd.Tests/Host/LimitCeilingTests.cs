using Launchd.Host.Provisioning;
using Launchd.Linux.Paths;
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

    [Theory]
    [InlineData(0x1000000, "         0          0 4294967295\n", true)]
    [InlineData(0x1000000, null, true)]
    [InlineData(0x0000000, "         0          0 4294967295\n", false)]
    [InlineData(0x1000000, "         0       1000          1\n", false)]
    [InlineData(0x1000000, "         0     100000      65536\n", false)]
    [InlineData(0x1000000, "         0          0          1\n         1          1 4294967294\n", false)]
    [InlineData(0x1000000, "", false)]
    public void ACapabilityInAUserNamespaceRaisesNothing(int held, string? userMap, bool mayRaise) =>
        Assert.Equal(mayRaise, LimitCeiling.MayRaise($"Name:\tx\nCapEff:\t{held:x16}\nSeccomp:\t0\n",
            userMap is null ? null : UserMap.Parse(userMap)));

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
