using System.Runtime.InteropServices;

namespace Launchd.Interop;

// pidfd_getfd(2), kcmp(2), fcntl(2): looking at and taking descriptors, also of other processes.
internal static unsafe partial class Libc
{
    /// <summary>Linux 5.6.</summary>
    public const int SYS_pidfd_getfd = 438;

    /// <summary>Linux 5.3 and 5.1.</summary>
    public const int SYS_pidfd_open = 434, SYS_pidfd_send_signal = 424;

    /// <summary>fcntl(2), Linux 6.10: 1 when both numbers mean the same open file description.</summary>
    public const int F_DUPFD_QUERY = 1027;

    /// <summary>fcntl(2): the seals of a memfd; EINVAL for anything else.</summary>
    public const int F_GET_SEALS = 1034;

    public const int KCMP_FILE = 0;

    /// <summary>statx(2): the time of birth, where the file system keeps one.</summary>
    public const uint STATX_BTIME = 0x800;

    public static int SYS_kcmp => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 272 : 312;

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint descriptor_call(nint number, nint a0, nint a1, nint a2, nint a3, nint a4);
}
