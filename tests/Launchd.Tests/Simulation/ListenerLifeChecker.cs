using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 1: a configured listener is open from its first opening until it is taken out; what every instance is started with is open; and
/// what nobody has and nobody may get is closed. Whoever is started, or prepared, has a provision: the host still keeps what its very
/// definition was given. The tables are naive ones of the checker's own, which give up a former definition, and close a retired listener,
/// as the host does: when the supervisor says that nothing will be started by it, and when no instance has it.
/// </summary>
internal sealed class ListenerLifeChecker : Checker
{
    private readonly Supervisor _supervisor;
    private readonly Func<ServiceDefinition, bool, bool>? _misjudge;
    private readonly Dictionary<string, (ListenerDefinition Definition, int Number)> _open = [];
    private readonly List<int> _retired = [];

    /// <summary>The listeners of each definition by which something may be started.</summary>
    private readonly Dictionary<ServiceDefinition, int[]> _provided = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<ServiceDefinition> _present = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<InstanceId, int[]> _given = [];
    private int _count;

    public ListenerLifeChecker(SupervisorDefinition first, Supervisor supervisor, Func<ServiceDefinition, bool, bool>? misjudge)
        : base("1")
    {
        _supervisor = supervisor;
        _misjudge = misjudge;
        Exchange(first);
    }

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.Reloaded { Next: var next } && _supervisor.Frame.Shutdown is null)
            Exchange(next);
        foreach (Effect effect in effects)
        {
            if (effect is Effect.Prepare prepare)
                That(_provided.ContainsKey(prepare.Definition), "prepared by a definition of which nothing is kept", prepare.Instance);
            if (effect is Effect.Spawn spawn)
                _given.Add(spawn.Instance, ListenersOf(spawn));
            else if (effect is Effect.Release release)
                _given.Remove(release.Instance);
        }
        foreach (ServiceDefinition former in _provided.Keys.Where(d => !_present.Contains(d) && !MayStartBy(d)).ToArray())
            _provided.Remove(former);
        _retired.RemoveAll(r => !IsHeld(r) && !_provided.Values.Any(p => p.Contains(r)));
    }

    public override void CheckRest()
    {
        foreach (int number in _retired)
        {
            bool isNamed = _provided.Any(p => p.Value.Contains(number) && _supervisor.Services.Any(s => ReferenceEquals(s.Definition, p.Key)
                || s.Slots.Any(slot => ReferenceEquals(slot.Definition, p.Key))));
            That(IsHeld(number) || isNamed, "a listener stays open that nobody has and nobody will get", number);
        }
    }

    /// <summary>A listener is known by its addresses: one that has another name from now on is the same.</summary>
    private void Exchange(SupervisorDefinition next)
    {
        Dictionary<string, (ListenerDefinition Definition, int Number)> before = new(_open);
        _open.Clear();
        foreach (bool sameName in (ReadOnlySpan<bool>)[true, false])
        {
            foreach (ListenerDefinition listener in next.Listeners.Where(l => !_open.ContainsKey(l.Key)))
            {
                string? former = before.FirstOrDefault(b =>
                    (b.Key == listener.Key) == sameName && b.Value.Definition.Addresses.SequenceEqual(listener.Addresses)).Key;
                if (former is null)
                    continue;
                _open.Add(listener.Key, (listener, before[former].Number));
                before.Remove(former);
            }
        }
        foreach (ListenerDefinition listener in next.Listeners.Where(l => !_open.ContainsKey(l.Key)))
            _open.Add(listener.Key, (listener, ++_count));
        _retired.AddRange(before.Values.Select(b => b.Number));
        _present.Clear();
        foreach (ServiceDefinition service in next.Services)
        {
            _present.Add(service);
            _provided[service] = [.. service.Sockets.Select(key => _open[key].Number)];
        }
    }

    private int[] ListenersOf(Effect.Spawn spawn)
    {
        That(_provided.ContainsKey(spawn.Definition), "started by a definition of which nothing is kept", spawn.Instance);
        int[] listeners = _provided[spawn.Definition];
        That(listeners.All(n => _retired.Contains(n) || _open.Values.Any(o => o.Number == n)),
            "started with a listener that is closed", spawn.Instance);
        return listeners;
    }

    private bool IsHeld(int number) => _given.Values.Any(g => g.Contains(number));

    private bool MayStartBy(ServiceDefinition former)
    {
        bool may = _supervisor.MayStartBy(former);
        return _misjudge?.Invoke(former, may) ?? may;
    }
}

/// <summary>
/// Property 17: an instance that holds listeners is told to end only when its queues were seen
/// empty, or when its time to empty them is over.
/// </summary>
internal sealed class QueueChecker(Supervisor supervisor) : Checker("17")
{
    private readonly Dictionary<InstanceId, (Moment AskedAt, TimeSpan Patience, bool AreEmpty)> _asked = [];
    private readonly Dictionary<InstanceId, ServiceDefinition> _lives = [];

    // Those that end because they failed, or said so: a later drain only tells them that nobody will succeed them.
    private readonly HashSet<InstanceId> _ending = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.QueuesSeen { AreEmpty: true } seen && _asked.TryGetValue(seen.Instance, out var asked))
            _asked[seen.Instance] = asked with { AreEmpty = true };
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.Spawn e: _lives.Add(e.Instance, e.Definition); break;
                case Effect.LookAtQueues e: Ask(e.Instance, now); break;
                case Effect.TellDrain e when !_ending.Contains(e.Instance): CheckTold(e.Instance, now); break;
                case Effect.Release e:
                    _lives.Remove(e.Instance);
                    _ending.Remove(e.Instance);
                    _asked.Remove(e.Instance);
                    break;
            }
        }
        foreach (Notice.Draining begun in effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Draining>())
        {
            bool waits = supervisor.Services.SelectMany(s => s.Slots.Concat(s.Beside))
                .Any(s => s.Phase is SlotPhase.Stopping { Stage: StopStage.Emptying } stopping && stopping.Instance.Id == begun.Instance);
            if (!waits && _lives.ContainsKey(begun.Instance))
                _ending.Add(begun.Instance);
        }
    }

    private void Ask(InstanceId id, Moment now)
    {
        // A quiet reload may have given it another stop timeout than it was started with.
        TimeSpan patience = supervisor.Services.SelectMany(s => s.Slots.Concat(s.Beside))
            .First(s => s.Instance?.Id == id).Instance!.Definition.Stop.Timeout;
        _ = _asked.TryAdd(id, (now, patience > TimeSpan.Zero ? patience : Limits.QueuePatience, AreEmpty: false));
    }

    private void CheckTold(InstanceId id, Moment now)
    {
        ServiceDefinition service = _lives[id];
        if (service.Sockets.IsEmpty || service.Start == StartKind.Connection || supervisor.Frame.Shutdown is not null)
            return;
        That(_asked.TryGetValue(id, out var asked), "told to end without a look at its queues", id);
        That(asked.AreEmpty || now - asked.AskedAt >= asked.Patience, "told to end while clients wait for it alone", id);
    }
}
