using System.Runtime.InteropServices;

namespace Launchd.Interop;

/// <summary>Imports of libc that Tmds.LibC lacks, or that a hot path wants blittable: processes and their handles.</summary>
internal static unsafe partial class Libc
{
    public const int CLONE_VM = 0x100;
    public const int CLONE_FILES = 0x400;
    public const int CLONE_PIDFD = 0x1000;
    public const int CLONE_CHILD_SETTID = 0x01000000;
    public const int CLONE_VFORK = 0x4000;
    public const int CLONE_NEWNS = 0x20000;
    public const int MS_BIND = 0x1000;
    public const int MS_REC = 0x4000;
    public const int MS_SLAVE = 0x80000;

    public const int P_ALL = 0;
    public const int P_PID = 1;
    public const int P_PIDFD = 3;
    public const int WNOHANG = 1;
    public const int WSTOPPED = 2;
    public const int WEXITED = 4;
    public const int __WALL = 0x40000000;
    public const int WNOWAIT = 0x01000000;
    public const int CLD_EXITED = 1;
    public const int CLD_KILLED = 2;
    public const int CLD_DUMPED = 3;
    public const int CLD_TRAPPED = 4;

    public const int PTRACE_TRACEME = 0;
    public const int PTRACE_DETACH = 17;
    public const int PTRACE_GETSIGINFO = 0x4202;

    public const uint PIDFD_SIGNAL_PROCESS_GROUP = 4;

    public const int PR_SET_PDEATHSIG = 1;
    public const int PR_SET_DUMPABLE = 4;
    public const int PR_SET_KEEPCAPS = 8;
    public const int PR_SET_NAME = 15;
    public const int PR_CAPBSET_DROP = 24;
    public const int PR_SET_CHILD_SUBREAPER = 36;
    public const int PR_GET_CHILD_SUBREAPER = 37;
    public const int PR_SET_NO_NEW_PRIVS = 38;
    public const int PR_CAP_AMBIENT = 47;
    public const int PR_CAP_AMBIENT_RAISE = 2;
    public const int LINUX_CAPABILITY_VERSION_3 = 0x20080522;

    public const int CLOSE_RANGE_UNSHARE = 2;
    public const int PRIO_PROCESS = 0;

    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int MAP_PRIVATE = 2;
    public const int MAP_ANONYMOUS = 0x20;

    // clone(2): variadic in C; the fixed form passes the same registers on x86-64 and arm64.
    [LibraryImport("libc")]
    public static partial int clone(
        delegate* unmanaged<void*, int> fn, void* stack, int flags, void* arg, int* parent_tid, void* tls, int* child_tid);

    [LibraryImport("libc")]
    public static partial nint syscall(nint number, nint a0, nint a1, nint a2, nint a3, nint a4, nint a5);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int* __errno_location();

    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitid(int idtype, int id, void* info, int options);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int pid, int signal);

    // By number and not by name: glibc has the functions since 2.36, and a binary that names them starts on nothing older.
    public static int pidfd_open(int pid, uint flags) => (int)descriptor_call(SYS_pidfd_open, pid, (nint)flags, 0, 0, 0);

    /// <summary>ioctl_pidfd(2), PIDFD_GET_INFO since Linux 6.13, and PIDFD_INFO_EXIT since 6.15.</summary>
    public const nuint PIDFD_GET_INFO = 0xC040FF0B;
    public const ulong PIDFD_INFO_EXIT = 8;

    [StructLayout(LayoutKind.Explicit, Size = 64)]
    public struct pidfd_info
    {
        [FieldOffset(0)] public ulong mask;
        [FieldOffset(60)] public int exit_code;
    }

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int pidfd_ioctl(int fd, nuint op, ref pidfd_info argument);

    public static int pidfd_send_signal(int pidfd, int signal, void* info, uint flags) =>
        (int)descriptor_call(SYS_pidfd_send_signal, pidfd, signal, (nint)info, (nint)flags, 0);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int prctl(int option, nuint a1, nuint a2, nuint a3, nuint a4);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int execve(byte* path, byte** argv, byte** envp);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int execv(byte* path, byte** argv);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int setenv(byte* name, byte* value, int overwrite);

    [LibraryImport("libc", SetLastError = true)]
    public static partial void* mmap(void* address, nuint length, int prot, int flags, int fd, nint offset);

    [LibraryImport("libc")]
    public static partial int getpid();

    [LibraryImport("libc")]
    public static partial int getsid(int pid);

    [LibraryImport("libc")]
    public static partial uint geteuid();

    [LibraryImport("libc")]
    public static partial uint getegid();

    [LibraryImport("libc")]
    public static partial int umask(int mask);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getrlimit(int resource, ulong* limit);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int setrlimit(int resource, ulong* limit);

    [LibraryImport("libc")]
    public static partial int clock_gettime(int clock, long* time);

    /// <summary>The calling thread's number, gettid(2): glibc has it from 2.30.</summary>
    [LibraryImport("libc")]
    public static partial int gettid();
}
