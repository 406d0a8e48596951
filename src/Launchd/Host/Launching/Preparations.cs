using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// Makes the connections that instances are born with (<c>connect</c>). The loop waits for them beside everything else; where only a thread
/// that waits in connect(2) learns the outcome, one of a few such threads waits. The core decides how long it may take.
/// </summary>
internal sealed class Preparations(EventLoop loop, Provisions provisions, PathConnects connects, EventFeed events) : IDisposable
{
    /// <summary>So many threads may wait in connect(2) at a time; further attempts wait for their turn.</summary>
    private const int MostThreads = 16;

    /// <summary>Stands in place of the call that was refused, where there was no thread to make a call.</summary>
    private const string NoThread = "thread";

    private readonly Dictionary<InstanceId, Preparation> _all = [];
    private readonly Queue<Attempt> _waiting = new();
    private int _threads;

    /// <summary>
    /// Begins to make the connections of an instance. <see cref="Event.Prepared"/> or
    /// <see cref="Event.SpawnFailed"/> follows, at once as a result or later.
    /// </summary>
    public void Begin(InstanceId instance, ServiceDefinition definition)
    {
        Preparation preparation = new();
        _all.Add(instance, preparation);
        foreach (FileDefinition.Connected file in provisions[definition].Connections)
        {
            if (!Connecting.Begin(file.Target).TryGet(out Connecting? connecting, out OpenFailure? failure))
            {
                Cancel(instance);
                events.FeedResult(Refusal(instance, file.Key, failure));
                return;
            }
            Attempt attempt = new(instance, file.Key, connecting);
            preparation.Attempts.Add(attempt);
            if (Continue(attempt) is { } refused)
            {
                Cancel(instance);
                events.FeedResult(Refusal(instance, file.Key, refused));
                return;
            }
        }
        if (preparation.IsComplete)
            events.FeedResult(new Event.Prepared(instance));
    }

    /// <summary>What was made for an instance, for the caller to close. Empty where it needed nothing.</summary>
    public Preparation Take(InstanceId instance) => _all.Remove(instance, out Preparation? taken) ? taken : new Preparation();

    /// <summary>
    /// Gives up the connections of an instance that is not to be born any more; does nothing if they were taken, or if there are none.
    /// </summary>
    public void Cancel(InstanceId instance)
    {
        if (!_all.Remove(instance, out Preparation? given))
            return;
        bool isFreed = false;
        foreach (Attempt attempt in given.Attempts)
        {
            loop.Unwatch(attempt.Connecting.Descriptor);
            isFreed |= attempt.IsOnThread;
            // Nobody waits for that thread any more, and it may never come back, so it is not counted.
            _threads -= attempt.IsOnThread ? 1 : 0;
        }
        given.Dispose();
        if (isFreed)
            UseThreads();
    }

    public void Dispose()
    {
        foreach (InstanceId instance in _all.Keys.ToArray())
            Cancel(instance);
    }

    /// <summary>Has the loop or a thread wait for the end of an attempt. Null, or why neither can.</summary>
    private OpenFailure? Continue(Attempt attempt)
    {
        switch (attempt.Connecting.Stage)
        {
            case ConnectStage.Connected:
                attempt.Settle();
                return null;
            case ConnectStage.Awaited:
                Errno refused = loop.Watch(attempt.Connecting.Descriptor, IoReadiness.Writable, LoopPriority.Listener,
                    _ => Decide(attempt));
                return refused == Errno.None ? null : new OpenFailure("epoll_ctl", "cannot wait for the connection", refused);
            default:
                if (attempt.Connecting.Path is { } path && connects.IsHung(path))
                    return new OpenFailure("connect", $"cannot connect to unix:{path}", Errno.ETIMEDOUT, PathConnects.Silence);
                _waiting.Enqueue(attempt);
                return UseThreads(attempt);
        }
    }

    private void Decide(Attempt attempt)
    {
        loop.Unwatch(attempt.Connecting.Descriptor);
        Conclude(attempt, attempt.Connecting.Decide());
    }

