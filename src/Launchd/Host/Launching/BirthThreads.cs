using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;

namespace Launchd.Host.Launching;

/// <summary>
/// The threads that give birth. None of them ever ends, because the kernel sends a child its parent-death signal when the thread that
/// gave birth to it ends. The loop can be lent to one of them, which then runs the loop and gives birth as well, until the loop is taken
/// back. All public members are for whoever runs the loop.
/// </summary>
internal sealed class BirthThreads
{
    /// <summary>
    /// A birth that hangs keeps its thread. When there are so many threads, the next birth waits until one of them is free.
    /// </summary>
    private const int MostThreads = 256;

    /// <summary>Holds the frames of a birth, and as many bytes for the frames of the child (<see cref="Spawner"/>).</summary>
    private const int StackBytes = 512 << 10;

    /// <summary>
    /// The stack of the thread to which the loop is lent. The kernel may give a stack of 2 MiB or more its memory in huge pages.
    /// </summary>
    private const int LoopStackBytes = 1 << 20;

    private readonly Stack<Spawner> _spawners = [];
    private readonly Spawner _first;
    private readonly Action<BirthOrder> _done;
    private readonly List<Seat> _seats = [];
    private Seat? _loop;

    // Shared with the threads, under the queue's own lock.
    private readonly Queue<BirthOrder> _waiting = [];
    private readonly List<Seat> _idle = [];

    /// <param name="spawners">
    /// The first is for the thread to which the loop is lent, and each other one for another thread; borrowed. If more
    /// threads are started, spawners are made for them.
    /// </param>
    /// <param name="done">Called on one of the threads when a birth has been carried out.</param>
    public BirthThreads(IReadOnlyList<Spawner> spawners, Action<BirthOrder> done)
    {
        _first = spawners[0];
        _done = done;
        Least = spawners.Count - 1;
        foreach (Spawner spawner in spawners.Skip(MayBorrowLoop ? 1 : 0).Reverse())
            _spawners.Push(spawner);
    }

    /// <summary>How many threads are worth their while; more are started only when some of these hang.</summary>
    public int Least { get; }

    public SpawnCarrier Carrier => _first.Carrier;

    public bool IsAudited => _first.IsAudited;

    /// <summary>How many threads there are for births and nothing else, those that hang included.</summary>
    public int Count => _seats.Count - (IsLent ? 1 : 0);

    /// <summary>The loop is lent, and the caller is the thread to which it is lent.</summary>
    public bool IsLent { get; private set; }

    /// <summary>Whether the loop is lent, or could be now.</summary>
    public bool MayLend => MayBorrowLoop && (IsLent || _loop is null || IsIdle(_loop));

    // A birth by a helper takes far longer than handing the birth to another thread.
    private bool MayBorrowLoop => Carrier == SpawnCarrier.Clone;

    public int WaitingCount
    {
        get
        {
            lock (_waiting)
                return _waiting.Count;
        }
    }

    /// <summary>
    /// Gives a birth to the idle thread that was busy last, because its memory is still in the processor's caches. If no thread is
    /// idle, the first that becomes free carries the birth out.
    /// </summary>
    /// <returns>False: there is no thread, and the system gives none.</returns>
    public bool TryGive(BirthOrder order)
    {
        Seat? seat = null;
        lock (_waiting)
        {
            if (_idle.Count > 0)
            {
                seat = _idle[^1];
                _idle.RemoveAt(_idle.Count - 1);
                seat.Given = order;
            }
            else
            {
                _waiting.Enqueue(order);
            }
        }
        seat?.Parking.Wake();
        return seat is not null || Count >= Least || TryStart() || Count > 0;
    }

    /// <summary>Takes an order back that no thread has taken.</summary>
    public bool TryWithdraw(BirthOrder order)
    {
        lock (_waiting)
        {
            if (_seats.Find(s => s.Given == order) is { } seat)
            {
                seat.Given = null;
                return true;
            }
            if (!_waiting.Contains(order))
                return false;
            BirthOrder[] others = [.. _waiting.Where(o => o != order)];
            _waiting.Clear();
            foreach (BirthOrder other in others)
                _waiting.Enqueue(other);
            return true;
        }
    }

    /// <summary>Has something done on each of the threads but the caller's.</summary>
    public void OnEachOther(Action errand)
    {
        foreach (Seat seat in _seats.Where(s => !IsLent || s != _loop))
            Send(seat, errand);
    }

    /// <summary>Starts another thread. False: the system gives none, or there are too many.</summary>
    public bool TryStart()
    {
        if (_seats.Count >= MostThreads)
            return false;
        Seat seat = new(_spawners.TryPop(out Spawner? prepared) ? prepared : _first.Another(placeholderTaken: null));
        if (TryStart("births", StackBytes, seat))
            return true;
        _spawners.Push(seat.Spawner);
        return false;
    }

    /// <summary>
    /// Lends the loop to a thread. Called by the first thread, which must touch nothing of the loop from then on.
    /// False: the system gives no thread for the loop.
    /// </summary>
    /// <param name="loop">Runs the loop, until that is over or taken back.</param>
    public bool TryLend(Action loop)
    {
        if (_loop is not { } seat)
        {
            seat = new Seat(_first);
            seat.Errands.Enqueue(loop);
            (_loop, IsLent) = (seat, true);
            if (TryStart("loop", LoopStackBytes, seat))
                return true;
            (_loop, IsLent) = (null, false);
            return false;
        }
        IsLent = true;
        lock (_waiting)
            _ = _idle.Remove(seat);
        Send(seat, loop);
        return true;
    }

    /// <summary>
    /// Called by the first thread, when the thread to which the loop is lent hangs in a birth. When that birth is over, the thread
    /// gives birth and does nothing else, like the others.
    /// </summary>
    public void TakeBack() => IsLent = false;

    /// <summary>Carries a birth out on the calling thread, which is the one to which the loop is lent.</summary>
    public void CarryOutHere(BirthOrder order) => order.CarryOut(_loop!.Spawner);

    private bool IsIdle(Seat seat)
    {
        lock (_waiting)
            return _idle.Contains(seat);
    }

    private void Send(Seat seat, Action errand)
    {
        lock (_waiting)
            seat.Errands.Enqueue(errand);
        seat.Parking.Wake();
    }

    private bool TryStart(string name, int stackBytes, Seat seat)
    {
        // Before the thread runs, because a thread to which the loop is lent may use the list at once.
        _seats.Add(seat);
        if (Worker.TryStart(name, stackBytes, () => Serve(seat)) is not null)
            return true;
        _seats.RemoveAt(_seats.Count - 1);
        return false;
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
            order.Take();
            if (!order.IsGivenUp)
                order.CarryOut(seat.Spawner);
            _done(order);
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
            {
                _ = _idle.Remove(seat);
                return true;
            }
            if (!_idle.Contains(seat))
                _idle.Add(seat);
            return false;
        }
    }

    /// <summary>One of the threads. Its errands and its order are shared, under the lock of the queue.</summary>
    private sealed class Seat(Spawner spawner)
    {
        public Spawner Spawner => spawner;
        public Parking Parking { get; } = new();

        /// <summary>What only the thread itself can do, because it is the parent of the children that it gave birth to.</summary>
        public Queue<Action> Errands { get; } = [];
        public BirthOrder? Given { get; set; }
    }
}
