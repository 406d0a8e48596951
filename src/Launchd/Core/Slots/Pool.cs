using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Core.Rollouts;
using Launchd.Model;

namespace Launchd.Core.Slots;

/// <summary>The slots of a service as a whole: how many there are, and by which definition their next instances run.</summary>
internal static class Pool
{
    /// <summary>
    /// A service that comes to be wanted begins with what the configuration says, in every slot whose instance does not run on.
    /// </summary>
    public static void BeginGeneration(Draft d, int service)
    {
        ServiceState state = d[service];
        ServiceDefinition definition = d.Graph.Services[service];
        int generation = state.NewestGeneration + 1;
        d[service] = state with
        {
            Definition = definition,
            Generation = generation,
            NewestGeneration = generation,
            Rollout = null,
            Slots = [.. state.Slots.Select(s => s with { Generation = generation, Definition = definition })],
        };
    }

    /// <summary>
    /// An instance whose service is wanted again before its turn to stop had come just runs on; if the configuration has changed
    /// meanwhile, the instance is exchanged like any other.
    /// </summary>
    public static void CatchUp(Draft d, int service)
    {
        ServiceState state = d[service];
        if (state.Rollout is not null || state.IsPerConnection || !state.Slots.Any(IsBehind))
            return;
        d[service] = state with { Definition = state.Slots.First(IsBehind).Instance!.Definition };
        Rollout.Begin(d, service, d.Graph.Services[service], StartReason.Reload);

        static bool IsBehind(SlotState slot) =>
            slot.Phase is SlotPhase.Starting or SlotPhase.Ready && !ReferenceEquals(slot.Instance!.Definition, slot.Definition);
    }

    /// <summary>Another number of slots: new ones start as the others did, the highest ones finish what they have.</summary>
    /// <param name="d">The step.</param>
    /// <param name="service">Of any kind; a service that serves connections has no pool, so an order to scale it changes nothing.</param>
    /// <param name="count">1 to 1,000.</param>
    public static void Scale(Draft d, int service, int count)
    {
        ServiceState state = d[service];
        count = Math.Clamp(count, 1, Limits.SlotCount);
        if (state.IsPerConnection || count == state.Slots.Length || d.IsShuttingDown || state.IsLeaving)
            return;
        d.Report(new Notice.Scaled(state.Definition.Name, count, state.Slots.Length));
        if (count > state.Slots.Length)
            Grow(d, service, count);
        else
            Shrink(d, service, count);
    }

    /// <summary>
    /// A service that serves each connection with an instance of its own: with overlap, running instances finish their connection, and the
    /// next connection gets an instance of the next generation.
    /// </summary>
    public static void Renew(Draft d, int service, UpdateKind update)
    {
        ServiceState state = d[service];
        int generation = state.NewestGeneration + 1;
        d[service] = state with { Definition = d.Graph.Services[service], Generation = generation, NewestGeneration = generation };
        if (update == UpdateKind.Overlap)
            return;
        foreach (SlotState slot in d[service].Slots)
            Stopping.Begin(d, service, slot, StopCause.Wish.Value);
    }

    private static void Grow(Draft d, int service, int count)
    {
        ServiceState state = d[service];
        bool runs = state.IsWanted && !state.IsSetAside && state.Reborn is null && (!state.IsOnDemand || state.IsActivated);
        SlotPhase phase = runs ? new SlotPhase.Waiting(StartReason.Request) : SlotPhase.Idle.Value;
        IEnumerable<SlotState> added = Enumerable.Range(state.Slots.Length, count - state.Slots.Length)
            .Select(i => ServiceMachine.EmptySlot(state.Definition, state.Generation, i) with { Phase = phase });
        d[service] = state with { Slots = [.. state.Slots, .. added] };
    }

    private static void Shrink(Draft d, int service, int count)
    {
        foreach (SlotState beside in d[service].Beside.Where(b => b.Slot >= count && b.Role == SlotRole.Successor))
            Succession.GiveUp(d, service, beside);
        ServiceState state = d[service];
        ImmutableArray<SlotState> leaving = state.Slots[count..];
        foreach (SlotState slot in leaving)
        {
            if (slot.Phase is SlotPhase.BackingOff)
                d.Disarm(TimerKind.Backoff, state.Definition.Name, slot.Slot);
        }
        SlotState[] retiring =
            [.. leaving.Where(s => s.Phase is SlotPhase.Live).Select(s => Rollout.StepAside(s, (SlotPhase.Live)s.Phase))];
        SlotState[] successors = [.. state.Beside.Where(b => b.Slot >= count && b.Role == SlotRole.Successor).Select(b => b with
        {
            Role = SlotRole.Retiring,
        })];
        d[service] = state with
        {
            Slots = state.Slots[..count],
            Beside = [.. state.Beside.Where(b => successors.All(s => s.Key != b.Key)), .. successors, .. retiring],
        };
        foreach (SlotState slot in (IEnumerable<SlotState>)[.. successors, .. retiring])
            Rollout.Retire(d, service, slot, $"the pool has {count} slot{(count == 1 ? "" : "s")} now");
    }
}
