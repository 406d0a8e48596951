using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>Every received descriptor is kept or closed at once, and closed at most once; the store has a limit and goes along.</summary>
internal sealed class DescriptorChecker(Known known, Supervisor supervisor) : Checker("2")
{
    private readonly Dictionary<ServiceName, List<StoredDescriptor>> _kept = [];
    private readonly HashSet<DescriptorId> _saved = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        foreach (ServiceName name in known.Names)
            _kept.TryAdd(name, []);
        HashSet<DescriptorId> received = happened switch
        {
            Event.Notified e => [.. e.Descriptors],
            Event.StoreAsked e => [.. e.Order.Descriptors],
            Event.StateSaved e => [e.Descriptor],
            _ => [],
        };
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.Keep keep:
                    That(received.Remove(keep.Descriptor.Id), "kept what was not received, or twice", keep);
                    _kept[keep.Service].Add(keep.Descriptor);
                    break;
                case Effect.CloseDescriptor close:
                    bool isOpen = received.Remove(close.Descriptor) || _saved.Remove(close.Descriptor)
                        || _kept.Values.Sum(k => k.RemoveAll(d => d.Id == close.Descriptor)) == 1;
                    That(isOpen, "closed what is not open", close);
                    break;
                case Effect.Spawn { Connection: null } spawn:
                    That(spawn.Stored.SequenceEqual(_kept[spawn.Instance.Service].Take(spawn.Definition.FdStoreCount)),
                        "the store does not go along", spawn.Instance);
                    break;
            }
        }
        // A saved state is kept without a word.
        if (happened is Event.StateSaved { Descriptor: var saved } && received.Remove(saved))
            _saved.Add(saved);
        That(received.Count == 0, "a received descriptor is neither kept nor closed", happened);
        int states = supervisor.Services.Sum(s => s.SavedStates.Length);
        That(states == _saved.Count, "a saved state is open that nobody has, or the other way round", happened);
        foreach (ServiceName name in known.Names)
            That(_kept[name].Count <= known.Ever(name).Max(s => s.FdStoreCount), "the store is over its limit", name);
        foreach (Effect.Forget forget in effects.OfType<Effect.Forget>())
            That(_kept[forget.Service].Count == 0, "the store of a forgotten service stays open", forget);
    }

    public override void CheckEnd()
    {
        foreach (ServiceState service in supervisor.Services)
        {
            That(service.Stored.SequenceEqual(_kept[service.Definition.Name]), "the store is not what was kept", service.Definition.Name);
            That(service.Rollout is not null || service.Reborn is not null || service.Stored.Length <= service.Definition.FdStoreCount,
                "the store is above its limit", service.Definition.Name);
            That(service.Stored.IsEmpty || service.Definition.FdStoreKeep == FdStoreKeep.Always,
                "the store outlives the service", service.Definition.Name);
        }
    }
}

