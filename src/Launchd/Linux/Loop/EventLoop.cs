using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

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

    /// <summary>
    /// For <see cref="EventLoop.Watch"/>: also report, as <see cref="HungUp"/>, a half that was shut down,
    /// which for a listening Unix socket is its end.
    /// </summary>
    HalfHungUp = 16,

    /// <summary>
    /// For <see cref="EventLoop.Watch"/>: report once, then nothing, not even hang-ups, before <see cref="EventLoop.Change"/>.
    /// </summary>
    Once = 8,
}

/// <summary>
/// epoll(7), level-triggered: watch, unwatch, wait. The handler of a descriptor is called on the thread that waits. Handlers are
/// called in the order of their priority within one wake-up, lowest first; a handler whose descriptor was unwatched meanwhile is not
/// called. A descriptor that the kernel does not take into its set, because memory or the user's watches are used up, is asked by
/// poll(2) ten times a second until the kernel takes it.
/// </summary>
internal sealed unsafe class EventLoop : IDisposable
{
    private const int BatchCount = 64;

    /// <summary>Places in a batch that are kept for descriptors that are asked by poll(2).</summary>
    private const int AskedShareCount = 16;
    private const long AskingNanoseconds = 100_000_000;

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

    /// <summary>Descriptors that the kernel did not take: asked in this order; one that had its turn goes to the end.</summary>
    private readonly List<Registration> _asked = [];
    private Libc.poll_entry[] _questions = [];
    private long _askedAt;
    private Errno _refusal;
    private readonly bool _isNested;
    private readonly Absences _absences = new();

    /// <summary>
    /// Called with what a handler threw. The descriptor loses this turn and, if its handler throws several times in a
    /// row, rests for a second each time, so that a handler that always fails does not keep the loop busy; but it
    /// stays watched. Null: the exception is thrown on.
    /// </summary>
    public Action<Exception>? OnDefect { get; set; }

    /// <summary>
    /// Called with the reason when the kernel does not take a descriptor, which is then asked: once, and
    /// again only after the kernel has taken all.
    /// </summary>
    public Action<Errno>? OnAsking
    {
        get;
        set
        {
            field = value;
            if (_asked.Count > 0)
                value?.Invoke(_refusal);
        }
    }

    /// <summary>
    /// Called before any handler when the loop was kept from running (<see cref="Absences"/>), with a time that is as long at least.
    /// </summary>
    public Action<TimeSpan>? OnAway { get; set; }

    /// <summary>Runs while the loop does not wait, for another process to find out that it stands still; borrowed. Null: none.</summary>
    public TurnTimer? Turns { get; set; }

    /// <param name="isNested">
    /// Whether another loop waits for this one (<see cref="Descriptor"/>). Then it cannot ask by poll(2), and
    /// refuses descriptors that the kernel does not take.
    /// </param>
    public EventLoop(bool isNested = false)
    {
        _isNested = isNested;
        int number = Libc.epoll_create1(Libc.EPOLL_CLOEXEC);
        _epoll = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("epoll_create1", "the event loop", Errno.Last);
    }

    /// <summary>A sentence for people: what it means that descriptors are asked by poll(2).</summary>
    /// <param name="refused">As <see cref="OnAsking"/> is told.</param>
    public static string DescribeAsking(Errno refused) =>
        $"the kernel watches no further descriptor: {refused}{(refused == Errno.ENOSPC ? ": raise fs.epoll.max_user_watches" : "")}; "
        + "what it does not watch is asked ten times a second";

    /// <summary>How often the loop has waited: the number of the turn that is under way.</summary>
    public long TurnCount { get; private set; }

    /// <summary>
    /// Readable while one of the watched descriptors is ready: one loop can be watched by another (epoll(7)). Owned by the loop.
    /// </summary>
    public FileDescriptor Descriptor => _epoll;

    /// <summary>For handlers: how many descriptors are handled in this wake-up.</summary>
    public int ReadyCount { get; private set; }

