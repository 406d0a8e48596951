using Launchd.Core;
using Launchd.Core.Slots;

namespace Launchd.Tests.Simulation;

/// <summary>Property 6: an armed timer has a state that waits for exactly that moment, and each such state its timer.</summary>
internal sealed class TimerChecker(Supervisor supervisor) : Checker("6")
{
    private readonly Dictionary<TimerKey, Moment> _armed = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.TimerFired fired)
            _armed.Remove(fired.Key);
        foreach (Effect effect in effects)
        {
            if (effect is Effect.ArmTimer arm)
                _armed[arm.Key] = arm.Due;
            else if (effect is Effect.DisarmTimer disarm)
                _armed.Remove(disarm.Key);
        }
        Dictionary<TimerKey, Moment?> awaited = Awaited();
        foreach ((TimerKey key, Moment due) in _armed)
        {
            That(awaited.TryGetValue(key, out Moment? waits), "nobody waits for an armed timer", key);
            That(waits is null || waits == due, "a timer is armed for another moment than its state says", key);
        }
        foreach (TimerKey key in awaited.Keys)
        {
            That(_armed.ContainsKey(key) || happened is Event.MachineFaulted || IsLost(key),
                "a state waits for a timer that is not armed", key);
        }
    }

    public override void CheckEnd() => That(_armed.Count == 0, "a timer is armed at the end", _armed.Keys.FirstOrDefault());

    /// <summary>The end of a shutdown's time comes once; after it everything was killed.</summary>
    private bool IsLost(TimerKey key) => key.Kind == TimerKind.Shutdown && supervisor.Frame.Shutdown is { IsImmediate: true };

    private Dictionary<TimerKey, Moment?> Awaited()
    {
        Dictionary<TimerKey, Moment?> awaited = [];
        foreach (ServiceState service in supervisor.Services)
        {
            if (service.PausedUntil is { } until)
                awaited.Add(new TimerKey(TimerKind.Activation, service.Definition.Name, 0), until);
            if (service.IdleUntil is { } idle)
                awaited.Add(new TimerKey(TimerKind.Idle, service.Definition.Name, 0), idle);
            foreach (SlotState slot in service.Slots.Concat(service.Beside))
            {
                if (slot.Phase is SlotPhase.Stopping { LookAt: { } look } emptying)
                    awaited.Add(Key(TimerKind.Queue, emptying), look);
                if (slot.Phase is SlotPhase.Ready { Instance.ProvenAt: { } proven } proving)
                    awaited.Add(Key(TimerKind.Prove, proving), proven);
                if (slot.Phase is SlotPhase.Ready { Instance.Reload.Deadline: { } reloaded } reloading)
                    awaited.Add(Key(TimerKind.Reload, reloading), reloaded);
                switch (slot.Phase)
                {
                    case SlotPhase.Preparing { Deadline: var due } preparing: awaited.Add(Key(TimerKind.Prepare, preparing), due); break;
                    case SlotPhase.Starting { Deadline: { } due } starting: awaited.Add(Key(TimerKind.Ready, starting), due); break;
                    case SlotPhase.Stopping { Deadline: { } due } stopping: awaited.Add(Key(TimerKind.Stop, stopping), due); break;
                    case SlotPhase.Ready { Instance.WatchdogPeriod: not null } ready:
                        awaited.Add(Key(TimerKind.Watchdog, ready), null);
                        break;
                    case SlotPhase.BackingOff { Until: var end }:
                        awaited.Add(new TimerKey(TimerKind.Backoff, service.Definition.Name, slot.Slot), end);
                        break;
                }
            }
        }
        if (supervisor.Frame is { Shutdown.IsOver: false, ShutdownTimeout.Ticks: > 0 })
            awaited.Add(new TimerKey(TimerKind.Shutdown, default, 0), null);
        return awaited;
    }

    private static TimerKey Key(TimerKind kind, SlotPhase.Live live) => new(kind, live.Instance.Id.Service, live.Instance.Id.Number);
}
