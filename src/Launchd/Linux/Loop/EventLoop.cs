using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>What a watched descriptor is ready for.</summary>
[Flags]
internal enum IoReadiness
{
    None = 0,
    Readable = 1,
    Writable = 2,

    /// <summary>The far end is gone, or an error waits: always reported.</summary>
    HungUp = 4,

    /// <summary>To wait for: also tell, as <see cref="HungUp"/>, of a half that was shut down, which for a listening Unix socket is its end.</summary>
    HalfHungUp = 16,

    /// <summary>To ask for: told once, then never again before <see cref="EventLoop.Change"/>, hang-ups included.</summary>
    Once = 8,
}

/// <summary>
/// epoll(7), level-triggered: watch, unwatch, wait. The handler of a descriptor is called on the thread that waits. Handlers are
/// called in the order of their priority within one wake-up, lowest first; one whose descriptor was unwatched meanwhile is not called.
/// </summary>
internal sealed unsafe class EventLoop : IDisposable
{
    private const int BatchCount = 64;

    /// <summary>A handler that has thrown so often in a row rests before it is called again.</summary>
    private const int MostFailures = 3;
    private const long RestNanoseconds = 1_000_000_000;

    private static readonly bool IsPacked = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary><c>struct epoll_event</c>, which is packed on x86-64 alone.</summary>
    public static readonly int EventBytes = IsPacked ? 12 : 16;
    public static readonly int DataOffset = IsPacked ? 4 : 8;

    private readonly FileDescriptor _epoll;
    private readonly byte[] _buffer = new byte[BatchCount * EventBytes];
    private readonly (Registration Registration, IoReadiness IoReadiness)[] _batch = new (Registration, IoReadiness)[BatchCount];
    private Registration?[] _watches = new Registration?[64];
    private readonly List<Registration> _resting = [];

    /// <summary>
    /// Told what a handler threw. That costs the descriptor its turn and, if it goes on, a rest of a second each time, so that one who always fails does not
    /// keep the loop busy; it is never forgotten. Null: it is thrown on.
    /// </summary>
    public Action<Exception>? OnDefect { get; set; }

    public EventLoop()
    {
        int number = Libc.epoll_create1(Libc.EPOLL_CLOEXEC);
        _epoll = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("epoll_create1", "the event loop", Errno.Last);
    }

    /// <summary>How often it has waited: the number of the turn that is under way.</summary>
    public long TurnCount { get; private set; }

    /// <summary>Readable while one of the watched descriptors is ready: one loop can be watched by another (epoll(7)). Owned by the loop.</summary>
    public FileDescriptor Descriptor => _epoll;

    /// <summary>To a handler: how many descriptors are handled in this wake-up.</summary>
    public int ReadyCount { get; private set; }

    /// <summary>Calls a handler whenever the descriptor is ready. Borrows the descriptor until <see cref="Unwatch"/>.</summary>
    /// <param name="descriptor">Open and not watched yet.</param>
    /// <param name="what">What to wait for; <see cref="IoReadiness.None"/> tells of hang-ups only.</param>
    /// <param name="priority">Lower ones are handled first within one wake-up.</param>
    /// <param name="handler">Gets what the descriptor is ready for.</param>
    /// <returns>EPERM for regular files, which are always ready and cannot be watched; ENOSPC over fs.epoll.max_user_watches.</returns>
    public Errno Watch(FileDescriptor descriptor, IoReadiness what, int priority, Action<IoReadiness> handler)
    {
        int number = descriptor.Number;
        if (Control(Libc.EPOLL_CTL_ADD, number, what) is { Value: not 0 } refused)
            return refused;
        if (number >= _watches.Length)
            Array.Resize(ref _watches, Math.Max(number + 1, _watches.Length * 2));
        _watches[number] = new Registration(number, priority, handler) { What = what };
        return Errno.None;
    }

    /// <summary>Changes what a watched descriptor is waited for.</summary>
    public void Change(FileDescriptor descriptor, IoReadiness what)
    {
        int number = descriptor.Number;
        if (number >= 0 && number < _watches.Length && _watches[number] is { } watch)
            watch.What = what;
        // A resting one is not in the set: ENOENT, and it comes back with what was written down.
        Control(Libc.EPOLL_CTL_MOD, number, what);
    }

    /// <summary>Before the descriptor is closed or given away: a registration outlives the number if a copy is open elsewhere.</summary>
    public void Unwatch(FileDescriptor descriptor)
    {
        int number = descriptor.Number;
        if (number < 0 || number >= _watches.Length || _watches[number] is not { } watch)
            return;
        Control(Libc.EPOLL_CTL_DEL, number, IoReadiness.None);
        watch.IsOver = true;
        _watches[number] = null;
    }

