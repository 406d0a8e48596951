using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Interop;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>
/// Two processes hold one listener; the other disposes its Socket during a synchronous accept. Unprotected, .NET ends the listener for
/// both: the first test shows that the hazard is real where the second is run.
/// </summary>
public sealed class SharedListenerTests
{
    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.Unix)]
    public async Task Unprotected_TheListenerIsDeadForEverybody(AddressFamily family)
    {
        using Socket listener = Listen(family, out EndPoint address);
        await using OtherProcess other = await OtherProcess.Start("dispose-raw");
        await other.Send(listener.SafeHandle);
        _ = await other.Answer();

        using var client = new Socket(family, SocketType.Stream, ProtocolType.Unspecified);
        SocketException refused = await Assert.ThrowsAsync<SocketException>(async () => await client.ConnectAsync(address));
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.Unix)]
    public async Task Protected_ItGoesOn(AddressFamily family)
    {
        using Socket listener = Listen(family, out EndPoint address);
        await using OtherProcess other = await OtherProcess.Start("dispose-protected");
        await other.Send(listener.SafeHandle);
        Assert.NotEqual("accepted", await other.Answer());

        await AssertServes(listener, address);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.Unix)]
    public async Task WhatIsTakenAsASocket_IsProtected(AddressFamily family)
    {
        using Socket listener = Listen(family, out EndPoint address);
        Socket taken = new NamedDescriptor("http", new FileDescriptor(Kernel.Duplicate(listener.SafeHandle))).TakeSocket();
        // Told by the flag that protection sets, and by accepting as ever.
        Assert.NotEqual(0, ClientLibc.fcntl((int)listener.SafeHandle.DangerousGetHandle(), ClientLibc.F_GETFL, 0) & 0x800);
        using var client = new Socket(family, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(address);
        using (Socket accepted = taken.Accept())
            Assert.True(accepted.Connected);
        var accepting = Task.Run(taken.Accept);
        taken.Dispose();
        _ = await Assert.ThrowsAnyAsync<Exception>(() => accepting.WaitAsync(Deadline.Generous));

        await AssertServes(listener, address);
    }

    private static async Task AssertServes(Socket listener, EndPoint address)
    {
        using var client = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(address);
        using Socket accepted = await listener.AcceptAsync().WaitAsync(Deadline.Generous);
        Assert.True(accepted.Connected);
    }

    private static Socket Listen(AddressFamily family, out EndPoint address)
    {
        var listener = new Socket(family, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(family == AddressFamily.Unix
            ? new UnixDomainSocketEndPoint($"\0launchd-client-test-{Guid.NewGuid():N}")
            : new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        address = listener.LocalEndPoint!;
        return listener;
    }
}
