using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>What a descriptor is, for people and for the control socket.</summary>
/// <param name="Kind">
/// tcp-listener, tcp-socket, udp-socket, unix-listener, unix-socket, unix-datagram, vsock-listener, vsock-socket, netlink, fifo, file,
/// directory, memory, device, message-queue, pidfd, the kernel's own word (eventfd, signalfd, …), or unknown: the kernel tells nothing.
/// </param>
/// <param name="Address">Bound or, failing that, connected address; path of a file; empty when there is none.</param>
/// <param name="Flags">non-blocking, append, read-only, write-only, path-only, listening, dead (a listener that was shut down),
/// filtered.</param>
/// <param name="QueueCount">Connections waiting, where the kernel tells.</param>
/// <param name="BacklogCount">Room for them.</param>
internal sealed record DescriptorState(string Kind, string Address, string[] Flags, int? QueueCount = null, int? BacklogCount = null);

/// <summary>Looks at descriptors without changing anything. Descriptors are borrowed.</summary>
internal static unsafe class ListenerState
{
    private const string DeletedMark = " (deleted)";
    private const string MemoryPrefix = "/memfd:";
    private const string AnonymousPrefix = "anon_inode:";

    /// <param name="descriptor">Of any kind.</param>
    /// <param name="unixQueues">
    /// Of <see cref="UnixDiagnostics.ReadQueues"/>, for a caller that looks at many descriptors; null: the kernel is asked about each.
    /// </param>
    public static DescriptorState Read(
        FileDescriptor descriptor, IReadOnlyDictionary<uint, (int QueueCount, int BacklogCount)>? unixQueues = null)
    {
        Errno refused = FileStatus.Read(descriptor, out FileStatus status);
        int flags = fcntl(descriptor.Number, F_GETFL);
        if (refused != Errno.None || flags < 0)
            return new DescriptorState("unknown", "", []);
        var words = new List<string>();
        if ((flags & O_PATH) != 0)
            words.Add("path-only");
        if ((flags & O_NONBLOCK) != 0)
            words.Add("non-blocking");
        if (status.Kind == FileKind.Socket && (flags & O_PATH) == 0)
            return ReadSocket(descriptor, words, status.Inode, unixQueues);
        if ((flags & O_APPEND) != 0)
            words.Add("append");
        if ((flags & O_PATH) == 0 && (flags & O_ACCMODE) == O_RDONLY)
            words.Add("read-only");
        if ((flags & O_ACCMODE) == O_WRONLY)
            words.Add("write-only");
        string place = Files.ReadLink(null, Files.ProcPath(descriptor)) ?? "";
        return new DescriptorState(KindOf(status.Kind, place), place, [.. words]);
    }

    /// <summary>
    /// Reads the state without any lock of a socket, which another holder may keep for long: so without flags and queue of a socket,
    /// and without the address of an internet or vsock socket.
    /// </summary>
    /// <param name="descriptor">Of any kind.</param>
    /// <param name="hasAddress">Whether the address is told; if not, <see cref="AddressOf"/> tells it.</param>
    public static DescriptorState ReadUnlocked(FileDescriptor descriptor, out bool hasAddress)
    {
        hasAddress = true;
        int? family = Option(descriptor, SOL_SOCKET, SO_DOMAIN);
        if (family is not { } known)
            return Read(descriptor);
        hasAddress = known is Libc.AF_UNIX or Libc.AF_NETLINK;
        string kind = KindOfSocket(known, Option(descriptor, SOL_SOCKET, SO_TYPE) ?? 0, ConnectionDiagnostics.TakesConnections(descriptor));
        return new DescriptorState(kind, hasAddress ? AddressOf(descriptor) : "", []);
    }

    /// <summary>Where a socket is bound or, failing that, connected; empty: neither.</summary>
    public static string AddressOf(FileDescriptor socket)
    {
        string bound = SocketAddress.OfSocket(socket)?.ToString() ?? "";
        return bound.Length > 0 ? bound : SocketAddress.OfPeer(socket)?.ToString() ?? "";
    }

    /// <summary>Waiting connections and room for them; null: the descriptor does not listen, or the kernel does not tell.</summary>
    /// <param name="listener">Of any kind.</param>
    /// <param name="unixQueues">As for <see cref="Read"/>.</param>
    public static (int QueueCount, int BacklogCount)? ReadQueue(
        FileDescriptor listener, IReadOnlyDictionary<uint, (int QueueCount, int BacklogCount)>? unixQueues = null)
    {
        if (!ConnectionDiagnostics.TakesConnections(listener))
            return null;
        int family = Option(listener, SOL_SOCKET, SO_DOMAIN) ?? 0;
        if (family == Libc.AF_UNIX && unixQueues is not null && FileStatus.Read(listener, out FileStatus status) == Errno.None)
            return QueueOf(status.Inode, unixQueues);
        if (family == Libc.AF_UNIX)
            return UnixDiagnostics.TryReadQueue(listener, out int waiting, out int room) ? (waiting, room) : null;
        return family is (Libc.AF_INET or Libc.AF_INET6) && TryReadTcp(listener, out Libc.tcp_info_head info)
            ? (unchecked((int)info.tcpi_unacked), unchecked((int)info.tcpi_sacked))
            : null;
    }

