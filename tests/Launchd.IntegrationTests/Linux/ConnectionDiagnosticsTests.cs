using System.Net;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Listeners;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Listening;
using Launchd.Linux.Sockets;
using Xunit;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.IntegrationTests.Linux;

/// <summary>
/// Whether a connection is open, for every kind of listener that has connections: in its queue, accepted, and closed again. Beside no test
/// that starts processes: a child has copies of everything until it executes its program.
/// </summary>
[Collection(nameof(Host.Supervisors))]
public sealed class ConnectionDiagnosticsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public static TheoryData<string> Kinds => ["tcp", "tcp6", "tcp-any", "unix", "unix-seqpacket", "unix-long", "unix-abstract"];

    public void Dispose() => _directory.Dispose();

    [Theory]
    [MemberData(nameof(Kinds))]
    public void AConnectionIsSeenFromItsArrivalUntilItsEnd(string kind)
    {
        ListenAddress endpoint = Endpoint(kind);
        using FileDescriptor listener = ListenerOpener.Open(new ListenerRequest { Endpoints = [endpoint] }).Value.Listeners[0].Descriptor;
        Assert.False(ConnectionDiagnostics.HasConnections(listener));

        FileDescriptor client = Connector.Connect(Target(endpoint, listener), TimeSpan.FromSeconds(10)).Value;
        Assert.True(ListenerUse.IsUsed(listener), "waiting in the queue");

        FileDescriptor accepted = UnixSocket.Accept(listener, out _)!;
        Assert.True(ConnectionDiagnostics.HasConnections(listener), "accepted");

        accepted.Dispose();
        client.Dispose();
        Assert.False(ConnectionDiagnostics.HasConnections(listener), "closed");
    }

    [Fact]
    public void AnotherListenersConnectionIsNotOurs()
    {
        foreach (string kind in Kinds)
        {
            ListenAddress one = Endpoint(kind), other = Endpoint(kind);
            using FileDescriptor listener = ListenerOpener.Open(new ListenerRequest { Endpoints = [one] }).Value.Listeners[0].Descriptor;
            using FileDescriptor second = ListenerOpener.Open(new ListenerRequest { Endpoints = [other] }).Value.Listeners[0].Descriptor;
            using FileDescriptor client = Connector.Connect(Target(other, second), TimeSpan.FromSeconds(10)).Value;
            using FileDescriptor accepted = UnixSocket.Accept(second, out _)!;
            Assert.False(ConnectionDiagnostics.HasConnections(listener), kind);
            Assert.True(ConnectionDiagnostics.HasConnections(second), kind);
        }
    }

    [Fact]
    public void WhatTakesNoConnectionsHasNone()
    {
        using FileDescriptor udp = ListenerOpener.Open(new ListenerRequest { Endpoints = [new ListenAddress.Udp(IPAddress.Loopback, 0)] })
            .Value.Listeners[0].Descriptor;
        using FileDescriptor fifo = ListenerOpener.Open(new ListenerRequest { Endpoints = [new ListenAddress.Fifo(_directory["fifo"])] })
            .Value.Listeners[0].Descriptor;
        Assert.False(ConnectionDiagnostics.HasConnections(udp));
        Assert.False(ConnectionDiagnostics.HasConnections(fifo));
    }

    private ListenAddress Endpoint(string kind) => kind switch
    {
        "tcp" => new ListenAddress.Tcp(IPAddress.Loopback, 0),
        "tcp6" => new ListenAddress.Tcp(IPAddress.IPv6Loopback, 0),
        "tcp-any" => new ListenAddress.Tcp(IPAddress.IPv6Any, 0, DualStack: true),
        "unix" => new ListenAddress.Unix(UnixSocketKind.Stream, _directory[Guid.NewGuid().ToString("N")], IsAbstract: false),
        "unix-seqpacket" => new ListenAddress.Unix(UnixSocketKind.SeqPacket, _directory[Guid.NewGuid().ToString("N")], IsAbstract: false),
        "unix-long" =>
            new ListenAddress.Unix(UnixSocketKind.Stream, _directory[$"{new string('d', 120)}/{Guid.NewGuid():N}"], IsAbstract: false),
        _ => new ListenAddress.Unix(UnixSocketKind.Stream, $"lcs-{Guid.NewGuid():N}", IsAbstract: true),
    };

    // Port 0 was filled in by the kernel; of the dual-stack listener an IPv4 client comes as a mapped address.
    private static ListenAddress Target(ListenAddress endpoint, FileDescriptor listener) => endpoint switch
    {
        ListenAddress.Tcp { DualStack: true } => new ListenAddress.Tcp(IPAddress.Loopback, SocketAddress.OfSocket(listener)!.Port),
        ListenAddress.Tcp tcp => tcp with { Port = SocketAddress.OfSocket(listener)!.Port },
        _ => endpoint,
    };
}
