using System.Collections.Immutable;
using Launchd.Core.Graph;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Starting;

/// <summary>
/// Starts a service on the first connection or datagram (demand), or an instance for each connection. Over the limit activation pauses, and
/// resumes by itself; the listener stays open through everything.
/// </summary>
internal static class Activation
{
    public static void Apply(Draft d, Event.ListenerReadable readable)
    {
        int service = d.Graph.Find(readable.Service);
        if (service < 0 || !d[service].IsWatching)
            return;
        if (!CountTrigger(d, service))
            return;
        if (d[service].IsPerConnection)
        {
            d.Do(new Effect.Accept(readable.Service, readable.ListenerIndex));
            return;
        }
        d.Report(new Notice.Activated(readable.Service, readable.ListenerIndex));
        d[service] = d[service] with { IsActivated = true };
        Wake(d, service, StartReason.Activation);
    }

    public static void Apply(Draft d, Event.ConnectionAccepted accepted)
    {
        int service = d.Graph.Find(accepted.Service);
        if (service < 0 || !MayServe(d, service, accepted.Source))
            d.Do(new Effect.CloseConnection(accepted.Connection));
        else
            Serve(d, service, accepted.Connection, accepted.Source);
    }

    private static void Serve(Draft d, int service, ConnectionId connection, string source)
    {
        ServiceState state = d[service];
        // Sorted by number: the first gap is where number and place differ.
        int free = 0;
        while (free < state.Slots.Length && state.Slots[free].Slot == free)
            free++;
        SlotState slot = ServiceMachine.EmptySlot(state.Definition, state.Generation, free);
        d[service] = state with { Slots = state.Slots.Insert(free, slot) };
        ServiceMachine.Start(d, service, slot, StartReason.Activation, connection, source);
    }

    /// <summary>
    /// There was no room for a process: the client that was accepted for it waits for the end of the pause, like the clients in the queue.
    /// </summary>
    public static void Hold(Draft d, int service, HeldConnection held)
    {
        d[service] = d[service] with { Held = d[service].Held.Add(held) };
        PauseForShortage(d, service);
    }

    private static void SettleHeld(Draft d, int service)
    {
        ImmutableArray<HeldConnection> waiting = d[service].Held;
        foreach (HeldConnection held in waiting)
        {
            bool mayServe = MayServe(d, service, held.Source);
            if (mayServe && (d[service].PausedUntil is not null || Dependencies.Verdict(d, service) != DependencyVerdict.Met))
                continue;
            d[service] = d[service] with { Held = d[service].Held.Remove(held) };
            if (mayServe)
                Serve(d, service, held.Connection, held.Source);
            else
                d.Do(new Effect.CloseConnection(held.Connection));
        }
    }

    public static void Apply(Draft d, Event.AcceptFailed failed)
    {
        int service = d.Graph.Find(failed.Service);
        if (service >= 0 && failed.IsShortage && d[service].IsWatching)
            PauseForShortage(d, service);
    }

    /// <summary>
    /// Clients wait in the queue. A shortage ends when some process ends, so trying rarely costs nothing: the pauses grow.
    /// </summary>
    private static void PauseForShortage(Draft d, int service)
    {
        int before = d[service].ShortageCount;
        d[service] = d[service] with { ShortageCount = before + 1 };
        Pause(d, service, ShortagePause(before), "the system is short of descriptors, memory or processes");
    }

    /// <summary>The pause after so many attempts in a row that failed for a shortage.</summary>
    public static TimeSpan ShortagePause(int before)
    {
        TimeSpan pause = Limits.ShortagePause * Math.Pow(2, Math.Min(before, 6));
        return pause < Limits.LongestShortagePause ? pause : Limits.LongestShortagePause;
    }

    public static void RemoveConnectionSlot(Draft d, int service, SlotState slot)
    {
        ServiceState state = d[service];
        d[service] = state with { Slots = [.. state.Slots.Where(s => s.Slot != slot.Slot)] };
    }

