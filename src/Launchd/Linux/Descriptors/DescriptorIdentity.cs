using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// The identity of an open file, by which a descriptor is recognised later without holding a copy: device, inode and kind; for files the
/// time of birth, because inode numbers are used again; for sockets the cookie, which never is; and the access mode.
/// </summary>
internal readonly record struct DescriptorIdentity(
    ulong Device, ulong Inode, FileKind Kind, int AccessMode, long BirthSeconds, uint BirthNanoseconds, ulong Cookie)
{
    private const int SO_COOKIE = 57;

    /// <summary>
    /// Event counters, timers and their like share one inode: there only the open file description itself tells one from another.
    /// </summary>
    public bool IsAnonymous => Kind == FileKind.Unknown;

    /// <summary>The device as stat(2) shows it, makedev(3).</summary>
    public ulong DeviceNumber
    {
        get
        {
            ulong major = Device >> 32, minor = Device & uint.MaxValue;
            return ((major & 0xfffff000) << 32) | ((major & 0xfff) << 8) | ((minor & 0xffffff00) << 12) | (minor & 0xff);
        }
    }

    public static unsafe Errno Read(FileDescriptor descriptor, out DescriptorIdentity identity)
    {
        statx found;
        identity = default;
        fixed (byte* empty = "\0"u8)
        {
            if (statx(descriptor.Number, empty, AT_EMPTY_PATH | FileStatus.AT_STATX_DONT_SYNC,
                STATX_BASIC_STATS | Libc.STATX_BTIME, &found) < 0)
            {
                return Errno.Last;
            }
        }
        int flags = fcntl(descriptor.Number, F_GETFL);
        if (flags < 0)
            return Errno.Last;
        FileKind kind = (FileKind)(found.stx_mode >> 12);
        ulong cookie = 0;
        socklen_t length = sizeof(ulong);
        if (kind == FileKind.Socket && (flags & O_PATH) == 0 && getsockopt(descriptor.Number, SOL_SOCKET, SO_COOKIE, &cookie, &length) < 0)
            return Errno.Last;
        bool hasBirth = (found.stx_mask & Libc.STATX_BTIME) != 0;
        identity = new DescriptorIdentity(
            ((ulong)found.stx_dev_major << 32) | found.stx_dev_minor, found.stx_ino, kind, flags & (O_ACCMODE | O_PATH),
            hasBirth ? found.stx_btime.tv_sec : 0, hasBirth ? found.stx_btime.tv_nsec : 0, cookie);
        return Errno.None;
    }
}
