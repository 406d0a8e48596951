using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 23: an end by a reload signal is never delayed: what was sent it, was not told to end, and ends within five seconds, has failed
/// for that reason, and what is started after it is started without a pause.
/// </summary>
internal sealed class ReloadEndChecker() : Checker("23")
{
    private readonly Dictionary<InstanceId, Moment> _told = [];
    private readonly Dictionary<InstanceId, int> _ended = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.MachineFaulted faulted)
        {
            foreach (InstanceId id in _told.Keys.Where(id => id.Service == faulted.Service).ToArray())
                _told.Remove(id);
        }
        // What it was not sent cannot have ended it.
        if (happened is Event.SignalSent { Refusal: not null } refused)
            _told.Remove(refused.Instance);
        if (happened is Event.MainExited exited && _told.Remove(exited.Instance, out Moment told) && now - told <= TimeSpan.FromSeconds(5))
            CheckEnded(exited.Instance, effects);
        if (InstanceOf(happened) is { } over && _ended.TryGetValue(over, out int slot))
            CheckRestart(over.Service, slot, effects);
        foreach (Effect effect in effects)
        {
            if (effect is Effect.Signal signal && happened is Event.Requested { Verb: Verb.Reload })
                _told[signal.Instance] = now;
            // What ends for another reason, or said itself that it stops, is judged by that.
            else if (effect is Effect.Report { Notice: Notice.Draining or Notice.Killing } report)
                _told.Remove(((Notice.OfInstance)report.Notice).Instance);
        }
    }

    private void CheckEnded(InstanceId instance, IReadOnlyList<Effect> effects)
    {
        Notice.Exited? notice =
            effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Exited>().FirstOrDefault(e => e.Instance == instance);
        That(notice is { IsFailure: true, Reason: not null }, "an end by a reload signal is not told as that", instance);
        _ended[instance] = notice!.Slot;
    }

    private void CheckRestart(ServiceName service, int slot, IReadOnlyList<Effect> effects)
    {
        foreach (Notice.Restarting next in effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Restarting>())
            That(next.Of != service || next.Slot != slot || next.Delay == TimeSpan.Zero, "an end by a reload signal is delayed", next);
    }

    private static InstanceId? InstanceOf(Event happened) => happened switch
    {
        Event.MainExited e => e.Instance,
        Event.LeftoversEnded e => e.Instance,
        _ => null,
    };
}
