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
/// Births, beside the loop and in parallel. A birth opens files, enters a directory and executes a program, each of which may take as
/// long as a file system likes, and its thread stands still until the program runs. So the loop orders it and hears later what became of
/// it. There are as many threads as are worth their while; in place of one that hangs another is started. A birth that is alone is
/// carried out by the thread that runs the loop, because to hand it to another one and back takes longer than the birth: if it hangs,
/// another thread runs the loop (<see cref="LoopSeat"/>).
/// </summary>
internal sealed class Births : IDisposable
{
    /// <summary>
    /// So many births may be ordered and not begun. The core starts more in a later turn, so that they hold no descriptors before.
    /// </summary>
    private const int MostWaiting = 16;

    /// <summary>After a birth that took long, for so many nanoseconds none is carried out on the loop: others may be about to take as
    /// long.</summary>
    private const long CarefulNanoseconds = 10_000_000_000;

    /// <summary>
    /// A birth takes a millisecond. One that takes so long may be waiting for a file system, and another thread
    /// is started in place of the one that it holds.
    /// </summary>
    private static readonly TimeSpan Suspicion = TimeSpan.FromMilliseconds(100);

    /// <summary>A birth whose thread or child only waits for a processor is spared for so long.</summary>
    private static readonly TimeSpan MostSpared = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a birth waits for a former one of its service that hangs: long enough that a service that is restarted at once
    /// does not burn a processor.</summary>
    private static readonly TimeSpan PatienceBehind = TimeSpan.FromSeconds(1);

    private readonly Mailbox _mailbox;
    private readonly Delays _delays;
    private readonly LoopSeat _seat;
    private readonly BirthThreads _threads;
    private readonly List<BirthOrder> _underWay = [];

    private readonly List<BirthOrder> _behind = [];
    private BirthOrder? _alone;
    private long _carefulUntil;
    private bool _isLooking;

    /// <param name="mailbox">Where threads leave what became of births.</param>
    /// <param name="delays">Of the loop.</param>
    /// <param name="seat">Watches whoever runs the loop; borrowed.</param>
    /// <param name="spawners">As <see cref="BirthThreads"/> wants them: at least two; borrowed.</param>
    public Births(Mailbox mailbox, Delays delays, LoopSeat seat, IReadOnlyList<Spawner> spawners)
    {
        _mailbox = mailbox;
        _delays = delays;
        _seat = seat;
        _threads = new BirthThreads(spawners, Return);
    }

    /// <summary>How long a birth may take before it is given up.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(10);

    public SpawnCarrier Carrier => _threads.Carrier;

    /// <summary>Runs the loop on the thread that is to borrow it, until the loop is over or taken back.</summary>
    public Action? Loop { get; set; }

    /// <summary>A birth waits for <see cref="CarryOutAlone"/>.</summary>
    public bool IsAlone => _alone is not null;

    /// <summary>Nothing is being born.</summary>
    public bool IsIdle => _underWay.Count == 0;

    /// <summary>Whether another turn of starts may begin.</summary>
    public bool HasRoom => _threads.WaitingCount < MostWaiting;

    /// <summary>Begins a birth; <see cref="BirthOrder.Tell"/> follows later, never within this call.</summary>
    public void Begin(BirthOrder order)
    {
        _underWay.Add(order);
        if (_underWay.Count == 1 && order.OrderedAt >= _carefulUntil && _threads.MayLend)
        {
            _alone = order;
            return;
        }
        GiveAlone();
        // A former birth of this service hangs. This one would hang in the same call, and hold one more thread.
        if (Hanging(order.Service) is not null)
            _behind.Add(order);
        else
            Give(order);
        LookLater();
    }

    /// <summary>By whoever runs the loop, when everything else of a turn is over: carries out the birth that is alone, if there is
    /// one.</summary>
    /// <returns>False: another thread runs the loop now, and the caller must touch nothing of it.</returns>
    public bool CarryOutAlone()
    {
        if (_alone is null)
            return true;
        if (_threads.IsLent)
            return CarryOutHere(_alone);
        if (_threads.TryLend(Loop!))
            return false;
        // The system gives no thread for the loop now. For a while none is asked for, because each birth would ask in vain.
        BeCareful();
        GiveAlone();
        LookLater();
        return true;
    }

    private bool CarryOutHere(BirthOrder order)
    {
        _alone = null;
        order.Take();
        bool? isLeft = null;
        if (_threads.IsAudited)
            order.LeaveLoopSeat = Leave;
        _seat.Enter(order);
        _threads.CarryOutHere(order);
        if (!Leave())
        {
            Return(order);
            return false;
        }
        _mailbox.CarryOut(() => Complete(order));
        return true;

        bool Leave() => isLeft ??= _seat.TryLeave();
    }

    /// <summary>By the first thread: it runs the loop again, because the thread to which it was lent hangs in a birth.</summary>
    public void PassOver()
    {
        _threads.TakeBack();
        BeCareful();
        LookLater();
    }

