using Launchd.Client;
using Launchd.Interop;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>
/// Tells the connections that were accepted from one listener among the sockets of a program, and whether they have been heard. Made where
/// the listener is held; used on any thread, also when the listener is closed.
/// </summary>
internal sealed unsafe class ListenerClients
{
    private readonly SocketAddress _bound;

    private ListenerClients(SocketAddress bound, ulong listenerInode)
    {
        _bound = bound;
        ListenerInode = listenerInode;
    }

    public ulong ListenerInode { get; }

    /// <summary>Null: it takes no connections.</summary>
    /// <param name="listener">Borrowed for the call.</param>
    public static ListenerClients? Of(FileDescriptor listener) =>
        ListenerState.TakesConnections(listener) && FileStatus.Read(listener, out FileStatus status) == Errno.None
            && SocketAddress.OfSocket(listener) is { } bound ? new ListenerClients(bound, status.Inode) : null;

    /// <summary>Whether a socket was accepted from the listener, and is open still: it has the address of the listener as its own.</summary>
    /// <param name="socket">Borrowed.</param>
    public bool Contain(FileDescriptor socket)
    {
        if (SocketAddress.OfSocket(socket) is not { } own || own.Family != _bound.Family || ListenerState.TakesConnections(socket))
            return false;
        // A listener for all addresses has none that they could have.
        bool isSame = own.RemotePort is { } port ? port == _bound.RemotePort : own.Bytes.SequenceEqual(_bound.Bytes);
        return isSame && SocketAddress.OfPeer(socket) is not null;
    }

    /// <summary>
    /// Whether something lies unread in a connection, or, by TCP, nobody has said anything yet. A program that speaks first and is not answered
    /// waits for nobody.
    /// </summary>
    /// <param name="connection">Borrowed.</param>
    public static bool IsUnheard(FileDescriptor connection)
    {
        int unread = 0;
        if (Libc.Pump.ioctl(connection.Number, Libc.Pump.FIONREAD, ref unread) == 0 && unread > 0)
            return true;
        Libc.tcp_info_segments counted = default;
        socklen_t length = sizeof(Libc.tcp_info_segments);
        bool isTcp = getsockopt(connection.Number, IPPROTO_TCP, TCP_INFO, &counted, &length) == 0 && length >= sizeof(Libc.tcp_info_segments);
        return isTcp && counted is { tcpi_data_segs_in: 0, tcpi_data_segs_out: 0 };
    }
}
