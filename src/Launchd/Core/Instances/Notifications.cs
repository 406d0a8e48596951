using System.Collections.Immutable;
using Launchd.Core.Orders;
using Launchd.Core.Sharing;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>What notifications change, in systemd's order of precedence (STOPPING over READY and RELOADING).</summary>
internal static class Notifications
{
    public static void Apply(Draft d, Event.Notified notified)
    {
        if (d.Find(notified.Instance) is not (int service, SlotState slot, SlotPhase.Live live))
        {
            CloseAll(d, notified.Descriptors);
            return;
        }
        Notification message = notified.Message;
        Instance before = live.Instance;
        d.Report(new Notice.Notified(before.Id, slot.Slot, before.Generation, before.Pid, notified.Pid, notified.Uid, message.Lines,
            notified.Descriptors.Length));
        DescriptorStore.Apply(d, service, slot, before, notified);
        Instance after = Update(d, before, message);
        SlotPhase.Live phase = live with { Instance = after };
        if (after != before)
            slot = d.SetPhase(service, slot, phase);
        if (message.IsRestartReset && slot.Attempt != 0)
            slot = d.SetSlot(service, slot with { Attempt = 0 });
        Extend(d, service, ref slot, message.ExtendTimeout);
        slot = ServiceReload.NoteSaid(d, service, slot, message);
        React(d, service, slot, message, before);
    }

    private static Instance Update(Draft d, Instance instance, Notification message)
    {
        Instance after = instance;
        if (message.Status is { } text && text != after.StatusText)
            after = after with { StatusText = text };
        if (message.IsWatchdogPing)
            after = after with { LastPing = d.Now };
        if (message.WatchdogPeriod is { } period)
            after = after with { WatchdogPeriod = period > TimeSpan.Zero ? period : null, LastPing = d.Now };
        if (message.IsReloading || message.IsReady)
        {
            after = after.IsReloading == (message.IsReloading && !message.IsReady) ? after : after with { IsReloading = message.IsReloading
                && !message.IsReady };
        }
        return after;
    }

    private static void React(Draft d, int service, SlotState slot, Notification message, Instance before)
    {
        if (message.IsWatchdogTrigger && slot.Phase is SlotPhase.Ready or SlotPhase.Starting)
            Stopping.Begin(d, service, slot, new StopCause.Failed(Failure.WatchdogTriggered.Value));
        else if (message.IsStopping && slot.Phase is SlotPhase.Ready or SlotPhase.Starting)
            Stopping.Begin(d, service, slot, new StopCause.ByItself(WasReady: slot.Phase is SlotPhase.Ready));
        else if (message.IsReady && slot.Phase is SlotPhase.Starting starting && before.Definition.Ready is Readiness.Notify)
            ServiceMachine.BecomeReady(d, service, slot, starting.Instance);
        else if (slot.Phase is SlotPhase.Ready ready && message.WatchdogPeriod is not null)
            RearmWatchdog(d, ready.Instance, before);
    }

    private static void RearmWatchdog(Draft d, Instance after, Instance before)
    {
        InstanceId id = after.Id;
        if (after.WatchdogPeriod is { } period)
            d.Arm(TimerKind.Watchdog, id.Service, id.Number, d.Now + period);
        else if (before.WatchdogPeriod is not null)
            d.Disarm(TimerKind.Watchdog, id.Service, id.Number);
    }

    /// <summary>EXTEND_TIMEOUT_USEC moves the deadline of the current phase, and only to a later moment.</summary>
    private static void Extend(Draft d, int service, ref SlotState slot, TimeSpan? extension)
    {
        if (extension is not { } span)
            return;
        Moment later = d.Now + span;
        slot = ServiceReload.Extend(d, service, slot, later);
        switch (slot.Phase)
        {
            case SlotPhase.Starting { Deadline: { } deadline } starting when later > deadline:
                slot = d.SetPhase(service, slot, starting with { Deadline = later });
                d.Arm(TimerKind.Ready, starting.Instance.Id.Service, starting.Instance.Id.Number, later);
                break;
            case SlotPhase.Stopping { Stage: not StopStage.Killed } stopping when Stopping.EndOf(stopping) is { } end && later > end:
                // A program that asks for time after SIGABRT has survived the signal on purpose: it is not sent again.
                StopStage stage = stopping.Stage == StopStage.Aborted ? StopStage.Signalled : stopping.Stage;
                SlotPhase.Stopping extended = stopping with { Stage = stage, Deadline = later };
                Stopping.SetDeadline(d, service, slot, extended);
                slot = slot with { Phase = extended };
                break;
            case SlotPhase.Ready { Instance.WatchdogPeriod: { } period } ready when later > ready.Instance.LastPing + period:
                slot = d.SetPhase(service, slot, ready with { Instance = ready.Instance with { LastPing = d.Now + (span - period) } });
                break;
        }
    }

    private static void CloseAll(Draft d, ImmutableArray<DescriptorId> descriptors)
    {
        foreach (DescriptorId descriptor in descriptors)
            d.Do(new Effect.CloseDescriptor(descriptor));
    }
}
