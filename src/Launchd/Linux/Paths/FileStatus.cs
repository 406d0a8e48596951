using Launchd.Client;
using Launchd.Linux.Calls;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>The type bits of a mode, inode(7), shifted down.</summary>
internal enum FileKind { Unknown = 0, Fifo = 1, CharacterDevice = 2, Directory = 4, BlockDevice = 6, Regular = 8, Symlink = 10,
    Socket = 12 }

/// <summary>What statx(2) says about a file. Device and inode together are its identity.</summary>
internal readonly record struct FileStatus(FileKind Kind, int Mode, ulong Device, ulong Inode, uint Uid, uint Gid, long SizeBytes,
    ulong DeviceNumber)
{
    /// <summary>The kernel answers from its memory: asking the file system may take long.</summary>
    public const int AT_STATX_DONT_SYNC = 0x4000;

    /// <summary>The number of names of the file: with more than one it is somewhere else as well.</summary>
    public uint LinkCount { get; init; }

    /// <summary>What is taken for its content on the disk, or in memory: less than the size where the file has holes.</summary>
    public long AllocatedBytes { get; init; }

    /// <summary>When its content was changed last, CLOCK_REALTIME.</summary>
    public DateTime ChangedAt { get; init; }

    public bool IsSameFile(FileStatus other) => Device == other.Device && Inode == other.Inode;

    /// <summary>The kind in words, with an article.</summary>
    public string KindText => Kind switch
    {
        FileKind.Fifo => "a FIFO",
        FileKind.CharacterDevice => "a character device",
        FileKind.Directory => "a directory",
        FileKind.BlockDevice => "a block device",
        FileKind.Regular => "a regular file",
        FileKind.Symlink => "a symbolic link",
        FileKind.Socket => "a socket",
        _ => "an anonymous file",
    };

    /// <summary>The status of an open file, from the kernel's memory: asking the file system may take long.</summary>
    public static Errno Read(FileDescriptor descriptor, out FileStatus status) =>
        Read(descriptor.Number, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, out status);

    /// <summary>The file at a path; a symbolic link in the last component is looked at itself.</summary>
    public static Errno ReadNoFollow(int directory, string name, out FileStatus status) =>
        Read(directory, name, AT_SYMLINK_NOFOLLOW, out status);

    /// <summary>The same by a path from the root.</summary>
    public static Errno ReadNoFollow(string path, out FileStatus status) => Read(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, out status);

    public static Errno ReadFollow(string path, out FileStatus status) => Read(AT_FDCWD, path, 0, out status);

    private static unsafe Errno Read(int directory, string name, int flags, out FileStatus status)
    {
        statx found;
        status = default;
        fixed (byte* path = CString.From(name))
        {
            if (statx(directory, path, flags, STATX_BASIC_STATS, &found) < 0)
                return Errno.Last;
        }
        status = new FileStatus((FileKind)(found.stx_mode >> 12), found.stx_mode & 0b111_111_111_111,
            Combine(found.stx_dev_major, found.stx_dev_minor),
            found.stx_ino, found.stx_uid, found.stx_gid, unchecked((long)found.stx_size),
                Combine(found.stx_rdev_major, found.stx_rdev_minor))
        {
            LinkCount = found.stx_nlink,
            AllocatedBytes = unchecked((long)found.stx_blocks * 512),
            ChangedAt = new DateTime(
                DateTime.UnixEpoch.Ticks + (found.stx_mtime.tv_sec * TimeSpan.TicksPerSecond)
                    + (found.stx_mtime.tv_nsec / TimeSpan.NanosecondsPerTick), DateTimeKind.Utc),
        };
        return Errno.None;
    }

    private static ulong Combine(uint major, uint minor) => ((ulong)major << 32) | minor;
}
