namespace Launchd.Cli.Views;

/// <summary>Durations as people read them: the two largest units for ages, a figure with its unit for what was measured.</summary>
internal static class DurationText
{
    /// <summary>An age or a countdown: <c>0s</c>, <c>12s</c>, <c>3m 12s</c>, <c>2h 5m</c>, <c>3d 4h</c>.</summary>
    public static string Age(long milliseconds)
    {
        long seconds = Math.Max(0, milliseconds) / 1000;
        return seconds switch
        {
            < 60 => $"{seconds}s",
            < 3600 => $"{seconds / 60}m {seconds % 60}s",
            < 86_400 => $"{seconds / 3600}h {seconds / 60 % 60}m",
            _ => $"{seconds / 86_400}d {seconds / 3600 % 24}h",
        };
    }

    /// <summary>The time until something happens, which below a second matters in milliseconds: <c>400ms</c>, <c>2s</c>.</summary>
    public static string Countdown(long milliseconds) =>
        milliseconds is > 0 and < 1000 ? $"{milliseconds}ms" : Age(Math.Max(0, milliseconds));

    /// <summary>How long something took: <c>412 ms</c>, <c>2.3 s</c>, <c>48 s</c>, <c>3m 12s</c>.</summary>
    public static string Elapsed(long milliseconds) => milliseconds switch
    {
        < 1000 => $"{Math.Max(0, milliseconds)} ms",
        < 10_000 => $"{milliseconds / 1000}.{milliseconds / 100 % 10} s",
        < 60_000 => $"{milliseconds / 1000} s",
        _ => Age(milliseconds),
    };
}
