using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Operators;

/// <summary>
/// Asks the kernel about descriptors of which other processes have copies. Such a question may wait for a lock that another holder keeps as
/// long as it likes (a thread in setsockopt(2) that waits for its memory to be read in is enough), and thousands of questions take time: so
/// all are asked on a thread beside the loop. A question that does not return is left behind with its thread, another thread goes on with
/// the questions after it, and nobody asks about that descriptor again until the question has returned.
/// </summary>
/// <param name="mailbox">Brings the answers to the loop.</param>
/// <param name="delays">Tells when a question has not returned in time.</param>
internal sealed class DescriptorLooks(Mailbox mailbox, Delays delays)
{
    /// <summary>A question that takes longer than one such time, and at most two, is left behind.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250);

    /// <summary>Threads that may be left behind at a time; the questions after the last of them are not answered.</summary>
    public const int MostStuck = 32;

    private const int MostAskedAlone = 4;
    private const int StackBytes = 256 << 10;

    // Only the loop touches it.
    private readonly HashSet<FileDescriptor> _stuck = [];

    /// <summary>Starts a thread; tests replace it. False: none can be started.</summary>
    public Func<ThreadStart, bool> StartThread { get; init; } = run => Worker.TryStart("looks", StackBytes, run) is not null;

    /// <summary>The number of descriptors about which a question has not returned.</summary>
    public int StuckCount => _stuck.Count;

    /// <summary>
    /// Asks about each descriptor. All stay open until the answers are there, one that is left behind
    /// until the question about it has returned.
    /// </summary>
    /// <param name="descriptors">Open, each once. None: <paramref name="then"/> is called at once.</param>
    /// <param name="look">Called on another thread, for one after the other. Must touch nothing of the loop's.</param>
    /// <param name="then">Called on the loop, once. A descriptor without an answer is not known.</param>
    public void Ask<T>(
        IReadOnlyCollection<FileDescriptor> descriptors, Func<FileDescriptor, T> look, Action<IReadOnlyDictionary<FileDescriptor, T>> then)
    {
        FileDescriptor[] open = [.. descriptors.Where(d => !d.IsClosed && !_stuck.Contains(d))];
        if (open.Length == 0)
        {
            then(new Dictionary<FileDescriptor, T>());
            return;
        }
        foreach (FileDescriptor descriptor in open)
            Hold(descriptor);
        new Round<T>(this, open, look, then).Begin();
    }

    /// <summary>
    /// Reads how many connections wait in each listener, and how many there is room for; null for a descriptor that is no listener.
    /// </summary>
    public void Queues(IReadOnlyCollection<FileDescriptor> listeners,
        Action<IReadOnlyDictionary<FileDescriptor, (int QueueCount, int BacklogCount)?>> then)
    {
        UnixQueues? queues = QueuesFor(listeners.Count);
        Ask(listeners, d => ListenerState.ReadQueue(d, queues?.All), then);
    }

    /// <summary>Reads the state of each descriptor.</summary>
    public void States(IReadOnlyCollection<FileDescriptor> descriptors, Action<IReadOnlyDictionary<FileDescriptor, DescriptorState>> then)
    {
        UnixQueues? queues = QueuesFor(descriptors.Count);
        Ask(descriptors, d => ListenerState.Read(d, queues?.All), then);
    }

    // A few sockets are asked one by one; only for many the kernel is asked for the queues of all Unix sockets of the machine.
    private static UnixQueues? QueuesFor(int count) => count > MostAskedAlone ? new UnixQueues() : null;

    private static void Hold(FileDescriptor descriptor)
    {
        bool isHeld = false;
        descriptor.DangerousAddRef(ref isHeld);
    }

    /// <summary>One question about several descriptors.</summary>
    private sealed class Round<T>(DescriptorLooks looks, FileDescriptor[] open, Func<FileDescriptor, T> look,
        Action<IReadOnlyDictionary<FileDescriptor, T>> then)
    {
        private readonly Lock _lock = new();
        private readonly Dictionary<FileDescriptor, T> _answers = new(open.Length);

        // Guarded by the lock: the number of the thread that counts, and the descriptor at which it is.
        private int _at;
        private int _thread;

        // Only the loop touches them.
        private readonly HashSet<FileDescriptor> _leftBehind = [];
        private int _lastSeen = -1;
        private bool _isOver;

        public void Begin()
        {
            if (!looks.StartThread(() => Run(0, 0)))
                Finish();
            else
                looks.Delay(this, Watch);
        }

        private void Run(int from, int thread)
        {
            for (int i = from; i < open.Length; i++)
            {
                (bool isKnown, T? answer) = TryLook(open[i]);
                lock (_lock)
                {
                    if (_thread != thread)
                    {
                        looks.Post(() => ComeBack(open[i]));
                        return;
                    }
                    if (isKnown)
                        _answers.Add(open[i], answer!);
                    _at = i + 1;
                }
            }
            looks.Post(Finish);
        }

        private (bool IsKnown, T? Answer) TryLook(FileDescriptor descriptor)
        {
            try
            {
                return (true, look(descriptor));
            }
            catch (Exception defect)
            {
                // Nobody would catch it on this thread, and the other questions must be answered.
                looks.Fail(defect);
                return (false, default);
            }
        }

        private void Watch()
        {
            if (_isOver)
                return;
            int from, thread;
            lock (_lock)
            {
                if (_at >= open.Length)
                    return;
                if (_at != _lastSeen)
                {
                    _lastSeen = _at;
                    looks.Delay(this, Watch);
                    return;
                }
                from = ++_at;
                thread = ++_thread;
            }
            FileDescriptor stuck = open[from - 1];
            _ = looks._stuck.Add(stuck);
            _ = _leftBehind.Add(stuck);
            _lastSeen = -1;
            if (from < open.Length && looks._stuck.Count < MostStuck && looks.StartThread(() => Run(from, thread)))
                looks.Delay(this, Watch);
            else
                Finish();
        }

        private void ComeBack(FileDescriptor descriptor)
        {
            _ = looks._stuck.Remove(descriptor);
            descriptor.DangerousRelease();
        }

        private void Finish()
        {
            if (_isOver)
                return;
            _isOver = true;
            looks.Cancel(this);
            foreach (FileDescriptor descriptor in open)
            {
                if (!_leftBehind.Contains(descriptor))
                    descriptor.DangerousRelease();
            }
            then(_answers);
        }
    }

    private void Post(Action action) => mailbox.Post(action);

    private void Fail(Exception defect) => mailbox.Fail(defect);

    private void Delay(object owner, Action then) => delays.After(Patience, owner, then);

    private void Cancel(object owner) => delays.Cancel(owner);
}
