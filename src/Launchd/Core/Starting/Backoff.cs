using Launchd.Model;

namespace Launchd.Core.Starting;

/// <summary>The pause before the next attempt.</summary>
internal static class Backoff
{
    /// <param name="policy">The service's.</param>
    /// <param name="attempt">Failed or ended runs in a row before this one, from 0.</param>
    /// <param name="random">0 to 1: where in the range of the jitter.</param>
    public static TimeSpan Delay(BackoffPolicy policy, int attempt, double random)
    {
        double grown = policy.Initial.TotalMilliseconds * Math.Pow(policy.Factor, Math.Min(attempt, 64));
        double capped = Math.Min(grown, policy.Max.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(Math.Max(0, capped * (1 + (policy.Jitter * ((2 * random) - 1)))));
    }
}
