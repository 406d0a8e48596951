using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>The start limit: a sliding window over the moments of a slot's starts.</summary>
internal static class StartWindow
{
    /// <summary>The window after one more start; as long as the limit's burst at most.</summary>
    public static ImmutableArray<Moment> Add(ImmutableArray<Moment> starts, RateLimit limit, Moment now) =>
        limit.IsUnlimited ? [] : Recent(starts, limit, now).Add(now);

    /// <summary>Whether one more start would exceed the limit.</summary>
    public static bool IsFull(ImmutableArray<Moment> starts, RateLimit limit, Moment now) =>
        !limit.IsUnlimited && Recent(starts, limit, now).Length >= limit.Burst;

    private static ImmutableArray<Moment> Recent(ImmutableArray<Moment> starts, RateLimit limit, Moment now)
    {
        int old = 0;
        while (old < starts.Length && now - starts[old] >= limit.Interval)
            old++;
        return old == 0 ? starts : starts[old..];
    }
}
