using System.Collections.Immutable;

namespace Launchd.Core.Starting;

/// <summary>
/// Limits how many instances are started before the host has handled everything else: a birth holds up the loop, and a burst of births
/// would keep notifications, operators and clients waiting. Starts beyond the budget of a turn are put off to the next turns, in the order
/// of the configuration. A start for an accepted connection, or of a prepared instance, is not put off: a turn brings only a few of them.
/// </summary>
internal static class Turns
{
    /// <summary>
    /// Takes one of the starts of this turn. False: there is none left, and the service is looked at again in a later turn.
    /// </summary>
    public static bool TryStart(Draft d, int service)
    {
        if (d.Frame.StartsLeft > 0)
        {
            d.Frame = d.Frame with { StartsLeft = d.Frame.StartsLeft - 1 };
            return true;
        }
        ImmutableSortedSet<int> before = d.Frame.PutOff, after = before.Add(service);
        if (!ReferenceEquals(before, after))
            d.Frame = d.Frame with { PutOff = after };
        Await(d);
        return false;
    }

    public static void Begin(Draft d) => d.Frame = d.Frame with { StartsLeft = d.Frame.StartsPerTurn, IsTurnAwaited = false };

    /// <summary>The next service that was put off, while there are starts for it; -1: none.</summary>
    public static int Take(Draft d)
    {
        if (d.Frame.StartsLeft == 0 || d.Frame.PutOff.IsEmpty)
            return -1;
        int service = d.Frame.PutOff[0];
        d.Frame = d.Frame with { PutOff = d.Frame.PutOff.Remove(service) };
        d.Unsettle(service);
        return d.TakeUnsettled();
    }

    /// <summary>Asks for another turn if services were put off in this one.</summary>
    public static void Settle(Draft d)
    {
        if (!d.Frame.PutOff.IsEmpty)
            Await(d);
    }

    private static void Await(Draft d)
    {
        if (d.Frame.IsTurnAwaited)
            return;
        d.Frame = d.Frame with { IsTurnAwaited = true };
        d.Do(Effect.AwaitTurn.Value);
    }
}