/// <summary>
/// Every accepted connection begins an instance or is closed, at once; it is spawned with or closed once; one that is given back for want
/// of a process is too in the end, and before any other of its service. No source has more than its share.
/// </summary>
internal sealed class ConnectionChecker(Known known) : Checker("connections")
{
    private readonly Dictionary<InstanceId, (ConnectionId Connection, string Source)> _begun = [];
    private readonly Dictionary<ConnectionId, (ServiceName Service, string Source)> _open = [];
    private readonly Dictionary<ConnectionId, InstanceId> _prepared = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        Event.ConnectionAccepted? accepted = happened as Event.ConnectionAccepted;
        if (accepted is not null)
        {
            That(!IsAnyWaiting(accepted.Service), "somebody is accepted while another waits for a process", accepted);
            _open.Add(accepted.Connection, (accepted.Service, accepted.Source));
        }
        if (happened is Event.SpawnFailed { Connection: { } givenBack } failed)
            _open.Add(givenBack, (failed.Instance.Service, _begun[failed.Instance].Source));
        if (happened is Event.SpawnFailed unborn)
            CheckUnserved(unborn, effects);
        foreach (Effect effect in effects)
        {
            if (effect is Effect.CloseConnection close)
            {
                That(_open.Remove(close.Connection), "a connection out of nowhere is closed", close);
                _prepared.Remove(close.Connection);
            }
            if (Start.Of(happened, effect) is { Connection: { } first } start)
                Begin(start, first);
            if (effect is Effect.Prepare { Connection: { } held } prepare)
                _prepared.Add(held, prepare.Instance);
            if (effect is Effect.Spawn { Connection: { } served } spawn)
            {
                That(_open.Remove(served), "a connection out of nowhere is served", spawn);
                _prepared.Remove(served);
            }
        }
        bool isLeft = accepted is not null && _open.ContainsKey(accepted.Connection) && !_prepared.ContainsKey(accepted.Connection);
        That(!isLeft, "a connection is neither closed nor served", accepted);
        foreach (Effect.Release release in effects.OfType<Effect.Release>())
            _begun.Remove(release.Instance);
        foreach (Effect.Forget forget in effects.OfType<Effect.Forget>())
            That(_open.Values.All(o => o.Service != forget.Service), "a connection of a forgotten service stays open", forget);
    }

    private void CheckUnserved(Event.SpawnFailed unborn, IReadOnlyList<Effect> effects)
    {
        foreach (ConnectionId unserved in _prepared.Where(p => p.Value == unborn.Instance).Select(p => p.Key).ToArray())
        {
            _prepared.Remove(unserved);
            bool isSentAway = effects.Any(e => e is Effect.CloseConnection close && close.Connection == unserved);
            That(isSentAway != unborn.Failure.IsShortage, "sent away for want of a descriptor, or kept without that want", unborn);
        }
    }

    private bool IsAnyWaiting(ServiceName service) => _open.Any(o => o.Value.Service == service && !_prepared.ContainsKey(o.Key));

    private void Begin(Start start, ConnectionId connection)
    {
        That(_open.TryGetValue(connection, out (ServiceName Service, string Source) taken),
            "a connection out of nowhere begins an instance", start);
        _begun.Add(start.Instance, (connection, taken.Source));
        int most = known.MaxPerSource(taken.Service);
        int alive = _begun.Count(b => b.Key.Service == taken.Service && b.Value.Source == taken.Source);
        That(most == 0 || alive <= most, "one source has more than its share", start);
    }

    public override void CheckEnd() => That(_open.Count == 0, "a connection outlives the supervisor");
}

/// <summary>Commands and probes run for live instances only, one of a kind, and end with them at the latest.</summary>
internal sealed class CommandChecker() : Checker("commands")
{
    private readonly HashSet<(InstanceId, CommandKind)> _commands = [];
    private readonly HashSet<InstanceId> _probes = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.CommandEnded ended)
            _commands.Remove((ended.Instance, ended.Kind));
        bool isCertain = happened is not Event.MachineFaulted;
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.RunCommand e: That(_commands.Add((e.Instance, e.Kind)), "a command runs twice", e); break;
                case Effect.EndCommand e:
                    That(_commands.Remove((e.Instance, e.Kind)) || !isCertain, "a command is ended that does not run", e);
                    break;
                case Effect.StartProbe e: That(_probes.Add(e.Instance), "a probe runs twice", e); break;
                case Effect.EndProbe e: That(_probes.Remove(e.Instance), "a probe is ended that does not run", e); break;
                case Effect.Release e:
                    That(!_probes.Contains(e.Instance), "a probe outlives its instance", e);
                    That(!_commands.Any(c => c.Item1 == e.Instance), "a command outlives its instance", e);
                    break;
            }
        }
    }

    public override void CheckEnd() => That(_commands.Count + _probes.Count == 0, "a command or a probe outlives the supervisor");
}

/// <summary>Watching begins and ends in turn, and the state says which.</summary>
internal sealed class ListenerChecker(Supervisor supervisor) : Checker("listeners")
{
    private readonly HashSet<ServiceName> _watched = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        foreach (Effect effect in effects)
        {
            if (effect is Effect.WatchListeners watch)
                That(_watched.Add(watch.Service), "watched twice", watch);
            else if (effect is Effect.UnwatchListeners unwatch)
                That(_watched.Remove(unwatch.Service), "not watched", unwatch);
            else if (effect is Effect.Accept accept)
                That(happened is Event.ListenerReadable, "accepts without a client", accept);
        }
        foreach (ServiceState service in supervisor.Services)
        {
            That(service.IsWatching == _watched.Contains(service.Definition.Name),
                "the state and the watching differ", service.Definition.Name);
        }
    }

    public override void CheckEnd() => That(_watched.Count == 0, "a listener is watched at the end");
}
