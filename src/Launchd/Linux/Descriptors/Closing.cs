using Launchd.Linux.Paths;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// Which descriptors of other processes may keep the caller of close(2) or open(2) waiting. close(2) of the last copy ends the open
/// file, and that can be work: a socket sends its unsent data (SO_LINGER; also a socket that lies unread in the queue of a Unix
/// socket), a pipe waits for the process that holds its lock, a user-space or network file system is asked, gigabytes are freed.
/// Closing any copy costs a walk along the record locks of the file.
/// </summary>
internal static unsafe class Closing
{
    private const long MostBytes = 64 << 20;
    private const uint MemoryDevices = 1;

    /// <summary>
    /// Whether opening the file anew surely takes no time that counts. Never true for a pipe: a
    /// process that splices into it holds its lock.
    /// </summary>
    public static bool IsQuick(int number)
    {
        statx found;
        fixed (byte* empty = "\0"u8)
        {
            if (statx(number, empty, AT_EMPTY_PATH | FileStatus.AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &found) < 0)
                return false;
        }
        return (FileKind)(found.stx_mode >> 12) switch
        {
            FileKind.Regular =>
                found.stx_size <= (ulong)MostBytes && found.stx_blocks <= (ulong)MostBytes / 512 && IsLocal(number, found.stx_dev_major),
            FileKind.Directory => IsLocal(number, found.stx_dev_major),
            FileKind.CharacterDevice => found.stx_rdev_major == MemoryDevices,
            _ => false,
        };
    }

    /// <summary>
    /// Ends SO_LINGER: closing the last copy does not wait until the peer has taken what was sent, which the kernel goes on to send.
    /// </summary>
    public static void DoNotLinger(int number)
    {
        int* linger = stackalloc int[2];
        socklen_t length = 2 * sizeof(int);
        if (getsockopt(number, SOL_SOCKET, SO_LINGER, linger, &length) != 0 || linger[0] == 0 || linger[1] == 0)
            return;
        linger[0] = linger[1] = 0;
        _ = setsockopt(number, SOL_SOCKET, SO_LINGER, linger, length);
    }

    /// <summary>Whether closing the last copy of a socket waits for its peer.</summary>
    public static bool IsLingering(int number)
    {
        int* linger = stackalloc int[2];
        socklen_t length = 2 * sizeof(int);
        return getsockopt(number, SOL_SOCKET, SO_LINGER, linger, &length) == 0 && linger[0] != 0 && linger[1] != 0;
    }

    // Whether the file is on a disk of this machine, whose device number has a major part, or is anonymous memory. Network file systems
    // have numbers without a device; so have some local ones, which do not count as local here.
    private static bool IsLocal(int number, uint deviceMajor) => deviceMajor != 0 || fcntl(number, Interop.Libc.F_GET_SEALS) >= 0;
}
