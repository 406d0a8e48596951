namespace Launchd.Core.Starting;

/// <summary>
/// Limits how many instances are started, and how many services told to end, before the host has handled everything else: each costs the
/// loop some of its time, and a burst would keep notifications, operators and clients waiting. What is beyond the budget of a turn is put
/// off to the next turns, in the order of the configuration. A start for an accepted connection, or of a prepared instance, is not put off:
/// a turn brings only a few of them. Starts wait for room among the births, and stops do not: so each kind has turns of its own.
/// </summary>
internal static class Turns
{
    /// <summary>
    /// Takes one of the starts of this turn. False: there is none left, and the service is looked at again in a later turn.
    /// </summary>
    public static bool TryStart(Draft d, int service) => TryTake(d, TurnKind.Starts, service);

    /// <summary>
    /// Takes one of the ends of this turn. False: there is none left, and the service is looked at again in a later turn.
    /// </summary>
    public static bool TryStop(Draft d, int service) => TryTake(d, TurnKind.Stops, service);

    public static void Begin(Draft d, TurnKind kind)
    {
        TurnBudget budget = Of(d, kind);
        Set(d, kind, budget with { Left = budget.PerTurn, IsTurnAwaited = false });
    }

    /// <summary>The next service that was put off and can go on in this turn; -1: none.</summary>
    public static int Take(Draft d)
    {
        TurnKind kind = CanGoOn(d.Frame.Starts) ? TurnKind.Starts : TurnKind.Stops;
        TurnBudget budget = Of(d, kind);
        if (!CanGoOn(budget))
            return -1;
        int service = budget.PutOff[0];
        Set(d, kind, budget with { PutOff = budget.PutOff.Remove(service) });
        d.Unsettle(service);
        return d.TakeUnsettled();
    }

    /// <summary>Asks for another turn if services were put off in this one.</summary>
    public static void Settle(Draft d)
    {
        Await(d, TurnKind.Starts);
        Await(d, TurnKind.Stops);
    }

    private static bool CanGoOn(TurnBudget budget) => budget is { Left: > 0, PutOff.IsEmpty: false };

    private static bool TryTake(Draft d, TurnKind kind, int service)
    {
        TurnBudget budget = Of(d, kind);
        if (budget.Left > 0)
        {
            Set(d, kind, budget with { Left = budget.Left - 1 });
            return true;
        }
        PutOff(d, kind).Add(service);
        return false;
    }

    private static void Await(Draft d, TurnKind kind)
    {
        // All of a step at once: a set of thousands is made anew for each that is added.
        if (PutOff(d, kind).Count > 0)
            Set(d, kind, Of(d, kind) with { PutOff = Of(d, kind).PutOff.Union(PutOff(d, kind)) });
        if (Of(d, kind) is not { PutOff.IsEmpty: false, IsTurnAwaited: false } budget)
            return;
        Set(d, kind, budget with { IsTurnAwaited = true });
        d.Do(new Effect.AwaitTurn(kind));
    }

    private static List<int> PutOff(Draft d, TurnKind kind) => kind == TurnKind.Starts ? d.PutOffStarts : d.PutOffStops;

    private static TurnBudget Of(Draft d, TurnKind kind) => kind == TurnKind.Starts ? d.Frame.Starts : d.Frame.Stops;

    private static void Set(Draft d, TurnKind kind, TurnBudget budget) =>
        d.Frame = kind == TurnKind.Starts ? d.Frame with { Starts = budget } : d.Frame with { Stops = budget };
}
