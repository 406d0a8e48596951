using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <content>The end of one whose watchdog is silent.</content>
internal static partial class Stopping
{
    /// <summary>A silent watchdog wants a core file of what hangs, as systemd's does; everything else is asked to end.</summary>
    private static bool IsAbort(StopCause cause) => cause is StopCause.Failed { Failure: Failure.WatchdogSilent or Failure.WatchdogTriggered };

    /// <summary>
    /// A second SIGABRT: a runtime that takes the first for a fault of the program's own hands (as .NET's does) puts the default in its handler's place, upon
    /// which the program would have to meet the fault again; but nothing ever comes again, and it lives on. One that is writing a core file does not
    /// notice it. Both have the one stop timeout.
    /// </summary>
    private static void AbortAgain(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        TimeSpan limit = stopping.Instance.Definition.Stop.Timeout;
        d.Do(new Effect.Signal(stopping.Instance.Id, SignalNumber.Abrt, AskedScope(stopping.Instance)));
        Moment? deadline = limit > TimeSpan.Zero ? d.Now + (limit - PauseBeforeAbort(limit)) : null;
        SetDeadline(d, service, slot, stopping with { Stage = StopStage.Signalled, Deadline = deadline });
    }

    private static TimeSpan PauseBeforeAbort(TimeSpan limit) => limit > TimeSpan.Zero && limit / 2 < Limits.AbortPause ? limit / 2 : Limits.AbortPause;
}