    /// <summary>
    /// False for a listener that a holder has shut down (<c>shutdown</c> or <c>connect(AF_UNSPEC)</c>): no client can be accepted from it
    /// any more. TCP with a port of our choice can listen(2) again; a Unix socket has to be made anew.
    /// </summary>
    public static bool IsAlive(FileDescriptor listener)
    {
        // An intact listener never reports hang-up, whatever waits in its queue.
        var look = new pollfd { fd = listener.Number, events = POLLRDHUP };
        int ready = poll(&look, 1, 0);
        if (ready > 0 && (look.revents & (POLLHUP | POLLRDHUP)) != 0)
            return false;
        return !TryReadTcp(listener, out Libc.tcp_info_head info) || info.tcpi_state == Libc.TCP_LISTEN;
    }

    /// <summary>Whether a connection or a message waits in the listener.</summary>
    public static bool IsReadable(FileDescriptor listener)
    {
        var look = new pollfd { fd = listener.Number, events = POLLIN };
        return poll(&look, 1, 0) > 0 && (look.revents & POLLIN) != 0;
    }

    /// <summary>Whether a holder has put a packet filter on it, or locked one: clients may wait in vain.</summary>
    public static bool IsFiltered(FileDescriptor listener)
    {
        // socket(7): with no room, SO_GET_FILTER tells the number of instructions; 0 without a filter.
        socklen_t count = 0;
        bool isRead = getsockopt(listener.Number, SOL_SOCKET, SO_GET_FILTER, null, &count) == 0;
        // A filter in the newer instruction set cannot be read back: EACCES.
        bool hasFilter = isRead ? (uint)count > 0 : Errno.Last == Errno.EACCES;
        return hasFilter || Option(listener, SOL_SOCKET, SO_LOCK_FILTER) == 1;
    }

    private static (int QueueCount, int BacklogCount)? QueueOf(
        ulong inode, IReadOnlyDictionary<uint, (int QueueCount, int BacklogCount)> unixQueues) =>
        unixQueues.TryGetValue(unchecked((uint)inode), out (int QueueCount, int BacklogCount) found) ? found : null;

    private static DescriptorState ReadSocket(
        FileDescriptor socket, List<string> flags, ulong inode, IReadOnlyDictionary<uint, (int QueueCount, int BacklogCount)>? unixQueues)
    {
        int family = Option(socket, SOL_SOCKET, SO_DOMAIN) ?? 0;
        int type = Option(socket, SOL_SOCKET, SO_TYPE) ?? 0;
        bool isListening = Option(socket, SOL_SOCKET, SO_ACCEPTCONN) == 1;
        string kind = KindOfSocket(family, type, isListening);
        if (isListening)
            flags.Add(IsAlive(socket) ? "listening" : "dead");
        if (IsFiltered(socket))
            flags.Add("filtered");
        string address = AddressOf(socket);
        (int QueueCount, int BacklogCount)? queue = family == Libc.AF_UNIX && unixQueues is not null
            ? QueueOf(inode, unixQueues)
            : ReadQueue(socket);
        return new DescriptorState(kind, address, [.. flags], queue?.QueueCount, queue?.BacklogCount);
    }

    private static string KindOfSocket(int family, int type, bool isListening)
    {
        string role = isListening ? "listener" : "socket";
        return family switch
        {
            Libc.AF_INET or Libc.AF_INET6 => type == Libc.SOCK_STREAM ? $"tcp-{role}" : type == Libc.SOCK_DGRAM ? "udp-socket"
                : "raw-socket",
            Libc.AF_UNIX => type == Libc.SOCK_DGRAM ? "unix-datagram" : $"unix-{role}",
            Libc.AF_VSOCK => $"vsock-{role}",
            Libc.AF_NETLINK => "netlink",
            _ => "socket",
        };
    }

    private static string KindOf(FileKind kind, string place) => kind switch
    {
        FileKind.Fifo => "fifo",
        FileKind.Directory => "directory",
        FileKind.CharacterDevice or FileKind.BlockDevice => "device",
        FileKind.Socket => "socket-path",
        FileKind.Regular when place.StartsWith(MemoryPrefix, StringComparison.Ordinal)
            && place.EndsWith(DeletedMark, StringComparison.Ordinal) => "memory",
        FileKind.Regular when place.Contains("[pidfd]", StringComparison.Ordinal)
            || place.StartsWith("pidfd:", StringComparison.Ordinal) => "pidfd",
        FileKind.Regular => "file",
        _ when place.StartsWith(AnonymousPrefix, StringComparison.Ordinal) => place[AnonymousPrefix.Length..].Trim('[', ']'),
        _ => "file",
    };

    private static bool TryReadTcp(FileDescriptor socket, out Libc.tcp_info_head info)
    {
        Libc.tcp_info_head read = default;
        socklen_t length = sizeof(Libc.tcp_info_head);
        // Other kinds of socket have no such level, or (Unix) refuse every option of it.
        bool isTcp = Option(socket, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP
            && getsockopt(socket.Number, IPPROTO_TCP, TCP_INFO, &read, &length) == 0;
        info = read;
        return isTcp;
    }

    private static int? Option(FileDescriptor socket, int level, int option)
    {
        int value = 0;
        socklen_t length = sizeof(int);
        return getsockopt(socket.Number, level, option, &value, &length) < 0 ? null : value;
    }
}
