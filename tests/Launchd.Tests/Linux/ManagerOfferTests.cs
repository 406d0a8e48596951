using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.Tests.Linux;

/// <summary>What a service manager offers by variables.</summary>
public sealed class ManagerOfferTests
{
    private const int Own = 4711;

    [Fact]
    public void WithoutVariables_Nothing()
    {
        ManagerOffer offer = Read();
        Assert.Null(offer.NotifySocket);
        Assert.Null(offer.WatchdogPeriod);
        Assert.Equal(0, offer.StoreCount);
        Assert.Empty(offer.Descriptors);
    }

    [Theory]
    [InlineData("/run/systemd/notify", true)]
    [InlineData("@abstract", true)]
    [InlineData("@", false)]
    [InlineData("relative", false)]
    [InlineData("vsock:2:1", false)]
    [InlineData("", false)]
    public void ASocketIsAPathOrAnAbstractName(string value, bool isOne) =>
        Assert.Equal(isOne ? value : null, Read(("NOTIFY_SOCKET", value)).NotifySocket);

    [Theory]
    [InlineData("4711", true)]
    [InlineData("", true)]
    [InlineData("4712", false)]
    [InlineData("x", false)]
    public void TheWatchdogIsForOneProcess(string pid, bool isMeant) =>
        Assert.Equal(isMeant ? TimeSpan.FromSeconds(3) : null, Read(("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", pid)).WatchdogPeriod);

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("9223372036854775807")]
    [InlineData("99999999999999999999")]
    [InlineData("soon")]
    public void APeriodThatMakesNoSenseIsNone(string period) => Assert.Null(Read(("WATCHDOG_USEC", period)).WatchdogPeriod);

    [Fact]
    public void DescriptorsHaveTheirNames() => Assert.Equal<OfferedDescriptor>(
        [new OfferedDescriptor(3, "web"), new OfferedDescriptor(4, "web"), new OfferedDescriptor(5, "")],
        Read(("LISTEN_PID", "4711"), ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "web:web:")).Descriptors);

    [Theory]
    [InlineData(null)]
    [InlineData("one")]
    [InlineData("one:two:three")]
    public void WithoutAsManyNames_AllAreUnknown(string? names) => Assert.Equal<OfferedDescriptor>(
        [new OfferedDescriptor(3, "unknown"), new OfferedDescriptor(4, "unknown")],
        Read(("LISTEN_PID", "4711"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", names)).Descriptors);

    [Theory]
    [InlineData("4712", "1")]
    [InlineData("", "1")]
    [InlineData("4711", "0")]
    [InlineData("4711", "-1")]
    [InlineData("4711", "2147483647")]
    [InlineData("4711", "")]
    public void DescriptorsOfAnother_OrOfNoCount_AreNone(string pid, string count) =>
        Assert.Empty(Read(("LISTEN_PID", pid), ("LISTEN_FDS", count)).Descriptors);

    private static ManagerOffer Read(params (string Name, string? Value)[] variables) =>
        ManagerOffer.Read(Own, name => variables.FirstOrDefault(v => v.Name == name).Value);
}
