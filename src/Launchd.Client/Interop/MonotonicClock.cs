namespace Launchd.Client.Interop;

/// <summary>The clock that notifications and deadlines speak of.</summary>
internal static unsafe class MonotonicClock
{
    /// <summary>CLOCK_MONOTONIC of clock_gettime(2), in microseconds.</summary>
    public static long Microseconds()
    {
        ClientLibc.timespec now = default;
        if (ClientLibc.clock_gettime(ClientLibc.CLOCK_MONOTONIC, &now) != 0)
            throw LaunchdException.Kernel("clock_gettime", Errno.Last);
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    }

    /// <summary>So many microseconds as a <see cref="TimeSpan"/>; too many are its greatest value, negative ones zero.</summary>
    public static TimeSpan Span(long microseconds) =>
        microseconds >= TimeSpan.MaxValue.Ticks / TimeSpan.TicksPerMicrosecond ? TimeSpan.MaxValue
        : new TimeSpan(Math.Max(0, microseconds) * TimeSpan.TicksPerMicrosecond);
}