    /// <summary>All slots at rest become wanted.</summary>
    public static void Wake(Draft d, int service, StartReason reason)
    {
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.Idle or SlotPhase.Ended or SlotPhase.Failed)
                d.SetPhase(service, slot, new SlotPhase.Waiting(reason));
        }
    }

    /// <summary>Brings the watching of the listeners in line with what is wanted.</summary>
    public static void Settle(Draft d, int service)
    {
        SettleHeld(d, service);
        ServiceState state = d[service];
        if (!(state.IsOnDemand || state.IsPerConnection))
            return;
        if (state.IsActivated && IsAtRest(state))
        {
            d[service] = state with { IsActivated = false };
            RestAfterFailure(d, service);
        }
        if (d[service].PausedUntil is not null && (!d[service].IsWanted || d.IsShuttingDown))
            Resume(d, service);
        state = d[service];
        bool watch = ShouldWatch(d, service);
        bool isHindered = !watch && state.IsWanted && Dependencies.HasFailed(d, service);
        if (isHindered != state.IsHindered)
        {
            state = state with { IsHindered = isHindered };
            d[service] = state;
        }
        if (watch == state.IsWatching)
            return;
        ServiceName name = state.Definition.Name;
        d[service] = state with { IsWatching = watch };
        d.Do(watch ? new Effect.WatchListeners(name) : new Effect.UnwatchListeners(name));
    }

    public static void TimerFired(Draft d, TimerKey key)
    {
        int service = d.Graph.Find(key.Service);
        if (service < 0 || d[service].PausedUntil is not { } until)
            return;
        if (until > d.Now)
        {
            d.Arm(TimerKind.Activation, key.Service, 0, until);
            return;
        }
        d[service] = d[service] with { PausedUntil = null, TriggerCount = 0 };
        foreach (SlotState slot in d[service].Slots)
        {
            // A slot that failed for another reason keeps showing it; old starts leave the window of the start limit by themselves.
            if (slot.Phase is SlotPhase.Failed { Failure: Failure.StartLimitReached })
                d.SetPhase(service, slot, SlotPhase.Idle.Value);
        }
        d.Report(new Notice.ActivationResumed(key.Service));
    }

    /// <summary>Ends a pause before its time, because an operator decided otherwise.</summary>
    public static void Resume(Draft d, int service)
    {
        d.Disarm(TimerKind.Activation, d[service].Definition.Name, 0);
        d[service] = d[service] with { PausedUntil = null, TriggerCount = 0 };
    }

    /// <summary>
    /// A demand service whose requirement has failed is not watched: it would only fail again for each
    /// client, which waits in the queue instead.
    /// </summary>
    private static bool ShouldWatch(Draft d, int service)
    {
        ServiceState state = d[service];
        if (!state.IsWanted || d.IsShuttingDown || state.IsSetAside || state.PausedUntil is not null || state.Reborn is not null)
            return false;
        return state.IsPerConnection
            ? state.Held.IsEmpty && HasRoom(d, service) && Dependencies.Verdict(d, service) == DependencyVerdict.Met
            : !state.IsActivated && Dependencies.Verdict(d, service) != DependencyVerdict.Failed;
    }

    private static bool MayServe(Draft d, int service, string source) =>
        d[service].IsPerConnection && d[service].IsWanted && !d.IsShuttingDown
            && !d[service].IsSetAside && d[service].Reborn is null && HasRoom(d, service)
            && !IsOverSourceLimit(d, service, source);

    private static bool IsAtRest(ServiceState state) =>
        state.Rollout is null && state.Slots.All(s => s.Phase is SlotPhase.Idle or SlotPhase.Ended or SlotPhase.Failed);

    /// <summary>A service over its start limit would be started by its own waiting queue at once: let the limit's interval pass.</summary>
    private static void RestAfterFailure(Draft d, int service)
    {
        ServiceState state = d[service];
        if (state.Slots.Any(s => s.Phase is SlotPhase.Failed { Failure: Failure.StartLimitReached }))
            Pause(d, service, state.Definition.StartLimit.Interval, "it was started too often");
    }

    private static bool CountTrigger(Draft d, int service)
    {
        RateLimit limit = d.Graph.Activations[service].Triggers;
        ServiceState state = d[service];
        if (limit.IsUnlimited)
            return true;
        bool isNew = state.TriggerCount == 0 || d.Now - state.TriggerSince >= limit.Interval;
        state = isNew ? state with { TriggerCount = 1, TriggerSince = d.Now } : state with { TriggerCount = state.TriggerCount + 1 };
        d[service] = state;
        if (state.TriggerCount <= limit.Burst)
            return true;
        Pause(d, service, limit.Interval - (d.Now - state.TriggerSince),
            $"more than {limit.Burst} activations within {Spans.Show(limit.Interval)}" + Suspicion(state.Definition));
        return false;
    }

    // Whoever started it still waits then, or somebody else does at once: the first is a mistake in the program, and frequent.
    private static string Suspicion(ServiceDefinition service) => service.Start == StartKind.Demand
        ? "; a program that ends without taking what waits is started again at once" : "";

    private static void Pause(Draft d, int service, TimeSpan pause, string reason)
    {
        ServiceState state = d[service];
        d[service] = state with { PausedUntil = d.Now + pause };
        d.Arm(TimerKind.Activation, state.Definition.Name, 0, d.Now + pause);
        d.Report(new Notice.ActivationPaused(state.Definition.Name, pause, reason));
    }

    private static bool HasRoom(Draft d, int service) => d[service].Slots.Length < d.Graph.Activations[service].MaxConnections;

    private static bool IsOverSourceLimit(Draft d, int service, string source)
    {
        int most = d.Graph.Activations[service].MaxPerSource;
        return most > 0 && d[service].Slots.Count(s => s.Instance?.Source == source) >= most;
    }
}
