using Launchd.Client;
using Launchd.Interop;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>
/// Who connected, as the kernel recorded it at connect(2), unix(7). On a socket pair it is the process that made the pair, so it says
/// nothing there.
/// </summary>
/// <param name="Pid">0 in a foreign pid namespace.</param>
/// <param name="Uid">Effective at that moment.</param>
/// <param name="Gid">Effective at that moment.</param>
internal readonly record struct PeerCredentials(int Pid, uint Uid, uint Gid)
{
    /// <summary>False with the reason when the socket has none.</summary>
    public static unsafe bool TryRead(FileDescriptor connection, out PeerCredentials peer, out Errno refused)
    {
        Libc.ucred credentials = default;
        socklen_t length = sizeof(Libc.ucred);
        bool isRead = getsockopt(connection.Number, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0;
        refused = isRead ? Errno.None : Errno.Last;
        peer = new PeerCredentials(credentials.pid, credentials.uid, credentials.gid);
        return isRead;
    }

    /// <summary>
    /// An owned pidfd of the process that connected (SO_PEERPIDFD, Linux 6.5), close-on-exec. Null with the reason: ENOPROTOOPT on an
    /// older kernel, ESRCH when the process was reaped.
    /// </summary>
    public static unsafe FileDescriptor? OpenPidfd(FileDescriptor connection, out Errno refused)
    {
        int number = -1;
        socklen_t length = sizeof(int);
        bool isRead = getsockopt(connection.Number, SOL_SOCKET, Libc.SO_PEERPIDFD, &number, &length) == 0;
        refused = isRead ? Errno.None : Errno.Last;
        return isRead ? new FileDescriptor(number) : null;
    }
}
