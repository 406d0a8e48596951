using System.Net;
using System.Net.Sockets;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Listening;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Listeners that let nobody in any more while those who have come are still accepted.</summary>
public sealed class ListenerIntakeTests
{
    [Fact]
    public void AnAbstractNameKeepsOnePlace_UntilItIsEnded_AndGivesOutWhoWaits()
    {
        string name = $"launchd-intake-{Guid.NewGuid():N}";
        var endpoint = new ListenAddress.Unix(UnixSocketKind.Stream, name, IsAbstract: true);
        OpenedListener listener = Open(endpoint);
        using FileDescriptor held = listener.Descriptor;
        using Socket program = Copy(held);
        var address = new UnixDomainSocketEndPoint("\0" + name);
        Assert.Null(ListenerIntake.Stop(listener, endpoint));
        Assert.True(ListenerIntake.IsEmpty(listener, endpoint, countsHandshakes: true));
        using Socket last = Connect(address);

        Assert.True(ListenerIntake.End(listener, endpoint));

        Assert.False(ListenerIntake.IsQueueEmpty(listener));
        Assert.Equal(SocketError.ConnectionRefused, Assert.Throws<SocketException>(() => Connect(address)).SocketErrorCode);
        using Socket accepted = program.Accept();
        Assert.Equal(3, accepted.Send("yes"u8));
        Assert.Equal(3, last.Receive(new byte[8]));
        Assert.True(ListenerIntake.IsQueueEmpty(listener));
    }

    [Fact]
    public void WhatGoesByPathOrPacketIsNotEnded()
    {
        var endpoint = new ListenAddress.Tcp(IPAddress.Loopback, 0);
        OpenedListener listener = Open(endpoint);
        using FileDescriptor held = listener.Descriptor;

        Assert.False(ListenerIntake.End(listener, endpoint));

        Assert.True(ListenerState.IsAlive(held));
    }

    [Fact]
    public void APortThatWasStoppedAnswersNobodyNew_AndGoesOnAsItWas()
    {
        var endpoint = new ListenAddress.Tcp(IPAddress.Loopback, 0);
        OpenedListener listener = Open(endpoint);
        using FileDescriptor held = listener.Descriptor;
        var address = new IPEndPoint(IPAddress.Loopback, ListenerRepair.PortOf(listener));
        using Socket first = Connect(address);

        Assert.Null(ListenerIntake.Stop(listener, endpoint));

        Assert.False(ListenerIntake.IsEmpty(listener, endpoint, countsHandshakes: true));
        using Socket late = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
        Assert.Equal(SocketError.WouldBlock, Assert.Throws<SocketException>(() => late.Connect(address)).SocketErrorCode);
        using Socket program = Copy(held);
        program.Accept().Dispose();
        Assert.True(ListenerIntake.IsEmpty(listener, endpoint, countsHandshakes: true));
        Assert.False(late.Poll(0, SelectMode.SelectWrite));

        ListenerIntake.Resume(listener, endpoint, backlogCount: 64, aside: null);
        using Socket next = Connect(address);
        Assert.Equal(ListenerFault.None, ListenerRepair.Look(listener, endpoint, 64));
    }

    private static OpenedListener Open(ListenAddress endpoint) =>
        ListenerOpener.Open(new ListenerRequest { Endpoints = [endpoint], BacklogCount = 64 }).Value.Listeners[0];

    private static Socket Copy(FileDescriptor listener) =>
        new(new SafeSocketHandle(Tmds.Linux.LibC.dup(listener.Number), ownsHandle: true)) { Blocking = true };

    private static Socket Connect(EndPoint address)
    {
        Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            client.Connect(address);
            return client;
        }
        catch (SocketException)
        {
            client.Dispose();
            throw;
        }
    }
}
