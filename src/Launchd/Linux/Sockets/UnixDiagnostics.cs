using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Sockets;

/// <summary>What sock_diag(7) tells about a Unix socket of this network namespace.</summary>
internal static unsafe class UnixDiagnostics
{
    /// <summary>
    /// Connections waiting on a listening Unix socket and the length of its queue; false where the kernel was built without unix_diag.
    /// </summary>
    public static bool TryReadQueue(FileDescriptor listener, out int queueCount, out int backlogCount)
    {
        queueCount = backlogCount = 0;
        if (FileStatus.Read(listener, out FileStatus status) != Errno.None)
            return false;
        Libc.unix_diag_rqlen? queue = null;
        _ = SockDiag.Ask(SockDiag.AboutUnix(uint.MaxValue, unchecked((uint)status.Inode), Libc.UDIAG_SHOW_RQLEN), isDump: false,
            body => (queue = QueueOf(body)) is not null);
        if (queue is not { } found)
            return false;
        queueCount = unchecked((int)found.udiag_rqueue);
        backlogCount = unchecked((int)found.udiag_wqueue);
        return true;
    }

    /// <summary>
    /// The queues of all Unix sockets that listen, by inode: one question, where <see cref="TryReadQueue"/> has the kernel go through all
    /// its sockets each time. Null where the kernel was built without unix_diag.
    /// </summary>
    public static Dictionary<uint, (int QueueCount, int BacklogCount)>? ReadQueues()
    {
        Dictionary<uint, (int, int)> queues = [];
        bool? isTold = SockDiag.Ask(SockDiag.AboutUnix(1u << Libc.TCP_LISTEN, inode: 0, Libc.UDIAG_SHOW_RQLEN), isDump: true, body =>
        {
            if (body.Length >= sizeof(Libc.unix_diag_msg) && QueueOf(body) is { } queue)
            {
                queues[MemoryMarshal.Read<Libc.unix_diag_msg>(body).udiag_ino] =
                    (unchecked((int)queue.udiag_rqueue), unchecked((int)queue.udiag_wqueue));
            }
            return false;
        });
        return isTold is null ? null : queues;
    }

    /// <summary>How many connections wait, and how many may; null: the answer does not say.</summary>
    public static Libc.unix_diag_rqlen? QueueOf(ReadOnlySpan<byte> body)
    {
        ReadOnlySpan<byte> value = SockDiag.Attribute(body, sizeof(Libc.unix_diag_msg), Libc.UNIX_DIAG_RQLEN);
        return value.Length >= sizeof(Libc.unix_diag_rqlen) ? MemoryMarshal.Read<Libc.unix_diag_rqlen>(value) : null;
    }

    /// <summary>
    /// Device and inode of a socket's path, because the bound name may lead through /proc; else its abstract name. An accepted socket
    /// has those of its listener (unix(7)); its peer has none.
    /// </summary>
    public static byte[]? PlaceOf(ReadOnlySpan<byte> body)
    {
        ReadOnlySpan<byte> path = SockDiag.Attribute(body, sizeof(Libc.unix_diag_msg), Libc.UNIX_DIAG_VFS);
        ReadOnlySpan<byte> name = path.Length > 0 ? path : SockDiag.Attribute(body, sizeof(Libc.unix_diag_msg), Libc.UNIX_DIAG_NAME);
        return name.Length > 0 ? name.ToArray() : null;
    }

    /// <summary>
    /// The place of a socket that this process has open; null: the socket has none, or the kernel
    /// does not tell (<paramref name="isTold"/>).
    /// </summary>
    public static byte[]? PlaceOf(FileDescriptor socket, out bool isTold)
    {
        isTold = false;
        if (FileStatus.Read(socket, out FileStatus status) != Errno.None)
            return null;
        byte[]? place = null;
        isTold = SockDiag.Ask(
            SockDiag.AboutUnix(uint.MaxValue, unchecked((uint)status.Inode), Libc.UDIAG_SHOW_NAME | Libc.UDIAG_SHOW_VFS),
            isDump: false, body => (place = PlaceOf(body)) is not null) is not null;
        return place;
    }
}
