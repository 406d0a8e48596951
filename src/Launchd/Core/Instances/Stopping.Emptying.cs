using Launchd.Core.Slots;

namespace Launchd.Core.Instances;

/// <content>What an instance has in its queues is served before it is told to end.</content>
internal static partial class Stopping
{
    public static void Apply(Draft d, Event.QueuesSeen seen)
    {
        if (d.Find(seen.Instance) is not (int service, SlotState slot, SlotPhase.Stopping { Stage: StopStage.Emptying } stopping))
            return;
        if (seen.AreEmpty)
        {
            TellToEnd(d, service, slot, stopping);
            return;
        }
        Moment next = d.Now + (Limits.QueuePause * (1 << Math.Min(stopping.LookCount, 4)));
        d.SetPhase(service, slot, stopping with { LookAt = next, LookCount = stopping.LookCount + 1 });
        d.Arm(TimerKind.Queue, seen.Instance.Service, seen.Instance.Number, next);
    }

    public static void QueueTimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Stopping { LookAt: { } due } stopping))
            return;
        if (due > d.Now)
        {
            d.Arm(TimerKind.Queue, id.Service, id.Number, due);
            return;
        }
        d.SetPhase(service, slot, stopping with { LookAt = null });
        d.Do(new Effect.LookAtQueues(id, HearsOut(stopping.Instance)));
    }

    // Not with a stop command, which may itself connect. The listeners of a service that is stopped stay open, so its clients wait
    // for its next start, whether they are kept out or not.
    public static bool HearsOut(Instance instance) => instance.Definition.Stop.Command.IsEmpty;

    /// <summary>The instance's queues are empty, or their time is over: tells it to end.</summary>
    private static void TellToEnd(Draft d, int service, SlotState slot, SlotPhase.Stopping emptying)
    {
        LeaveStage(d, emptying);
        TellToEnd(d, service, slot, emptying.Instance, emptying.Cause);
    }
}
