using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Core.Starting;

namespace Launchd.Core.Instances;

/// <summary>What becomes of a ready instance that fails its health check, and of the check itself.</summary>
internal static class Health
{
    public static void Apply(Draft d, Event.HealthFailed failed)
    {
        if (d.Find(failed.Instance) is not (int service, SlotState slot, SlotPhase.Ready { Instance.IsChecked: true } ready))
            return;
        Failure failure = new Failure.Unhealthy(failed.Reason);
        slot = d.SetPhase(service, slot, ready with { Instance = ready.Instance with { IsChecked = false } });
        ServiceState state = d[service] = d[service] with { LastFailure = failure, LastFailedInstance = failed.Instance };
        bool isNew = ready.Instance.ProvenAt is not null;
        if (state.Rollout is not null && !isNew && slot.Role == SlotRole.Holder)
            return; // a rollout under way exchanges it anyhow, or has it checked again when it is over
        // Judged by the definition of the successor: after a rollout that left this instance as it was, that is another than its own.
        bool mayOverlap =
            state.Definition is { Update: Model.UpdateKind.Overlap, Restart: not Model.RestartKind.Never, StartLimit: var limit }
            && !StartWindow.IsFull(slot.Starts, limit, d.Now);
        if (isNew || state.IsPerConnection || !state.IsWanted || d.IsShuttingDown || !mayOverlap)
            Stopping.Begin(d, service, slot, new StopCause.Failed(failure));
        else
            Rollout.Begin(d, service, state.Definition, StartReason.Restart, onlySlot: slot.Slot);
    }

    /// <summary>Has the health of a holder checked again that was found unhealthy and stayed all the same.</summary>
    public static void Resume(Draft d, int service, SlotState slot)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { IsChecked: false, Definition.Health: not null } } ready)
            return;
        d.SetPhase(service, slot, ready with { Instance = ready.Instance with { IsChecked = true } });
        d.Do(new Effect.StartHealth(ready.Instance.Id));
    }

    /// <summary>A draining instance said how much it still has to do.</summary>
    public static void Apply(Draft d, Event.DrainProgress progress)
    {
        if (d.Find(progress.Instance) is not (int service, SlotState slot, SlotPhase.Stopping stopping) || progress.Remaining < 0)
            return;
        if (stopping.Instance.RemainingCount == progress.Remaining)
            return;
        Instance instance = stopping.Instance with { RemainingCount = progress.Remaining };
        d.SetPhase(service, slot, stopping with { Instance = instance });
        d.Report(new Notice.DrainProgressed(instance.Id, slot.Slot, instance.Generation, instance.Pid, progress.Remaining));
    }
}
