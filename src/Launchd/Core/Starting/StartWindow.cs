using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core.Starting;

/// <summary>The start limit: a sliding window over the moments of a slot's starts.</summary>
internal static class StartWindow
{
    /// <summary>
    /// The window after one more start. No more starts are kept than can decide, and one more in case the newest proves to be no start.
    /// </summary>
    public static ImmutableArray<Moment> Add(ImmutableArray<Moment> starts, RateLimit limit, Moment now)
    {
        if (limit.IsUnlimited)
            return [];
        ImmutableArray<Moment> recent = Recent(starts, limit, now);
        return recent.Length > limit.Burst ? recent[^limit.Burst..].Add(now) : recent.Add(now);
    }

    /// <summary>
    /// The starts of two windows in order, no more of them than <see cref="Add"/> keeps. A moment that is in both windows is one
    /// start; a moment that is twice in one window is two.
    /// </summary>
    public static ImmutableArray<Moment> Join(ImmutableArray<Moment> one, ImmutableArray<Moment> other, RateLimit limit)
    {
        if (limit.IsUnlimited)
            return [];
        ImmutableArray<Moment>.Builder joined = ImmutableArray.CreateBuilder<Moment>(Math.Max(one.Length, other.Length));
        int i = 0, j = 0;
        while (i < one.Length || j < other.Length)
        {
            bool isOnes = j == other.Length || (i < one.Length && one[i] <= other[j]),
                isOthers = i == one.Length || (j < other.Length && other[j] <= one[i]);
            joined.Add(isOnes ? one[i] : other[j]);
            i += isOnes ? 1 : 0;
            j += isOthers ? 1 : 0;
        }
        ImmutableArray<Moment> all = joined.ToImmutable();
        return all.Length > limit.Burst + 1 ? all[^(limit.Burst + 1)..] : all;
    }

    /// <summary>
    /// The limit for which a window is kept while a slot may be started by either of two definitions, for instance its own and that of a
    /// rollout which left it out: the longer interval and the larger burst. An unlimited definition needs no window.
    /// </summary>
    public static RateLimit Either(RateLimit one, RateLimit other)
    {
        if (one.IsUnlimited || other.IsUnlimited)
            return one.IsUnlimited ? other : one;
        return new RateLimit(Math.Max(one.Burst, other.Burst), one.Interval > other.Interval ? one.Interval : other.Interval);
    }

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
