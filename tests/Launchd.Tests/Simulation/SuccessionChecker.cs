using Launchd.Core;
using Launchd.Core.Slots;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 18: whoever's place was taken, and has not been told otherwise, reaches whoever holds that place, or one whose place was taken
/// out of the pool and who was told so, with whom the line ends; who waits for a predecessor has one that lives, or that lived and may
/// still be followed by another; and is told when there is none any more.
/// </summary>
internal sealed class SuccessionChecker(Supervisor supervisor) : Checker("18")
{
    // What programs know, by what they were told: nothing of the core's own notes.
    private readonly Dictionary<InstanceId, InstanceId> _successors = [];
    private readonly Dictionary<InstanceId, InstanceId> _waiting = [];
    private readonly HashSet<InstanceId> _succeededByNobody = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        InstanceId? born = (happened as Event.Spawned)?.Instance;
        // The one whose place it is to take may have ended while it was prepared: that one's name is what it reads about itself.
        if (born is { } id && Live(id)?.Instance.Predecessor is { } described)
            _waiting[id] = described;
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.TellHandOver e:
                    _succeededByNobody.Remove(e.Instance);
                    _successors[e.Instance] = e.Successor;
                    _waiting[e.Successor] = e.Instance;
                    break;
                case Effect.TellDrain { Successor: null } e:
                    _successors.Remove(e.Instance);
                    _succeededByNobody.Add(e.Instance);
                    break;
                case Effect.TellDrain { Successor: { } successor } e:
                    That(_successors.GetValueOrDefault(e.Instance) == successor, "a drain for a successor that was not announced", e);
                    break;
                // It ends by itself, and hands over what it likes to whom it knows: its place may be gone before it is.
                case Effect.Report { Notice: Notice.Draining { Reason: "it said that it stops" } e }: _successors.Remove(e.Instance); break;
                case Effect.TellPredecessorEnded e:
                    That(_waiting.Remove(e.Instance) || e.Instance == born, "an end is told to one that waits for nobody", e);
                    That(!_successors.Any(s => s.Value == e.Instance && MayHandOver(s.Key)),
                        "an end is told to one that may still be handed something", e);
                    break;
                case Effect.Release e:
                    _successors.Remove(e.Instance);
                    _waiting.Remove(e.Instance);
                    // One that never came to take the place is nobody's successor: who holds it goes on as if none had been announced.
                    foreach (InstanceId holder in _successors.Where(s => s.Value == e.Instance && IsHolder(s.Key))
                        .Select(s => s.Key).ToArray())
                    {
                        _successors.Remove(holder);
                    }
                    break;
            }
        }
        foreach (ServiceState service in supervisor.Services)
        {
            if (!service.IsPerConnection && service.IsWanted && !service.IsSetAside)
                CheckOne(service);
        }
    }

    private void CheckOne(ServiceState service)
    {
        foreach (SlotState slot in service.Slots)
        {
            if (slot.Phase is SlotPhase.Ready { Instance: var holder } && _waiting.TryGetValue(holder.Id, out InstanceId predecessor))
                That(IsAlive(predecessor), "a holder waits for one that has ended", holder.Id);
        }
        foreach (SlotState retiring in service.Beside)
        {
            // Whoever was told of nobody waits for nobody; and who still empties its queues was not told to end.
            if (retiring.Phase is SlotPhase.Stopping { Stage: StopStage.Emptying })
                continue;
            if (retiring is not { Role: SlotRole.Retiring, Instance.Id: var waiting } || !MayHandOver(waiting)
                || !_successors.TryGetValue(waiting, out InstanceId next))
            {
                continue;
            }
            SlotState? holder = service.Slots.FirstOrDefault(s => s.Slot == retiring.Slot);
            if (holder?.Phase is not SlotPhase.Ready { Instance.Id: var held })
                continue;
            // From one to the next among those that live, or the place is reached.
            for (int steps = 0; next != held && !EndsLine(next); steps++)
            {
                bool isReached = steps < 20 && IsAlive(next) && _successors.TryGetValue(next, out next);
                That(isReached, "whose place was taken does not reach the holder", waiting);
            }
        }
    }

    private bool IsHolder(InstanceId id) =>
        supervisor.Find(id.Service) is { } service && service.Slots.Any(s => s.Phase is SlotPhase.Live live && live.Instance.Id == id);

    // Told that nobody follows, or not told yet because it empties its queues first.
    private bool EndsLine(InstanceId id) =>
        _succeededByNobody.Contains(id) || (!_successors.ContainsKey(id) && Live(id) is SlotPhase.Stopping { Stage: StopStage.Emptying });

    private bool MayHandOver(InstanceId id) =>
        Live(id) is { } phase
            && phase is not SlotPhase.Stopping { Status: not null } and not SlotPhase.Stopping { Stage: StopStage.Killed };

    private bool IsAlive(InstanceId id) => Live(id) is { } phase && phase is not SlotPhase.Stopping { Status: not null };

    private SlotPhase.Live? Live(InstanceId id) =>
        supervisor.Find(id.Service) is { } service
            ? service.Slots.Concat(service.Beside).Select(s => s.Phase).OfType<SlotPhase.Live>().FirstOrDefault(p => p.Instance.Id == id)
            : null;
}
