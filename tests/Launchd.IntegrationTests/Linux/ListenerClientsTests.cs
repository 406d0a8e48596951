using System.Net.Sockets;
using System.Net;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Who was accepted and not heard, by every kind of listener of which the kernel tells.</summary>
public sealed class ListenerClientsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("tcp", 1)]
    [InlineData("tcp6", 1)]
    [InlineData("unix", 0)]
    [InlineData("abstract", 0)]
    public void WhoHasSpokenIsHeardWhenTheServerHasRead(string kind, int silentCount)
    {
        using Socket listener = Listen(kind);
        using Socket client = new(listener.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(listener.LocalEndPoint!);
        Assert.Equal((0, 0), Look(listener));

        using Socket server = listener.Accept();
        // Who has connected and says nothing is known by TCP alone.
        Assert.Equal((1, silentCount), Look(listener));
        _ = client.Send("hello"u8);
        Assert.Equal((1, 1), Look(listener));
        Assert.Equal(5, server.Receive(new byte[100]));
        Assert.Equal((1, 0), Look(listener));
        // By TCP alone the kernel tells that something was read before.
        _ = client.Send("more"u8);
        Assert.Equal((1, 1 - silentCount), Look(listener));
    }

    [Fact]
    public void AServerThatSpeaksFirstIsNotHeldUpByWhoSaysNothing()
    {
        using Socket listener = Listen("tcp");
        using Socket client = new(listener.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(listener.LocalEndPoint!);
        using Socket server = listener.Accept();
        _ = server.Send("220 ready"u8);

        Assert.Equal((1, 0), Look(listener));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public void AnotherListenersConnectionIsNotAmongThem(string kind)
    {
        using Socket listener = Listen(kind), other = Listen(kind);
        using Socket client = new(listener.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(other.LocalEndPoint!);
        using Socket server = other.Accept();
        _ = client.Send("hello"u8);

        Assert.Equal((0, 0), Look(listener));
        Assert.Equal((1, 1), Look(other));
    }

    [Fact]
    public void WhatTakesNoConnectionsHasNone()
    {
        using Socket datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        datagrams.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using FileDescriptor borrowed = Borrow(datagrams);

        Assert.Null(ListenerClients.Of(borrowed));
    }

    private Socket Listen(string kind)
    {
        EndPoint address = kind switch
        {
            "tcp" => new IPEndPoint(IPAddress.Loopback, 0),
            "tcp6" => new IPEndPoint(IPAddress.IPv6Loopback, 0),
            "unix" => new UnixDomainSocketEndPoint(_directory[Guid.NewGuid().ToString("N")]),
            _ => new UnixDomainSocketEndPoint($"\0lcs-{Guid.NewGuid():N}"),
        };
        Socket listener = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(address);
        listener.Listen();
        return listener;
    }

    /// <summary>As of a program that has all sockets of this process.</summary>
    private static (int Found, int Unheard) Look(Socket listener)
    {
        using FileDescriptor borrowed = Borrow(listener);
        using ListenerClients clients = ListenerClients.Of(borrowed)!;
        int found = 0, unheard = 0;
        foreach ((int number, string link) in ProcessDescriptors.Links(Environment.ProcessId))
        {
            if (!link.StartsWith("socket:", StringComparison.Ordinal))
                continue;
            FileDescriptor socket = new(number);
            bool isIts = clients.Contain(socket);
            found += isIts ? 1 : 0;
            unheard += isIts && ListenerClients.IsUnheard(socket) ? 1 : 0;
            _ = socket.ReleaseNumber();
        }
        return (found, unheard);
    }

    private static FileDescriptor Borrow(Socket socket)
    {
        using FileDescriptor same = new((int)socket.Handle);
        FileDescriptor duplicate = same.Duplicate();
        _ = same.ReleaseNumber();
        return duplicate;
    }
}
