using System.Runtime.InteropServices;

namespace Launchd.Interop;

/// <summary>Direct imports of the C library: blittable signatures, the manual pages' names.</summary>
internal static unsafe partial class Libc
{
    /// <summary>
    /// What the log pump needs, in a class of its own because its signatures pass <c>ref byte</c> (pinned by the generated stub), so
    /// that no pointer leaves this file. Constants are those of x86-64 and arm64, which agree where not said otherwise.
    /// </summary>
    internal static partial class Pump
    {
        public const int O_WRONLY = 0x1;
        public const int O_NOCTTY = 0x100;
        public const int O_NONBLOCK = 0x800;
        public const int O_CLOEXEC = 0x80000;

        public const int F_GETFL = 3;
        public const int F_SETFL = 4;
        public const int F_DUPFD_CLOEXEC = 1030;

        public const int EFD_CLOEXEC = 0x80000;
        public const int EFD_NONBLOCK = 0x800;

        public const int EPOLL_CLOEXEC = 0x80000;
        public const int EPOLL_CTL_ADD = 1;
        public const int EPOLL_CTL_DEL = 2;
        public const uint EPOLLIN = 0x1;
        public const uint EPOLLOUT = 0x4;

        public const short POLLIN = 0x1;
        public const short POLLOUT = 0x4;

        public const int MSG_DONTWAIT = 0x40;
        public const int MSG_NOSIGNAL = 0x4000;

        /// <summary>ioctl_pipe(2): bytes that can be read now.</summary>
        public const nuint FIONREAD = 0x541B;

        public const int AT_EMPTY_PATH = 0x1000;
        public const uint STATX_BASIC_STATS = 0x7ff;

        public const int S_IFMT = 0xF000;
        public const int S_IFIFO = 0x1000;
        public const int S_IFCHR = 0x2000;
        public const int S_IFREG = 0x8000;
        public const int S_IFSOCK = 0xC000;

        [LibraryImport("libc", SetLastError = true)]
        public static partial nint read(int fd, ref byte buf, nuint count);

        [LibraryImport("libc", SetLastError = true)]
        public static partial nint write(int fd, ref readonly byte buf, nuint count);

        [LibraryImport("libc", SetLastError = true)]
        public static partial nint send(int sockfd, ref readonly byte buf, nuint len, int flags);

        /// <summary><paramref name="pathname"/>: the first byte of a string that ends in NUL.</summary>
        [LibraryImport("libc", SetLastError = true)]
        public static partial int open(ref readonly byte pathname, int flags, int mode);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int fcntl(int fd, int cmd, int arg);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int ioctl(int fd, nuint op, ref int argument);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int pipe2(ref int pipefd, int flags);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int dup2(int oldfd, int newfd);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int eventfd(uint initval, int flags);

        /// <summary>The calling thread's number, gettid(2): glibc has it from 2.30.</summary>
        [LibraryImport("libc")]
        public static partial int gettid();

        [LibraryImport("libc")]
        public static partial int isatty(int fd);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int poll(ref poll_entry fds, nuint nfds, int timeout);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int epoll_create1(int flags);

        /// <summary><paramref name="ev"/>: an event in the layout that <see cref="EpollEvents"/> writes.</summary>
        [LibraryImport("libc", SetLastError = true)]
        public static partial int epoll_ctl(int epfd, int op, int fd, ref byte ev);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int epoll_wait(int epfd, ref byte events, int maxevents, int timeout);

        [LibraryImport("libc", SetLastError = true)]
        public static partial int statx(int dirfd, ref readonly byte pathname, int flags, uint mask, ref statx_head statxbuf);

        /// <summary><c>struct pollfd</c> of poll(2).</summary>
        [StructLayout(LayoutKind.Sequential)]
        internal struct poll_entry
        {
            public int fd;
            public short events;
            public short revents;
        }

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

        /// <summary>
        /// The array that epoll_wait(2) fills. The kernel packs <c>struct epoll_event</c> on x86-64 alone: 12 bytes with the data at 4,
        /// elsewhere 16 with the data at 8.
        /// </summary>
        internal static class EpollEvents
        {
            private static readonly bool Packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;

            public static int Size => Packed ? 12 : 16;

            private static int DataOffset => Packed ? 4 : 8;

            public static void Write(Span<byte> at, uint events, ulong data)
            {
                MemoryMarshal.Write(at, events);
                MemoryMarshal.Write(at[DataOffset..], data);
            }

            public static ulong ReadData(ReadOnlySpan<byte> events, int index) =>
                MemoryMarshal.Read<ulong>(events[((index * Size) + DataOffset)..]);
        }
    }
}