    /// <summary>Gives each of the waiting attempts a thread, as long as there may be another.</summary>
    /// <param name="begun">
    /// The attempt that <see cref="Begin"/> has just made: its refusal is returned, and not fed as an event. Null: there is none.
    /// </param>
    /// <returns>Why <paramref name="begun"/> is refused; null: it is not.</returns>
    private OpenFailure? UseThreads(Attempt? begun = null)
    {
        while (_threads < MostThreads && _waiting.TryPeek(out Attempt? attempt))
        {
            bool isOver = attempt.IsOver;
            if (!isOver && !TryOnThread(attempt))
            {
                // The next attempt that leaves a thread looks again. If none is on a thread, this one would wait for ever.
                if (_threads > 0)
                    return null;
                OpenFailure refused = new(NoThread, Worker.Refusal, Errno.EAGAIN);
                _waiting.Dequeue();
                if (attempt == begun)
                    return refused;
                Conclude(attempt, refused);
                continue;
            }
            _waiting.Dequeue();
        }
        return null;
    }

    private bool TryOnThread(Attempt attempt)
    {
        attempt.IsOnThread = connects.TryRun<OpenFailure?>(
            attempt.Connecting.Path ?? "",
            () => attempt.Connecting.ConnectOnThread(Limits.ConnectPatience),
            defect => new OpenFailure("connect", Defect.Describe(defect), Errno.EIO),
            failure => LeaveThread(attempt, failure));
        _threads += attempt.IsOnThread ? 1 : 0;
        return attempt.IsOnThread;
    }

    private void LeaveThread(Attempt attempt, OpenFailure? failure)
    {
        attempt.IsOnThread = false;
        if (attempt.IsOver)
        {
            attempt.Dispose();
            return;
        }
        _threads--;
        Conclude(attempt, failure);
        UseThreads();
    }

    private void Conclude(Attempt attempt, OpenFailure? failure)
    {
        if (failure is not null)
        {
            Cancel(attempt.Instance);
            events.Feed(Refusal(attempt.Instance, attempt.Key, failure));
            return;
        }
        attempt.Settle();
        if (_all[attempt.Instance].IsComplete)
            events.Feed(new Event.Prepared(attempt.Instance));
    }

    private static Event.SpawnFailed Refusal(InstanceId instance, string key, OpenFailure failure) =>
        new(instance, new Failure.SpawnFailed("file", failure.Errno.Value, $"cannot start {instance.Service}: file \"{key}\": {failure}")
        {
            IsShortage = failure.Errno.IsShortage || failure.Call == NoThread,
        });

    /// <summary>The connections that one instance is to be born with; owns them.</summary>
    internal sealed class Preparation : IDisposable
    {
        public List<Attempt> Attempts { get; } = [];

        public bool IsComplete => Attempts.TrueForAll(a => a.Connection is not null);

        /// <summary>Borrowed. Null: there is no connection of this key.</summary>
        public FileDescriptor? Find(string key) => Attempts.Find(a => a.Key == key)?.Connection;

        public void Dispose()
        {
            foreach (Attempt attempt in Attempts)
                attempt.Dispose();
        }
    }

    /// <summary>One connection in the making, and then the connection.</summary>
    internal sealed class Attempt(InstanceId instance, string key, Connecting connectingTaken) : IDisposable
    {
        public InstanceId Instance => instance;
        public string Key => key;
        public Connecting Connecting => connectingTaken;

        /// <summary>Null until the connection is made.</summary>
        public FileDescriptor? Connection { get; private set; }

        /// <summary>
        /// A thread works with the descriptor, which is closed only when the thread comes back: another file could get its number before.
        /// </summary>
        public bool IsOnThread { get; set; }
        public bool IsOver { get; private set; }

        public void Settle()
        {
            Connection = connectingTaken.Take();
            connectingTaken.Dispose();
        }

        public void Dispose()
        {
            IsOver = true;
            if (IsOnThread)
                return;
            connectingTaken.Dispose();
            Connection?.Dispose();
        }
    }
}