    /// <summary>Calls a handler whenever the descriptor is ready. Borrows the descriptor until <see cref="Unwatch"/>.</summary>
    /// <param name="descriptor">Open and not watched yet.</param>
    /// <param name="what">What to wait for; <see cref="IoReadiness.None"/> tells of hang-ups only.</param>
    /// <param name="priority">Lower ones are handled first within one wake-up.</param>
    /// <param name="handler">Gets what the descriptor is ready for.</param>
    /// <returns>
    /// EPERM for regular files, which are always ready and cannot be watched; EEXIST if it is watched. Of a nested loop also
    /// ENOSPC over fs.epoll.max_user_watches, and ENOMEM.
    /// </returns>
    public Errno Watch(FileDescriptor descriptor, IoReadiness what, int priority, Action<IoReadiness> handler)
    {
        int number = descriptor.Number;
        if (number >= 0 && number < _watches.Length && _watches[number] is { IsAsked: true })
            return Errno.EEXIST;
        Errno refused = Control(Libc.EPOLL_CTL_ADD, number, what);
        bool isAsked = !_isNested && (refused == Errno.ENOSPC || refused == Errno.ENOMEM);
        if (refused != Errno.None && !isAsked)
            return refused;
        if (number >= _watches.Length)
            Array.Resize(ref _watches, Math.Max(number + 1, _watches.Length * 2));
        Registration watch = new(number, priority, handler) { What = what, IsAsked = isAsked };
        _watches[number] = watch;
        if (!isAsked)
            return Errno.None;
        _asked.Add(watch);
        _refusal = refused;
        if (_asked.Count == 1)
            OnAsking?.Invoke(refused);
        return Errno.None;
    }

    /// <summary>Changes what a watched descriptor is waited for.</summary>
    public void Change(FileDescriptor descriptor, IoReadiness what)
    {
        int number = descriptor.Number;
        if (number >= 0 && number < _watches.Length && _watches[number] is { } watch)
        {
            watch.What = what;
            watch.IsSpent = false;
        }
        // A descriptor that rests or is asked is not in the kernel's set (ENOENT); it will be added with what is recorded here.
        Control(Libc.EPOLL_CTL_MOD, number, what);
    }

    /// <summary>Before the descriptor is closed or given away: a registration outlives the number if a copy is open elsewhere.</summary>
    public void Unwatch(FileDescriptor descriptor)
    {
        int number = descriptor.Number;
        if (number < 0 || number >= _watches.Length || _watches[number] is not { } watch)
            return;
        if (watch.IsAsked)
            _asked.Remove(watch);
        else
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
        if (_asked.Count > 0)
            timeout = Sooner(timeout, Math.Max(0, _askedAt + AskingNanoseconds - Clock.MonotonicNanoseconds));
        TurnCount++;
        int milliseconds = timeout < 0 ? -1 : (int)Math.Min(int.MaxValue, (timeout + 999_999) / 1_000_000);
        int ready;
        long began = Clock.MonotonicNanoseconds;
        Turns?.End();
        fixed (byte* buffer = _buffer)
            ready = Libc.epoll_wait(_epoll.Number, buffer, _asked.Count > 0 ? BatchCount - AskedShareCount : BatchCount, milliseconds);
        Errno refused = ready < 0 ? Errno.Last : Errno.None;
        Turns?.Begin();
        long asked = milliseconds < 0 ? -1 : milliseconds * 1_000_000L;
        long away = _absences.Note(began, asked, Clock.MonotonicNanoseconds, wasInterrupted: refused == Errno.EINTR);
        if (away > 0)
            OnAway?.Invoke(TimeSpan.FromTicks(away / TimeSpan.NanosecondsPerTick));
        if (refused == Errno.EINTR)
            return false;
        if (refused != Errno.None)
            throw new SystemCallException("epoll_wait", "the event loop", refused);
        int count = 0;
        for (int i = 0; i < ready; i++)
        {
            ReadOnlySpan<byte> entry = _buffer.AsSpan(i * EventBytes, EventBytes);
            int number = MemoryMarshal.Read<int>(entry[DataOffset..]);
            if (_watches[number] is { } watch)
                _batch[count++] = (watch, ReadinessOf(MemoryMarshal.Read<uint>(entry)));
        }
        if (_asked.Count > 0)
            count = Ask(count);
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
        if (watch.IsAsked)
            _asked.Remove(watch);
        else
            Control(Libc.EPOLL_CTL_DEL, watch.Number, IoReadiness.None);
        watch.IsAsked = false;
        watch.RestsUntil = Clock.MonotonicNanoseconds + RestNanoseconds;
        _resting.Add(watch);
    }

