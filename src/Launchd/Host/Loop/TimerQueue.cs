using Launchd.Core;

namespace Launchd.Host.Loop;

/// <summary>The armed timers: at most one under a key. A heap; entries of replaced timers are skipped when they come up.</summary>
internal sealed class TimerQueue
{
    private readonly PriorityQueue<(TimerKey Key, long Version), long> _heap = new();
    private readonly Dictionary<TimerKey, (Moment Due, long Version)> _armed = [];
    private long _versions;

    public void Arm(TimerKey key, Moment due)
    {
        _armed[key] = (due, ++_versions);
        _heap.Enqueue((key, _versions), due.Nanoseconds);
        if (_heap.Count > 64 + (4 * _armed.Count))
            Rebuild();
    }

    public void Disarm(TimerKey key) => _armed.Remove(key);

    /// <summary>Nanoseconds until the next timer is due, 0 if it is already; -1: none is armed.</summary>
    public long NextDelay(Moment now)
    {
        while (_heap.TryPeek(out (TimerKey Key, long Version) next, out long due))
        {
            if (IsCurrent(next))
                return Math.Max(0, due - now.Nanoseconds);
            _heap.Dequeue();
        }
        return -1;
    }

    /// <summary>Takes a timer that is due.</summary>
    public bool TryTakeDue(Moment now, out TimerKey key)
    {
        key = default;
        if (NextDelay(now) != 0)
            return false;
        key = _heap.Dequeue().Key;
        _armed.Remove(key);
        return true;
    }

    private bool IsCurrent((TimerKey Key, long Version) entry) => _armed.TryGetValue(entry.Key, out (Moment Due, long Version) armed)
        && armed.Version == entry.Version;

    private void Rebuild()
    {
        _heap.Clear();
        foreach ((TimerKey key, (Moment due, long version)) in _armed)
            _heap.Enqueue((key, version), due.Nanoseconds);
    }
}