    /// <summary>Sleeps until something is ready or the time is over, and calls the handlers.</summary>
    /// <param name="timeout">In nanoseconds, rounded up to whole milliseconds; negative: no limit.</param>
    /// <returns>Whether anything was ready.</returns>
    public bool Wait(long timeout)
    {
        if (_resting.Count > 0)
            timeout = EndRests(timeout);
        TurnCount++;
        int milliseconds = timeout < 0 ? -1 : (int)Math.Min(int.MaxValue, (timeout + 999_999) / 1_000_000);
        int ready;
        fixed (byte* buffer = _buffer)
            ready = Libc.epoll_wait(_epoll.Number, buffer, BatchCount, milliseconds);
        if (ready < 0)
        {
            if (Errno.Last == Errno.EINTR)
                return false;
            throw new SystemCallException("epoll_wait", "the event loop", Errno.Last);
        }
        int count = 0;
        for (int i = 0; i < ready; i++)
        {
            ReadOnlySpan<byte> entry = _buffer.AsSpan(i * EventBytes, EventBytes);
            int number = MemoryMarshal.Read<int>(entry[DataOffset..]);
            if (_watches[number] is { } watch)
                _batch[count++] = (watch, ReadinessOf(MemoryMarshal.Read<uint>(entry)));
        }
        ReadyCount = count;
        Dispatch(count);
        return count > 0;
    }

    public void Dispose() => _epoll.Dispose();

    private void Dispatch(int count)
    {
        Span<(Registration Registration, IoReadiness IoReadiness)> batch = _batch.AsSpan(0, count);
        // Insertion sort: stable, and a batch is nearly always one or two long.
        for (int i = 1; i < count; i++)
        {
            (Registration Registration, IoReadiness IoReadiness) moved = batch[i];
            int at = i;
            for (; at > 0 && batch[at - 1].Registration.Priority > moved.Registration.Priority; at--)
                batch[at] = batch[at - 1];
            batch[at] = moved;
        }
        foreach ((Registration watch, IoReadiness readiness) in batch)
        {
            if (!watch.IsOver)
                Handle(watch, readiness);
        }
        batch.Clear();
    }

    private void Handle(Registration watch, IoReadiness readiness)
    {
        try
        {
            watch.Handler(readiness);
            watch.Failures = 0;
        }
        catch (Exception defect) when (OnDefect is not null)
        {
            OnDefect(defect);
            if (++watch.Failures >= MostFailures && !watch.IsOver)
                Rest(watch);
        }
    }

    private void Rest(Registration watch)
    {
        Control(Libc.EPOLL_CTL_DEL, watch.Number, IoReadiness.None);
        watch.RestsUntil = Clock.MonotonicNanoseconds + RestNanoseconds;
        _resting.Add(watch);
    }

    /// <summary>Watches again whose rest is over. Returns the time until the next one's is, or the asked one.</summary>
    private long EndRests(long timeout)
    {
        long now = Clock.MonotonicNanoseconds;
        for (int i = _resting.Count - 1; i >= 0; i--)
        {
            Registration watch = _resting[i];
            long left = watch.RestsUntil - now;
            if (watch.IsOver || (left <= 0 && Control(Libc.EPOLL_CTL_ADD, watch.Number, watch.What) == Errno.None))
                _resting.RemoveAt(i);
            else
                timeout = Math.Min(timeout < 0 ? long.MaxValue : timeout, left > 0 ? left : RestNanoseconds);
        }
        return timeout;
    }

    private Errno Control(int operation, int number, IoReadiness what)
    {
        byte* entry = stackalloc byte[16];
        *(uint*)entry = (what.HasFlag(IoReadiness.Readable) ? Libc.EPOLLIN : 0) | (what.HasFlag(IoReadiness.Writable) ? Libc.EPOLLOUT : 0)
            | (what.HasFlag(IoReadiness.HalfHungUp) ? Libc.EPOLLRDHUP : 0)
            | (what.HasFlag(IoReadiness.Once) ? Libc.EPOLLONESHOT : 0);
        *(ulong*)(entry + DataOffset) = (uint)number;
        return Libc.epoll_ctl(_epoll.Number, operation, number, entry) == 0 ? Errno.None : Errno.Last;
    }

    private static IoReadiness ReadinessOf(uint events) =>
        ((events & Libc.EPOLLIN) != 0 ? IoReadiness.Readable : 0)
        | ((events & Libc.EPOLLOUT) != 0 ? IoReadiness.Writable : 0)
        | ((events & (Libc.EPOLLHUP | Libc.EPOLLERR | Libc.EPOLLRDHUP)) != 0 ? IoReadiness.HungUp : 0);

    private sealed class Registration(int number, int priority, Action<IoReadiness> handler)
    {
        public int Number => number;
        public int Priority => priority;
        public Action<IoReadiness> Handler => handler;
        public bool IsOver { get; set; }
        public IoReadiness What { get; set; }

        /// <summary>In a row.</summary>
        public int Failures { get; set; }
        public long RestsUntil { get; set; }
    }
}
