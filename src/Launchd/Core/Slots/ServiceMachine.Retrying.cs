using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Slots;

/// <content>The next attempt after an end or a failure.</content>
internal static partial class ServiceMachine
{
    /// <summary>The next attempt of a slot: now, after a pause, or never.</summary>
    /// <param name="d">The step.</param>
    /// <param name="service">Its number.</param>
    /// <param name="slot">The slot.</param>
    /// <param name="failure">Null: the run ended well.</param>
    /// <param name="why">For people; null: there is nothing to say.</param>
    private static void Retry(Draft d, int service, SlotState slot, Failure? failure, string? why)
    {
        ServiceState state = d[service];
        ServiceDefinition definition = slot.Definition;
        if (!state.IsWanted || d.IsShuttingDown)
        {
            d.SetSlot(service, slot with { Phase = SlotPhase.Idle.Value, Attempt = 0 });
            return;
        }
        bool isShort = failure is Failure.SpawnFailed { IsShortage: true };
        // After a shortage nothing of the program has run, so that even a program that must not be restarted
        // may be tried again: clients wait for it.
        bool mayRetry = definition.Restart != RestartKind.Never || (isShort && state.IsOnDemand);
        if (failure is not null && (!mayRetry || failure is Failure.Faulted))
        {
            Fail(d, service, slot, failure);
            return;
        }
        if (failure is Failure.EndedOnReload)
        {
            RestartAfterReload(d, service, slot, failure);
            return;
        }
        if (!isShort && StartWindow.IsFull(slot.Starts, definition.StartLimit, d.Now))
        {
            Fail(d, service, slot, LimitReached(definition, why));
            return;
        }
        TimeSpan delay = Backoff.Delay(definition.Backoff, slot.Attempt, definition.Backoff.Jitter > 0 ? d.NextRandom() : 0.5);
        if (isShort)
            delay = DelayAfterShortage(d, slot, delay);
        SlotState next = slot with { Attempt = slot.Attempt + 1 };
        d.Report(new Notice.Restarting(definition.Name, slot.Slot, slot.Generation, delay, why));
        if (delay <= TimeSpan.Zero)
        {
            d.SetPhase(service, next, new SlotPhase.Waiting(StartReason.Restart));
            return;
        }
        d.SetPhase(service, next, new SlotPhase.BackingOff(d.Now + delay, why));
        d.Arm(TimerKind.Backoff, definition.Name, slot.Slot, d.Now + delay);
    }

    private static TimeSpan DelayAfterShortage(Draft d, SlotState slot, TimeSpan backoff)
    {
        TimeSpan least = Activation.ShortagePause(slot.Attempt);
        Moment due = d.Frame.ShortageTurns.Take(d.Now + (backoff < least ? least : backoff), d.Now, out ShortageTurns after);
        d.Frame = d.Frame with { ShortageTurns = after };
        return due - d.Now;
    }

    /// <summary>
    /// A program that ended on its reload signal is sound, and was to go on: it is started again at once, and neither its back-off nor its
    /// start limit knows of it. No loop can come of that, because an operator has to ask for each reload.
    /// </summary>
    private static void RestartAfterReload(Draft d, int service, SlotState slot, Failure failure)
    {
        d.Report(new Notice.Restarting(slot.Definition.Name, slot.Slot, slot.Generation, TimeSpan.Zero, failure.ToString()));
        // The next start takes the place that the last one has in the window, so that the window has no more of them than before.
        d.SetPhase(service,
            slot with { Starts = slot.Starts.IsEmpty ? [] : slot.Starts[..^1] }, new SlotPhase.Waiting(StartReason.Restart));
    }

    public static void BackoffFired(Draft d, TimerKey key)
    {
        int service = d.Graph.Find(key.Service);
        if (service < 0)
            return;
        SlotState? slot = d[service].Slots.FirstOrDefault(s => s.Slot == key.Subject);
        if (slot?.Phase is SlotPhase.BackingOff { Until: var until } && until > d.Now)
            d.Arm(TimerKind.Backoff, key.Service, key.Subject, until);
        else if (slot?.Phase is SlotPhase.BackingOff)
            d.SetPhase(service, slot, new SlotPhase.Waiting(StartReason.Restart));
    }
}
