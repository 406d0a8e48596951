using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>How far one instance is with a reload that an operator asked for.</summary>
internal enum ReloadStage
{
    /// <summary>Its reload command runs.</summary>
    Command,

    /// <summary>It was sent the signal and may say that it reloads.</summary>
    Told,

    /// <summary>It said <c>RELOADING=1</c>; <c>READY=1</c> is to follow.</summary>
    Announced,
}

/// <summary>A reload that one instance still owes.</summary>
/// <param name="Stage">How far it is.</param>
/// <param name="AskedAt">When it was told; messages of the instance from before do not count.</param>
/// <param name="Deadline">Until when the order waits for the instance; null: as long as it takes.</param>
internal sealed record InstanceReload(ReloadStage Stage, Moment AskedAt, Moment? Deadline);

/// <summary>A signal that told an instance to reload.</summary>
internal sealed record ReloadSignal(SignalNumber Number, Moment SentAt);

/// <summary>What became of a reload of all ready instances so far; it is over when none of them owes one.</summary>
/// <param name="Failure">The first failure; null: none.</param>
/// <param name="Failed">The instance that failed first.</param>
/// <param name="IsUnconfirmed">At least one instance was told to reload and did not say that it has done so.</param>
internal sealed record ReloadResult(string? Failure, InstanceId? Failed, bool IsUnconfirmed);

/// <summary>
/// <c>reload-service</c>: a running program reads its own configuration again. The program is told as its definition says, by a signal or a
/// command; without either, by the event <c>Reload</c> of its channel, if it reads events. That it has reloaded is known from the end of a
/// reload command, and from a program with <c>ready = "notify"</c> by <c>RELOADING=1</c> and then <c>READY=1</c>; if <c>RELOADING=1</c>
/// does not come within a moment, the program is taken for one that does not report reloads.
/// <para>
/// A program that ends on the signal has failed to reload. Whoever waits is told so; if its end comes after that moment, he has been told
/// already that the program was told to reload, or that it has reloaded, and only the events, the log and the status have the failure.
/// </para>
/// </summary>
internal static class ServiceReload
{
    /// <summary>
    /// Tells all ready instances to reload; the operator's order waits for the outcome. Returns null, or why the service cannot reload.
    /// </summary>
    public static string? Begin(Draft d, int service)
    {
        ServiceState state = d[service];
        ReloadAction? action = state.Definition.Reload;
        SlotState[] ready =
            [.. state.Slots.Concat(state.Beside)
                .Where(s => s.Phase is SlotPhase.Ready && (action is not null || s.Instance!.WatchesChannel))];
        if (ready.Length == 0)
            return action is null ? "it has no 'reload' in the configuration" : "it has no ready instance";
        if (IsUnderWay(state))
            return "it is reloading already";
        d[service] = state with { Reload = new ReloadResult(null, null, IsUnconfirmed: false) };
        foreach (SlotState slot in ready)
            Tell(d, service, slot, action);
        return null;
    }

