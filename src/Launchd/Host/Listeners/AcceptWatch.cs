using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Notices programs that are ready and take no notice of the listeners that they were given: clients wait in a queue that only grows, or
/// the program listens somewhere else. Says so; what a program does is its own affair.
/// </summary>
/// <remarks>
/// A listener is watched one-shot from two seconds after READY, or after the program was told to reload. When a client comes the queue is
/// looked at each second, three times: if it was empty once, or has shrunk, somebody accepts, and after a pause that doubles each time the
/// next client is waited for. So a busy server costs a few looks in five minutes, and an idle one nothing. Where else a program listens is
/// looked at three times in those two seconds, and when it says in them that it has reloaded.
/// </remarks>
internal sealed class AcceptWatch : IDisposable
{
    private const int Looks = 3;
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(1);

    /// <summary>Between READY or a reload and the looks after it: a program may open its ports at once, or take its time.</summary>
    private static readonly TimeSpan[] Pauses =
        [TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(450), TimeSpan.FromMilliseconds(1500)];

    private static readonly TimeSpan FirstRest = TimeSpan.FromSeconds(10), LongestRest = TimeSpan.FromMinutes(5);

    private readonly EventLoop _outer;
    private readonly EventLoop _watches = new(isNested: true);
    private readonly DescriptorTable _descriptors;
    private readonly RunningInstances _instances;
    private readonly SlowLanes _lanes;
    private readonly Mailbox _mailbox;
    private readonly Delays _delays;
    private readonly PortsWatch _ports;
    private readonly Counters _counters;
    private readonly Journal _journal;
    private readonly ILogger _logger;
    private readonly Dictionary<Listener, Queue> _queues = [];

    // Who waits for which look. All that wait for one are looked at together, because it asks about all sockets of the machine.
    private readonly HashSet<RunningInstance>[] _due = [[], [], []];

    // Those of them that were told to reload and have not said since that they are ready.
    private readonly HashSet<RunningInstance> _reloading = [];

    public AcceptWatch(
        EventLoop outer, DescriptorTable descriptors, RunningInstances instances, SlowLanes lanes, Mailbox mailbox, Delays delays,
        PortsWatch ports, Counters counters, Journal journal, ILogger logger)
    {
        _outer = outer;
        _descriptors = descriptors;
        _instances = instances;
        _lanes = lanes;
        _mailbox = mailbox;
        _delays = delays;
        _ports = ports;
        _counters = counters;
        _journal = journal;
        _logger = logger;
        Errno refused = outer.Watch(_watches.Descriptor, IoReadiness.Readable, LoopPriority.Listener, _ => _watches.Wait(0));
        if (refused != Errno.None)
            throw new SystemCallException("epoll_ctl", "queues of listeners", refused);
    }

    /// <summary>An instance is ready.</summary>
    public void LookAt(RunningInstance instance) => Plan(instance, 0);

    /// <summary>An instance was sent a signal. Unless it asks for its end, it may be that of a reload.</summary>
    public void LookAfterSignal(InstanceId id, SignalNumber number)
    {
        bool asksToEnd = number == SignalNumber.Term || number == SignalNumber.Abrt || number == SignalNumber.Kill
            || number == _instances.Find(id)?.Definition.Stop.Signal;
        if (!asksToEnd)
            LookAfterReload(id);
    }

    /// <summary>An instance was told to reload: it may listen elsewhere afterwards.</summary>
    public void LookAfterReload(InstanceId id)
    {
        if (_instances.Find(id) is not { IsLeaving: false } instance)
            return;
        Plan(instance, 0);
        if (_due[0].Contains(instance))
            _ = _reloading.Add(instance);
    }

    /// <summary>
    /// An instance says that it is ready. After it was told to reload that means that it has done so, and it is looked at once; else the
    /// looks that are planned are enough, and one at this moment would take its time from clients for whom the program was started.
    /// </summary>
    public void SaidReady(InstanceId id)
    {
        if (_instances.Find(id) is { } instance && IsThere(instance) && _reloading.Remove(instance))
            _ports.Look([instance]);
    }

    /// <summary>The listener is about to be closed.</summary>
    public void Forget(Listener listener)
    {
        if (!_queues.Remove(listener, out Queue? queue))
            return;
        _watches.Unwatch(listener.Descriptor);
        _delays.Cancel(queue);
        listener.Watch.Unaccepted = null;
    }

    public void Dispose()
    {
        foreach (HashSet<RunningInstance> due in _due)
            _delays.Cancel(due);
        foreach (Listener listener in _queues.Keys.ToArray())
            Forget(listener);
        _outer.Unwatch(_watches.Descriptor);
        _watches.Dispose();
    }

