using Launchd.Core.Orders;
using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>What the record of a service holds.</summary>
/// <param name="State">All that the core knows of the service.</param>
/// <param name="Configured">
/// Its definition in the configuration, or in the last one that had it; null: the same as in the state. A service whose rollout went back
/// runs by another, and goes on with this one when nothing of it runs any more.
/// </param>
internal sealed record RecordedService(ServiceState State, ServiceDefinition? Configured);

/// <summary>How the state of a service is written.</summary>
internal static class ServiceRecords
{
    private static readonly Codec<InstanceReload> InstanceReloads = new Layout<InstanceReload>(
        "a reload that is owed", new(default, default, null))
        .With(1, Enum<ReloadStage>(), r => r.Stage, (r, v) => r with { Stage = v })
        .With(2, Moments, r => r.AskedAt, (r, v) => r with { AskedAt = v })
        .With(3, OrNull(Moments), r => r.Deadline, (r, v) => r with { Deadline = v });

    private static readonly Codec<ReloadSignal> ReloadSignals = new Layout<ReloadSignal>(
        "a signal to reload", new(SignalNumber.Hup, default))
        .With(1, Signal, r => r.Number, (r, v) => r with { Number = v })
        .With(2, Moments, r => r.SentAt, (r, v) => r with { SentAt = v });

    private static readonly Codec<Slots.Instance> Instances = new Layout<Slots.Instance>(
        "an instance", new() { Id = default, Generation = 0, Definition = null!, StartedAt = default }, i => i.Definition is not null)
        .With(1, InstanceIds, i => i.Id, (i, v) => i with { Id = v })
        .With(2, Count, i => i.Generation, (i, v) => i with { Generation = v })
        .With(3, Definition, i => i.Definition, (i, v) => i with { Definition = v })
        .With(4, OrNull(InstanceIds), i => i.Successor, (i, v) => i with { Successor = v })
        .With(5, OrNull(InstanceIds), i => i.Predecessor, (i, v) => i with { Predecessor = v })
        .With(6, OrNull(Moments), i => i.ProvenAt, (i, v) => i with { ProvenAt = v })
        .With(7, Bool, i => i.IsChecked, (i, v) => i with { IsChecked = v })
        .With(8, OrNull(Moments), i => i.DrainingSince, (i, v) => i with { DrainingSince = v })
        .With(9, OrNull(Int), i => i.RemainingCount, (i, v) => i with { RemainingCount = v })
        .With(10, Int, i => i.Pid, (i, v) => i with { Pid = v })
        .With(11, Moments, i => i.StartedAt, (i, v) => i with { StartedAt = v })
        .With(12, Enum<StartReason>(), i => i.Reason, (i, v) => i with { Reason = v })
        .With(13, OrNull(Moments), i => i.ReadyAt, (i, v) => i with { ReadyAt = v })
        .With(14, OrNone(InstanceReloads), i => i.Reload, (i, v) => i with { Reload = v })
        .With(15, OrNone(ReloadSignals), i => i.ReloadSignal, (i, v) => i with { ReloadSignal = v })
        .With(16, Text, i => i.StatusText, (i, v) => i with { StatusText = v })
        .With(17, Bool, i => i.IsReloading, (i, v) => i with { IsReloading = v })
        .With(18, Bool, i => i.WatchesChannel, (i, v) => i with { WatchesChannel = v })
        .With(19, OrNull(Span), i => i.WatchdogPeriod, (i, v) => i with { WatchdogPeriod = v })
        .With(20, Moments, i => i.LastPing, (i, v) => i with { LastPing = v })
        .With(21, TextOrNull, i => i.Clue, (i, v) => i with { Clue = v })
        .With(22, TextOrNull, i => i.Source, (i, v) => i with { Source = v });

