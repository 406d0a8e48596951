using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 19: between two turns of the host no more is started than the budget, connections that were accepted aside; who was put off,
/// to start or to end, has a turn of that kind asked for, once, and not while there was room.
/// </summary>
internal sealed class TurnChecker(Supervisor supervisor) : Checker("19")
{
    private readonly HashSet<TurnKind> _awaited = [];
    private int _started;

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.TurnBegan { Kind: var begun })
        {
            That(_awaited.Remove(begun), "a turn that nobody asked for", begun);
            if (begun == TurnKind.Starts)
                _started = 0;
        }
        _started += Start.In(happened, effects).Count(s => s.Connection is null);
        That(_started <= supervisor.Frame.Starts.PerTurn, "more starts in one turn than its budget", _started);
        foreach (Effect.AwaitTurn asked in effects.OfType<Effect.AwaitTurn>())
            That(_awaited.Add(asked.Kind), "a turn is asked for twice", asked.Kind);
        Check(TurnKind.Starts, supervisor.Frame.Starts);
        Check(TurnKind.Stops, supervisor.Frame.Stops);
        That(supervisor.Frame.Starts.PutOff.IsEmpty || _started == supervisor.Frame.Starts.PerTurn || happened is Event.MachineFaulted,
            "somebody was put off while there was room");
    }

    private void Check(TurnKind kind, TurnBudget budget)
    {
        bool hasPutOff = !budget.PutOff.IsEmpty;
        That(!hasPutOff || _awaited.Contains(kind), "somebody was put off for ever", kind);
        That(!hasPutOff || budget.Left == 0, "somebody was put off while there was room", kind);
    }
}
