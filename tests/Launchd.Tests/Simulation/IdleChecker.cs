using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 16: nothing is stopped for being idle that somebody came to within its idle time or that the host saw used; use is watched
/// exactly while a window is open; and who is stopped so listens again.
/// </summary>
internal sealed class IdleChecker(Supervisor supervisor) : Checker("16")
{
    private readonly Dictionary<ServiceName, Moment> _lastUse = [];
    private readonly HashSet<ServiceName> _watched = [];
    private readonly HashSet<ServiceName> _stoppedIdle = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.ListenerUsed used && _watched.Contains(used.Service))
            _lastUse[used.Service] = now;
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.Spawn e: _lastUse[e.Instance.Service] = now; break;
                case Effect.WatchUse e: _watched.Add(e.Service); break;
                case Effect.UnwatchUse e: That(_watched.Remove(e.Service), "use is unwatched that was not watched", e.Service); break;
                case Effect.Report { Notice: Notice.Draining draining }
                    when draining.Reason.StartsWith("nobody used it", StringComparison.Ordinal):
                    CheckStop(happened, draining.Instance.Service, now);
                    break;
            }
        }
        foreach (ServiceState service in supervisor.Services)
        {
            ServiceName name = service.Definition.Name;
            That(_watched.Contains(name) == service.IdleUntil is not null, "use is watched without a window, or not within one", name);
            That(service.IdleUntil is null || (service.IsWanted && service.HasLiveInstance),
                "a window is open for what does not run", name);
            if (_stoppedIdle.Contains(name) && !service.HasLiveInstance)
            {
                _stoppedIdle.Remove(name);
                bool listens = service.IsWatching || service.PausedUntil is not null || service.IsHindered || service.IsSetAside
                    || !service.IsWanted || !service.IsOnDemand
                    || supervisor.Frame.Shutdown is not null
                    || service.Slots.Any(s => s.Phase is SlotPhase.Waiting or SlotPhase.BackingOff);
                That(listens, "it was stopped because nobody used it, and does not listen", name);
            }
        }
    }

    private void CheckStop(Event happened, ServiceName service, Moment now)
    {
        That(happened is Event.UseSeen { IsUsed: false } seen && seen.Service == service,
            "it is stopped as unused without a look", service);
        TimeSpan timeout = supervisor.Find(service)!.Definition.IdleTimeout!.Value;
        That(now - _lastUse[service] >= timeout, "it is stopped as unused within its idle time", service);
        _stoppedIdle.Add(service);
    }
}
