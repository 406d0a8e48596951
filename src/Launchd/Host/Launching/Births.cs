using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// Births, beside the loop and in parallel. A birth opens files, enters a directory and executes a program, each of which may take as long as a file
/// system likes, and its thread stands still until the program runs. So the loop orders it and hears later what became of it. There are as many threads as
/// are worth their while; one that hangs is passed over by another. They never end: a parent-death signal comes when the thread does that gave birth.
/// </summary>
internal sealed class Births : IDisposable
{
    /// <summary>One that hangs holds a thread; beyond so many, who comes next waits for one.</summary>
    public const int MostThreads = 256;

    /// <summary>A birth of its own frames, and as much again for the child's (<see cref="Spawner"/>).</summary>
    private const int StackBytes = 512 << 10;

    /// <summary>Ordered and not begun: more wait for another turn of the core, so that they hold no descriptors before.</summary>
    private const int MostWaiting = 16;

    /// <summary>A birth takes a millisecond. One that is not over by then may be waiting for a file system, and no thread is spared for its sake.</summary>
    private static readonly TimeSpan Suspicion = TimeSpan.FromMilliseconds(100);

    /// <summary>How long a birth waits for a former one of its service that hangs: long enough that a service that is restarted at once does not burn a
    /// processor.</summary>
    private static readonly TimeSpan PatienceBehind = TimeSpan.FromSeconds(1);

    private readonly Mailbox _mailbox;
    private readonly Delays _delays;
    private readonly Stack<Spawner> _spawners = [];
    private readonly Spawner _first;
    private readonly List<BirthOrder> _underWay = [];

    private readonly List<BirthOrder> _behind = [];
    private readonly int _leastThreads;
    private bool _isLooking;

    // Shared with the threads, under the queue's own lock.
    private readonly Queue<BirthOrder> _waiting = [];
    private readonly List<Seat> _seats = [];
    private readonly Stack<Seat> _idle = [];

    /// <param name="mailbox">Where threads leave what became of births.</param>
    /// <param name="delays">Of the loop.</param>
    /// <param name="spawners">As many as threads are worth their while, at least one; borrowed. More threads have others made.</param>
    public Births(Mailbox mailbox, Delays delays, IReadOnlyList<Spawner> spawners)
    {
        _mailbox = mailbox;
        _delays = delays;
        _first = spawners[0];
        _leastThreads = spawners.Count;
        foreach (Spawner spawner in spawners.Reverse())
            _spawners.Push(spawner);
    }

    /// <summary>How long a birth may take before it is given up.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(10);

    public SpawnCarrier Carrier => _first.Carrier;

    /// <summary>Whether another turn of starts may begin.</summary>
    public bool HasRoom
    {
        get
        {
            lock (_waiting)
                return _waiting.Count < MostWaiting;
        }
    }

    /// <summary>Begins a birth; <see cref="BirthOrder.Tell"/> follows later, never within this call.</summary>
    public void Begin(BirthOrder order)
    {
        _underWay.Add(order);
        // Whatever the other hangs in would have this one as well, and a thread with it.
        if (Hanging(order.Service) is not null)
            _behind.Add(order);
        else
            Give(order);
        LookLater();
    }

    /// <summary>Whether a child that has ended is being born, as far as is known: its end is told after its birth.</summary>
    public bool NoteEnd(Reaped ended)
    {
        foreach (BirthOrder order in _underWay)
        {
            if (order.Pid != ended.Pid)
                continue;
            order.Ended = ended;
            _ = order.NoteStop();
            return true;
        }
        return false;
    }

    /// <summary>How the child of a birth that is being told has ended already; null: it lives.</summary>
    public Reaped? EarlyEndOf(BirthOrder birth)
    {
        if (birth.Ended is { } ended)
            return ended;
        // By a helper it was reaped before its pid was known.
        return Carrier == SpawnCarrier.Exec && birth.Child!.Signal(0) == Errno.ESRCH ? new Reaped(birth.Child.Pid, 0, 0, DumpedCore: false) : null;
    }

