using Launchd.Linux.Paths;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// What may keep the caller of close(2) or open(2) waiting, when the descriptor came from somebody else. close(2) of the last copy is the
/// end of the file, and the end of a file can be work: a socket sends what is unsent (SO_LINGER, and so does one that waits unread in the
/// queue of a Unix socket), a pipe waits for whoever holds its lock, a user-space or network file system is asked for its leave, gigabytes
/// are given back. Every copy costs a walk along the record locks of the file.
/// </summary>
internal static unsafe class Closing
{
    private const long MostBytes = 64 << 20;
    private const uint MemoryDevices = 1;

    /// <summary>
    /// Whether opening it anew takes no time that counts. Only what is known to be so, and never a pipe:
    /// whoever splices into it holds its lock.
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

    // On a disk of this machine, or in its memory. Everything else has a device number that stands for no device; so have some local ones.
    private static bool IsLocal(int number, uint deviceMajor) => deviceMajor != 0 || fcntl(number, Interop.Libc.F_GET_SEALS) >= 0;
}
