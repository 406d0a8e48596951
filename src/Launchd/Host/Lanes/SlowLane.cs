using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Sockets;
using Launchd.Linux.Spawning;

namespace Launchd.Host.Lanes;

/// <summary>
/// Does for one service work that may take as long as the service likes: closing descriptors that came from it, opening its files anew.
/// Each service has a lane of its own, so a service whose descriptors never close holds up only itself.
/// </summary>
/// <remarks>
/// Bounded: at most <see cref="MostThreads"/> threads at a time (<see cref="LaneThreads"/>), each with at most one process that closes for
/// it (<see cref="Linux.Spawning.Closers"/>), and while <see cref="MostWaiting"/> pieces of work wait nothing more is read from the service
/// (<see cref="IsFull"/>). Where no process can be made, all threads but one close sockets as the option SO_LINGER asks; the last one turns
/// lingering off, so that sockets alone never block a lane.
/// </remarks>
/// <param name="onEased">Called on any thread, see <see cref="IsFull"/>.</param>
/// <param name="onDefect">Called on any thread with an exception that work threw; may be null.</param>
internal sealed class SlowLane(Action onEased, Action<Exception>? onDefect = null) : IDescriptorCloser
{
    private const int MostThreads = 4;

    /// <summary>
    /// Most descriptors for one process. A descriptor that never closes holds up those behind it in its process, and no others.
    /// </summary>
    private const int MostTogether = 32;

    /// <summary>
    /// How long the supervisor waits at its end for threads that are handing descriptors to a process, which takes a few system calls.
    /// </summary>
    private const int HandingMilliseconds = 1000;

    private readonly object _lock = new();
    private readonly Queue<Work> _waiting = new();
    private int _threads;
    private int _working;
    private int _handing;
    private int _busy;
    private bool _wasFull;
    private bool _isOver;
    private Action? _again;

    /// <summary>Closes descriptors in separate processes; null: the threads close them.</summary>
    public Closers? Closers { get; init; }

    /// <summary>For tests: how a thread is begun. False: there can be none.</summary>
    public Func<Action, bool> StartThread { get; init; } = LaneThreads.TryStart;

    /// <summary>
    /// Called when no thread can be made and work waits; has to call its argument a while later, which tries again.
    /// Null: only the next piece of work tries again.
    /// </summary>
    public Action<Action>? OnStarved { get; init; }

    /// <summary>
    /// Pieces of work that may wait. The limit is for reading from the service, not for closing: one more
    /// message is taken with all its descriptors.
    /// </summary>
    public const int MostWaiting = 256;

    /// <summary>
    /// Whether nothing more should be read from the service now. After this was true once, <c>onEased</c> is called, on any thread, when
    /// there is room again, even if a later look at this property finds room before.
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

    /// <summary>
    /// Closes a descriptor on a thread of the lane. No descriptor from another process closes at once for certain: a process with another
    /// copy, or with the other end, may hold a lock for which closing waits, and thousands of record locks take time.
    /// </summary>
    public void Close(int numberTaken) => Add(new Work(numberTaken, null));

    /// <summary>Does <see cref="CloseQueue(FileDescriptor, IDescriptorCloser)"/> with this lane.</summary>
    public void CloseQueue(FileDescriptor socketTaken) => CloseQueue(socketTaken, this);

    /// <summary>Closes the reading end of a Unix socket; descriptors that lie unread in it are closed too, which may take long.</summary>
    public static void CloseQueue(FileDescriptor socketTaken, IDescriptorCloser closer)
    {
        UnixSocket.EndReading(socketTaken);
        using Received next = UnixSocket.Receive(socketTaken, default, closer);
        if (next.Outcome == ReceiveOutcome.Message)
            closer.Close(socketTaken.ReleaseNumber());
        else
            socketTaken.Dispose();
    }

    /// <summary>Has work done that may take long. False: too much waits already.</summary>
    /// <param name="work">Must not touch what belongs to the loop. If it throws, that is only logged.</param>
    public bool TryRun(Action work)
    {
        if (IsFull)
            return false;
        Add(new Work(-1, work));
        return true;
    }