    /// <summary>A traced child has stopped. Of an audited birth it is told the first time; else the child goes on, as if nobody traced it.</summary>
    public void NoteStop(int pid, int how, int signal)
    {
        bool isOfBirth = _first.IsAudited && _underWay.Find(o => o.Pid == pid)?.NoteStop() == true;
        // Else it is the child of one of the threads, which comes to that when it has given birth.
        if (!isOfBirth && !Reaper.LetGo(pid, how, signal))
            OnEachThread(() => Reaper.LetGo(pid, how, signal));
    }

    /// <summary>Whether a child that nobody knows may be one that is being born.</summary>
    public bool IsCloning => _underWay.Exists(o => o.IsCloning);

    /// <summary>Whether this process is being born, or hangs in its birth.</summary>
    public bool IsUnderWay(int pid) => _underWay.Exists(o => o.Pid == pid);

    /// <summary>Ends the birth: what is born of it, or never is, matters to nobody any more.</summary>
    public void GiveUp(BirthOrder order, string why, bool isShortage = false)
    {
        if (order.IsGivenUp || !_underWay.Contains(order))
            return;
        Errno errno = isShortage ? Errno.EAGAIN : Errno.ETIMEDOUT;
        order.GiveUp(new Failure.SpawnFailed("birth", errno.Value, $"cannot start {order.Service}: {why}") { IsShortage = isShortage });
        Interlocked.MemoryBarrier();
        Kill(order);
        bool isLeft = TryWithdraw(order);
        try
        {
            order.Tell();
        }
        finally
        {
            if (isLeft)
                order.Dispose();
        }
    }

    /// <summary>Takes an order back that no thread has taken.</summary>
    private bool TryWithdraw(BirthOrder order)
    {
        lock (_waiting)
        {
            if (_seats.Find(s => s.Given == order) is { } seat)
            {
                seat.Given = null;
            }
            else if (_waiting.Contains(order))
            {
                BirthOrder[] others = [.. _waiting.Where(o => o != order)];
                _waiting.Clear();
                foreach (BirthOrder other in others)
                    _waiting.Enqueue(other);
            }
            else if (!_behind.Remove(order))
            {
                return false;
            }
        }
        _underWay.Remove(order);
        return true;
    }

    // Nobody has reaped it, so the number is its own, and that of the group that it makes before anything else.
    private static void Kill(BirthOrder order)
    {
        if (order.Pid <= 0 || order.Ended is not null)
            return;
        _ = Libc.kill(-order.Pid, SignalNumber.Kill.Value);
        _ = Libc.kill(order.Pid, SignalNumber.Kill.Value);
    }

    /// <summary>What is being born is killed, also what a thread comes to only now.</summary>
    public void Dispose()
    {
        foreach (BirthOrder order in _underWay)
        {
            if (!order.IsGivenUp)
                order.GiveUp(new Failure.SpawnFailed("birth", Errno.ETIMEDOUT.Value, $"cannot start {order.Service}: the supervisor ends"));
        }
        Interlocked.MemoryBarrier();
        foreach (BirthOrder order in _underWay)
            Kill(order);
    }

    private BirthOrder? Hanging(ServiceName service) => _underWay.Find(o => o.IsGivenUp && o.Service == service);

    /// <summary>Has the thread that was busy last carry it out, whose memory is in the processor's caches; else the first that will be free.</summary>
    private void Give(BirthOrder order)
    {
        Seat? seat;
        lock (_waiting)
        {
            if (_idle.TryPop(out seat))
            {
                seat.IsIdle = false;
                seat.Given = order;
            }
            else
            {
                _waiting.Enqueue(order);
            }
        }
        seat?.Parking.Wake();
        if (seat is null && _seats.Count < _leastThreads && !TryStartThread() && _seats.Count == 0)
            _mailbox.Post(() => Refuse(order));
    }

    private void Refuse(BirthOrder order)
    {
        if (order.TakenAt == 0)
            GiveUp(order, Worker.Refusal, isShortage: true);
    }

    private void OnEachThread(Action errand)
    {
        lock (_waiting)
        {
            foreach (Seat seat in _seats)
                seat.Errands.Enqueue(errand);
        }
        foreach (Seat seat in _seats)
            seat.Parking.Wake();
    }

    private bool TryStartThread()
    {
        Seat seat = new(_spawners.TryPop(out Spawner? prepared) ? prepared : _first.Another(placeholderTaken: null));
        if (Worker.TryStart("births", StackBytes, () => Serve(seat)) is null)
        {
            _spawners.Push(seat.Spawner);
            return false;
        }
        lock (_waiting)
            _seats.Add(seat);
        return true;
    }