    private static readonly Codec<StopCause> Causes = new Family<StopCause>("a cause of an end")
        .With(1, new Layout<StopCause.Wish>("a wish", StopCause.Wish.Value))
        .With(2, new Layout<StopCause.Replace>("an exchange", StopCause.Replace.Value))
        .With(3, new Layout<StopCause.Unused>("an idle time", new(default(TimeSpan)))
            .With(1, Span, c => c.For, (c, v) => c with { For = v }))
        .With(4, new Layout<StopCause.Failed>("a failure", new((Failure)null!), c => c.Failure is not null)
            .With(1, FailureRecords.Failures, c => c.Failure, (c, v) => c with { Failure = v }))
        .With(5, new Layout<StopCause.Retire>("a place that was taken", new(""))
            .With(1, Text, c => c.Why, (c, v) => c with { Why = v }))
        .With(6, new Layout<StopCause.ByItself>("an end by itself", new(WasReady: false))
            .With(1, Bool, c => c.WasReady, (c, v) => c with { WasReady = v }));

    private static readonly Codec<SlotPhase> Phases = new Family<SlotPhase>("a phase")
        .With(1, new Layout<SlotPhase.Idle>("a slot at rest", SlotPhase.Idle.Value))
        .With(2, new Layout<SlotPhase.Ended>("an ended slot", new(Status: default))
            .With(1, Status, p => p.Status, (p, v) => p with { Status = v })
            .With(2, Bool, p => p.IsCompleted, (p, v) => p with { IsCompleted = v }))
        .With(3, new Layout<SlotPhase.Waiting>("a waiting slot", new(Reason: default))
            .With(1, Enum<StartReason>(), p => p.Reason, (p, v) => p with { Reason = v }))
        .With(4, new Layout<SlotPhase.Preparing>("an instance in preparation", new(null!, null, default), IsLive)
            .With(1, Instances, p => p.Instance, (p, v) => p with { Instance = v })
            .With(2, OrNull(Connection), p => p.Connection, (p, v) => p with { Connection = v })
            .With(3, Moments, p => p.Deadline, (p, v) => p with { Deadline = v }))
        .With(5, new Layout<SlotPhase.Starting>("a starting instance", new(null!, null), IsLive)
            .With(1, Instances, p => p.Instance, (p, v) => p with { Instance = v })
            .With(2, OrNull(Moments), p => p.Deadline, (p, v) => p with { Deadline = v })
            .With(3, OrNone(Causes), p => p.EndsFor, (p, v) => p with { EndsFor = v }))
        .With(6, new Layout<SlotPhase.Ready>("a ready instance", new((Slots.Instance)null!), IsLive)
            .With(1, Instances, p => p.Instance, (p, v) => p with { Instance = v }))
        .With(7, new Layout<SlotPhase.Stopping>("a stopping instance", new(null!, null!, default, null, null),
            p => IsLive(p) && p.Cause is not null)
            .With(1, Instances, p => p.Instance, (p, v) => p with { Instance = v })
            .With(2, Causes, p => p.Cause, (p, v) => p with { Cause = v })
            .With(3, Enum<StopStage>(), p => p.Stage, (p, v) => p with { Stage = v })
            .With(4, OrNull(Moments), p => p.Deadline, (p, v) => p with { Deadline = v })
            .With(5, OrNull(Status), p => p.Status, (p, v) => p with { Status = v })
            .With(6, OrNull(Moments), p => p.LookAt, (p, v) => p with { LookAt = v })
            .With(7, Count, p => p.LookCount, (p, v) => p with { LookCount = v })
            .With(8, TextOrNull, p => p.Remains, (p, v) => p with { Remains = v }))
        .With(8, new Layout<SlotPhase.BackingOff>("a pause", new(default, null))
            .With(1, Moments, p => p.Until, (p, v) => p with { Until = v })
            .With(2, TextOrNull, p => p.Reason, (p, v) => p with { Reason = v }))
        .With(9, new Layout<SlotPhase.Failed>("a failed slot", new((Failure)null!), p => p.Failure is not null)
            .With(1, FailureRecords.Failures, p => p.Failure, (p, v) => p with { Failure = v }));

    private static readonly Codec<SlotState> SlotStates = new Layout<SlotState>(
        "a slot", new() { Slot = 0, Generation = 0, Definition = null! }, s => s.Definition is not null)
        .With(1, Count, s => s.Slot, (s, v) => s with { Slot = v })
        .With(2, Enum<SlotRole>(), s => s.Role, (s, v) => s with { Role = v })
        .With(3, Number, s => s.Key, (s, v) => s with { Key = v })
        .With(4, Count, s => s.Generation, (s, v) => s with { Generation = v })
        .With(5, Definition, s => s.Definition, (s, v) => s with { Definition = v })
        .With(6, Phases, s => s.Phase, (s, v) => s with { Phase = v })
        .With(7, Count, s => s.Attempt, (s, v) => s with { Attempt = v })
        .With(8, List(Moments), s => s.Starts, (s, v) => s with { Starts = v })
        .With(9, Number, s => s.RestartCount, (s, v) => s with { RestartCount = v });

