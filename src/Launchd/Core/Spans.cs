namespace Launchd.Core;

/// <summary>Durations as people write them: <c>250ms</c>, <c>1.5s</c>, <c>2m</c>, <c>1h</c>.</summary>
internal static class Spans
{
    public static string Show(TimeSpan span) => span switch
    {
        { TotalMilliseconds: < 1 } when span > TimeSpan.Zero => $"{span.TotalMicroseconds:0}us",
        { TotalSeconds: < 1 } => $"{span.TotalMilliseconds:0}ms",
        { TotalMinutes: < 1 } => $"{span.TotalSeconds:0.###}s",
        { TotalHours: < 1 } when span.Seconds == 0 => $"{span.TotalMinutes:0}m",
        { TotalHours: < 1 } => $"{(int)span.TotalMinutes}m{span.Seconds}s",
        _ when span.Minutes == 0 => $"{span.TotalHours:0}h",
        _ => $"{(int)span.TotalHours}h{span.Minutes}m",
    };
}
