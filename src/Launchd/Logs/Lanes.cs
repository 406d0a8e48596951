using System.Buffers;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <summary>Something that has work for a lane now and then. It is never worked on in two lanes at once.</summary>
internal abstract class LaneWork
{
    /// <summary>Where a work stands with its lanes, which alone change it.</summary>
    internal enum Standing
    {
        Idle,
        Queued,
        Running,

        /// <summary>There came more to do while it ran.</summary>
        RunningAgain,
    }

    internal Standing Stands { get; set; }

    /// <summary>Does what there is to do, on a lane's thread. May wait for as long as the kernel likes.</summary>
    internal abstract void Work();
}

/// <summary>
/// Threads for calls that may never come back (a file on a file server that is gone, a pipe whose lock somebody holds). A lane sleeps while
/// there is nothing to do. One that hangs is passed over: whoever waits gets another, up to a fixed number. From any thread.
/// </summary>
/// <param name="name">Of the threads, in /proc/PID/task/TID/comm.</param>
/// <param name="most">So many lanes at most; beyond it work waits until one comes back.</param>
/// <param name="onDefect">Told, on the lane, what a work threw.</param>
internal sealed class Lanes(string name, int most, Action<Exception> onDefect)
{
    /// <summary>How long a lane may be at one work before it counts as hanging, in milliseconds.</summary>
    public const int PatienceMilliseconds = 100;

    /// <summary>Of each size.</summary>
    private const int KeptBuffers = 2;

    private const int StackBytes = 256 << 10;

    /// <summary>So many may run, and stay to wait for work, without any of them hanging.</summary>
    private const int Willing = 2;

    private readonly object _lock = new();
    private readonly Queue<LaneWork> _queue = new();
    private readonly List<Lane> _lanes = [];
    private int _idle;
    private bool _ended;
    private volatile bool _hasWaiting;

    /// <summary>
    /// For what waits to be worked on. The runtime's shared pool keeps a buffer for the thread that gave it
    /// back, which is never the one that takes it.
    /// </summary>
    public ArrayPool<byte> Buffers { get; } = ArrayPool<byte>.Create(LineQueue.MostBytes, KeptBuffers);

    /// <summary>Somebody waits for a lane: <see cref="Look"/> is to be called before long.</summary>
    public bool HasWaiting => _hasWaiting;

    /// <summary>Has it worked on, once more if it is being worked on now.</summary>
    public void Schedule(LaneWork work)
    {
        lock (_lock)
        {
            if (work.Stands == LaneWork.Standing.Running)
                work.Stands = LaneWork.Standing.RunningAgain;
            if (work.Stands != LaneWork.Standing.Idle)
                return;
            work.Stands = LaneWork.Standing.Queued;
            Enqueue(work);
            Serve();
        }
    }

    /// <summary>Gives whoever still waits another lane, if all that there are hang.</summary>
    public void Look()
    {
        lock (_lock)
        {
            if (_queue.Count > 0)
                Serve();
        }
    }

    /// <summary>Lanes end when they have nothing to do; those that hang are left to the end of the process.</summary>
    public void End()
    {
        lock (_lock)
        {
            _ended = true;
            _idle = 0;
            Monitor.PulseAll(_lock);
        }
    }

    private void Enqueue(LaneWork work)
    {
        _queue.Enqueue(work);
        _hasWaiting = true;
    }

    private void Serve()
    {
        if (_idle > 0)
        {
            _idle--;
            Monitor.Pulse(_lock);
            return;
        }
        if (_lanes.Count >= most || (_lanes.Count >= Willing && !AllHang()))
            return;
        Lane lane = new() { Since = Environment.TickCount64 };
        _lanes.Add(lane);
        // Without a thread it waits until a lane is free, or the limit of threads is no longer reached.
        if (Worker.TryStart(name, StackBytes, () => Run(lane)) is null)
            _lanes.Remove(lane);
    }

    private bool AllHang()
    {
        long since = Environment.TickCount64 - PatienceMilliseconds;
        return _lanes.TrueForAll(l => l.Since <= since);
    }

    private void Run(Lane lane)
    {
        while (Next(lane) is { } work)
        {
            try
            {
                work.Work();
            }
            catch (Exception defect)
            {
                onDefect(defect);
            }
            Done(work);
        }
    }

    private LaneWork? Next(Lane lane)
    {
        lock (_lock)
        {
            lane.Since = long.MaxValue;
            while (_queue.Count == 0)
            {
                if (_ended || _idle >= Willing)
                {
                    _lanes.Remove(lane);
                    return null;
                }
                _idle++;
                Monitor.Wait(_lock);
            }
            LaneWork work = _queue.Dequeue();
            _hasWaiting = _queue.Count > 0;
            work.Stands = LaneWork.Standing.Running;
            lane.Since = Environment.TickCount64;
            return work;
        }
    }

    private void Done(LaneWork work)
    {
        lock (_lock)
        {
            bool again = work.Stands == LaneWork.Standing.RunningAgain;
            work.Stands = again ? LaneWork.Standing.Queued : LaneWork.Standing.Idle;
            if (again)
                Enqueue(work);
        }
    }

    /// <summary>One thread.</summary>
    private sealed class Lane
    {
        /// <summary>
        /// When it began what it is at, in milliseconds of <see cref="Environment.TickCount64"/>; the far future: nothing.
        /// </summary>
        public long Since { get; set; }
    }
}
