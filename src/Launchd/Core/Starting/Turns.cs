using System.Collections.Immutable;

namespace Launchd.Core.Starting;

/// <summary>
/// How much is started before the host has looked at everything else: a birth holds the loop, and a burst of them would keep notifications,
/// operators and clients waiting. What is over the budget of a turn is put off, and started in the turns after it, in the order of the
/// configuration. A connection that was accepted, and what was prepared, is not put off: of those a turn brings only a few.
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

    /// <summary>Whoever had no turn in this one has it in the next.</summary>
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
