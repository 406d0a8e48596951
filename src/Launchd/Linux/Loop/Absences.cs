namespace Launchd.Linux.Loop;

/// <summary>
/// Tells from the clock alone whether a loop was kept from running: by SIGSTOP, a frozen control group, a debugger, a paused machine, or
/// for want of a processor. A suspended machine is no such case: CLOCK_MONOTONIC stands still in it.
/// </summary>
internal sealed class Absences
{
    /// <summary>A loop that wakes up later than this after the moment that it asked for was away. Nanoseconds.</summary>
    public const long Tolerance = 1_000_000_000;

    /// <summary>What is shorter than this is not told. Nanoseconds.</summary>
    public const long Least = 100_000_000;

    private long? _wokeAt;

    /// <summary>Notes one wait of the loop. All times in nanoseconds of one monotonic clock.</summary>
    /// <param name="began">When it began to wait.</param>
    /// <param name="asked">For how long at most; negative: no limit.</param>
    /// <param name="woke">When it woke up.</param>
    /// <param name="wasInterrupted">
    /// The wait ended with EINTR, as it does after a stop and a continuation (signal(7)): when the stop began is not known.
    /// </param>
    /// <returns>How long the loop was away, at most; 0: it was not, or not for long.</returns>
    public long Note(long began, long asked, long woke, bool wasInterrupted)
    {
        long turn = _wokeAt is { } before ? began - before : 0;
        _wokeAt = woke;
        long waited = woke - began;
        bool isLate = asked >= 0 && waited - asked > Tolerance;
        long away = (wasInterrupted || isLate ? waited : 0) + (turn > Tolerance ? turn : 0);
        return away >= Least ? away : 0;
    }
}
