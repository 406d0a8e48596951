using System.Runtime.InteropServices;

namespace Launchd.Interop;

// timerfd_create(2)
internal static unsafe partial class Libc
{
    [LibraryImport("libc", SetLastError = true)]
    public static partial int timerfd_create(int clock, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int timerfd_settime(int fd, int flags, void* setting, void* old);
}
