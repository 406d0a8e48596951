using System.Net;
using System.Net.Sockets;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Config.Values;
using Launchd.Linux.Listening;
using Launchd.Linux.Sockets;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Linux;

public sealed class ListenerRepairTests
{
    private const int Backlog = 64;

    [Fact]
    public void WhatIsSpoiltAgainWhileItIsMended_NeedsNoOtherRemedy()
    {
        ListenAddress endpoint = new ListenAddress.Tcp(IPAddress.Loopback, 0);
        OpenedListener listener = ListenerOpener.Open(new ListenerRequest { Endpoints = [endpoint] }).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        endpoint = ListenerRepair.Bound(endpoint, listener);
        int spoilt = 0;
        using CancellationTokenSource done = new();
        Thread holder = new(() =>
        {
            while (!done.IsCancellationRequested)
            {
                if (shutdown(held.Number, SHUT_RD) == 0)
                    Volatile.Write(ref spoilt, spoilt + 1);
            }
        });
        holder.Start();

        // Until it has been spoilt right after its cure many times.
        while (Volatile.Read(ref spoilt) < 200)
            Assert.True(ListenerRepair.TryMend(listener, endpoint, ListenerRepair.Look(listener, endpoint, Backlog), Backlog));

        done.Cancel();
        holder.Join();
        Assert.True(ListenerRepair.TryMend(listener, endpoint, ListenerRepair.Look(listener, endpoint, Backlog), Backlog));
        Assert.Equal(ListenerFault.None, ListenerRepair.Look(listener, endpoint, Backlog));
    }

    [Fact]
    public unsafe void WhatAFaultHidIsMendedWithIt()
    {
        ListenAddress endpoint = new ListenAddress.Tcp(IPAddress.Loopback, 0);
        OpenedListener listener = ListenerOpener.Open(new ListenerRequest { Endpoints = [endpoint] }).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        endpoint = ListenerRepair.Bound(endpoint, listener);
        ulong dropAll = 0x06;
        nuint* program = stackalloc nuint[2];
        program[0] = 1;
        program[1] = (nuint)(&dropAll);
        Assert.Equal(0, setsockopt(held.Number, SOL_SOCKET, SO_ATTACH_FILTER, program, 16));
        Assert.Equal(0, shutdown(held.Number, SHUT_RD));
        Assert.Equal(ListenerFault.ShutDown, ListenerRepair.Look(listener, endpoint, Backlog));

        Assert.True(ListenerRepair.TryMend(listener, endpoint, ListenerFault.ShutDown, Backlog));

        Assert.Equal(ListenerFault.None, ListenerRepair.Look(listener, endpoint, Backlog));
        Assert.Equal((0, Backlog), ListenerState.ReadQueue(held));
    }

    // The first shutdown ends the listening, the second leaves its mark on the socket, which accept(2) hands down (Linux 6.18): a server
    // would read the end of a request before its client has said anything.
    [Theory]
    [InlineData("tcp://127.0.0.1:0")]
    [InlineData("tcp://[::1]:0")]
    public async Task ClientsOfAListenerThatWasShutDownTwiceAreHeard(string address)
    {
        ListenAddress endpoint = AddressParser.Parse(address, "/").Address!;
        OpenedListener listener = ListenerOpener.Open(new ListenerRequest { Endpoints = [endpoint] }).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        endpoint = ListenerRepair.Bound(endpoint, listener);
        Assert.Equal(0, shutdown(held.Number, SHUT_RD));
        _ = shutdown(held.Number, SHUT_RD);

        Assert.True(ListenerRepair.TryMend(listener, endpoint, ListenerRepair.Look(listener, endpoint, Backlog), Backlog));

        Assert.Equal(ListenerFault.None, ListenerRepair.Look(listener, endpoint, Backlog));
        using Socket client = new(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPEndPoint.Parse(listener.Address["tcp://".Length..]));
        using FileDescriptor accepted = UnixSocket.Accept(held, out Errno refused) ?? throw new InvalidOperationException(refused.Text);
        Assert.False(ListenerState.IsReadable(accepted), "the end of a client who has said nothing");
    }
}
