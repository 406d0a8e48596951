using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 19: between two turns of the host no more is started than the budget, connections that were accepted aside; who was put off
/// has a turn asked for, once, and not while there was room.
/// </summary>
internal sealed class TurnChecker(Supervisor supervisor) : Checker("19")
{
    private int _started;
    private bool _isAwaited;

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.TurnBegan)
        {
            That(_isAwaited, "a turn that nobody asked for");
            (_started, _isAwaited) = (0, false);
        }
        _started += Start.In(happened, effects).Count(s => s.Connection is null);
        That(_started <= supervisor.Frame.StartsPerTurn, "more starts in one turn than its budget", _started);
        foreach (Effect.AwaitTurn _ in effects.OfType<Effect.AwaitTurn>())
        {
            That(!_isAwaited, "a turn is asked for twice");
            _isAwaited = true;
        }
        bool hasPutOff = !supervisor.Frame.PutOff.IsEmpty;
        That(!hasPutOff || _isAwaited, "somebody was put off for ever");
        That(!hasPutOff || _started == supervisor.Frame.StartsPerTurn || happened is Event.MachineFaulted,
            "somebody was put off while there was room");
    }
}
