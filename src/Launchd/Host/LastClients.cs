using Launchd.Client;
using Launchd.Core;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Those whom an instance accepted last. Most servers close on their stop signal every connection that has not sent a request yet, also the
/// one that they accepted a moment ago and whose request is on its way, or lies in the socket already. So before an instance is told to end, its epoll sets
/// stop waiting for the listeners, which takes nothing from anybody: clients go to another instance, or wait in the queue. It is told when
/// those whom it has accepted were heard. On the loop; the looking itself is done in a lane.
/// </summary>
/// <remarks>
/// Only where the instance waits by epoll(7), and where its sets can be had, as <see cref="ProcessDescriptors.Explain"/> says: any other is told at once.
/// </remarks>
internal sealed class LastClients(SupervisorHost host, HostParts parts)
{
    /// <summary>From the last acceptance on: who wants something says so at once, unless it connects in advance.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private const int MostProcesses = 64, MostDescriptors = 1 << 16, MostSets = 64;

    /// <summary>More is seen to at the next look.</summary>
    private const int MostChanges = 16;

    /// <summary>
    /// Whether whom the instance accepted has been heard, and it accepts nobody else. Null: <see cref="Event.QueuesSeen"/> will tell.
    /// </summary>
    public bool? AreHeard(InstanceId id)
    {
        if (host.Effects.Instances.Find(id) is not { MainEnded: false, Process: { } process } leaving)
            return true;
        List<ListenerClients> listeners = [];
        foreach (FileDescriptor listener in leaving.Given)
        {
            if (ListenerClients.Of(listener) is { } clients)
                listeners.Add(clients);
        }
        if (listeners.Count == 0)
            return true;
        List<int> pids = leaving.Definition.Stop.Kill == KillScope.Process ? [process.Pid] : ProcessTree.WithDescendants(process.Pid, MostProcesses);
        bool isHearing = leaving.Hearing is not null;
        SlowLane closer = parts.Lanes.Of(id.Service);
        bool isUnderWay = parts.Lanes.Looks.TryRun(() =>
        {
            Findings findings = new();
            foreach (int pid in pids)
                findings.Look(pid, listeners, isHearing, closer);
            parts.Mailbox.Post(() => Judge(id, findings));
        });
        // With too many looks waiting the core asks again in a while.
        return isUnderWay ? null : false;
    }

    private void Judge(InstanceId id, Findings findings)
    {
        bool areHeard = host.Effects.Instances.Find(id) is not { MainEnded: false } leaving || Judge(leaving, findings);
        host.Feed(new Event.QueuesSeen(id, areHeard));
    }

    private bool Judge(RunningInstance leaving, Findings findings)
    {
        int stoppedCount = 0;
        foreach (EpollEntry entry in findings.Waiting.Take(MostChanges))
            stoppedCount += Stop(leaving, entry) ? 1 : 0;
        // It does not wait by epoll, or may not be touched.
        if (stoppedCount == 0 && leaving.Hearing is null)
            return true;
        Hearing hearing = leaving.Hearing ??= new Hearing(SupervisorHost.Now);
        // It may have been about to accept another when its sets stopped waiting.
        bool isDone = stoppedCount == 0 && findings.UnheardCount == 0 && findings.Accepted.IsSubsetOf(hearing.Accepted);
        hearing.Accepted = findings.Accepted;
        return isDone || SupervisorHost.Now - hearing.Since >= Patience;
    }

    private bool Stop(RunningInstance leaving, EpollEntry entry)
    {
        FileDescriptor? listener = leaving.Given.Find(d => FileStatus.Read(d, out FileStatus status) == Errno.None && status.Inode == entry.Inode);
        if (listener is null)
            return false;
        // A pid that is another's by now harms nobody: a set that does not wait for this very listener is not changed.
        using PidFd? process = PidFd.TryOpen(entry.Pid);
        if (process is null)
            return false;
        using FileDescriptor? set = ProcessDescriptors.Take(process, entry.Set, parts.Lanes.Of(leaving.Id.Service), out Errno refused);
        if (set is not null)
            refused = parts.Launcher.ChangeEpoll(set, listener, entry, events: 0);
        if (refused != Errno.None)
            host.Count("accepts-not-stopped");
        return refused == Errno.None;
    }

    /// <summary>What a look found. Filled in the lane: touches nothing of the loop's, and does not throw.</summary>
    private sealed class Findings
    {
        private int _setCount;

        /// <summary>What waits for one of the listeners and can be stopped.</summary>
        public List<EpollEntry> Waiting { get; } = [];

        /// <summary>Inodes of the connections that are open.</summary>
        public HashSet<ulong> Accepted { get; } = [];

        /// <summary>Of those, who waits to be heard.</summary>
        public int UnheardCount { get; private set; }

        public void Look(int pid, List<ListenerClients> listeners, bool isHearing, SlowLane closer)
        {
            List<int> sockets = [];
            foreach ((int number, string link) in ProcessDescriptors.Links(pid).Take(MostDescriptors))
            {
                if (link.StartsWith("socket:", StringComparison.Ordinal))
                    sockets.Add(number);
                else if (link == "anon_inode:[eventpoll]" && ++_setCount <= MostSets)
                    Waiting.AddRange(EpollEntry.Read(pid, number).Where(e => e.IsAwake && !e.IsExclusive && listeners.Exists(l => l.ListenerInode == e.Inode)));
            }
            // Who does not wait by epoll is told at once, whomever it has accepted.
            if (!isHearing && Waiting.Count == 0)
                return;
            using PidFd? process = PidFd.TryOpen(pid);
            foreach (int number in process is null ? [] : sockets)
            {
                using FileDescriptor? socket = ProcessDescriptors.Take(process!, number, closer, out _);
                if (socket is null || !listeners.Exists(l => l.Contain(socket)) || FileStatus.Read(socket, out FileStatus status) != Errno.None)
                    continue;
                _ = Accepted.Add(status.Inode);
                UnheardCount += ListenerClients.IsUnheard(socket) ? 1 : 0;
            }
        }
    }

    /// <param name="since">When its sets stopped waiting.</param>
    internal sealed class Hearing(Moment since)
    {
        public Moment Since => since;

        /// <summary>As the last look found them.</summary>
        public HashSet<ulong> Accepted { get; set; } = [];
    }
}
