using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;

namespace Launchd.Host.Loop;

/// <summary>
/// The host's own pauses (between two attempts of a probe, until one has taken too long), beside the core's timers: one timer
/// descriptor that is armed only while a pause is under way.
/// </summary>
internal sealed unsafe class Delays : IDisposable
{
    /// <summary>Most pauses that end in one turn of the loop (<see cref="Slice"/>); the others end in the next.</summary>
    private const int MostInATurn = 64;

    private readonly PriorityQueue<(object Owner, long Version, Action Then), long> _queue = new();
    private readonly Dictionary<object, Waiting> _waiting = new(ReferenceEqualityComparer.Instance);
    private readonly FileDescriptor _timer;
    private readonly EventLoop _loop;
    private long _versions;

    public Delays(EventLoop loop)
    {
        _loop = loop;
        int number = Libc.timerfd_create(1, 0x80000 | 0x800);
        _timer = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("timerfd_create", "pauses", Errno.Last);
        if (loop.Watch(_timer, IoReadiness.Readable, LoopPriority.Signal, _ => Fire()) is { Value: not 0 } refused)
            throw new SystemCallException("epoll_ctl", "pauses", refused);
    }

    /// <summary>
    /// Called with an exception that was thrown at the end of a pause, after which the other pauses go on. Null: it is thrown on.
    /// </summary>
    public Action<Exception>? OnDefect { get; set; }

    /// <summary>Calls an action once after a pause. An owner has at most one pause; a new one replaces it.</summary>
    public void After(TimeSpan pause, object owner, Action then)
    {
        Add(pause, owner, then, limit: null);
        Rearm();
    }

    /// <summary>
    /// The same, where the pause is the time limit of something that others are to do: while the supervisor is away, it stands still.
    /// </summary>
    public void Limit(TimeSpan limit, object owner, Action then)
    {
        Add(limit, owner, then, limit);
        Rearm();
    }

    /// <summary>The supervisor was away: what others are to do may take longer by that time; a limit that has passed begins anew.</summary>
    public void Allow(TimeSpan away)
    {
        long now = Clock.MonotonicNanoseconds;
        foreach ((object owner, Waiting waiting) in _waiting.Where(w => w.Value.Limit is not null).ToArray())
        {
            TimeSpan left = TimeSpan.FromTicks((waiting.Due - now) / TimeSpan.NanosecondsPerTick) + away;
            Add(waiting.Due <= now && waiting.Limit > left ? waiting.Limit.Value : left, owner, waiting.Then, waiting.Limit);
        }
        Rearm();
    }

    private void Add(TimeSpan pause, object owner, Action then, TimeSpan? limit)
    {
        long due = Clock.MonotonicNanoseconds + (Math.Max(0, pause.Ticks) * TimeSpan.NanosecondsPerTick);
        _waiting[owner] = new Waiting(++_versions, due, then, limit);
        _queue.Enqueue((owner, _versions, then), due);
    }

    public void Cancel(object owner) => _waiting.Remove(owner);

    public void Dispose()
    {
        _loop.Unwatch(_timer);
        _timer.Dispose();
    }

    private void Fire()
    {
        ulong count;
        _ = Libc.read(_timer.Number, &count, sizeof(ulong));
        // Pauses that begin meanwhile end in another turn, however short they are.
        long now = Clock.MonotonicNanoseconds;
        try
        {
            Slice slice = new(MostInATurn);
            while (_queue.TryPeek(out (object Owner, long Version, Action Then) next, out long due) && due <= now && slice.TryTake())
            {
                _queue.Dequeue();
                if (!IsCurrent(next.Owner, next.Version))
                    continue;
                _waiting.Remove(next.Owner);
                CarryOut(next.Then);
            }
        }
        finally
        {
            // In any case, or no pause would ever end again.
            Rearm();
        }
    }

    private void CarryOut(Action then)
    {
        try
        {
            then();
        }
        catch (Exception defect) when (OnDefect is not null)
        {
            OnDefect(defect);
        }
    }

    private void Rearm()
    {
        while (_queue.TryPeek(out (object Owner, long Version, Action Then) next, out _) && !IsCurrent(next.Owner, next.Version))
            _queue.Dequeue();
        long* setting = stackalloc long[4];
        new Span<long>(setting, 4).Clear();
        if (_queue.TryPeek(out _, out long due))
        {
            setting[2] = due / 1_000_000_000;
            setting[3] = due % 1_000_000_000;
        }
        _ = Libc.timerfd_settime(_timer.Number, 1, setting, null);
    }

    private bool IsCurrent(object owner, long version) => _waiting.TryGetValue(owner, out Waiting current) && current.Version == version;

    /// <param name="Version">Of the newest pause of its owner.</param>
    /// <param name="Due">When it ends.</param>
    /// <param name="Then">What follows.</param>
    /// <param name="Limit">Its whole length, if it is a time limit; null: it is a pause.</param>
    private readonly record struct Waiting(long Version, long Due, Action Then, TimeSpan? Limit);
}
