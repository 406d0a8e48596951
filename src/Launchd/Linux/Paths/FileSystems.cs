using System.Collections.Frozen;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Paths;

/// <summary>
/// Which file systems store files, and which are interfaces of the kernel (proc, sysfs, debugfs, cgroups, bpf, anonymous inodes…), where
/// the content of a file depends on the process that opens it. So the supervisor never opens a file of the latter for a service.
/// </summary>
internal static unsafe class FileSystems
{
    // By f_type of statfs(2). A type that is not in the list is refused, so that no new interface of the kernel gets through. A
    // file system with a server (networks, FUSE, also the root of many virtual machines) gives everybody the server's own
    // content: it can make a process wait, but do no other harm.
    private static readonly FrozenSet<uint> Storage = FrozenSet.Create<uint>(
        0xEF53 /* ext2, ext3, ext4 */, 0x58465342 /* xfs */, 0x9123683E /* btrfs */,
        0xF2F52010 /* f2fs */, 0x2FC12FC1 /* zfs */, 0xCA451A4E /* bcachefs */,
        0x3153464A /* jfs */, 0x52654973 /* reiserfs */, 0x3434 /* nilfs2 */,
        0x24051905 /* ubifs */, 0x72B6 /* jffs2 */, 0x482B /* hfs+ */, 0x4244 /* hfs */,
        0x4D44 /* vfat */, 0x2011BAB0 /* exfat */, 0x5346544E /* ntfs */,
        0x7366746E /* ntfs3 */, 0x9660 /* iso9660 */, 0x15013346 /* udf */,
        0x73717368 /* squashfs */, 0xE0F5E1E2 /* erofs */, 0x28CD3D45 /* cramfs */, 0x794C7630 /* overlayfs */, 0xF15F /* ecryptfs */,
        0x01021994 /* tmpfs, memfd */, 0x858458F6 /* ramfs */, 0x958458F6 /* hugetlbfs */,
        0x6969 /* nfs */, 0xFF534D42 /* cifs */, 0xFE534D42 /* smb2 */, 0x00C36400 /* ceph */,
        0x01021997 /* 9p */, 0x5346414F /* afs */, 0x6B414653 /* kafs */,
        0x01161970 /* gfs2 */, 0x7461636F /* ocfs2 */, 0x0BD00BD0 /* lustre */, 0x786F4256 /* vboxsf */, 0x65735546 /* fuse, virtiofs */);

    /// <summary>Whether an open file lies on a file system that stores files. Asks that file system, which may take long.</summary>
    public static bool IsStorage(FileDescriptor descriptor) => TypeOf(descriptor) is { } type && Storage.Contains(type);

    /// <summary>Whether what lies there is kept in memory alone, until the machine ends: tmpfs, ramfs.</summary>
    public static bool IsInMemory(FileDescriptor descriptor) => TypeOf(descriptor) is 0x01021994 or 0x858458F6;

    /// <summary><c>f_type</c> of statfs(2): the first word, of which 32 bits count. Null: the kernel does not tell.</summary>
    public static uint? TypeOf(FileDescriptor descriptor)
    {
        ulong* facts = stackalloc ulong[16];
        return Libc.fstatfs(descriptor.Number, facts) == 0 ? (uint)facts[0] : null;
    }
}
