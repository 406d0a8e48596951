using Launchd.Core.Rollouts;
using Launchd.Core.Slots;

namespace Launchd.Core.Orders;

/// <summary>The outcome of an order for one service, once it is known.</summary>
internal static class Verdict
{
    /// <summary>The outcome for one service; null: not known yet.</summary>
    public static Outcome? Of(Draft d, int service, PendingRequest pending)
    {
        ServiceState state = d[service];
        bool isStop = pending.Verb == Verb.Stop || (pending.Verb == Verb.Configure && state.IsLeaving);
        if (isStop)
            return OfStop(d, state, pending);
        if (pending.Verb == Verb.Signal)
            return Signals.OutcomeOf(state, pending);
        if (pending.Verb == Verb.Reload)
            return OfReload(d, state, pending);
        if (pending.Verb is Verb.Configure or Verb.Scale && !state.IsWanted && !d.IsShuttingDown)
        {
            return state.HasLiveInstance
                ? null
                : new Outcome(state.Definition.Name, Succeeded: true, state.PublicState, Text: null, Elapsed(d, pending), null);
        }
        if (!state.IsWanted || d.IsShuttingDown)
            return No(d, state, pending, d.IsShuttingDown ? "the supervisor is shutting down" : "it was stopped meanwhile", failed: null);
        if (!IsOver(state, pending))
            return null;
        if (state.IsSetAside)
            return No(d, state, pending, state.LastFailure?.ToString(), state.LastFailedInstance);
        if (state.IsPerConnection && state.IsHindered)
            return No(d, state, pending, "what it requires has failed", failed: null);
        if (state.IsPerConnection && !state.IsWatching && state.PausedUntil is null && state.Slots.IsEmpty)
            return null;
        if (Concerns(pending, state.LastRollout) && state.LastRollout is { Text: { } text } failedRollout)
            return No(d, state, pending, text, failedRollout.Failed) with { FailedSlot = failedRollout.FailedSlot };
        if (state.Slots.Select(WhyNot).FirstOrDefault(why => why is not null) is { } reason)
            return No(d, state, pending, reason, state.LastFailedInstance);
        return new Outcome(state.Definition.Name, Succeeded: true, state.PublicState, EndedText(state), Elapsed(d, pending), Failed: null);
    }

    private static Outcome? OfStop(Draft d, ServiceState state, PendingRequest pending)
    {
        if (state.IsWanted)
            return No(d, state, pending, "it was started again meanwhile", failed: null);
        if (state.HasLiveInstance)
            return null;
        string? hangs = state.Slots.Select(s => s.Phase).OfType<SlotPhase.Failed>().FirstOrDefault()?.Failure.ToString();
        return new Outcome(
            state.Definition.Name, Succeeded: hangs is null, state.PublicState, hangs, Elapsed(d, pending),
            hangs is null ? null : state.LastFailedInstance);
    }

    private static Outcome? OfReload(Draft d, ServiceState state, PendingRequest pending)
    {
        if (ServiceReload.IsUnderWay(state))
            return null;
        if (state.Reload is { Failure: { } failure } failed)
            return No(d, state, pending, failure, failed.Failed);
        string? text = state.Reload is { IsUnconfirmed: true } ? "told to reload" : null;
        return new Outcome(state.Definition.Name, Succeeded: true, state.PublicState, text, Elapsed(d, pending), Failed: null);
    }

    /// <summary>
    /// Whether all that the order set going is over: for a start, in the slots; for other orders also the draining instances beside them.
    /// </summary>
    private static bool IsOver(ServiceState state, PendingRequest pending)
    {
        if (state.Reborn is not null
            || state.Slots.Any(s => s.Phase is SlotPhase.Preparing or SlotPhase.Starting or SlotPhase.Waiting or SlotPhase.Stopping))
        {
            return false;
        }
        if (pending.Verb == Verb.Start)
            return true;
        if (state.Rollout is not null)
            return false;
        InstanceId? failed = Concerns(pending, state.LastRollout) ? state.LastRollout!.Failed : null;
        return !state.Beside.Any(
            b => b.Phase is SlotPhase.Live live && (live.Instance.StartedAt <= pending.AskedAt || live.Instance.Id == failed));
    }

    private static bool Concerns(PendingRequest pending, RolloutResult? result) =>
        pending.Verb is Verb.Restart or Verb.Configure && result is not null && result.EndedAt >= pending.AskedAt;

    private static Outcome No(Draft d, ServiceState state, PendingRequest pending, string? why, InstanceId? failed) =>
        new(state.Definition.Name, Succeeded: false, state.PublicState, why, Elapsed(d, pending), failed);

    private static TimeSpan Elapsed(Draft d, PendingRequest pending) => d.Now - pending.AskedAt;

    private static string? WhyNot(SlotState slot) => slot.Phase switch
    {
        SlotPhase.Failed failed => failed.Failure.ToString(),
        SlotPhase.BackingOff pause => pause.Reason ?? "it ended and is to be started again",
        _ => null,
    };

    private static string? EndedText(ServiceState state) =>
        state.Slots.Select(s => s.Phase).OfType<SlotPhase.Ended>().FirstOrDefault() is { } ended ? ended.Status.ToString() : null;
}
