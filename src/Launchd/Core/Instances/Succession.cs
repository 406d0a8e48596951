using Launchd.Core.Slots;

namespace Launchd.Core.Instances;

/// <summary>
/// Who hands over to whom. The live instances of a slot are a chain: those whose place was taken, then the holder, then the one that is
/// to take its place.
/// <list type="bullet">
/// <item>Who ends leaves the chain, and its neighbours become each other's: whoever's place was taken reaches whoever holds it now, also
/// one that was born after a successor had died.</item>
/// <item>A successor that is given up is nobody's successor any more, and who ends without one is told of none.</item>
/// <item>Who holds a place and has nobody before it any more is told: nothing more will be handed to it.</item>
/// </list>
/// The name of an instance that is over stands only where somebody waits: as the successor of one whose place was taken, which the next
/// holder will succeed; as the predecessor of a successor, before which another holder may still be born.
/// </summary>
internal static class Succession
{
    /// <summary>
    /// The newest instance whose successor has died: a new holder of the slot succeeds it. Null: no instance waits for a successor.
    /// </summary>
    public static InstanceId? Orphan(Draft d, int service, int slot)
    {
        Instance? newest = null;
        foreach (SlotState beside in d[service].Beside)
        {
            bool waits = beside.Slot == slot && beside.Role == SlotRole.Retiring && beside.Phase is SlotPhase.Live phase && Runs(phase)
                && phase.Instance.Successor is { } successor && Find(d, successor) is null;
            if (waits && (newest is null || beside.Key > newest.Id.Number))
                newest = beside.Instance;
        }
        return newest?.Id;
    }

    /// <summary>An instance runs: its predecessor and its successor know it from now on.</summary>
    /// <returns>The instance with its neighbours, which is to be put into the slot.</returns>
    public static Instance NoteSpawn(Draft d, int service, SlotState slot, Instance instance)
    {
        // The instance's place may be gone since the spawn was ordered: then the instance ends at once, and takes nothing over.
        if (d[service].IsPerConnection || slot.Role == SlotRole.Retiring)
            return instance;
        // The predecessor is looked up now and not when the spawn was ordered: preparing may have taken a while, in
        // which the instance that was there may have ended.
        InstanceId? before = slot.Role == SlotRole.Holder ? Orphan(d, service, slot.Slot) : ServingHolder(d, service, slot.Slot);
        if (before is { } found)
            Follow(d, found, instance.Id);
        if (slot.Role != SlotRole.Holder)
            return before is null ? instance : instance with { Predecessor = before };
        instance = instance with { Predecessor = before };
        if (d[service].SuccessorOf(slot.Slot) is { Phase: SlotPhase.Live next } after && Runs(next))
        {
            d.SetPhase(service, after, next with { Instance = next.Instance with { Predecessor = instance.Id } });
            d.Do(new Effect.TellHandOver(instance.Id, next.Instance.Id));
            instance = instance with { Successor = next.Instance.Id };
        }
        return instance;
    }

    /// <summary>A successor holds the place now.</summary>
    /// <param name="d">The step; in it the successor is the holder already.</param>
    /// <param name="service">Its number.</param>
    /// <param name="successor">The new holder.</param>
    /// <param name="former">The former holder; null: there was none.</param>
    public static void NotePromotion(Draft d, int service, InstanceId successor, InstanceId? former)
    {
        if (Find(d, successor) is not (SlotState slot, SlotPhase.Live phase))
            return;
        InstanceId? before = former is { } id && Find(d, id) is not null ? id : Orphan(d, service, slot.Slot);
        if (before == phase.Instance.Predecessor && before is not null
            && Find(d, before.Value)!.Value.Phase.Instance.Successor == successor)
        {
            return;
        }
        d.SetPhase(service, slot, phase with { Instance = phase.Instance with { Predecessor = before } });
        if (before is { } found)
            Follow(d, found, successor);
        else if (phase.Instance.Predecessor is { } gone)
            d.Do(new Effect.TellPredecessorEnded(successor, gone));
    }