    private void Serve(Seat seat)
    {
        ChildList.AddParent();
        while (true)
        {
            if (!TryTake(seat, out BirthOrder? order, out Action? errand))
                seat.Parking.Sleep();
            errand?.Invoke();
            if (order is null)
                continue;
            order.TakenAt = Clock.MonotonicNanoseconds;
            if (!order.IsGivenUp)
                order.CarryOut(seat.Spawner);
            _mailbox.Post(() => Complete(order));
        }
    }

    private bool TryTake(Seat seat, out BirthOrder? order, out Action? errand)
    {
        lock (_waiting)
        {
            order = null;
            if (seat.Errands.TryDequeue(out errand))
                return true;
            order = seat.Given;
            seat.Given = null;
            if (order is not null || _waiting.TryDequeue(out order))
                return true;
            if (!seat.IsIdle)
                _idle.Push(seat);
            seat.IsIdle = true;
            return false;
        }
    }

    private void Complete(BirthOrder order)
    {
        _underWay.Remove(order);
        try
        {
            if (!order.IsGivenUp)
                order.Tell();
            else if (order.Child is { } late)
                EndLate(late);
        }
        finally
        {
            order.Dispose();
        }
    }

    /// <summary>Born too late. Its end is heard of as that of any orphan, and what it started by then is ended with all others of its mark.</summary>
    private static void EndLate(ProcessHandle late)
    {
        End(late);
        late.Dispose();
    }

    /// <summary>Kills a child with its group. From any thread.</summary>
    public static void End(ProcessHandle child)
    {
        _ = child.SignalGroup(SignalNumber.Kill.Value);
        _ = child.Signal(SignalNumber.Kill.Value);
    }

    private void LookLater()
    {
        if (_isLooking)
            return;
        _isLooking = true;
        _delays.After(Suspicion, this, Look);
    }

    /// <summary>Births that take long: other threads go round them, and at last they are given up.</summary>
    private void Look()
    {
        _isLooking = false;
        long now = Clock.MonotonicNanoseconds;
        int slow = 0;
        foreach (BirthOrder order in _underWay.ToArray())
        {
            TimeSpan waited = TimeSpan.FromTicks((now - order.OrderedAt) / TimeSpan.NanosecondsPerTick);
            if (_behind.Contains(order))
            {
                if (Hanging(order.Service) is not { } hangs)
                {
                    _ = _behind.Remove(order);
                    Give(order);
                }
                else if (waited >= (order.IsToEnd ? Suspicion : PatienceBehind))
                {
                    GiveUp(order, $"what it waited for before has not come yet: {hangs.WaitsFor}");
                }
                continue;
            }
            if (order.TakenAt == 0)
            {
                // All threads hang, and there can be no other.
                if (waited >= (order.IsToEnd ? Suspicion : Patience))
                    GiveUp(order, $"all threads for it have been hanging for {Spans.Show(waited)}", isShortage: true);
                continue;
            }
            TimeSpan taken = TimeSpan.FromTicks((now - order.TakenAt) / TimeSpan.NanosecondsPerTick);
            slow += taken >= Suspicion ? 1 : 0;
            if (taken >= (order.IsToEnd ? Suspicion : Patience))
                GiveUp(order, $"its program does not run after {Spans.Show(taken)}; it waits for {order.WaitsFor}");
        }
        int waiting;
        lock (_waiting)
            waiting = _waiting.Count;
        for (int spare = _seats.Count - slow; waiting > 0 && spare < _leastThreads && _seats.Count < MostThreads && TryStartThread(); spare++)
            waiting--;
        if (_underWay.Exists(o => !o.IsGivenUp))
            LookLater();
    }

    /// <summary>One of the threads. What it is given is shared, under the lock.</summary>
    private sealed class Seat(Spawner spawner)
    {
        public Spawner Spawner => spawner;
        public Parking Parking { get; } = new();

        /// <summary>What only the thread itself can do, because it is the parent of the children that it gave birth to.</summary>
        public Queue<Action> Errands { get; } = [];
        public BirthOrder? Given { get; set; }
        public bool IsIdle { get; set; }
    }
}