    private void Plan(RunningInstance instance, int look)
    {
        if (instance.Given.Count > 0 && _due[look].Add(instance) && _due[look].Count == 1)
            _delays.After(Pauses[look], _due[look], () => Begin(look));
    }

    private bool IsThere(RunningInstance instance) =>
        _instances.Contains(instance.Id) && instance is { MainEnded: false, Process: not null };

    private void Begin(int look)
    {
        RunningInstance[] due = [.. _due[look].Where(IsThere)];
        _due[look].Clear();
        bool isLast = look == Pauses.Length - 1;
        foreach (RunningInstance instance in due)
        {
            if (!isLast)
            {
                Plan(instance, look + 1);
                continue;
            }
            foreach (FileDescriptor given in instance.Given)
            {
                if (_descriptors.Find(given) is { IsConfigured: true, AwaitedBy: null, Endpoint.IsConnectionOriented: true } listener)
                    Await(listener);
            }
        }
        _reloading.RemoveWhere(i => !_due.Any(d => d.Contains(i)));
        if (due.Length > 0)
            _ports.Look(due);
    }

    private void Await(Listener listener)
    {
        if (_queues.TryGetValue(listener, out Queue? queue))
        {
            // A program that has accepted so far may have let its listener go since: the next client tells.
            queue.Rest = FirstRest;
            if (queue.IsResting)
                WaitForNext(listener, queue);
            return;
        }
        Errno refused = _watches.Watch(
            listener.Descriptor, IoReadiness.Readable | IoReadiness.Once, priority: 0, _ => SomebodyCame(listener));
        if (refused == Errno.None)
            _queues.Add(listener, new Queue());
    }

    private void SomebodyCame(Listener listener)
    {
        Queue queue = _queues[listener];
        (queue.LookCount, queue.WaitingCount) = (0, 0);
        _delays.After(BetweenLooks, queue, () => Look(listener, queue));
    }

    private void Look(Listener listener, Queue queue)
    {
        if (listener.Holders.Count == 0 || listener.Holders.All(h => h.MainEnded))
        {
            Forget(listener);
            return;
        }
        if (!ListenerState.IsReadable(listener.Descriptor))
        {
            SomebodyAccepts(listener, queue);
            return;
        }
        // The queue's length is told under a lock that a holder may keep.
        SlowLane lane = _lanes.Of(listener.Holders[0].Id.Service);
        bool isAsked = lane.TryLook(
            _mailbox, [listener.Descriptor], () => ListenerState.ReadQueue(listener.Descriptor)?.QueueCount ?? 0, count =>
        {
            if (_queues.GetValueOrDefault(listener) == queue)
                Judge(listener, queue, count);
        });
        if (!isAsked)
            _delays.After(FirstRest, queue, () => Look(listener, queue));
    }

    private void Judge(Listener listener, Queue queue, int count)
    {
        if (count == 0 || count < queue.WaitingCount)
        {
            SomebodyAccepts(listener, queue);
            return;
        }
        queue.WaitingCount = count;
        if (++queue.LookCount < Looks)
        {
            _delays.After(BetweenLooks, queue, () => Look(listener, queue));
            return;
        }
        if (listener.Watch.Unaccepted is null)
        {
            string[] holders = [.. listener.Holders.Select(h => h.Label)];
            _counters.Count("listeners-not-accepted");
            _journal.Add(new ListenerNotAccepted(listener.Socket.Key, listener.Opened.Address, count, holders));
            SupervisorLog.NotAccepted(_logger, listener.Socket.Key, listener.Opened.Address, count, string.Join(", ", holders));
        }
        listener.Watch.Unaccepted = count == 1 ? "nobody accepts: 1 client waits" : $"nobody accepts: {count} clients wait";
        _delays.After(FirstRest, queue, () => Look(listener, queue));
    }

    private void SomebodyAccepts(Listener listener, Queue queue)
    {
        listener.Watch.Unaccepted = null;
        queue.IsResting = true;
        _delays.After(queue.Rest, queue, () => WaitForNext(listener, queue));
        queue.Rest = queue.Rest * 2 < LongestRest ? queue.Rest * 2 : LongestRest;
    }

    private void WaitForNext(Listener listener, Queue queue)
    {
        queue.IsResting = false;
        _delays.Cancel(queue);
        _watches.Change(listener.Descriptor, IoReadiness.Readable | IoReadiness.Once);
    }

    /// <summary>What was seen of one listener's queue.</summary>
    private sealed class Queue
    {
        public int LookCount { get; set; }
        public int WaitingCount { get; set; }

        /// <summary>Somebody accepted, and the next client is not waited for yet.</summary>
        public bool IsResting { get; set; }

        /// <summary>Until the next client is waited for.</summary>
        public TimeSpan Rest { get; set; } = FirstRest;
    }
}