    private static readonly Codec<RolloutState> Rollouts = new Layout<RolloutState>(
        "a rollout",
        new()
        {
            Generation = 0, Definition = null!, FormerGeneration = 0, Former = null!, SurgeCount = 0, UnavailableCount = 0, Prove = default,
            Reason = default, BeganAt = default,
        },
        r => r.Definition is not null && r.Former is not null)
        .With(1, Count, r => r.Generation, (r, v) => r with { Generation = v })
        .With(2, Definition, r => r.Definition, (r, v) => r with { Definition = v })
        .With(3, Count, r => r.FormerGeneration, (r, v) => r with { FormerGeneration = v })
        .With(4, Definition, r => r.Former, (r, v) => r with { Former = v })
        .With(5, Count, r => r.SurgeCount, (r, v) => r with { SurgeCount = v })
        .With(6, Count, r => r.UnavailableCount, (r, v) => r with { UnavailableCount = v })
        .With(7, Span, r => r.Prove, (r, v) => r with { Prove = v })
        .With(8, Enum<StartReason>(), r => r.Reason, (r, v) => r with { Reason = v })
        .With(9, Moments, r => r.BeganAt, (r, v) => r with { BeganAt = v })
        .With(10, OrNull(Count), r => r.OnlySlot, (r, v) => r with { OnlySlot = v })
        .With(11, Bool, r => r.IsBack, (r, v) => r with { IsBack = v })
        .With(12, OrNone(FailureRecords.Failures), r => r.Failure, (r, v) => r with { Failure = v })
        .With(13, OrNull(InstanceIds), r => r.FailedInstance, (r, v) => r with { FailedInstance = v })
        .With(14, OrNull(Count), r => r.FailedSlot, (r, v) => r with { FailedSlot = v })
        .With(15, List(Count), r => r.GivenUp, (r, v) => r with { GivenUp = v });

    private static readonly Codec<RolloutResult> RolloutResults = new Layout<RolloutResult>(
        "the result of a rollout", new(default, null, null, null))
        .With(1, Moments, r => r.EndedAt, (r, v) => r with { EndedAt = v })
        .With(2, TextOrNull, r => r.Text, (r, v) => r with { Text = v })
        .With(3, OrNull(InstanceIds), r => r.Failed, (r, v) => r with { Failed = v })
        .With(4, OrNull(Count), r => r.FailedSlot, (r, v) => r with { FailedSlot = v });

    private static readonly Codec<ReloadResult> ReloadResults = new Layout<ReloadResult>(
        "the result of a reload", new(null, null, IsUnconfirmed: false))
        .With(1, TextOrNull, r => r.Failure, (r, v) => r with { Failure = v })
        .With(2, OrNull(InstanceIds), r => r.Failed, (r, v) => r with { Failed = v })
        .With(3, Bool, r => r.IsUnconfirmed, (r, v) => r with { IsUnconfirmed = v });

    private static readonly Codec<HeldConnection> HeldConnections = new Layout<HeldConnection>("a held connection", new(default, ""))
        .With(1, Connection, h => h.Connection, (h, v) => h with { Connection = v })
        .With(2, Text, h => h.Source, (h, v) => h with { Source = v });

    public static readonly Codec<StoredDescriptor> StoredDescriptors = new Layout<StoredDescriptor>("a stored descriptor", new(default, ""))
        .With(1, Descriptor, s => s.Id, (s, v) => s with { Id = v })
        .With(2, Text, s => s.Name, (s, v) => s with { Name = v });

    private static readonly Codec<SavedState> SavedStates = new Layout<SavedState>("a saved state", new(0, default))
        .With(1, Count, s => s.Slot, (s, v) => s with { Slot = v })
        .With(2, Descriptor, s => s.Descriptor, (s, v) => s with { Descriptor = v });

