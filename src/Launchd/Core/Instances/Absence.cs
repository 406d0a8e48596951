using Launchd.Core.Orders;
using Launchd.Core.Slots;

namespace Launchd.Core.Instances;

/// <summary>
/// The supervisor was away for a while (docs/adr/0067), and so, as a rule, were its programs: time limits of what programs are to do stand
/// still meanwhile, and a limit that passed in that time begins anew. Pauses of the supervisor's own (back-off, idle windows) go on.
/// </summary>
internal static class Absence
{
    public static void Apply(Draft d, Event.WasAway away)
    {
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            foreach (SlotState slot in d[service].Slots)
                Allow(d, service, slot, away.For);
            foreach (SlotState beside in d[service].Beside)
                Allow(d, service, beside, away.For);
        }
        Shutdown.Allow(d, away.For);
    }

    /// <summary>A deadline after an absence; null: there is none.</summary>
    /// <param name="d">The step.</param>
    /// <param name="due">The deadline before.</param>
    /// <param name="away">How long the supervisor was away.</param>
    /// <param name="limit">The whole time limit.</param>
    public static Moment? Later(Draft d, Moment? due, TimeSpan away, TimeSpan limit)
    {
        if (due is not { } before)
            return null;
        Moment later = before + away, anew = d.Now + limit;
        return before <= d.Now && anew > later ? anew : later;
    }

    private static void Allow(Draft d, int service, SlotState slot, TimeSpan away)
    {
        switch (slot.Phase)
        {
            case SlotPhase.Preparing preparing:
                Moment patience = Later(d, preparing.Deadline, away, Limits.ConnectPatience)!.Value;
                d.SetPhase(service, slot, preparing with { Deadline = patience });
                Arm(d, TimerKind.Prepare, preparing.Instance, patience);
                break;
            case SlotPhase.Starting { Deadline: { } due } starting:
                Moment later = Later(d, due, away, starting.Instance.Definition.ReadyTimeout)!.Value;
                d.SetPhase(service, slot, starting with { Deadline = later });
                Arm(d, TimerKind.Ready, starting.Instance, later);
                break;
            case SlotPhase.Ready ready:
                AllowReady(d, service, slot, ready, away);
                break;
            case SlotPhase.Stopping { Deadline: { } end } stopping:
                Stopping.SetDeadline(d, service, slot, stopping with { Deadline = Later(d, end, away, Stopping.LimitOf(stopping)) });
                break;
        }
    }

    private static void AllowReady(Draft d, int service, SlotState slot, SlotPhase.Ready ready, TimeSpan away)
    {
        Instance instance = ready.Instance;
        if (instance.WatchdogPeriod is { } period)
        {
            // A ping that was put off by EXTEND_TIMEOUT_USEC lies in the future.
            instance = instance with { LastPing = instance.LastPing > d.Now ? instance.LastPing : d.Now };
            Arm(d, TimerKind.Watchdog, instance, instance.LastPing + period);
        }
        if (instance.ProvenAt is { } proven)
        {
            instance = instance with { ProvenAt = proven + away };
            Arm(d, TimerKind.Prove, instance, proven + away);
        }
        if (instance != ready.Instance)
            slot = d.SetPhase(service, slot, ready with { Instance = instance });
        ServiceReload.Allow(d, service, slot, away);
    }

    private static void Arm(Draft d, TimerKind kind, Instance instance, Moment due) =>
        d.Arm(kind, instance.Id.Service, instance.Id.Number, due);
}
