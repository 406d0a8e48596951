using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>The two clocks: one that only goes forward, for deciding; one that people read, for showing.</summary>
internal static unsafe class Clock
{
    private const int Realtime = 0;
    private const int Monotonic = 1;

    /// <summary>CLOCK_MONOTONIC in nanoseconds: stands still while the machine is suspended, so that no time-out fires on waking.</summary>
    public static long MonotonicNanoseconds => Read(Monotonic);

    /// <summary>CLOCK_REALTIME as UTC.</summary>
    public static DateTime UtcNow => DateTime.UnixEpoch.AddTicks(Read(Realtime) / TimeSpan.NanosecondsPerTick);

    private static long Read(int clock)
    {
        long* time = stackalloc long[2];
        _ = Libc.clock_gettime(clock, time);
        return (time[0] * 1_000_000_000) + time[1];
    }
}
