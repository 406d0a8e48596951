namespace Launchd.Core;

/// <summary>Durations as people write them: <c>250ms</c>, <c>1.5s</c>, <c>2m</c>, <c>1h</c>.</summary>
internal static class Spans
{
    public static string Show(TimeSpan span) => Rounded(span) switch
    {
        { Ticks: > 0, TotalMilliseconds: < 1 } s => $"{s.TotalMicroseconds:0}us",
        { TotalSeconds: < 1 } s => $"{s.TotalMilliseconds:0}ms",
        { TotalMinutes: < 1 } s => $"{s.TotalSeconds:0.###}s",
        { TotalHours: < 1, Seconds: 0 } s => $"{s.Minutes}m",
        { TotalHours: < 1 } s => $"{s.Minutes}m{s.Seconds}s",
        { Minutes: 0 } s => $"{(long)s.TotalHours}h",
        var s => $"{(long)s.TotalHours}h{s.Minutes}m",
    };

    /// <summary>Rounds to the digits that are shown before the unit is chosen: 59.9999 seconds are a minute.</summary>
    private static TimeSpan Rounded(TimeSpan span)
    {
        TimeSpan unit = TimeSpan.FromMicroseconds(1);
        if (span >= TimeSpan.FromMilliseconds(1))
            unit = TimeSpan.FromMilliseconds(1);
        if (span >= TimeSpan.FromMinutes(1))
            unit = TimeSpan.FromSeconds(1);
        return unit * Math.Round(span / unit);
    }
}
