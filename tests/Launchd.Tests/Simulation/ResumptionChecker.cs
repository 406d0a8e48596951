using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>
/// A host that takes over after any step is told of exactly the timers, watches, probes, checks, looks and turns that the former host
/// was told of and that stand.
/// </summary>
internal sealed class ResumptionChecker(Supervisor supervisor) : Checker("resumption")
{
    private readonly Dictionary<TimerKey, Moment> _timers = [];
    private readonly HashSet<object> _standing = [];
    private bool _hasFaulted;

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        // A step that threw has left what it ordered before; the simulation plants such faults from outside.
        _hasFaulted |= happened is Event.MachineFaulted;
        Forget(happened);
        foreach (Effect effect in effects)
            Note(effect);
        if (_hasFaulted || supervisor.Frame.Shutdown is { IsOver: true })
            return;
        Dictionary<TimerKey, Moment> timers = [];
        HashSet<object> standing = [];
        foreach (Effect effect in Resumption.Of(supervisor.Services, supervisor.Frame))
        {
            if (effect is Effect.ArmTimer arm)
                timers.Add(arm.Key, arm.Due);
            else
                That(standing.Add(KeyOf(effect)!), "is told twice", effect);
        }
        // A reload has the use watched anew, whether a client has come in this window or not.
        IEnumerable<object> used = supervisor.Services.Where(s => s.WasUsed).Select(s => (object)("use", s.Definition.Name));
        foreach (object missing in _standing.Except(standing).Except(used))
            That(false, "stands, and a host that takes over is not told of it", missing);
        foreach (object surplus in standing.Except(_standing))
            That(false, "does not stand, and a host that takes over is told of it", surplus);
        // After everything was killed it means nothing any more.
        if (supervisor.Frame.Shutdown is { IsImmediate: true })
            _ = _timers.Remove(new TimerKey(TimerKind.Shutdown, default, 0));
        foreach ((TimerKey key, Moment due) in _timers)
        {
            That(timers.TryGetValue(key, out Moment later), "is armed, and a host that takes over is not told of it", key);
            // A timer that was put off is armed anew only when it fires, and a ping brings the watchdog nearer after a longer allowance.
            That(later >= due || key.Kind == TimerKind.Watchdog, "comes too early in a host that takes over", key);
        }
        foreach (TimerKey key in timers.Keys)
            That(_timers.ContainsKey(key), "is not armed, and a host that takes over arms it", key);
    }

    private void Forget(Event happened)
    {
        switch (happened)
        {
            case Event.TimerFired e: _ = _timers.Remove(e.Key); break;
            case Event.TurnBegan e: _ = _standing.Remove(e.Kind); break;
            case Event.ListenerUsed e: _ = _standing.Remove(("use", e.Service)); break;
            case Event.QueuesSeen e: _ = _standing.Remove(("queues", e.Instance)); break;
            case Event.HealthFailed e: _ = _standing.Remove(("health", e.Instance)); break;
            case Event.Prepared e: _ = _standing.Remove(("prepare", e.Instance)); break;
            case Event.SpawnFailed e: _ = _standing.Remove(("prepare", e.Instance)); break;
        }
    }

    private void Note(Effect effect)
    {
        switch (effect)
        {
            case Effect.ArmTimer e: _timers[e.Key] = e.Due; break;
            case Effect.DisarmTimer e: _ = _timers.Remove(e.Key); break;
            case Effect.UnwatchListeners e: _ = _standing.Remove(("listeners", e.Service)); break;
            case Effect.UnwatchUse e: _ = _standing.Remove(("use", e.Service)); break;
            case Effect.EndProbe e: _ = _standing.Remove(("probe", e.Instance)); break;
            case Effect.EndHealth e: _ = _standing.Remove(("health", e.Instance)); break;
            // It is told to end, whatever a look that is still under way will say of its queues.
            case Effect.Signal { Request: null } e: _ = _standing.Remove(("queues", e.Instance)); break;
            case Effect.RunCommand e: _ = _standing.Remove(("queues", e.Instance)); break;
            case Effect.Release e:
                _ = _standing.Remove(("prepare", e.Instance));
                _ = _standing.Remove(("queues", e.Instance));
                break;
            default:
                if (KeyOf(effect) is { } key)
                    _ = _standing.Add(key);
                break;
        }
    }

    private static object? KeyOf(Effect effect) => effect switch
    {
        Effect.WatchListeners e => ("listeners", e.Service),
        Effect.WatchUse e => ("use", e.Service),
        Effect.StartProbe e => ("probe", e.Instance),
        Effect.StartHealth e => ("health", e.Instance),
        Effect.LookAtQueues e => ("queues", e.Instance),
        Effect.Prepare e => ("prepare", e.Instance),
        Effect.AwaitTurn e => e.Kind,
        _ => null,
    };
}
