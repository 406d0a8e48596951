using System.Net.Sockets;
using Launchd.Client;
using Launchd.Interop;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>Connects to an address within a time. Blocks the caller that long at most.</summary>
internal static unsafe class Connector
{
    /// <summary>
    /// A connected, blocking descriptor. Unix (any kind), TCP, UDP and vsock; for UDP only the peer is fixed. A time-out is ETIMEDOUT.
    /// </summary>
    public static OpenResult<FileDescriptor> Connect(ListenerEndpoint target, TimeSpan timeout)
    {
        string subject = $"cannot connect to {target}";
        (int family, int type, SocketAddress? address) = target switch
        {
            ListenerEndpoint.Tcp tcp => (FamilyOf(tcp.Host.AddressFamily), Libc.SOCK_STREAM, SocketAddress.Internet(tcp.Host, tcp.Port)),
            ListenerEndpoint.Udp udp => (FamilyOf(udp.Host.AddressFamily), Libc.SOCK_DGRAM, SocketAddress.Internet(udp.Host, udp.Port)),
            ListenerEndpoint.Vsock vsock => (Libc.AF_VSOCK, Libc.SOCK_STREAM, SocketAddress.Vsock(vsock.Cid, vsock.Port)),
            ListenerEndpoint.Unix unix => (Libc.AF_UNIX, UnixSocket.TypeOf(unix.Kind),
                unix.IsAbstract ? SocketAddress.UnixAbstract(unix.Name) : SocketAddress.UnixPath(unix.Name)),
            _ => throw new ArgumentException($"{target} is nothing to connect to", nameof(target)),
        };

        // A path too long for an address is reached through the node itself, which is opened for the time of the call.
        using FileDescriptor? node = address is null && target is ListenerEndpoint.Unix { IsAbstract: false } longPath
            ? Files.Open(null, longPath.Name, O_PATH, 0, out Errno refused)
            : NoNode(out refused);
        if (refused != Errno.None)
            return new OpenFailure("open", subject, refused, Explain(refused));
        address ??= node is null ? null : SocketAddress.UnixPath(Files.ProcPath(node));
        if (address is null)
            return new OpenFailure("connect", subject, Errno.ENAMETOOLONG);

        int number = socket(family, type | SOCK_CLOEXEC | (family == Libc.AF_UNIX ? 0 : SOCK_NONBLOCK), 0);
        if (number < 0)
            return new OpenFailure("socket", subject, Errno.Last, Remedy.ForSocket(Errno.Last, "such sockets"));
        var connection = new FileDescriptor(number);
        refused = family == Libc.AF_UNIX ? ConnectUnix(connection, address, timeout) : ConnectPolled(connection, address, timeout);
        if (refused == Errno.None)
            refused = Files.SetNonBlocking(connection, isNonBlocking: false);
        if (refused == Errno.None)
            return connection;
        connection.Dispose();
        return new OpenFailure("connect", subject, refused, refused == Errno.ETIMEDOUT ? $"within {timeout.TotalSeconds:0.###} s"
            : Explain(refused));
    }

    // unix(7): a non-blocking connect to a full queue fails at once and nothing tells when there is room; with a send time-out it waits.
    private static Errno ConnectUnix(FileDescriptor connection, SocketAddress address, TimeSpan timeout)
    {
        long deadline = Environment.TickCount64 + Milliseconds(timeout);
        while (true)
        {
            Errno refused = SetSendTimeout(connection, Math.Max(1, deadline - Environment.TickCount64));
            if (refused == Errno.None)
                refused = address.Connect(connection);
            if (refused == Errno.EAGAIN || refused == Errno.EINTR && Environment.TickCount64 >= deadline)
                return Errno.ETIMEDOUT;
            if (refused == Errno.None)
                return SetSendTimeout(connection, 0);
            if (refused != Errno.EINTR)
                return refused;
        }
    }

    // connect(2): writability says that it is decided, SO_ERROR how.
    private static Errno ConnectPolled(FileDescriptor connection, SocketAddress address, TimeSpan timeout)
    {
        long deadline = Environment.TickCount64 + Milliseconds(timeout);
        Errno refused = address.Connect(connection);
        if (refused != Errno.EINPROGRESS && refused != Errno.EINTR)
            return refused;
        while (true)
        {
            var wait = new pollfd { fd = connection.Number, events = POLLOUT };
            int ready = poll(&wait, 1, (int)Math.Clamp(deadline - Environment.TickCount64, 0, int.MaxValue));
            if (ready == 0)
                return Errno.ETIMEDOUT;
            if (ready > 0)
                break;
            if (Errno.Last != Errno.EINTR)
                return Errno.Last;
        }
        int error = 0;
        socklen_t length = sizeof(int);
        return getsockopt(connection.Number, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? Errno.Last : new Errno(error);
    }

    private static Errno SetSendTimeout(FileDescriptor socket, long milliseconds)
    {
        // struct timeval; all zero means without end.
        long* value = stackalloc long[2];
        value[0] = milliseconds / 1000;
        value[1] = milliseconds % 1000 * 1000;
        return setsockopt(socket.Number, SOL_SOCKET, SO_SNDTIMEO, value, 2 * sizeof(long)) < 0 ? Errno.Last : Errno.None;
    }

    private static FileDescriptor? NoNode(out Errno refused)
    {
        refused = Errno.None;
        return null;
    }

    private static long Milliseconds(TimeSpan timeout) => (long)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 0, int.MaxValue);

    private static int FamilyOf(AddressFamily family) => family == AddressFamily.InterNetworkV6 ? Libc.AF_INET6 : Libc.AF_INET;

    private static string? Explain(Errno refused) =>
        refused == Errno.ECONNREFUSED ? "nobody listens there"
        : refused == Errno.ENOENT ? "there is no such socket"
        : refused == Errno.EACCES ? "this user may not write to the socket"
        : null;
}
