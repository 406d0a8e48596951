using System.Runtime.ExceptionServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;

namespace Launchd.Host.Launching;

/// <summary>
/// Keeps the loop going while it is lent to a thread that gives birth. The first thread of the process, which never gives birth, sleeps
/// meanwhile in <see cref="Watch"/>. A timer wakes it only when a birth takes long, and if that birth hangs, the first thread runs the
/// loop from then on.
/// </summary>
internal sealed unsafe class LoopSeat : IDisposable
{
    /// <summary>A birth takes a millisecond. One that takes so much longer is looked at, again and again.</summary>
    private const long LookNanoseconds = 20_000_000;

    /// <summary>A birth whose thread or child only waits for a processor is spared for so many looks: half a second.</summary>
    private const int MostLooks = 25;

    private readonly Lock _lock = new();
    private readonly FileDescriptor _timer;
    private BirthOrder? _birth;
    private Exception? _defect;
    private Action? _errand;
    private bool _isLent;
    private bool _isOver;

    public LoopSeat()
    {
        // Reading the timer waits, because the thread that watches has nothing else to do.
        int number = Libc.timerfd_create(1, Libc.O_CLOEXEC);
        _timer = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("timerfd_create", "the loop's watch", Errno.Last);
    }

    /// <summary>Called by the thread to which the loop was lent, before anything else.</summary>
    public void Sit()
    {
        lock (_lock)
            _isLent = true;
    }

    /// <summary>Called by the same thread, when it is about to give birth, so that the loop stands still.</summary>
    public void Enter(BirthOrder birth)
    {
        lock (_lock)
        {
            _birth = birth;
            // What is to wake the first thread at once must not be put off: it arms the timer for this birth itself.
            Arm(_errand is null ? LookNanoseconds : 1);
        }
    }

    /// <summary>Called by the same thread, after the birth. False: the birth took too long, and the first thread runs the loop.</summary>
    public bool TryLeave()
    {
        lock (_lock)
        {
            if (_birth is null)
                return false;
            _birth = null;
            Arm(_errand is null ? 0 : 1);
        }
        return true;
    }

    /// <summary>Called by the same thread, when the loop is over.</summary>
    /// <param name="defect">For the first thread, which throws it; null: there is none.</param>
    public void End(Exception? defect)
    {
        // Within the lock, because the first thread closes the timer as soon as it sees that the loop is over.
        lock (_lock)
        {
            _defect = defect;
            _isOver = true;
            Arm(1);
        }
    }

    /// <summary>
    /// Has the first thread of the process do what only that thread can, at once or in a moment. Called by whichever thread runs the loop.
    /// </summary>
    public void OnFirstThread(Action errand)
    {
        lock (_lock)
        {
            if (_isLent)
            {
                _errand += errand;
                // A birth that is under way is given its time anew when the errand is done.
                Arm(1);
                return;
            }
        }
        errand();
    }

    /// <summary>
    /// Called by the first thread, while the loop is lent: sleeps until there is something to do. True: the other thread hangs in a birth,
    /// and the caller runs the loop. False: the loop is over.
    /// </summary>
    public bool Watch()
    {
        BirthOrder? seen = null;
        int looks = 0;
        while (true)
        {
            ulong count;
            if (Libc.read(_timer.Number, &count, sizeof(ulong)) != sizeof(ulong))
                continue;
            lock (_lock)
            {
                if (_errand is { } errand)
                {
                    _errand = null;
                    errand();
                    if (_birth is not null)
                        Arm(LookNanoseconds);
                }
                if (_isOver)
                {
                    if (_defect is not null)
                        ExceptionDispatchInfo.Throw(_defect);
                    return false;
                }
                // The birth for which the timer went off may be over, and another one may have begun, which has set the timer anew.
                if (_birth is null || Clock.MonotonicNanoseconds - _birth.TakenAt < LookNanoseconds)
                    continue;
                looks = _birth == seen ? looks + 1 : 1;
                seen = _birth;
                if (looks >= MostLooks || _birth.Sleeps)
                {
                    _birth = null;
                    _isLent = false;
                    return true;
                }
                Arm(LookNanoseconds);
            }
        }
    }

    public void Dispose() => _timer.Dispose();

    /// <summary>Has the timer go off once; 0: not at all.</summary>
    private void Arm(long nanoseconds)
    {
        long* setting = stackalloc long[4] { 0, 0, 0, nanoseconds };
        _ = Libc.timerfd_settime(_timer.Number, 0, setting, null);
    }
}
