using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Starting;

/// <summary>
/// <c>idle_timeout</c>: a demand service that nobody used for so long is stopped, and goes on listening.
/// <para>Time is cut into windows of that length, so that use costs nothing: the first to come in a window marks it as used, and nobody
/// else is looked at before its end. At the end of an unused window the host looks once whether connections are still open. So a service
/// rests one to two windows after it was last asked.</para>
/// </summary>
internal static class Idling
{
    /// <summary>A window is open exactly while all that can run of the service is ready.</summary>
    public static void Settle(Draft d, int service)
    {
        ServiceState state = d[service];
        bool counts = state.Definition.IdleTimeout is not null && state.IsOnDemand && MayRest(d, state);
        if (counts == state.IdleUntil is not null)
            return;
        if (counts)
        {
            Begin(d, service);
            return;
        }
        ServiceName name = state.Definition.Name;
        d[service] = state with { IdleUntil = null, WasUsed = false };
        d.Disarm(TimerKind.Idle, name, 0);
        d.Do(new Effect.UnwatchUse(name));
    }

    public static void Apply(Draft d, Event.ListenerUsed used)
    {
        int service = d.Graph.Find(used.Service);
        if (service >= 0 && d[service] is { IdleUntil: not null, WasUsed: false } state)
            d[service] = state with { WasUsed = true };
    }

    public static void TimerFired(Draft d, TimerKey key)
    {
        int service = d.Graph.Find(key.Service);
        if (service < 0 || d[service].IdleUntil is not { } until)
            return;
        if (until > d.Now)
        {
            d.Arm(TimerKind.Idle, key.Service, 0, until);
            return;
        }
        bool wasUsed = d[service].WasUsed;
        Begin(d, service);
        if (!wasUsed)
            d.Do(new Effect.LookForUse(key.Service));
    }

    /// <summary>
    /// No client is lost: one that comes from now on waits in the listener, which is watched again when the last instance has ended; an
    /// instance that was told to end and still accepts a client serves it.
    /// </summary>
    public static void Apply(Draft d, Event.UseSeen seen)
    {
        int service = d.Graph.Find(seen.Service);
        if (service < 0 || seen.IsUsed || d[service] is not { IdleUntil: not null, WasUsed: false } state)
            return;
        foreach (SlotState slot in state.Slots)
            Stopping.Begin(d, service, slot, new StopCause.Unused(state.Definition.IdleTimeout!.Value));
    }

    private static void Begin(Draft d, int service)
    {
        ServiceState state = d[service];
        ServiceName name = state.Definition.Name;
        Moment until = d.Now + state.Definition.IdleTimeout!.Value;
        d[service] = state with { IdleUntil = until, WasUsed = false };
        d.Arm(TimerKind.Idle, name, 0, until);
        d.Do(new Effect.WatchUse(name));
    }

    private static bool MayRest(Draft d, ServiceState state)
    {
        if (!state.IsWanted || d.IsShuttingDown || state.IsSetAside || state.Rollout is not null || state.Reborn is not null)
            return false;
        bool isReady = false;
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Phase is SlotPhase.Ready)
                isReady = true;
            else if (slot.Phase is not (SlotPhase.Ended or SlotPhase.Failed))
                return false;
        }
        return isReady;
    }
}
