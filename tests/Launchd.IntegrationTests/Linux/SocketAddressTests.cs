using System.Net;
using Launchd.Client;
using Launchd.Interop;
using Xunit;
using static Tmds.Linux.LibC;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Who is at the other end, as programs read it in REMOTE_ADDR and REMOTE_PORT.</summary>
public sealed class SocketAddressTests
{
    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("::1", "::1")]
    [InlineData("::ffff:127.0.0.1", "127.0.0.1")]
    [InlineData("fe80::1%2", "fe80::1%2")]
    public void AnAddressOfTheInternet_HasAHostAndAPort(string host, string expected)
    {
        SocketAddress address = SocketAddress.Internet(IPAddress.Parse(host), 7000);
        Assert.Equal((expected, 7000u), (address.RemoteHost, address.RemotePort));
    }

    [Fact]
    public void AVirtualMachine_HasItsNumberAndAPort()
    {
        SocketAddress address = SocketAddress.Vsock(7, uint.MaxValue - 1);
        Assert.Equal(("vsock:7", uint.MaxValue - 1), (address.RemoteHost, address.RemotePort));
    }

    [Fact]
    public void APath_IsItself()
    {
        SocketAddress address = SocketAddress.UnixPath("/run/a b.sock")!;
        Assert.Equal(("/run/a b.sock", (uint?)null), (address.RemoteHost, address.RemotePort));
    }

    // A name that would begin another variable or another line.
    [Fact]
    public void AnAbstractName_IsPrintableWhateverItHolds()
    {
        Assert.Equal(@"@a\000EVIL=1\012b\134\303\244", SocketAddress.UnixAbstract("a\0EVIL=1\nb\\ä")!.RemoteHost);
    }

    [Fact]
    public void AnAbstractNameThatIsNoUtf8_ComesBackAsItsBytes()
    {
        string raw = "a" + new string('\uDC80', 106);

        SocketAddress address = SocketAddress.UnixAbstract(raw)!;

        Assert.Equal("@" + raw, address.UnixName);
        Assert.Null(SocketAddress.UnixAbstract(raw + "a"));
    }

    [Fact]
    public void WhoHasNoName_HasNone()
    {
        using FileDescriptor made = new(socket(Libc.AF_UNIX, Libc.SOCK_STREAM | SOCK_CLOEXEC, 0));
        Assert.Null(SocketAddress.OfSocket(made)!.RemoteHost);
    }
}
