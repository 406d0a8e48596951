using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// Finds, among the sockets of a program, the connections that were accepted from one listener, and tells whether the program has read from
/// them. Owns a duplicate of the listener, so that it can be used on any thread.
/// </summary>
internal sealed unsafe class ListenerClients : IDisposable
{
    private readonly SocketAddress _bound;
    private readonly FileStatus _status;

    private ListenerClients(FileDescriptor duplicateTaken, SocketAddress bound, FileStatus status)
    {
        Listener = duplicateTaken;
        _bound = bound;
        _status = status;
    }

    public FileDescriptor Listener { get; }

    /// <summary>Null: the listener takes no connections, or there is no descriptor left for a duplicate.</summary>
    /// <param name="listener">Borrowed for the call.</param>
    public static ListenerClients? Of(FileDescriptor listener)
    {
        return ConnectionDiagnostics.TakesConnections(listener) && FileStatus.Read(listener, out FileStatus status) == Errno.None
            && SocketAddress.OfSocket(listener) is { } bound && Files.Duplicate(listener, closer: null, out _) is { } duplicate
            ? new ListenerClients(duplicate, bound, status) : null;
    }

    /// <summary>Whether an entry of an epoll set is this listener.</summary>
    public bool Is(EpollEntry entry) =>
        entry.Inode == _status.Inode && entry.Device == unchecked((uint)(_status.Device >> 32 << 20 | (_status.Device & 0xfffff)));

    /// <summary>
    /// Whether a socket was accepted from the listener, and its connection is still open: such a socket has the address of the listener.
    /// </summary>
    /// <param name="socket">Borrowed.</param>
    public bool Contain(FileDescriptor socket)
    {
        if (SocketAddress.OfSocket(socket) is not { } own || own.Family != _bound.Family || ConnectionDiagnostics.TakesConnections(socket))
            return false;
        // The address of a listener for all addresses is that of no connection, so only the ports are compared.
        bool isSame = own.RemotePort is { } port ? port == _bound.RemotePort : own.Bytes.SequenceEqual(_bound.Bytes);
        return isSame && SocketAddress.OfPeer(socket) is not null;
    }

    /// <summary>
    /// Whether a connection waits to be read for the first time: it has unread data (of TCP: everything that ever came is unread), or (TCP)
    /// neither side has sent anything yet. Not if the program has spoken first and the client has not answered.
    /// </summary>
    /// <param name="connection">Borrowed.</param>
    public static bool IsUnheard(FileDescriptor connection)
    {
        int unread = 0;
        if (Libc.ioctl(connection.Number, Libc.FIONREAD, ref unread) < 0)
            unread = 0;
        Libc.tcp_info_counts counted = default;
        socklen_t length = sizeof(Libc.tcp_info_counts);
        bool isTcp = getsockopt(connection.Number, IPPROTO_TCP, TCP_INFO, &counted, &length) == 0 && length >= sizeof(Libc.tcp_info_counts);
        if (!isTcp)
            return unread > 0;
        if (unread > 0)
            return (ulong)unread >= counted.tcpi_bytes_received;
        return counted is { tcpi_state: Libc.TCP_ESTABLISHED, tcpi_bytes_received: 0, tcpi_data_segs_out: 0 };
    }

    public void Dispose() => Listener.Dispose();
}
