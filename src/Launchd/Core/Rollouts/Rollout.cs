using System.Collections.Immutable;
using Launchd.Core.Graph;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Rollouts;

/// <summary>
/// The one way in which instances are exchanged for others: an operator's restart, another definition, an instance that is not well.
/// Nothing else decides how many may live or be missing meanwhile:
/// <list type="bullet">
/// <item>Beside the holders of the slots at most <c>surge</c> instances live that nobody told to end.</item>
/// <item>A ready holder is told to end only when its successor has proven itself, or while fewer than <c>unavailable</c> slots are
/// without a proven instance.</item>
/// <item>What fails before it is proven never costs a ready instance of the former generation: the rollout turns round, and slots
/// that are empty by then get the former program again.</item>
/// </list>
/// A plain restart is surge 0, unavailable 1. A newer order takes over from one under way; what serves on if it fails is still the
/// last generation that was rolled out whole.
/// </summary>
internal static class Rollout
{
    /// <summary>Begins a rollout, or gives the one under way another goal.</summary>
    /// <param name="d">The step.</param>
    /// <param name="service">A pool, wanted.</param>
    /// <param name="next">The definition by which the new generation runs.</param>
    /// <param name="reason">Told to the new instances.</param>
    /// <param name="update">An operator's choice; null: as <paramref name="next"/> says.</param>
    /// <param name="onlySlot">The slot whose instance is to be exchanged; null: all.</param>
    public static void Begin(
        Draft d, int service, ServiceDefinition next, StartReason reason, UpdateKind? update = null, int? onlySlot = null)
    {
        ServiceState state = d[service];
        int former = state.Rollout?.FormerGeneration ?? state.Generation;
        ServiceDefinition formerDefinition = state.Rollout?.Former ?? state.Definition;
        // A job cannot prove itself beside what it replaces: it is over when it is ready.
        bool isOverlap = (update ?? next.Update) == UpdateKind.Overlap && !next.IsJob;
        RolloutPolicy policy = next.Rollout;
        int surge = isOverlap ? Math.Max(policy.SurgeCount, update is null ? 0 : 1) : 0;
        // With neither surge nor a slot that may be empty nothing could ever be exchanged.
        int unavailable = Math.Max(policy.UnavailableCount, surge == 0 ? 1 : 0);
        // The last slot of a service that is only restarted in place: nothing is left that a proof could protect.
        bool isPlain = surge == 0 && state.Slots.Length == 1 && ReferenceEquals(next, formerDefinition);
        int generation = state.NewestGeneration + 1;
        RetireSuccessors(d, service, "a newer order goes before it");
        d[service] = d[service] with
        {
            Definition = next,
            Generation = generation,
            NewestGeneration = generation,
            Rollout = new RolloutState
            {
                Generation = generation,
                Definition = next,
                FormerGeneration = former,
                Former = formerDefinition,
                SurgeCount = surge,
                UnavailableCount = unavailable,
                Prove = isPlain ? TimeSpan.Zero : policy.Prove,
                Reason = reason,
                BeganAt = d.Now,
                OnlySlot = onlySlot,
            },
        };
        d.Report(new Notice.RolloutStarted(next.Name, generation, former, reason));
        // At once, so that services which wait for this one see in the same step that it waits as well.
        foreach (SlotState slot in d[service].Slots)
            TakeOver(d, service, d[service].Rollout!, slot);
    }

    /// <summary>Forgets the rollout: the service is not wanted any more, or nothing about it is certain.</summary>
    public static void Drop(Draft d, int service)
    {
        if (d[service].Rollout is not null)
            d[service] = d[service] with { Rollout = null };
    }

    /// <summary>Takes the steps that are possible now, of a service that is wanted.</summary>
    public static void Settle(Draft d, int service)
    {
        if (!d[service].Beside.IsEmpty)
            RetireStrays(d, service);
        if (d[service].Rollout is null)
            return;
        NoteGivenUpSlots(d, service);
        if (d[service].Rollout is { Failure: not null, IsBack: false, Definition.Rollout.OnFailure: RolloutFailure.Rollback } failed)
            TurnRound(d, service, failed);
        if (d[service].Rollout is not { } rollout)
            return;
        ReleaseFailedSuccessors(d, service);
        for (int slot = 0; slot < d[service].Slots.Length; slot++)
            TakeOver(d, service, rollout, d[service].Slots[slot]);
        Advance(d, service, rollout);
        if (d[service].Rollout is { } now && IsOver(d[service], now))
            Finish(d, service, now);
    }