    /// <summary>
    /// Watches descriptors again whose rest is over. Returns the time until the next rest is over, or the asked time if that is shorter.
    /// </summary>
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
                timeout = Sooner(timeout, left > 0 ? left : RestNanoseconds);
        }
        return timeout;
    }

    private static long Sooner(long timeout, long other) => timeout < 0 ? other : Math.Min(timeout, other);

    /// <summary>
    /// Adds descriptors to the kernel's set that it did not take before, as far as it takes them, and asks the rest by
    /// poll(2). Returns how many of the batch are ready.
    /// </summary>
    private int Ask(int count)
    {
        long now = Clock.MonotonicNanoseconds;
        if (now - _askedAt < AskingNanoseconds)
            return count;
        _askedAt = now;
        // A descriptor that was to be reported once and was, is added only when it is waited for anew.
        while (_asked.Find(w => !w.IsSpent) is { } first && Control(Libc.EPOLL_CTL_ADD, first.Number, first.What) == Errno.None)
        {
            first.IsAsked = false;
            _asked.Remove(first);
        }
        if (_questions.Length < _asked.Count)
            _questions = new Libc.poll_entry[_asked.Count * 2];
        for (int i = 0; i < _asked.Count; i++)
        {
            // poll(2): a negative number is passed over. The bits are those of epoll.
            _questions[i] = new Libc.poll_entry
            {
                fd = _asked[i].IsSpent ? -1 : _asked[i].Number,
                events = (short)(EventsOf(_asked[i].What) & ~Libc.EPOLLONESHOT),
            };
        }
        if (_asked.Count == 0 || Libc.poll(ref _questions[0], (nuint)_asked.Count, 0) <= 0)
            return count;
        List<Registration> told = [];
        for (int i = 0; i < _asked.Count && count < BatchCount; i++)
        {
            if (_questions[i].revents == 0)
                continue;
            Registration watch = _asked[i];
            watch.IsSpent = watch.What.HasFlag(IoReadiness.Once);
            told.Add(watch);
            _batch[count++] = (watch, ReadinessOf((uint)_questions[i].revents));
        }
        _ = _asked.RemoveAll(told.Contains);
        _asked.AddRange(told);
        return count;
    }

    private static uint EventsOf(IoReadiness what) =>
        (what.HasFlag(IoReadiness.Readable) ? Libc.EPOLLIN : 0) | (what.HasFlag(IoReadiness.Writable) ? Libc.EPOLLOUT : 0)
        | (what.HasFlag(IoReadiness.HalfHungUp) ? Libc.EPOLLRDHUP : 0)
        | (what.HasFlag(IoReadiness.Once) ? Libc.EPOLLONESHOT : 0);

    private Errno Control(int operation, int number, IoReadiness what)
    {
        byte* entry = stackalloc byte[16];
        *(uint*)entry = EventsOf(what);
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

        /// <summary>Whether the kernel does not take the descriptor, so that it is asked by poll(2).</summary>
        public bool IsAsked { get; set; }

        /// <summary>While it is asked: it was to be reported once, and was.</summary>
        public bool IsSpent { get; set; }

        /// <summary>How often the handler has thrown in a row.</summary>
        public int Failures { get; set; }
        public long RestsUntil { get; set; }
    }
}
