using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <content>The end of one whose watchdog is silent.</content>
internal static partial class Stopping
{
    /// <summary>
    /// After a silent watchdog the program gets SIGABRT, which makes a core file of what hangs, as under
    /// systemd; for any other cause, the stop signal.
    /// </summary>
    private static bool IsAbort(StopCause cause) =>
        cause is StopCause.Failed { Failure: Failure.WatchdogSilent or Failure.WatchdogTriggered };

    /// <summary>
    /// Sends a second SIGABRT. A runtime such as .NET's takes the first for a fault of the program itself: it restores the default action
    /// and lets the program go on, to meet the fault again. A signal from outside does not come again by itself, so the program would live
    /// on. A program that is writing a core file does not notice the second. Both signals have the one stop timeout.
    /// </summary>
    private static void AbortAgain(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        d.Do(new Effect.Signal(stopping.Instance.Id, SignalNumber.Abrt, AskedScope(stopping.Instance)));
        SetDeadline(d, service, slot, stopping with { Stage = StopStage.Signalled, Deadline = EndOf(stopping) });
    }

    /// <summary>
    /// The end of the stop timeout, when the next stage begins (mostly SIGKILL); null: no limit. While a second SIGABRT is still to come,
    /// the deadline of the stage is the moment of that signal, and this is a later one.
    /// </summary>
    public static Moment? EndOf(SlotPhase.Stopping stopping)
    {
        if (stopping is not { Stage: StopStage.Aborted, Deadline: { } again })
            return stopping.Deadline;
        TimeSpan limit = stopping.Instance.Definition.Stop.Timeout;
        return limit > TimeSpan.Zero ? again + (limit - PauseBeforeAbort(limit)) : null;
    }

    /// <summary>The time limit of a stage.</summary>
    public static TimeSpan LimitOf(SlotPhase.Stopping stopping)
    {
        TimeSpan limit = stopping.Instance.Definition.Stop.Timeout;
        return stopping.Stage switch
        {
            StopStage.Killed => Limits.KillGrace,
            StopStage.Aborted => PauseBeforeAbort(limit),
            StopStage.Emptying when limit <= TimeSpan.Zero => Limits.QueuePatience,
            _ => limit,
        };
    }

    private static TimeSpan PauseBeforeAbort(TimeSpan limit) =>
        limit > TimeSpan.Zero && limit / 2 < Limits.AbortPause ? limit / 2 : Limits.AbortPause;
}
