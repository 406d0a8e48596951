using System.Runtime.InteropServices;

namespace Launchd.Interop;

// timerfd_create(2), localtime(3)
internal static unsafe partial class Libc
{
    /// <summary><c>struct tm</c> of tm(3type).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct tm_time
    {
        public int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;

        /// <summary>Seconds east of UTC.</summary>
        public nint tm_gmtoff;
        public byte* tm_zone;
    }

    [LibraryImport("libc")]
    public static partial tm_time* localtime_r(long* time, tm_time* result);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int timerfd_create(int clock, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int timerfd_settime(int fd, int flags, void* setting, void* old);
}