    private static readonly Codec<ServiceState> States = new Layout<ServiceState>(
        "the state of a service", new() { Definition = null! }, IsSound)
        .With(1, Definition, s => s.Definition, (s, v) => s with { Definition = v })
        .With(2, Bool, s => s.IsWanted, (s, v) => s with { IsWanted = v })
        .With(3, Bool, s => s.IsActivated, (s, v) => s with { IsActivated = v })
        .With(4, Bool, s => s.IsWatching, (s, v) => s with { IsWatching = v })
        .With(5, OrNull(Moments), s => s.PausedUntil, (s, v) => s with { PausedUntil = v })
        .With(6, Count, s => s.TriggerCount, (s, v) => s with { TriggerCount = v })
        .With(7, Moments, s => s.TriggerSince, (s, v) => s with { TriggerSince = v })
        .With(8, OrNull(Moments), s => s.IdleUntil, (s, v) => s with { IdleUntil = v })
        .With(9, Bool, s => s.WasUsed, (s, v) => s with { WasUsed = v })
        .With(10, Count, s => s.ShortageCount, (s, v) => s with { ShortageCount = v })
        .With(11, List(HeldConnections), s => s.Held, (s, v) => s with { Held = v })
        .With(12, Bool, s => s.IsHindered, (s, v) => s with { IsHindered = v })
        .With(13, Bool, s => s.IsSetAside, (s, v) => s with { IsSetAside = v })
        .With(14, Count, s => s.Generation, (s, v) => s with { Generation = v })
        .With(15, Count, s => s.NewestGeneration, (s, v) => s with { NewestGeneration = v })
        .With(16, List(SlotStates), s => s.Slots, (s, v) => s with { Slots = v })
        .With(17, List(SlotStates), s => s.Beside, (s, v) => s with { Beside = v })
        .With(18, OrNone(Rollouts), s => s.Rollout, (s, v) => s with { Rollout = v })
        .With(19, OrNone(RolloutResults), s => s.LastRollout, (s, v) => s with { LastRollout = v })
        .With(20, OrNone(ReloadResults), s => s.Reload, (s, v) => s with { Reload = v })
        .With(21, Bool, s => s.IsLeaving, (s, v) => s with { IsLeaving = v })
        .With(22, Bool, s => s.IsForgotten, (s, v) => s with { IsForgotten = v })
        .With(23, DefinitionOrNull, s => s.Reborn, (s, v) => s with { Reborn = v })
        .With(24, List(StoredDescriptors), s => s.Stored, (s, v) => s with { Stored = v })
        .With(25, List(SavedStates), s => s.SavedStates, (s, v) => s with { SavedStates = v })
        .With(26, OrNone(FailureRecords.Failures), s => s.LastFailure, (s, v) => s with { LastFailure = v })
        .With(27, OrNull(InstanceIds), s => s.LastFailedInstance, (s, v) => s with { LastFailedInstance = v });

    public static readonly Codec<RecordedService> Services = new Layout<RecordedService>(
        "a service", new(null!, null), s => s.State is not null && (s.Configured is null || s.Configured.Name == s.State.Definition.Name))
        .With(1, States, s => s.State, (s, v) => s with { State = v })
        .With(2, DefinitionOrNull, s => s.Configured, (s, v) => s with { Configured = v });

    private static bool IsLive(SlotPhase.Live live) => live.Instance is not null;

    // What the core takes for granted when it looks for an instance.
    private static bool IsSound(ServiceState s)
    {
        if (s.Definition is null || (s.IsForgotten && !s.IsLeaving))
            return false;
        HashSet<int> slots = [];
        HashSet<long> beside = [];
        return s.Slots.All(slot => slot.Key == 0 && slots.Add(slot.Slot) && IsIn(slot))
            && s.Beside.All(slot => slot.Phase is SlotPhase.Live { Instance.Id: { } id } && slot.Key == id.Number && slot.Key != 0
                && beside.Add(slot.Key) && IsIn(slot))
            && (!s.IsForgotten || !s.HasLiveInstance);

        bool IsIn(SlotState slot) =>
            slot.Definition.Name == s.Definition.Name
            && (slot.Instance is not { } instance
                || (instance.Id.Service == s.Definition.Name && instance.Definition.Name == s.Definition.Name
                    && (instance.Reload is null || s.Reload is not null)));
    }
}
