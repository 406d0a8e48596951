using System.Buffers;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <summary>Something that has work for a lane now and then. It is never worked on in two lanes at once.</summary>
internal abstract class LaneWork
{
    /// <summary>The state of a work, which only its lanes change.</summary>
    internal enum Standing
    {
        Idle,
        Queued,
        Running,

        /// <summary>It runs, and there is more to do since it began.</summary>
        RunningAgain,
    }

    internal Standing Stands { get; set; }

    /// <summary>Does the work, on a lane's thread. May wait as long as the kernel likes.</summary>
    internal abstract void Work();
}

/// <summary>
/// Threads for calls that may never come back (a file on a file server that is gone, a pipe whose lock somebody holds). A lane sleeps while
/// there is nothing to do. If a lane hangs, work that waits gets another lane, up to a fixed number of lanes. From any thread.
/// </summary>
/// <param name="name">The name of the threads, in /proc/PID/task/TID/comm.</param>
/// <param name="most">Most lanes; with so many hanging, work waits until one comes back.</param>
/// <param name="onDefect">Called on the lane with an exception of a work.</param>
internal sealed class Lanes(string name, int most, Action<Exception> onDefect)
{
    /// <summary>How long a lane may be at one work before it counts as hanging, in milliseconds.</summary>
    public const int PatienceMilliseconds = 100;

    /// <summary>Most buffers of each size that are kept.</summary>
    private const int KeptBuffers = 2;

    private const int StackBytes = 256 << 10;

    /// <summary>So many lanes may run at the same time, and stay to wait for work, even if none of them hangs.</summary>
    private const int Willing = 2;

    private readonly object _lock = new();
    private readonly Queue<LaneWork> _queue = new();
    private readonly List<Lane> _lanes = [];
    private int _idle;
    private bool _ended;
    private volatile bool _hasWaiting;

    /// <summary>
    /// Buffers for bytes that wait for a lane. Not the runtime's shared pool, which keeps a buffer for the thread that gave it
    /// back: here that is never the thread that takes one.
    /// </summary>
    public ArrayPool<byte> Buffers { get; } = ArrayPool<byte>.Create(LineQueue.MostBytes, KeptBuffers);

    /// <summary>Whether work waits for a lane, so that <see cref="Look"/> has to be called before long.</summary>
    public bool HasWaiting => _hasWaiting;

    /// <summary>Has a work done by a lane; once more if a lane is doing it now.</summary>
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

    /// <summary>Gives waiting work another lane, if all present lanes hang.</summary>
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
        // If no thread can be made, the work waits until a lane is free, or a thread can be made.
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
        /// When the lane began its present work, in milliseconds of <see cref="Environment.TickCount64"/>; without work: the far future.
        /// </summary>
        public long Since { get; set; }
    }
}
