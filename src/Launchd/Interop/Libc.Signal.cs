using System.Runtime.InteropServices;

namespace Launchd.Interop;

internal static unsafe partial class Libc
{
    public const int SIG_BLOCK = 0;
    public const int SIG_SETMASK = 2;
    public const int SFD_NONBLOCK = 0x800;
    public const int SFD_CLOEXEC = 0x80000;

    /// <summary>Bytes of <c>struct signalfd_siginfo</c>, signalfd(2).</summary>
    public const int SignalInfoBytes = 128;

    /// <summary>Bytes of glibc's <c>sigset_t</c>; the kernel reads the first 8.</summary>
    public const int SignalSetBytes = 128;

    /// <summary>The first real-time signal that libc does not keep for itself.</summary>
    [LibraryImport("libc")]
    public static partial int __libc_current_sigrtmin();

    [LibraryImport("libc", SetLastError = true)]
    public static partial int signalfd(int fd, void* mask, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint signal(int number, nint handler);
}
