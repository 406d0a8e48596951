using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <content>The end of one whose watchdog is silent.</content>
internal static partial class Stopping
{
    /// <summary>A silent watchdog wants a core file of what hangs, as systemd's does; everything else is asked to end.</summary>
    private static bool IsAbort(StopCause cause) =>
        cause is StopCause.Failed { Failure: Failure.WatchdogSilent or Failure.WatchdogTriggered };

    /// <summary>
    /// A second SIGABRT: a runtime that takes the first for a fault of the program's own hands (as .NET's does) puts the default in its
    /// handler's place, upon which the program would have to meet the fault again; but nothing ever comes again, and it lives on. One that
    /// is writing a core file does not notice it. Both have the one stop timeout.
    /// </summary>
    private static void AbortAgain(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        d.Do(new Effect.Signal(stopping.Instance.Id, SignalNumber.Abrt, AskedScope(stopping.Instance)));
        SetDeadline(d, service, slot, stopping with { Stage = StopStage.Signalled, Deadline = EndOf(stopping) });
    }

    /// <summary>
    /// When SIGKILL comes, or what else ends the stage; null: no limit. What is aborted a second time before has its deadline for that.
    /// </summary>
    public static Moment? EndOf(SlotPhase.Stopping stopping)
    {
        if (stopping is not { Stage: StopStage.Aborted, Deadline: { } again })
            return stopping.Deadline;
        TimeSpan limit = stopping.Instance.Definition.Stop.Timeout;
        return limit > TimeSpan.Zero ? again + (limit - PauseBeforeAbort(limit)) : null;
    }

    private static TimeSpan PauseBeforeAbort(TimeSpan limit) =>
        limit > TimeSpan.Zero && limit / 2 < Limits.AbortPause ? limit / 2 : Limits.AbortPause;
}
