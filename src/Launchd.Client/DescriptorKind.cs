using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>What a descriptor refers to, as the kernel says.</summary>
public enum DescriptorKind
{
    /// <summary>Something else: an eventfd, an epoll instance, a block device.</summary>
    Other,

    /// <summary>A regular file.</summary>
    File,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A file without a path that lives in memory, memfd_create(2).</summary>
    Memory,

    /// <summary>A pipe or FIFO.</summary>
    Pipe,

    /// <summary>A character device, such as a terminal.</summary>
    Device,

    /// <summary>A socket that accepts connections.</summary>
    Listener,

    /// <summary>Any other socket: a connection, or one for datagrams.</summary>
    Socket,

    /// <summary>A process, pidfd_open(2).</summary>
    Process,
}

/// <summary>Asks the kernel what a descriptor is, without changing anything.</summary>
internal static unsafe class DescriptorQuery
{
    /// <summary>Tells the kind of a descriptor number of this process; EBADF: the number is not open.</summary>
    public static Errno Read(int number, out DescriptorKind kind)
    {
        kind = DescriptorKind.Other;
        Errno refused = Status(number, out ClientLibc.statx_result status);
        if (refused == Errno.None)
            kind = KindOf(number, status);
        return refused;
    }

    public static Errno Status(int number, out ClientLibc.statx_result status)
    {
        byte empty = 0;
        fixed (ClientLibc.statx_result* result = &status)
        {
            return ClientLibc.statx(number, &empty, ClientLibc.AT_EMPTY_PATH, ClientLibc.STATX_BASIC_STATS, result) == 0
                ? Errno.None
                : Errno.Last;
        }
    }

    /// <summary>A socket's option that is an int, such as SO_TYPE.</summary>
    public static Errno Option(int number, int option, out int value)
    {
        int read = 0;
        uint length = sizeof(int);
        int result = ClientLibc.getsockopt(number, ControlMessage.SOL_SOCKET, option, &read, &length);
        value = read;
        return result == 0 ? Errno.None : Errno.Last;
    }

    /// <summary>
    /// A number that the kernel gives no second process before the next boot: the inode of its pidfd, on
    /// pidfs (Linux 6.9). 0 if this kernel has none.
    /// </summary>
    public static ulong ProcessId64(int pidfd)
    {
        ClientLibc.statfs_result system = default;
        if (ClientLibc.fstatfs(pidfd, &system) != 0 || system.f_type != ClientLibc.PID_FS_MAGIC)
            return 0;
        return Status(pidfd, out ClientLibc.statx_result status) == Errno.None ? status.stx_ino : 0;
    }

    private static DescriptorKind KindOf(int number, in ClientLibc.statx_result status)
    {
        switch (status.stx_mode & ClientLibc.S_IFMT)
        {
            case ClientLibc.S_IFSOCK:
                return Option(number, ClientLibc.SO_ACCEPTCONN, out int isListening) == Errno.None && isListening != 0
                    ? DescriptorKind.Listener : DescriptorKind.Socket;
            case ClientLibc.S_IFREG when IsPidFd(number):
                return DescriptorKind.Process;
            case ClientLibc.S_IFREG:
                return status.stx_nlink == 0 && ClientLibc.fcntl(number, ClientLibc.F_GET_SEALS, 0) >= 0
                    ? DescriptorKind.Memory : DescriptorKind.File;
            case ClientLibc.S_IFDIR:
                return DescriptorKind.Directory;
            case ClientLibc.S_IFIFO:
                return DescriptorKind.Pipe;
            case ClientLibc.S_IFCHR:
                return DescriptorKind.Device;
            default:
                return IsPidFd(number) ? DescriptorKind.Process : DescriptorKind.Other;
        }
    }

    // On kernels without pidfs a pidfd is an anonymous inode like many others; only its link in /proc tells.
    private static bool IsPidFd(int number)
    {
        ClientLibc.statfs_result system = default;
        if (ClientLibc.fstatfs(number, &system) == 0 && system.f_type == ClientLibc.PID_FS_MAGIC)
            return true;
        return new FileInfo($"/proc/self/fd/{number}").LinkTarget == "anon_inode:[pidfd]";
    }
}
