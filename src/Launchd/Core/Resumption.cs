using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// What a state counts on the host to have standing: timers, watches, probes, looks that are under way. A host that takes over from
/// another, which died between two steps or in one, has none of it; once it has carried out these effects it is where the other one was.
/// All of them can be carried out twice without harm.
/// </summary>
internal static class Resumption
{
    /// <summary>The effects, in the order in which the host carries them out.</summary>
    /// <param name="services">All that are known.</param>
    /// <param name="frame">Of the same state.</param>
    public static IReadOnlyList<Effect> Of(IReadOnlyList<ServiceState> services, SupervisorFrame frame)
    {
        List<Effect> effects = [];
        foreach (ServiceState service in services)
            Add(effects, service);
        if (frame.Shutdown is { IsOver: false, IsImmediate: false, Deadline: { } end })
            effects.Add(new Effect.ArmTimer(new TimerKey(TimerKind.Shutdown, default, 0), end));
        if (frame.Starts.IsTurnAwaited)
            effects.Add(new Effect.AwaitTurn(TurnKind.Starts));
        if (frame.Stops.IsTurnAwaited)
            effects.Add(new Effect.AwaitTurn(TurnKind.Stops));
        if (frame.Shutdown is { IsOver: true } over)
            effects.Add(new Effect.Exit(over.ExitCode));
        return effects;
    }

    /// <summary>
    /// The order of a birth that the state counts on and that was not carried out. Not for one with a client's connection.
    /// </summary>
    public static Effect.Spawn Birth(ServiceState service, SlotState slot, Instance unborn) => new(unborn.Id, slot.Slot, unborn.Generation,
        unborn.Definition, unborn.Reason, Connection: null, [.. service.Stored.Take(unborn.Definition.FdStoreCount)]);

    private static void Add(List<Effect> effects, ServiceState service)
    {
        ServiceName name = service.Definition.Name;
        if (service.PausedUntil is { } paused)
            effects.Add(new Effect.ArmTimer(new TimerKey(TimerKind.Activation, name, 0), paused));
        if (service.IdleUntil is { } idle)
            effects.Add(new Effect.ArmTimer(new TimerKey(TimerKind.Idle, name, 0), idle));
        if (service.IsWatching)
            effects.Add(new Effect.WatchListeners(name));
        if (service is { IdleUntil: not null, WasUsed: false })
            effects.Add(new Effect.WatchUse(name));
        foreach (SlotState slot in service.Slots)
            Add(effects, name, slot);
        foreach (SlotState beside in service.Beside)
            Add(effects, name, beside);
    }

    private static void Add(List<Effect> effects, ServiceName name, SlotState slot)
    {
        switch (slot.Phase)
        {
            case SlotPhase.BackingOff pause:
                effects.Add(new Effect.ArmTimer(new TimerKey(TimerKind.Backoff, name, slot.Slot), pause.Until));
                break;
            case SlotPhase.Preparing preparing:
                Arm(effects, TimerKind.Prepare, preparing.Instance, preparing.Deadline);
                effects.Add(new Effect.Prepare(preparing.Instance.Id, slot.Slot, preparing.Instance.Definition,
                    preparing.Instance.Reason, preparing.Connection));
                break;
            case SlotPhase.Starting { Instance.Pid: > 0 } starting:
                Arm(effects, TimerKind.Ready, starting.Instance, starting.Deadline);
                if (starting.Instance.Definition.Ready is Readiness.Probed)
                    effects.Add(new Effect.StartProbe(starting.Instance.Id));
                break;
            case SlotPhase.Ready { Instance: var ready }:
                Arm(effects, TimerKind.Prove, ready, ready.ProvenAt);
                Arm(effects, TimerKind.Reload, ready, ready.Reload?.Deadline);
                if (ready.WatchdogPeriod is { } period)
                    Arm(effects, TimerKind.Watchdog, ready, ready.LastPing + period);
                if (ready.IsChecked)
                    effects.Add(new Effect.StartHealth(ready.Id));
                break;
            case SlotPhase.Stopping stopping:
                Arm(effects, TimerKind.Stop, stopping.Instance, stopping.Deadline);
                Arm(effects, TimerKind.Queue, stopping.Instance, stopping.LookAt);
                if (stopping is { Stage: StopStage.Emptying, LookAt: null })
                    effects.Add(new Effect.LookAtQueues(stopping.Instance.Id, Stopping.HearsOut(stopping.Instance)));
                break;
        }
    }

    private static void Arm(List<Effect> effects, TimerKind kind, Instance instance, Moment? due)
    {
        if (due is { } moment)
            effects.Add(new Effect.ArmTimer(new TimerKey(kind, instance.Id.Service, instance.Id.Number), moment));
    }
}