    private static bool HasNeighbours(ServiceState state, InstanceId id)
    {
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Instance is { } instance && (instance.Successor == id || instance.Predecessor == id))
                return true;
        }
        foreach (SlotState slot in state.Beside)
        {
            if (slot.Instance is { } instance && (instance.Successor == id || instance.Predecessor == id))
                return true;
        }
        return false;
    }

    /// <summary>A successor will never hold the place: nobody hands anything to it.</summary>
    public static void GiveUp(Draft d, int service, SlotState successor)
    {
        if (d[service].Slots.FirstOrDefault(s => s.Slot == successor.Slot) is { Phase: SlotPhase.Live holder } slot
            && holder.Instance.Successor?.Number == successor.Key)
        {
            d.SetPhase(service, slot, holder with { Instance = holder.Instance with { Successor = null } });
        }
    }

    /// <summary>The main process of an instance has ended, or is given up: the instance leaves the chain.</summary>
    /// <returns>The instance without neighbours.</returns>
    public static Instance Leave(Draft d, int service, Instance gone)
    {
        if (d[service].IsPerConnection)
            return gone;
        InstanceId? before = null;
        if (!HasNeighbours(d[service], gone.Id))
            return gone.Successor is null && gone.Predecessor is null ? gone : gone with { Successor = null, Predecessor = null };
        foreach (SlotState slot in d[service].Slots.Concat(d[service].Beside).Where(s => s.Instance?.Successor == gone.Id).ToArray())
        {
            SlotPhase.Live phase = (SlotPhase.Live)slot.Phase;
            if (slot.Role == SlotRole.Retiring && Runs(phase))
                before = phase.Instance.Id;
            else
                d.SetPhase(service, slot, phase with { Instance = phase.Instance with { Successor = null } });
        }
        foreach (SlotState slot in d[service].Slots.Concat(d[service].Beside).Where(s => s.Instance?.Predecessor == gone.Id).ToArray())
        {
            SlotPhase.Live phase = (SlotPhase.Live)slot.Phase;
            if (slot.Role == SlotRole.Successor || !Runs(phase))
                continue;
            InstanceId? next = gone.Successor == phase.Instance.Id ? before : null;
            d.SetPhase(service, slot, phase with { Instance = phase.Instance with { Predecessor = next } });
            if (next is { } heir)
                Follow(d, heir, phase.Instance.Id);
            else
                d.Do(new Effect.TellPredecessorEnded(phase.Instance.Id, gone.Id));
        }
        return gone with { Successor = null, Predecessor = null };
    }

    private static void Follow(Draft d, InstanceId before, InstanceId successor)
    {
        (int service, SlotState slot, SlotPhase.Live phase) = d.Find(before)!.Value;
        d.SetPhase(service, slot, phase with { Instance = phase.Instance with { Successor = successor } });
        d.Do(new Effect.TellHandOver(before, successor));
    }

    /// <summary>Finds an instance with a process. Null: the process is over.</summary>
    private static (SlotState Slot, SlotPhase.Live Phase)? Find(Draft d, InstanceId id) =>
        d.Find(id) is (_, SlotState slot, SlotPhase.Live phase) && Runs(phase) ? (slot, phase) : null;

    private static InstanceId? ServingHolder(Draft d, int service, int slot)
    {
        foreach (SlotState holder in d[service].Slots)
        {
            if (holder.Slot == slot)
                return holder.Phase is SlotPhase.Live phase and not SlotPhase.Stopping && Runs(phase) ? phase.Instance.Id : null;
        }
        return null;
    }

    /// <summary>Whether the instance has a process that may still speak.</summary>
    private static bool Runs(SlotPhase.Live phase) =>
        phase is not SlotPhase.Preparing and not SlotPhase.Starting { Instance.Pid: 0 } and not SlotPhase.Stopping { Status: not null }
        and not SlotPhase.Stopping { Stage: StopStage.Killed };
}
