using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// Does for one service what may keep its caller waiting, and what the service itself decides how long: closing the descriptors that came from
/// it, opening its files anew. Each service has a lane of its own, so one whose descriptors never close holds up itself alone.
/// </summary>
/// <remarks>
/// Bounded: at most <see cref="MostThreads"/> threads, which end when there was nothing to do for a while, and while
/// <see cref="MostWaiting"/> pieces of work wait nothing more is read from the service (<see cref="IsFull"/>). All but one of the threads
/// close sockets as their option SO_LINGER asks; the last one does not linger, so that sockets alone never fill a lane.
/// </remarks>
/// <param name="onEased">Called on any thread, see <see cref="IsFull"/>.</param>
/// <param name="onDefect">Told on any thread what work threw; null: nobody is.</param>
internal sealed class SlowLane(Action onEased, Action<Exception>? onDefect = null) : IDescriptorCloser
{
    private const int MostThreads = 4;
    private const int StackBytes = 256 << 10;
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private readonly object _lock = new();
    private readonly Queue<Work> _waiting = new();
    private int _threads;
    private int _resting;
    private int _working;
    private bool _wasFull;
    private bool _isOver;

    /// <summary>Pieces of work that may wait. One message more is taken with all its descriptors: a limit on reading, not on closing.</summary>
    public const int MostWaiting = 256;

    /// <summary>
    /// Nothing more should be read from the service; <c>onEased</c> is called, on any thread, when that is over. Whoever has heard it once
    /// is owed that call, even if the next one who looks finds room.
    /// </summary>
    public bool IsFull
    {
        get
        {
            lock (_lock)
            {
                bool isFull = _waiting.Count >= MostWaiting;
                _wasFull |= isFull;
                return isFull;
            }
        }
    }

    /// <summary>Work that waits or is under way.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _waiting.Count + _working;
        }
    }

    /// <summary>Closes at once what is known to close at once, and the rest on a thread of the lane.</summary>
    public void Close(int numberTaken)
    {
        if (Closing.IsQuick(numberTaken))
            CloseHere(numberTaken);
        else
            Add(new Work(numberTaken, null));
    }

    /// <summary>Closes the reading end of a Unix socket; what lies unread in it is closed with it, and may take long.</summary>
    public void CloseQueue(FileDescriptor socketTaken)
    {
        UnixSocket.EndReading(socketTaken);
        using Received next = UnixSocket.Receive(socketTaken, default, this);
        if (next.Outcome == ReceiveOutcome.Message)
            Close(socketTaken.ReleaseNumber());
        else
            socketTaken.Dispose();
    }

    /// <summary>Has work done that may take long. False: too much waits already.</summary>
    /// <param name="work">Must not touch what belongs to the loop. If it throws, only the supervisor's log hears of it.</param>
    public bool TryRun(Action work)
    {
        if (IsFull)
            return false;
        Add(new Work(-1, work));
        return true;
    }

    /// <summary>
    /// The supervisor ends: what is still open is left to the kernel, which does not linger for a process that ends.
    /// </summary>
    public void End()
    {
        lock (_lock)
        {
            _isOver = true;
            _waiting.Clear();
        }
    }

    private void Add(Work work)
    {
        lock (_lock)
        {
            if (_isOver)
                return;
            _waiting.Enqueue(work);
            if (_resting >= _waiting.Count)
            {
                Monitor.Pulse(_lock);
                return;
            }
            if (_threads == MostThreads)
                return;
            _threads++;
        }
        if (Worker.TryStart("slow lane", StackBytes, Run) is not null)
            return;
        lock (_lock)
        {
            // Another thread of the lane will come to it; where there is none, waiting a little is better than keeping it for ever.
            if (--_threads > 0)
                return;
            while (_waiting.TryDequeue(out Work left))
                DoContained(left, mayLinger: false);
        }
    }

    private void Run()
    {
        while (TryTake(out Work work, out bool isLast))
        {
            DoContained(work, mayLinger: !isLast);
            bool isEased;
            lock (_lock)
            {
                _working--;
                isEased = _wasFull && _waiting.Count <= MostWaiting / 2;
                _wasFull &= !isEased;
            }
            if (isEased)
                onEased();
        }
    }

    private bool TryTake(out Work work, out bool isLast)
    {
        lock (_lock)
        {
            while (!_waiting.TryDequeue(out work))
            {
                _resting++;
                bool isWoken = Monitor.Wait(_lock, Rest);
                _resting--;
                if (!isWoken && _waiting.Count == 0)
                {
                    _threads--;
                    isLast = false;
                    return false;
                }
            }
            _working++;
            isLast = _working == MostThreads;
            return true;
        }
    }

    // Nobody is above a thread of the lane: what is thrown there would be the end of the process, and the lane counts on this thread.
    private void DoContained(Work work, bool mayLinger)
    {
        try
        {
            Do(work, mayLinger);
        }
        catch (Exception defect)
        {
            onDefect?.Invoke(defect);
        }
    }

    private static void Do(Work work, bool mayLinger)
    {
        if (work.Action is { } action)
        {
            action();
            return;
        }
        if (!mayLinger)
            Closing.DoNotLinger(work.Number);
        CloseHere(work.Number);
    }

    // close(2): the number is free even after EINTR or EIO on Linux, so the result is of no use.
    private static void CloseHere(int number) => _ = HostLibc.close(number);

    /// <summary>A descriptor to close, or something else to do.</summary>
    private readonly record struct Work(int Number, Action? Action);
}
