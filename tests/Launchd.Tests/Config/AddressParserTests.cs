using Launchd.Addresses;
using Launchd.Config.Values;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class AddressParserTests
{
    [Theory]
    [InlineData("tcp://127.0.0.1:8080", "tcp://127.0.0.1:8080")]
    [InlineData("tcp://localhost:80", "tcp://127.0.0.1:80")]
    [InlineData("tcp://[::1]:80", "tcp://[::1]:80")]
    [InlineData("tcp://*:0", "tcp://*:0")]
    [InlineData("udp://*:53", "udp://*:53")]
    [InlineData("udp://0.0.0.0:65535", "udp://0.0.0.0:65535")]
    [InlineData("unix:/run/a.sock", "unix:/run/a.sock")]
    [InlineData("unix:///run/a.sock", "unix:/run/a.sock")]
    [InlineData("unix:a.sock", "unix:/etc/shop/a.sock")]
    [InlineData("unix:@name", "unix:@name")]
    [InlineData("unix-dgram:/run/log", "unix-dgram:/run/log")]
    [InlineData("unix-seqpacket:/run/x/../y", "unix-seqpacket:/run/y")]
    [InlineData("vsock://2:1024", "vsock://2:1024")]
    [InlineData("vsock://*:4294967295", "vsock://*:4294967295")]
    [InlineData("fifo:/run/pipe", "fifo:/run/pipe")]
    [InlineData("netlink:kobject-uevent:1", "netlink:kobject-uevent:1")]
    [InlineData("netlink:route", "netlink:route")]
    [InlineData("mqueue:/q", "mqueue:/q")]
    [InlineData("special:/dev/kmsg", "special:/dev/kmsg")]
    [InlineData("inherited:web", "inherited:web")]
    [InlineData("inherited:web.socket#1", "inherited:web.socket")]
    [InlineData("inherited:web#2", "inherited:web#2")]
    [InlineData("inherited:web#two", "inherited:web#two")]
    public void AnAddressIsReadAndSpelledAgain(string text, string spelled) =>
        Assert.Equal(spelled, AddressParser.Parse(text, "/etc/shop").Address?.ToString());

    [Fact]
    public void BytesThatAreNoUtf8CountOnce()
    {
        string raw = new('\uDC80', 100), directory = "/" + new string('\uDC80', 2000);

        Assert.Equal("unix:@" + raw, AddressParser.Parse("unix:@" + raw, "/").Address?.ToString());
        Assert.Equal($"unix:{directory}/a.sock", AddressParser.Parse("unix:a.sock", directory).Address?.ToString());
        Assert.Contains("has 108 bytes", AddressParser.Parse("unix:@" + new string('\uDC80', 108), "/").Problem!);
    }

    [Theory]
    [InlineData("tcp://127.0.0.1:99999", "port 99999 is out of range 1-65535", null)]
    [InlineData("tcp://127.0.0.1:http", "'http' is no port number", "write the number")]
    [InlineData("tcp://127.0.0.1", "has no port", "write tcp://HOST:PORT")]
    [InlineData("tcp://[::1]", "has no port", "write tcp://HOST:PORT")]
    [InlineData("tcp://::1:80", "needs brackets", "write tcp://[::1]:80")]
    [InlineData("tcp://:80", "the host is missing", "tcp://*:80")]
    [InlineData("tcp://1:80", "no IP address", null)]
    [InlineData("tcp://1.2.3.256:80", "no IP address", null)]
    [InlineData("tcp://example.org:80", "'example.org' is not looked up", "write its address")]
    [InlineData("tpc://127.0.0.1:80", "is no address", "did you mean 'tcp://'?")]
    [InlineData("127.0.0.1:80", "is no address", "write tcp://127.0.0.1:80")]
    [InlineData("/run/a.sock", "is no address", "write unix:/run/a.sock for a Unix socket")]
    [InlineData("unix:", "the path is missing", null)]
    [InlineData("unix:@", "the abstract name", null)]
    [InlineData("unix:/run/", "names a directory", null)]
    [InlineData("vsock://x:1", "no vsock context id", null)]
    [InlineData("inherited:", "no name of a passed socket", "FileDescriptorName=")]
    [InlineData("inherited:a:b", "no name of a passed socket", "FileDescriptorName=")]
    [InlineData("inherited:web#0", "no name of a passed socket", "inherited:NAME#2")]
    [InlineData("vsock://1:4294967296", "no vsock port", null)]
    [InlineData("netlink:rout", "no netlink family 'rout'", "did you mean 'route'?")]
    [InlineData("netlink:route:x", "no netlink group", null)]
    [InlineData("mqueue:q", "no name of a message queue", null)]
    public void AWrongAddressSaysWhatIsWrong(string text, string problem, string? hint)
    {
        AddressResult result = AddressParser.Parse(text, "/etc/shop");

        Assert.Null(result.Address);
        Assert.Contains(problem, result.Problem, StringComparison.Ordinal);
        if (hint is not null)
            Assert.Contains(hint, result.Hint, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(4095, true)]
    [InlineData(4096, false)]
    public void AUnixPathMayBeAsLongAsAnyPath(int length, bool isAllowed) =>
        Assert.Equal(isAllowed, AddressParser.Parse("unix:/" + new string('x', length - 1), "/").Address is not null);

    [Theory]
    [InlineData("sock-diag", 4)]
    [InlineData("audit", 9)]
    [InlineData("selinux", 7)]
    [InlineData("netfilter", 12)]
    [InlineData("generic", 16)]
    public void NetlinkFamiliesHaveTheKernelsNumbers(string name, int number) =>
        Assert.Equal(number, ((ListenAddress.Netlink)AddressParser.Parse("netlink:" + name, "/").Address!).Family);
}

public sealed class QuantitiesTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("10s", 10_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("5m", 300_000)]
    [InlineData("1h30m", 5_400_000)]
    [InlineData("0s", 0)]
    public void ADurationIsANumberWithAUnit(string text, double milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), Quantities.ParseDuration(text));

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("s")]
    [InlineData("-1s")]
    [InlineData("1 s")]
    [InlineData("1.2.3s")]
    [InlineData("1x")]
    public void WhatHasNoUnitIsNoDuration(string text) => Assert.Null(Quantities.ParseDuration(text));

    [Theory]
    [InlineData("64KiB", 65_536L)]
    [InlineData("10MiB", 10_485_760L)]
    [InlineData("1.5GiB", 1_610_612_736L)]
    [InlineData("7", 7L)]
    [InlineData("1MB", 1_000_000L)]
    [InlineData("99999999999999999999TiB", long.MaxValue)]
    public void ASizeIsANumberOfBytes(string text, long bytes) => Assert.Equal(bytes, Quantities.ParseSize(text));

    [Theory]
    [InlineData("")]
    [InlineData("KiB")]
    [InlineData("-1")]
    [InlineData("1XiB")]
    public void OtherTextIsNoSize(string text) => Assert.Null(Quantities.ParseSize(text));

    [Theory]
    [InlineData("0640", 0b110_100_000)]
    [InlineData("7777", 0b111_111_111_111)]
    [InlineData("8", null)]
    [InlineData("", null)]
    [InlineData("rw-r--r--", null)]
    public void AModeIsOctal(string text, int? mode) => Assert.Equal(mode, Quantities.ParseMode(text));
}
