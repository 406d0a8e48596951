using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 1: a configured listener is open from its first opening until it is taken out; what every instance is started with is open; and
/// what nobody has and nobody may get is closed. The table is a naive one of the checker's own, which closes a retired listener as the host
/// does: when no instance has it and the supervisor says that none will be started with it.
/// </summary>
internal sealed class ListenerLifeChecker : Checker
{
    private readonly Supervisor _supervisor;
    private readonly Func<string, bool, bool>? _misjudge;
    private readonly Dictionary<string, (ListenerDefinition Definition, int Number)> _open = [];
    private readonly List<(string Key, int Number)> _retired = [];
    private readonly Dictionary<InstanceId, int[]> _given = [];
    private int _count;

    public ListenerLifeChecker(SupervisorDefinition first, Supervisor supervisor, Func<string, bool, bool>? misjudge)
        : base("1")
    {
        _supervisor = supervisor;
        _misjudge = misjudge;
        foreach (ListenerDefinition listener in first.Listeners)
            _open.Add(listener.Key, (listener, ++_count));
    }

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.Reloaded { Next: var next } && _supervisor.Frame.Shutdown is null)
            Exchange(next);
        foreach (Effect effect in effects)
        {
            if (effect is Effect.Spawn spawn)
                _given.Add(spawn.Instance, [.. spawn.Definition.Sockets.Select(key => Find(key, spawn.Instance))]);
            else if (effect is Effect.Release release)
                _given.Remove(release.Instance);
        }
        _retired.RemoveAll(r => !IsHeld(r.Number) && !MayBeNeeded(r.Key));
    }

    public override void CheckRest()
    {
        foreach ((string key, int number) in _retired)
        {
            bool isNamed = _supervisor.Services.Any(s => s.Definition.Sockets.Contains(key) || s.Slots.Any(p => p.Definition.Sockets.Contains(key)));
            That(IsHeld(number) || (isNamed && !_open.ContainsKey(key)), "a listener stays open that nobody has and nobody will get", key);
        }
    }

    private void Exchange(SupervisorDefinition next)
    {
        HashSet<string> wanted = [.. next.Listeners.Select(l => l.Key)];
        foreach (string key in _open.Keys.Where(k => !wanted.Contains(k)).ToArray())
            Retire(key);
        foreach (ListenerDefinition listener in next.Listeners)
        {
            (ListenerDefinition? before, _) = _open.GetValueOrDefault(listener.Key);
            if (before?.Addresses.SequenceEqual(listener.Addresses) == true)
                continue;
            if (before is not null)
                Retire(listener.Key);
            _open[listener.Key] = (listener, ++_count);
        }
    }

    private void Retire(string key)
    {
        _open.Remove(key, out (ListenerDefinition Definition, int Number) retired);
        _retired.Add((key, retired.Number));
    }

    /// <summary>What an instance gets under a name: that of the configuration, else what it was before.</summary>
    private int Find(string key, InstanceId instance)
    {
        if (_open.TryGetValue(key, out (ListenerDefinition Definition, int Number) open))
            return open.Number;
        int former = _retired.FindLastIndex(r => r.Key == key);
        That(former >= 0, $"{instance} is started with a listener that is closed", key);
        return _retired[former].Number;
    }

    private bool IsHeld(int number) => _given.Values.Any(g => g.Contains(number));

    private bool MayBeNeeded(string key)
    {
        bool mayBe = !_open.ContainsKey(key) && _supervisor.MayStartWith(key);
        return _misjudge?.Invoke(key, mayBe) ?? mayBe;
    }
}

/// <summary>
/// Property 17: an instance that holds listeners is told to end only when its queues were seen empty, or when its time to empty them is over.
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
        TimeSpan patience = supervisor.Services.SelectMany(s => s.Slots.Concat(s.Beside)).First(s => s.Instance?.Id == id).Instance!.Definition.Stop.Timeout;
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