    /// <summary>Looks at descriptors that stay open meanwhile. False: too much waits already, and nothing will be called.</summary>
    /// <param name="mailbox">Of the loop.</param>
    /// <param name="descriptors">Open.</param>
    /// <param name="look">Like the work of <see cref="TryRun"/>. If it throws, there is no answer.</param>
    /// <param name="then">Called on the loop with the answer.</param>
    public bool TryLook<T>(Mailbox mailbox, IReadOnlyList<FileDescriptor> descriptors, Func<T> look, Action<T> then)
    {
        if (IsFull)
            return false;
        foreach (FileDescriptor descriptor in descriptors)
        {
            bool isHeld = false;
            descriptor.DangerousAddRef(ref isHeld);
        }
        Add(new Work(-1, () =>
        {
            T answer;
            try
            {
                answer = look();
            }
            catch
            {
                mailbox.Post(Release);
                throw;
            }
            mailbox.Post(() =>
            {
                Release();
                then(answer);
            });
        }));
        return true;

        void Release()
        {
            foreach (FileDescriptor descriptor in descriptors)
                descriptor.DangerousRelease();
        }
    }

    /// <summary>
    /// The supervisor ends: descriptors that are still open are closed last in a process, or by the kernel if none can be made.
    /// </summary>
    public void End()
    {
        lock (_lock)
        {
            _isOver = true;
            while (_waiting.TryDequeue(out Work left))
                Leave(left);
            // A descriptor that a thread has taken and not handed over yet would be closed when this
            // process ends, whose end would wait for that.
            long end = Environment.TickCount64 + HandingMilliseconds;
            while (_handing > 0 && end - Environment.TickCount64 is > 0 and long rest)
                Monitor.Wait(_lock, (int)rest);
        }
    }

    private void Leave(Work work)
    {
        if (work.Action is null)
            Closers?.CloseLast(work.Number);
    }

    private void Add(Work work)
    {
        lock (_lock)
        {
            if (_isOver)
            {
                Leave(work);
                return;
            }
            _waiting.Enqueue(work);
        }
        Attend();
    }

    // The work is never done by the loop, which brings it: it waits for a thread, and while too much waits nothing more is read.
    private void Attend()
    {
        lock (_lock)
        {
            if (_waiting.Count == 0)
                return;
            if (_threads == MostThreads)
                return;
            _threads++;
        }
        if (StartThread(Run))
            return;
        bool isStarved;
        lock (_lock)
            isStarved = --_threads == 0;
        // Another thread of the lane will do the work.
        if (isStarved)
            OnStarved?.Invoke(_again ??= Attend);
    }

    private void Run()
    {
        List<int> closing = new(MostTogether);
        while (TryTake(closing, out Action? action, out int count, out bool isLast))
        {
            DoContained(action, closing, mayLinger: !isLast);
            bool isEased;
            lock (_lock)
            {
                _working -= count;
                _busy--;
                isEased = _wasFull && _waiting.Count <= MostWaiting / 2;
                _wasFull &= !isEased;
            }
            if (isEased)
                onEased();
        }
    }

    private bool TryTake(List<int> closing, out Action? action, out int count, out bool isLast)
    {
        closing.Clear();
        lock (_lock)
        {
            if (!_waiting.TryDequeue(out Work work))
            {
                _threads--;
                action = null;
                count = 0;
                isLast = false;
                return false;
            }
            action = work.Action;
            if (action is null)
                closing.Add(work.Number);
            while (action is null && closing.Count < MostTogether && _waiting.TryPeek(out work) && work.Action is null)
                closing.Add(_waiting.Dequeue().Number);
            count = Math.Max(1, closing.Count);
            _handing += closing.Count > 0 ? 1 : 0;
            _working += count;
            _busy++;
            isLast = _busy == MostThreads;
            return true;
        }
    }

    // An exception that leaves a thread of the lane would end the process, and the lane counts on this thread.
    private void DoContained(Action? action, List<int> closing, bool mayLinger)
    {
        try
        {
            action?.Invoke();
            CloseAll(CollectionsMarshal.AsSpan(closing), mayLinger);
        }
        catch (Exception defect)
        {
            onDefect?.Invoke(defect);
        }
    }

    private void CloseAll(ReadOnlySpan<int> numbers, bool mayLinger)
    {
        if (numbers.IsEmpty)
            return;
        bool isHanded = false;
        bool isClosed = Closers?.TryClose(numbers, Hand) == true;
        Hand();
        if (isClosed)
            return;
        foreach (int number in numbers)
        {
            // A descriptor that cannot be sent to a process, such as an io_uring, must not keep the others from being sent.
            if (numbers.Length > 1 && Closers?.TryClose([number]) == true)
                continue;
            if (!mayLinger)
                Closing.DoNotLinger(number);
            // close(2): the number is free even after EINTR or EIO on Linux, so the result is of no use.
            _ = Libc.close(number);
        }

        void Hand()
        {
            if (isHanded)
                return;
            isHanded = true;
            lock (_lock)
            {
                _handing--;
                Monitor.PulseAll(_lock);
            }
        }
    }

    /// <summary>A descriptor to close, or something else to do.</summary>
    private readonly record struct Work(int Number, Action? Action);
}
