using System.Runtime.InteropServices;

namespace Launchd.Interop;

// open(2), read(2), write(2), fcntl(2), pipe(2), stat and owners, mq_open(3). Constants are those of x86-64 and
// arm64, which agree where not said otherwise.
internal static unsafe partial class Libc
{
    /// <summary>mq_open(2): libc has it in librt on older systems, so by number.</summary>
    public static int SYS_mq_open => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 180 : 240;

    /// <summary>mq_unlink(2).</summary>
    public static int SYS_mq_unlink => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 181 : 241;

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(int fd, void* buf, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial byte* getcwd(byte* buf, nuint size);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int fd, void* buf, nuint count);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint mq_call(nint number, byte* name, nint oflag, nint mode, void* attr);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint pread(int fd, void* buffer, nuint count, nint offset);

    public const int O_WRONLY = 0x1;
    public const int O_NOCTTY = 0x100;
    public const int O_NONBLOCK = 0x800;
    public const int O_CLOEXEC = 0x80000;
    public const int F_GETFL = 3;
    public const int F_SETFL = 4;
    public const int F_DUPFD_CLOEXEC = 1030;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_FDCWD = -100;
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const int S_IFMT = 0xF000;
    public const int S_IFIFO = 0x1000;
    public const int S_IFCHR = 0x2000;
    public const int S_IFREG = 0x8000;
    public const int S_IFSOCK = 0xC000;

    /// <summary>ioctl_pipe(2): bytes that can be read now.</summary>
    public const nuint FIONREAD = 0x541B;

    /// <summary><paramref name="pathname"/>: the first byte of a string that ends in NUL.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int open(ref readonly byte pathname, int flags, int mode);

    // fcntl(2) is variadic in C; with one argument the registers are the same on x86-64 and arm64 Linux.
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int command, nint argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int ioctl(int fd, nuint op, ref int argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int dup2(int oldfd, int newfd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int dup3(int from, int to, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int flock(int fd, int operation);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int ftruncate(int fd, nint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchown(int fd, uint owner, uint group);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int lchown(byte* path, uint owner, uint group);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchmod(int fd, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int unlink(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fstatfs(int fd, void* facts);

    [LibraryImport("libc")]
    public static partial int isatty(int fd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int statx(int dirfd, ref readonly byte pathname, int flags, uint mask, ref statx_head statxbuf);

    /// <summary>statx(2), 256 bytes, the same on every architecture: only the fields that the pump reads.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct statx_head
    {
        [FieldOffset(28)] public ushort stx_mode;
        [FieldOffset(32)] public ulong stx_ino;
        [FieldOffset(40)] public ulong stx_size;
        [FieldOffset(128)] public ulong stx_rdev;
        [FieldOffset(136)] public ulong stx_dev;
    }
}
