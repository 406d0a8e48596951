using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Names processes that still have a listener although the instance that it was given to is over: workers that serve on with old code
/// (<c>kill = "process"</c>), or somebody to whom the program has passed the listener. Says so; whom the supervisor ends is told by
/// <c>kill</c> alone.
/// </summary>
/// <remarks>
/// The kernel does not tell who has a socket, so all processes of the machine are gone through, beside the loop: a second after an end, for
/// all ends until then together, and after that not before ten seconds have passed, later not before five minutes, while ends follow each
/// other. What is found is looked at again a second later, because processes that were killed may take so long to end.
/// </remarks>
internal sealed class LeftHolders(
    EventLoop loop, DescriptorTable descriptors, RunningInstances instances, Mailbox mailbox, Delays delays, Counters counters,
    Journal journal, ILogger logger) : IDisposable
{
    private const int MostLeft = 4096, MostTold = 1024, MostWatched = 64;
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FirstRest = TimeSpan.FromSeconds(10), LongestRest = TimeSpan.FromMinutes(5);

    private readonly Offload _offload = new(mailbox);

    // By the inodes of their sockets: the listeners of instances that were over since the last look.
    private Dictionary<ulong, LeftListener> _left = [];

    // Processes and sockets that were told.
    private readonly HashSet<(int Pid, ulong StartTime, ulong Inode)> _told = [];
    private readonly Dictionary<int, WatchedHolder> _watched = [];
    private bool _isUnderWay;
    private TimeSpan _rest = FirstRest;

    /// <summary>Tells commands, and children that are being born: they are nobody that was left.</summary>
    public Func<int, bool> IsKnown { get; set; } = _ => false;

    /// <summary>The process that has a copy of every listener and never accepts; 0: there is none.</summary>
    public int Keeper { get; set; }

    /// <summary>An instance is over: whatever of it was to be killed has ended.</summary>
    public void NoteEnd(RunningInstance instance)
    {
        foreach (FileDescriptor given in instance.Given)
        {
            if (_left.Count >= MostLeft)
                break;
            if (descriptors.Find(given) is { } listener && FileStatus.Read(given, out FileStatus status) == Errno.None)
                _left[status.Inode] = new LeftListener(listener, listener.Socket.Key, listener.Opened.Address, instance.Label);
        }
        if (_left.Count > 0 && !_isUnderWay)
        {
            _isUnderWay = true;
            delays.After(Soon, this, Begin);
        }
    }

    public void Dispose()
    {
        delays.Cancel(this);
        foreach (WatchedHolder watched in _watched.Values.ToArray())
            Unwatch(watched);
    }

    private void Begin()
    {
        Dictionary<ulong, LeftListener> left = _left;
        _left = [];
        Look(left, found =>
        {
            List<SocketHolder> nobodys = Nobodys(found);
            if (nobodys.Count > 0)
                delays.After(Soon, this, () => Look(left, again => Tell(left, nobodys, Nobodys(again))));
            else
                Rest();
        });
    }

    private void Look(Dictionary<ulong, LeftListener> left, Action<IReadOnlyList<SocketHolder>> then)
    {
        HashSet<ulong> inodes = [.. left.Keys];
        bool isBegun = _offload.TryRun(() => SocketHolders.Find(inodes), defect =>
        {
            mailbox.Fail(defect);
            return [];
        }, then);
        if (!isBegun)
            Rest();
    }

    private void Rest() => delays.After(_rest, this, () =>
    {
        bool goesOn = _left.Count > 0;
        _rest = !goesOn ? FirstRest : _rest * 2 < LongestRest ? _rest * 2 : LongestRest;
        _isUnderWay = goesOn;
        if (goesOn)
            Begin();
    });

    private void Tell(Dictionary<ulong, LeftListener> left, IReadOnlyList<SocketHolder> before, IReadOnlyList<SocketHolder> now)
    {
        HashSet<(int, ulong)> seen = [.. before.Select(b => (b.Pid, b.StartTime))];
        foreach (SocketHolder holder in now.Where(n => seen.Contains((n.Pid, n.StartTime))))
        {
            foreach (ulong inode in holder.Inodes)
            {
                // A program that leaves another process each time it ends must not fill the memory.
                if (_told.Count >= MostTold)
                    _told.Clear();
                if (_told.Add((holder.Pid, holder.StartTime, inode)))
                    Tell(left[inode], holder);
            }
        }
        Rest();
    }

    private void Tell(LeftListener left, SocketHolder holder)
    {
        // Whoever descends from the supervisor was started by what it has started.
        bool isLeft = holder.Ancestors.Contains(Environment.ProcessId);
        string whose = isLeft ? $"left by {left.Label}" : "which is none of this supervisor's";
        counters.Count("listeners-held");
        journal.Add(new ListenerHeld(left.Key, left.Address, holder.Pid, holder.Command, isLeft ? left.Label : null));
        SupervisorLog.ListenerHeld(logger, left.Key, left.Address, holder.Pid, holder.Command, whose);
        if (left.Listener.Standing == ListenerStanding.Closed || Watch(holder) is not { } watched)
            return;
        string text = $"process {holder.Pid} ({holder.Command}), {whose}, has it too";
        watched.Listeners[left.Listener] = left.Listener.Watch.Held = text;
    }

    /// <summary>Follows a process until it ends. Null: it has ended, or nothing tells of its end.</summary>
    private WatchedHolder? Watch(SocketHolder holder)
    {
        if (_watched.TryGetValue(holder.Pid, out WatchedHolder? known))
            return known;
        ProcessHandle? process = _watched.Count < MostWatched ? ProcessHandle.TryOpen(holder.Pid) : null;
        WatchedHolder? watched = process is { HasDescriptor: true } && ProcessFacts.Read(holder.Pid)?.StartTime == holder.StartTime
            ? new WatchedHolder(process) : null;
        if (watched is null
            || loop.Watch(process!.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => Unwatch(watched)) != Errno.None)
        {
            process?.Dispose();
            return null;
        }
        _watched.Add(holder.Pid, watched);
        return watched;
    }

    private void Unwatch(WatchedHolder watched)
    {
        _ = _watched.Remove(watched.Process.Pid);
        loop.Unwatch(watched.Process.Descriptor);
        watched.Process.Dispose();
        foreach (Listener listener in watched.Listeners.Keys)
            listener.Watch.Held = _watched.Values.Select(w => w.Listeners.GetValueOrDefault(listener)).FirstOrDefault(t => t is not null);
    }

    /// <summary>Those that belong to no instance that lives.</summary>
    private List<SocketHolder> Nobodys(IReadOnlyList<SocketHolder> found)
    {
        HashSet<int> living = [], sessions = [];
        foreach (RunningInstance instance in instances.All)
        {
            if (instance is { MainEnded: false, Process: { } main })
                living.Add(main.Pid);
            living.UnionWith(instance.Orphans);
            if (instance.Group > 1)
                sessions.Add(instance.Group);
        }
        return [.. found.Where(f => !sessions.Contains(f.Session)
            && f.Pid != Keeper && f.Ancestors.Prepend(f.Pid).All(p => !living.Contains(p) && !IsKnown(p)))];
    }

    /// <summary>A listener of an instance that is over.</summary>
    private sealed record LeftListener(Listener Listener, string Key, string Address, string Label);

    /// <summary>A process that was told.</summary>
    private sealed record WatchedHolder(ProcessHandle Process)
    {
        /// <summary>What it has, each with what is said of that.</summary>
        public Dictionary<Listener, string> Listeners { get; } = [];
    }
}
