using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;

namespace Launchd.Logs;

/// <summary>The thread that threw it has been passed over: another one is the pump now, and this one must touch nothing of it.</summary>
internal sealed class PassedOverException : Exception;

/// <summary>
/// Lets one thread after the other be the pump. A call on a pipe waits, deaf to signals, for whoever holds the pipe's lock: for ever, if a
/// program copies into it by splice(2) from where nothing comes. So a second thread stands by, and where the first one hangs in such a call
/// it takes the seat and goes on without that source. Costs two exchanges of memory a call; while the pump is idle nobody looks.
/// </summary>
/// <param name="sit">
/// Is the pump, until the end or until it is passed over. Gets what the former holder of the seat hangs in; null: nothing.
/// </param>
internal sealed class PumpSeat(Action<object?> sit)
{
    /// <summary>Threads that may hang at the same time. Beyond it the pump itself hangs with the next.</summary>
    public const int MostHanging = 256;

    /// <summary>Between two looks at a pump that works, in milliseconds.</summary>
    private const int LookMilliseconds = 20;

    /// <summary>The same, for some time after one has hung: others may be about to.</summary>
    private const int CarefulMilliseconds = 5;
    private const int CarefulFor = 1000;

    /// <summary>
    /// In a row, at the same call, before a thread that cannot be woken is passed over; and before any other that sleeps there is.
    /// </summary>
    private const int Sightings = 2, SightingsAsleep = 25;

    private const int StackBytes = 256 << 10;
    private const string Name = "log pump";

    private readonly object _lock = new();
    private bool _isWoken;
    private bool _isEmpty;
    private object? _call;
    private long _calls;
    private int _looks;
    private int _hanging;
    private int _holder;
    private long _carefulUntil;
    private long _nextTry;
    private volatile bool _hasGuard;
    private volatile bool _ended;

    /// <summary>The pump's thread for /proc/self/task; 0 until it runs.</summary>
    public int Holder => Volatile.Read(ref _holder);

    /// <summary>Nobody is the pump any more.</summary>
    public bool IsEmpty => Volatile.Read(ref _isEmpty);

    /// <summary>Starts the first thread. False: there is none.</summary>
    public bool TryBegin() => Worker.TryStart(Name, StackBytes, () => Sit(null)) is not null;

    /// <summary>Waits for the end of the pump. False: it hangs.</summary>
    public bool Wait(TimeSpan patience)
    {
        long end = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        lock (_lock)
        {
            while (!_isEmpty && end - Environment.TickCount64 is > 0 and long rest)
                Monitor.Wait(_lock, (int)Math.Min(rest, int.MaxValue));
            return _isEmpty;
        }
    }

    /// <summary>Before a call that may wait for somebody else's lock.</summary>
    /// <param name="call">What it is about.</param>
    public void Enter(object call)
    {
        Volatile.Write(ref _calls, _calls + 1);
        Interlocked.Exchange(ref _call, call);
        if (Volatile.Read(ref _looks) == 0)
            WakeGuard();
    }

    /// <summary>After it. False: too late, another thread is the pump.</summary>
    public bool TryLeave(object call)
    {
        if (Interlocked.CompareExchange(ref _call, null, call) == call)
            return true;
        Interlocked.Decrement(ref _hanging);
        return false;
    }

    /// <summary>By the pump: it ends.</summary>
    public void End()
    {
        lock (_lock)
        {
            _ended = true;
            _isEmpty = true;
            Monitor.PulseAll(_lock);
        }
    }

    private void Sit(object? hung)
    {
        Volatile.Write(ref _holder, Libc.gettid());
        sit(hung);
    }

    private void WakeGuard()
    {
        if (_hasGuard)
        {
            if (Interlocked.Exchange(ref _looks, 1) != 0)
                return;
            lock (_lock)
            {
                _isWoken = true;
                Monitor.PulseAll(_lock);
            }
            return;
        }
        if (Environment.TickCount64 < _nextTry || Volatile.Read(ref _hanging) >= MostHanging)
            return;
        _nextTry = Environment.TickCount64 + CarefulFor;
        StartGuard();
    }

    private void StartGuard()
    {
        _hasGuard = true;
        Volatile.Write(ref _looks, 1);
        if (Worker.TryStart(Name, StackBytes, StandBy) is not null)
            return;
        _hasGuard = false;
        Volatile.Write(ref _looks, 0);
    }

    private void StandBy()
    {
        long seen = -1;
        int sightings = 0;
        while (!_ended)
        {
            lock (_lock)
            {
                bool isCareful = Environment.TickCount64 < Volatile.Read(ref _carefulUntil);
                if (!_ended)
                    Monitor.Wait(_lock, isCareful ? CarefulMilliseconds : LookMilliseconds);
            }
            long calls = Volatile.Read(ref _calls);
            object? call = Volatile.Read(ref _call);
            bool isSame = calls == seen;
            seen = calls;
            sightings = isSame && call is not null ? sightings + 1 : 0;
            if (isSame && call is null)
            {
                Sleep(seen);
            }
            else if (sightings >= Sightings && Hangs(sightings) && Interlocked.CompareExchange(ref _call, null, call) == call)
            {
                TakeSeat(call!);
                return;
            }
        }
    }

    private void Sleep(long seen)
    {
        lock (_lock)
        {
            _isWoken = false;
            Interlocked.Exchange(ref _looks, 0);
            while (Volatile.Read(ref _calls) == seen && !_isWoken && !_ended)
                Monitor.Wait(_lock);
            Volatile.Write(ref _looks, 1);
        }
    }

    private void TakeSeat(object call)
    {
        Volatile.Write(ref _carefulUntil, Environment.TickCount64 + CarefulFor);
        if (Interlocked.Increment(ref _hanging) < MostHanging)
        {
            StartGuard();
        }
        else
        {
            _hasGuard = false;
            Volatile.Write(ref _looks, 0);
        }
        Sit(call);
    }

    /// <summary>A thread that only waits for a processor, on a busy machine, does not hang.</summary>
    private bool Hangs(int sightings)
    {
        char state = TaskState.OfThread(Holder);
        return state == TaskState.Deaf || (state != TaskState.Running && sightings >= SightingsAsleep);
    }
}