    /// <summary>
    /// Notes the end of a child whose birth is under way, which is told after the birth. False: no birth of such a child is known.
    /// </summary>
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

    /// <summary>How the child of a birth ended before the birth was told; null: the child lives.</summary>
    public Reaped? EarlyEndOf(BirthOrder birth)
    {
        if (birth.Ended is { } ended)
            return ended;
        // A child that was born by a helper may have been reaped before its pid was known.
        bool hasEnded = Carrier == SpawnCarrier.Exec && birth.Child!.Signal(0) == Errno.ESRCH;
        return hasEnded ? new Reaped(birth.Child!.Pid, 0, 0, DumpedCore: false) : null;
    }

    /// <summary>
    /// A traced child has stopped. The first stop is told to the birth, if that is audited; after any other stop
    /// the child goes on, as if nobody traced it.
    /// </summary>
    public void NoteStop(int pid, int how, int signal)
    {
        bool isOfBirth = _threads.IsAudited && _underWay.Find(o => o.Pid == pid)?.NoteStop() == true;
        // If this thread is not the tracer, another one is: it lets the child go as soon as its present birth is over.
        if (!isOfBirth && !Reaper.LetGo(pid, how, signal))
            _threads.OnEachOther(() => Reaper.LetGo(pid, how, signal));
    }

    /// <summary>Whether a child that nobody knows may be one that is being born.</summary>
    public bool IsCloning => _underWay.Exists(o => o.IsCloning);

    /// <summary>Whether this process is being born, or hangs in its birth.</summary>
    public bool IsUnderWay(int pid) => _underWay.Exists(o => o.Pid == pid);

    /// <summary>Ends the birth: it is told to have failed, and the child is killed if there is one or will be one.</summary>
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
        if (_alone == order)
            _alone = null;
        else if (!_threads.TryWithdraw(order) && !_behind.Remove(order))
            return false;
        _underWay.Remove(order);
        return true;
    }

    // Nobody has reaped the child, so the pid is still its own, and so is the process group of that number,
    // which the child makes before anything else.
    private static void Kill(BirthOrder order)
    {
        if (order.Pid <= 0 || order.Ended is not null)
            return;
        _ = Libc.kill(-order.Pid, SignalNumber.Kill.Value);
        _ = Libc.kill(order.Pid, SignalNumber.Kill.Value);
    }

    /// <summary>Kills the children that are being born, also those that a thread brings into being only later.</summary>
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

    private void BeCareful() => _carefulUntil = Clock.MonotonicNanoseconds + CarefulNanoseconds;

    /// <summary>
    /// Gives the birth that was alone to another thread, because it is not alone any more, or cannot be carried out on the loop.
    /// </summary>
    private void GiveAlone()
    {
        if (_alone is not { } order)
            return;
        _alone = null;
        Give(order);
    }

    private void Give(BirthOrder order)
    {
        if (!_threads.TryGive(order))
            _mailbox.Post(() => Refuse(order));
    }

    private void Refuse(BirthOrder order)
    {
        if (order.TakenAt == 0)
            GiveUp(order, Worker.Refusal, isShortage: true);
    }

    // On any thread.
    private void Return(BirthOrder order) => _mailbox.Post(() => Complete(order));

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

    /// <summary>
    /// Ends a child that was born after its birth was given up. The loop hears of its end as of any orphan's, and the processes that it
    /// started by then are ended with all others that have the instance's mark.
    /// </summary>
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

    /// <summary>The supervisor was away: that time does not count for births that are under way.</summary>
    public void Allow(TimeSpan away)
    {
        long now = Clock.MonotonicNanoseconds;
        foreach (BirthOrder order in _underWay)
            order.Allow(away, now);
    }

    private void LookLater()
    {
        if (_isLooking)
            return;
        _isLooking = true;
        _delays.After(Suspicion, this, Look);
    }

    /// <summary>
    /// Looks for births that take long: other threads are started in place of those that they hold, and at last they are given up.
    /// </summary>
    private void Look()
    {
        _isLooking = false;
        long now = Clock.MonotonicNanoseconds;
        int slow = 0;
        foreach (BirthOrder order in _underWay.ToArray())
        {
            TimeSpan waited = order.WaitedFor(now);
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
            TimeSpan taken = order.TakenFor(now);
            // On a busy machine a birth takes long without any harm, and more threads would make it still busier.
            slow += taken >= Suspicion && (taken >= MostSpared || order.Sleeps) ? 1 : 0;
            if (taken >= (order.IsToEnd ? Suspicion : Patience))
                GiveUp(order, $"its program does not run after {Spans.Show(taken)}; it waits for {order.WaitsFor}");
        }
        if (slow > 0)
            BeCareful();
        int waiting = _threads.WaitingCount;
        for (int spare = _threads.Count - slow; waiting > 0 && spare < _threads.Least && _threads.TryStart(); spare++)
            waiting--;
        if (_underWay.Exists(o => !o.IsGivenUp))
            LookLater();
    }
}
