using System.Globalization;
using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Host.Lanes;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Listeners;

/// <summary>A connection accepted for one instance. Owns the descriptor.</summary>
internal sealed unsafe class AcceptedConnection : IDisposable
{
    private const int SOL_SOCKET = 1, SO_COOKIE = 57;

    private readonly SocketAddress? _peer;
    private readonly SlowLane _lane;

    private AcceptedConnection(FileDescriptor descriptorTaken, string name, SlowLane lane)
    {
        _lane = lane;
        Descriptor = descriptorTaken;
        Name = name;
        _peer = SocketAddress.OfPeer(descriptorTaken);
    }

    public FileDescriptor Descriptor { get; }

    /// <summary>In LISTEN_FDNAMES.</summary>
    public string Name { get; }

    /// <summary>
    /// The client reset it while it waited: a connected socket has a peer's address, if only an empty one (getpeername(2)).
    /// </summary>
    public bool IsGone => _peer is null;

    /// <summary>IP address, context id or Unix uid, for the limit per source.</summary>
    public string Source => _peer is { RemotePort: not null, RemoteHost: { } host } ? host
        : PeerCredentials.TryRead(Descriptor, out PeerCredentials peer, out _)
        ? "uid " + peer.Uid.ToString(CultureInfo.InvariantCulture)
        : "";

    /// <summary>The next waiting connection; blocking, as programs of inetd expect. Null: refused, EAGAIN when nothing waits.</summary>
    /// <param name="listener">Borrowed.</param>
    /// <param name="name">In LISTEN_FDNAMES.</param>
    /// <param name="lane">Of the service that it is for.</param>
    /// <param name="refused">The reason.</param>
    public static AcceptedConnection? Accept(FileDescriptor listener, string name, SlowLane lane, out Errno refused)
    {
        int number = Libc.accept4(listener.Number, null, null, 0x80000);
        refused = number < 0 ? Errno.Last : Errno.None;
        return number < 0 ? null : new AcceptedConnection(new FileDescriptor(number), name, lane);
    }

    /// <summary>The names that <see cref="AddTo"/> uses.</summary>
    public static IReadOnlyList<string> Variables { get; } = ["REMOTE_ADDR", "REMOTE_PORT", "SO_COOKIE"];

    /// <summary>Adds <c>REMOTE_ADDR</c>, <c>REMOTE_PORT</c>, <c>SO_COOKIE</c>.</summary>
    public void AddTo(List<string> environment)
    {
        if (_peer?.RemoteHost is { } host)
            environment.Add("REMOTE_ADDR=" + host);
        if (_peer?.RemotePort is { } port)
            environment.Add("REMOTE_PORT=" + port.ToString(CultureInfo.InvariantCulture));
        ulong cookie = 0;
        uint length = (uint)Unsafe.SizeOf<ulong>();
        if (Libc.getsockopt(Descriptor.Number, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0)
            environment.Add("SO_COOKIE=" + cookie.ToString(CultureInfo.InvariantCulture));
    }

    // A program that holds the listener can make it linger, and what is accepted from it does as well (socket(7)). With a Unix socket goes
    // what its client has sent, descriptors too, which may never close.
    public void Dispose()
    {
        if (!Descriptor.IsClosed && (_peer is { Family: Libc.AF_UNIX } || Closing.IsLingering(Descriptor.Number)))
            _lane.Close(Descriptor.ReleaseNumber());
        else
            Descriptor.Dispose();
    }
}