    /// <summary>The signal that was to tell an instance could not be sent.</summary>
    public static void NoteRefused(Draft d, int service, SlotState slot, SignalNumber number, string refusal)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { Reload.Stage: ReloadStage.Told, ReloadSignal: { } signal } instance } ready
            || signal.Number != number)
        {
            return;
        }
        // What never came cannot be why it ends.
        slot = d.SetPhase(service, slot, ready with { Instance = instance with { ReloadSignal = null } });
        End(d, service, slot, $"{number} could not be sent: {refusal}");
    }

    public static bool IsUnderWay(ServiceState state)
    {
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Instance?.Reload is not null)
                return true;
        }
        return state.Beside.Any(s => s.Instance?.Reload is not null);
    }

    /// <summary>An instance has sent a notification, which may be the one that its reload waits for.</summary>
    public static SlotState NoteSaid(Draft d, int service, SlotState slot, Notification message)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { Reload: { Stage: not ReloadStage.Command } reload } instance })
            return slot;
        bool isOlder = message.MonotonicMicroseconds is { } said && said < reload.AskedAt.Nanoseconds / 1000;
        if (message.IsReady)
            return End(d, service, slot, failure: null);
        bool isAnnounced = message.IsReloading && !isOlder && reload.Stage == ReloadStage.Told;
        return isAnnounced ? Set(d, service, slot, reload with { Stage = ReloadStage.Announced, Deadline = Patience(d, instance) }) : slot;
    }

    /// <summary>The reload command of an instance has ended.</summary>
    public static void Apply(Draft d, int service, SlotState slot, Event.CommandEnded ended)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { Reload: { Stage: ReloadStage.Command } reload } instance })
            return;
        if (!ended.Succeeded)
            End(d, service, slot, "its reload command " + (ended.Reason ?? "failed"));
        else if (instance.IsReloading)
            Set(d, service, slot, reload with { Stage = ReloadStage.Announced, Deadline = Patience(d, instance) });
        else
            End(d, service, slot, failure: null);
    }

    public static void TimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (
            int service, SlotState slot, SlotPhase.Ready { Instance: { Reload: { Deadline: { } due } reload } instance }))
        {
            return;
        }
        if (due > d.Now)
        {
            d.Arm(TimerKind.Reload, id.Service, id.Number, due);
            return;
        }
        string patience = Spans.Show(instance.Definition.ReadyTimeout);
        switch (reload.Stage)
        {
            case ReloadStage.Told:
                d[service] = d[service] with { Reload = d[service].Reload! with { IsUnconfirmed = true } };
                End(d, service, slot, failure: null);
                break;
            case ReloadStage.Announced:
                End(d, service, slot, $"it said RELOADING=1, but no READY=1 within {patience}");
                break;
            case ReloadStage.Command:
                d.Do(new Effect.EndCommand(id, CommandKind.Reload));
                End(d, service, slot, $"its reload command did not end within {patience}");
                break;
        }
    }

    /// <summary>A program that needs longer and says so (<c>EXTEND_TIMEOUT_USEC</c>) is given the time.</summary>
    public static SlotState Extend(Draft d, int service, SlotState slot, Moment later)
    {
        if (slot.Phase is SlotPhase.Ready { Instance.Reload: { Stage: ReloadStage.Announced, Deadline: { } deadline } reload }
            && later > deadline)
        {
            return Set(d, service, slot, reload with { Deadline = later });
        }
        return slot;
    }

    /// <summary>The supervisor was away: what the instance owes may come later by that time.</summary>
    public static void Allow(Draft d, int service, SlotState slot, TimeSpan away)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { Reload: { Deadline: { } due } reload } instance })
            return;
        TimeSpan limit = reload.Stage == ReloadStage.Told ? Limits.ReloadAnnouncement : instance.Definition.ReadyTimeout;
        Set(d, service, slot, reload with { Deadline = Absence.Later(d, due, away, limit) });
    }

    /// <summary>An instance that ends owes no reload any more; the order that waits for it is told.</summary>
    /// <param name="d">The step.</param>
    /// <param name="service">Its number.</param>
    /// <param name="slot">The instance's.</param>
    /// <param name="instance">That ends.</param>
    /// <param name="failure">The reload itself is why it ends; null: it is not.</param>
    public static Instance Abandon(Draft d, int service, int slot, Instance instance, Failure? failure)
    {
        if (instance.Reload is not { } reload)
            return instance;
        if (reload.Stage == ReloadStage.Command)
            d.Do(new Effect.EndCommand(instance.Id, CommandKind.Reload));
        Disarm(d, instance.Id, reload);
        Note(d, service, slot, instance.Id, failure?.ToString() ?? "it ended before it had reloaded");
        return instance with { Reload = null };
    }

    /// <summary>
    /// The failure of an instance that ends by itself, if it began to so soon after its reload signal that this is why; null: it did not.
    /// </summary>
    /// <param name="instance">That ends.</param>
    /// <param name="status">How its main process ended; null: it lives and said that it stops.</param>
    /// <param name="now">The present moment.</param>
    public static Failure.EndedOnReload? EndOf(Instance instance, ExitStatus? status, Moment now) =>
        instance.ReloadSignal is { } signal && (instance.DrainingSince ?? now) - signal.SentAt <= Limits.ReloadEnd
            ? new Failure.EndedOnReload(signal.Number, status)
            : null;

    /// <summary>Notes whether an instance can be told over its channel, and so whether the service can be reloaded by it.</summary>
    public static void Apply(Draft d, Event.ChannelWatched watched)
    {
        if (d.Find(watched.Instance) is (int service, SlotState slot, SlotPhase.Live live)
            && live.Instance.WatchesChannel != watched.IsWatched)
        {
            d.SetPhase(service, slot, live with { Instance = live.Instance with { WatchesChannel = watched.IsWatched } });
        }
    }

    private static void Tell(Draft d, int service, SlotState slot, ReloadAction? action)
    {
        Instance instance = slot.Instance!;
        switch (action)
        {
            case null:
                d.Do(new Effect.TellReload(instance.Id));
                // Only programs with this readiness can say that they reload; of others it is only known that they were told.
                if (instance.Definition.Ready is Readiness.Notify)
                    AwaitAnnouncement(d, service, slot);
                else
                    d[service] = d[service] with { Reload = d[service].Reload! with { IsUnconfirmed = true } };
                break;
            case ReloadAction.Signal signal:
                d.Do(new Effect.Signal(instance.Id, signal.Number, KillScope.Process));
                Instance told = instance with { ReloadSignal = new ReloadSignal(signal.Number, d.Now) };
                // Also for programs that cannot say that they reload: one that knows nothing of the signal is ended by it at once.
                AwaitAnnouncement(d, service, d.SetPhase(service, slot, ((SlotPhase.Ready)slot.Phase) with { Instance = told }));
                break;
            case ReloadAction.Command command:
                Set(d, service, slot, new InstanceReload(ReloadStage.Command, d.Now, Patience(d, instance)));
                d.Do(new Effect.RunCommand(instance.Id, CommandKind.Reload, command.Arguments));
                break;
        }
    }

    private static void AwaitAnnouncement(Draft d, int service, SlotState slot) =>
        Set(d, service, slot, new InstanceReload(ReloadStage.Told, d.Now, d.Now + Limits.ReloadAnnouncement));

    private static Moment? Patience(Draft d, Instance instance) =>
        instance.Definition.ReadyTimeout > TimeSpan.Zero ? d.Now + instance.Definition.ReadyTimeout : null;

    private static SlotState Set(Draft d, int service, SlotState slot, InstanceReload? reload)
    {
        SlotPhase.Ready ready = (SlotPhase.Ready)slot.Phase;
        InstanceId id = ready.Instance.Id;
        if (reload?.Deadline is { } due)
            d.Arm(TimerKind.Reload, id.Service, id.Number, due);
        else if (ready.Instance.Reload is { } before)
            Disarm(d, id, before);
        return d.SetPhase(service, slot, ready with { Instance = ready.Instance with { Reload = reload } });
    }

    private static SlotState End(Draft d, int service, SlotState slot, string? failure)
    {
        if (failure is not null)
            Note(d, service, slot.Slot, slot.Instance!.Id, failure);
        return Set(d, service, slot, reload: null);
    }

    private static void Note(Draft d, int service, int slot, InstanceId instance, string failure)
    {
        if (d[service].Reload is not { Failure: null } result)
            return;
        string whose = d[service].Slots.Length > 1 ? $"slot {slot}: " : "";
        d[service] = d[service] with { Reload = result with { Failure = whose + failure, Failed = instance } };
    }

    // Its timer may have fired just now.
    private static void Disarm(Draft d, InstanceId id, InstanceReload reload)
    {
        if (reload.Deadline is not null)
            d.Disarm(TimerKind.Reload, id.Service, id.Number);
    }
}