    /// <summary>Until when a ready instance of the new generation must stay ready; null: it has nothing to prove.</summary>
    public static Moment? ProvenAt(Draft d, int service, Instance instance) =>
        d[service].Rollout is { IsBack: false, Prove.Ticks: > 0 } rollout && rollout.Generation == instance.Generation
            ? d.Now + rollout.Prove
            : null;

    public static void ProveTimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Ready { Instance.ProvenAt: { } due } ready))
            return;
        if (due > d.Now)
            d.Arm(TimerKind.Prove, id.Service, id.Number, due);
        else
            d.SetPhase(service, slot, ready with { Instance = ready.Instance with { ProvenAt = null } });
    }

    /// <summary>An instance begins to end, or has ended, for a cause that may be the rollout's failure.</summary>
    public static void NoteEnd(Draft d, int service, SlotState slot, SlotPhase.Live live, StopCause cause, ExitStatus? status = null)
    {
        if (d[service].Rollout is null)
            return;
        bool wasReady = live is SlotPhase.Ready;
        Failure? failure = cause switch
        {
            StopCause.Failed(var why) => why,
            StopCause.ByItself when slot.Role == SlotRole.Holder && Rests(live.Instance.Definition, status, wasReady) => null,
            StopCause.ByItself when live.Instance.Definition.IsJob && status is { } end =>
                new Failure.Exited(end) { Clue = live.Instance.Clue },
            StopCause.ByItself when wasReady =>
                new Failure.EndedWhileProving(status, d.Now - live.Instance.ReadyAt!.Value) { Clue = live.Instance.Clue },
            StopCause.ByItself when status is { } early => new Failure.ExitedEarly(early) { Clue = live.Instance.Clue },
            StopCause.ByItself => new Failure.EndedWhileProving(Status: null, After: null),
            _ => null,
        };
        if (failure is not null)
            NoteFailure(d, service, slot, live, failure);
    }

    /// <summary>
    /// Something went wrong with an instance; that matters only if it is of the new generation and has not proven itself.
    /// </summary>
    public static void NoteFailure(Draft d, int service, SlotState slot, SlotPhase.Live live, Failure failure)
    {
        bool isProven = live is SlotPhase.Ready { Instance.ProvenAt: null };
        if (d[service].Rollout is { } rollout && !isProven
            && slot.Role != SlotRole.Retiring && rollout.Generation == live.Instance.Generation)
        {
            Fail(d, service, failure, live.Instance.Id, slot);
        }
    }

    /// <summary>Has an instance beside a slot finish its work; if too many of one slot do so, the oldest is killed.</summary>
    public static void Retire(Draft d, int service, SlotState retiring, string why)
    {
        Stopping.Begin(d, service, retiring, new StopCause.Retire(why));
        SlotState? oldest = null;
        int count = 0;
        foreach (SlotState beside in d[service].Beside)
        {
            if (beside.Slot != retiring.Slot || beside.Role != SlotRole.Retiring
                || beside.Phase is SlotPhase.Stopping { Stage: StopStage.Killed })
            {
                continue;
            }
            count++;
            oldest = oldest is null || beside.Key < oldest.Key ? beside : oldest;
        }
        if (count > Limits.RetiringPerSlotCount)
            Stopping.Kill(d, service, oldest!);
    }

    /// <summary>
    /// Whether a slot has to wait until the instances beside it have ended, because its program must not run twice at a time.
    /// </summary>
    public static bool IsCrowded(ServiceState state, SlotState slot) =>
        !state.Beside.IsEmpty && slot.Definition.Update == UpdateKind.Replace && state.Beside.Any(b => b.Slot == slot.Slot);

    /// <summary>A slot's holder leaves the slot and finishes its work beside it.</summary>
    public static SlotState StepAside(SlotState holder, SlotPhase.Live live) =>
        holder with { Role = SlotRole.Retiring, Key = live.Instance.Id.Number };

    /// <summary>
    /// An operator's order begins the count of the start limit anew; the exchange of an unhealthy
    /// instance counts as a restart after a failure.
    /// </summary>
    public static ImmutableArray<Moment> StartsAfter(SlotState slot, StartReason reason) =>
        reason == StartReason.Restart ? slot.Starts : [];

    private static bool Rests(ServiceDefinition definition, ExitStatus? status, bool wasReady) =>
        definition.Restart != RestartKind.Always && status is { } s && ServiceMachine.EndedWell(definition, s, wasReady);

    private static void Fail(Draft d, int service, Failure failure, InstanceId? instance, SlotState? slot)
    {
        RolloutState rollout = d[service].Rollout!;
        bool staysOut = slot is { Role: SlotRole.Successor }
            && (rollout.IsBack || rollout.Definition.Rollout.OnFailure == RolloutFailure.Continue);
        rollout = staysOut ? rollout with { GivenUp = rollout.GivenUp.Add(slot!.Slot) } : rollout;
        if (!rollout.IsBack && rollout.Failure is null)
            rollout = rollout with { Failure = failure, FailedInstance = instance, FailedSlot = slot?.Slot };
        d[service] = d[service] with { Rollout = rollout, LastFailure = failure, LastFailedInstance = instance };
    }

    /// <summary>
    /// Fails the rollout if the restart policy gave up a slot of the new generation, proven or not: it would be waited for in vain.
    /// </summary>
    private static void NoteGivenUpSlots(Draft d, int service)
    {
        foreach (SlotState slot in d[service].Slots)
        {
            RolloutState rollout = d[service].Rollout!;
            if (rollout is { IsBack: false, Failure: null }
                && slot.Generation == rollout.Generation && slot.Phase is SlotPhase.Failed failed)
            {
                Fail(d, service, failed.Failure, d[service].LastFailedInstance, slot);
            }
        }
    }

    private static void TurnRound(Draft d, int service, RolloutState rollout)
    {
        ServiceState state = d[service];
        d.Report(new Notice.RolledBack(state.Definition.Name, rollout.Generation, rollout.FormerGeneration, rollout.Failure!.ToString()));
        RetireSuccessors(d, service, $"generation {rollout.Generation} is given up");
        if (ReferenceEquals(rollout.Definition, rollout.Former))
        {
            // Both generations run the same program: exchanged instances are as good as the others, so nothing need be taken back.
            bool hasNew = d[service].Slots.Any(s => s.Generation == rollout.Generation);
            d[service] = d[service] with { Generation = hasNew ? rollout.Generation : rollout.FormerGeneration };
            Finish(d, service, rollout);
            return;
        }
        RolloutState back = rollout with
        {
            IsBack = true,
            Generation = rollout.FormerGeneration,
            Definition = rollout.Former,
            Prove = TimeSpan.Zero,
        };
        d[service] = d[service] with
        {
            Definition = rollout.Former,
            Generation = rollout.FormerGeneration,
            Rollout = rollout.Former.Update == UpdateKind.Replace ? WithoutSurge(back) : back,
        };
    }

    /// <summary>The same rollout, but each slot is exchanged in its place.</summary>
    public static RolloutState WithoutSurge(RolloutState rollout) =>
        rollout with { SurgeCount = 0, UnavailableCount = Math.Max(1, rollout.UnavailableCount) };

    private static void RetireSuccessors(Draft d, int service, string why)
    {
        foreach (SlotState successor in d[service].Beside)
        {
            if (successor is not { Role: SlotRole.Successor, Phase: SlotPhase.Live { IsBeingSpawned: false } })
                continue;
            Succession.GiveUp(d, service, successor);
            Retire(d, service, d.SetSlot(service, successor with { Role = SlotRole.Retiring }), why);
        }
    }

    /// <summary>Successors of a generation that was given up while their spawn was under way.</summary>
    private static void RetireStrays(Draft d, int service)
    {
        foreach (SlotState beside in d[service].Beside)
        {
            bool isStray = beside is { Role: SlotRole.Successor, Phase: SlotPhase.Live { IsBeingSpawned: false } }
                && d[service].Rollout?.Generation != beside.Generation;
            if (!isStray)
                continue;
            Succession.GiveUp(d, service, beside);
            Retire(d, service, d.SetSlot(service, beside with { Role = SlotRole.Retiring }), $"generation {beside.Generation} is given up");
        }
    }

    /// <summary>Lets go of successors that failed by themselves and already end.</summary>
    private static void ReleaseFailedSuccessors(Draft d, int service)
    {
        foreach (SlotState beside in d[service].Beside)
        {
            if (beside is not { Role: SlotRole.Successor, Phase: SlotPhase.Stopping })
                continue;
            Succession.GiveUp(d, service, beside);
            d.SetSlot(service, beside with { Role = SlotRole.Retiring });
        }
    }

    /// <summary>Lets a successor that has proven itself take the holder's place; a holder at rest needs no proof.</summary>
    private static void TakeOver(Draft d, int service, RolloutState rollout, SlotState holder)
    {
        SlotState? successor = d[service].SuccessorOf(holder.Slot);
        if (successor?.Phase is SlotPhase.Ready ready)
        {
            if (ready.Instance.ProvenAt is null || holder.Phase is not SlotPhase.Live)
                Promote(d, service, holder, successor, ready.Instance);
            return;
        }
        if (successor is null && holder.Phase is not SlotPhase.Live
            && holder.Generation != rollout.Generation && !rollout.LeavesOut(holder.Slot))
        {
            Redirect(d, service, rollout, holder);
        }
    }

    private static void Promote(Draft d, int service, SlotState holder, SlotState successor, Instance instance)
    {
        ServiceState state = d[service];
        SlotPhase.Live? former = holder.Phase as SlotPhase.Live;
        if (holder.Phase is SlotPhase.BackingOff)
            d.Disarm(TimerKind.Backoff, state.Definition.Name, holder.Slot);
        SlotState retiring = former is null ? holder : StepAside(holder, former);
        d.RemoveBeside(service, successor);
        state = d[service];
        // If the successor was started because the holder was unhealthy, the holder's count of starts goes on; the
        // holder may have been started again meanwhile.
        ImmutableArray<Moment> starts = instance.Reason != StartReason.Restart ? successor.Starts
            : StartWindow.Join(
                holder.Starts, successor.Starts, StartWindow.Either(holder.Definition.StartLimit, successor.Definition.StartLimit));
        d[service] = state with
        {
            Slots = state.Slots.SetItem(holder.Slot, successor with { Role = SlotRole.Holder, Key = 0, Attempt = 0, Starts = starts }),
            Beside = former is null ? state.Beside : state.Beside.Add(retiring),
        };
        Succession.NotePromotion(d, service, instance.Id, former?.Instance.Id);
        if (former is not null)
            Retire(d, service, d.Find(former.Instance.Id)!.Value.Slot, $"generation {instance.Generation} has taken its place");
    }

    /// <summary>A slot without an instance gets its next one from the generation that takes over.</summary>
    private static void Redirect(Draft d, int service, RolloutState rollout, SlotState slot)
    {
        bool sleeps = d[service] is { IsOnDemand: true, IsActivated: false };
        if (slot.Phase is SlotPhase.BackingOff)
            d.Disarm(TimerKind.Backoff, d[service].Definition.Name, slot.Slot);
        d.SetSlot(service, slot with
        {
            Phase = sleeps ? SlotPhase.Idle.Value : new SlotPhase.Waiting(rollout.Reason),
            Generation = rollout.Generation,
            Definition = rollout.Definition,
            Attempt = 0,
            Starts = StartsAfter(slot, rollout.Reason),
        });
    }

    /// <summary>Begins to exchange as many holders of other generations as the bounds allow now.</summary>
    private static void Advance(Draft d, int service, RolloutState rollout)
    {
        ServiceState state = d[service];
        int successors = state.Beside.Count(b => b.Role == SlotRole.Successor);
        int missing = state.Slots.Count(s => !rollout.LeavesOut(s.Slot) && IsMissing(rollout, s));
        DependencyVerdict? verdict = null;
        foreach (SlotState slot in state.Slots)
        {
            bool isTurn = slot.Generation != rollout.Generation && !rollout.LeavesOut(slot.Slot)
                && slot.Phase is SlotPhase.Live { IsBeingSpawned: false };
            if (!isTurn || state.SuccessorOf(slot.Slot) is not null)
                continue;
            verdict ??= Dependencies.Verdict(d, service);
            if (verdict == DependencyVerdict.Failed)
            {
                Hinder(d, service);
                return;
            }
            if (slot.Phase is not SlotPhase.Ready)
            {
                Exchange(d, service, rollout, slot);
            }
            else if (successors < rollout.SurgeCount)
            {
                successors++;
                if (verdict == DependencyVerdict.Met && Turns.TryStart(d, service))
                    StartSuccessor(d, service, rollout, slot);
            }
            else if (missing < rollout.UnavailableCount)
            {
                missing++;
                Exchange(d, service, rollout, slot);
            }
        }
    }

    private static bool IsMissing(RolloutState rollout, SlotState slot) => slot.Phase switch
    {
        SlotPhase.Ready ready => ready.Instance.ProvenAt is not null,
        SlotPhase.Ended => false,
        // After a failure these slots wait for their restart policy, not for the rollout.
        SlotPhase.BackingOff or SlotPhase.Failed => rollout.Failure is null,
        _ => true,
    };

    /// <summary>A service that this one requires has failed: the rollout fails, and instances that run stay as they are.</summary>
    private static void Hinder(Draft d, int service)
    {
        RolloutState rollout = d[service].Rollout!;
        if (!rollout.IsBack)
            Fail(d, service, Dependencies.FailureOf(d, service), instance: null, slot: null);
        d[service] = d[service] with
        {
            Rollout = d[service].Rollout! with
            {
                GivenUp = [.. d[service].Slots.Where(s => s.Generation != rollout.Generation).Select(s => s.Slot)],
            },
        };
    }

    /// <summary>Stops the instance of a slot, upon which the next one is started in the same place.</summary>
    private static void Exchange(Draft d, int service, RolloutState rollout, SlotState slot) =>
        Stopping.Begin(d, service,
            d.SetSlot(service, slot with { Generation = rollout.Generation, Definition = rollout.Definition }), StopCause.Replace.Value);

    private static void StartSuccessor(Draft d, int service, RolloutState rollout, SlotState holder)
    {
        SlotState successor = new()
        {
            Slot = holder.Slot,
            Role = SlotRole.Successor,
            Generation = rollout.Generation,
            Definition = rollout.Definition,
            Starts = StartsAfter(holder, rollout.Reason),
            RestartCount = holder.RestartCount,
        };
        ServiceMachine.Start(d, service, successor, rollout.Reason, predecessor: holder.Instance!.Id);
        if (rollout.Reason != StartReason.Restart)
            return;
        RateLimit limit = StartWindow.Either(holder.Definition.StartLimit, rollout.Definition.StartLimit);
        d.SetSlot(service, holder with { Starts = StartWindow.Add(holder.Starts, limit, d.Now) });
    }

    private static bool IsOver(ServiceState state, RolloutState rollout)
    {
        foreach (SlotState slot in state.Slots)
        {
            if (rollout.LeavesOut(slot.Slot))
                continue;
            bool rests = slot.Phase switch
            {
                SlotPhase.Ready ready => ready.Instance.ProvenAt is null,
                SlotPhase.Idle => state is { IsOnDemand: true, IsActivated: false },
                SlotPhase.Ended or SlotPhase.Failed or SlotPhase.BackingOff => true,
                _ => false,
            };
            if (!rests || slot.Generation != rollout.Generation)
                return false;
        }
        return !state.Beside.Any(b => b.Role == SlotRole.Successor);
    }

    private static void Finish(Draft d, int service, RolloutState rollout)
    {
        ServiceState state = d[service];
        if (rollout.Failure is null)
            d.Report(new Notice.RolloutFinished(state.Definition.Name, rollout.Generation, d.Now - rollout.BeganAt));
        d[service] = state with
        {
            Rollout = null, LastRollout = new RolloutResult(d.Now, Explain(state, rollout), rollout.FailedInstance, rollout.FailedSlot),
        };
        foreach (SlotState slot in d[service].Slots)
            Health.Resume(d, service, slot);
    }

    private static string? Explain(ServiceState state, RolloutState rollout)
    {
        if (rollout.Failure is null)
            return null;
        int serving = state.Slots.Count(s => s.Phase is SlotPhase.Ready && s.Generation == rollout.FormerGeneration);
        string rest = serving == state.Slots.Length ? $"; generation {rollout.FormerGeneration} serves on"
            : rollout.IsBack ? $"; rolled back to generation {rollout.FormerGeneration}"
            : serving > 0 ? $"; {serving} of {state.Slots.Length} instances are still generation {rollout.FormerGeneration}"
            : "";
        return rollout.Failure + rest;
    }
}
