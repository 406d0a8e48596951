using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Instances;

/// <summary>
/// Those whom an instance accepted last. Most servers close on their stop signal every connection that has not sent a request yet, also the
/// one that they accepted a moment ago and whose request is on its way, or lies in the socket already. So before an instance is told to
/// end, its epoll sets stop waiting for the listeners, which takes nothing from anybody: clients go to another instance, or wait in the
/// queue. It is told when those whom it has accepted were heard.
/// </summary>
/// <remarks>
/// Only where the instance waits by epoll(7), and where its sets can be had, as <see cref="ProcessDescriptors.Explain"/> says: any
/// other is told at once. On the loop; all that is done to the instance's processes is done in the lane of its service, for they can
/// make it last: then the core's own deadline is the end.
/// </remarks>
internal sealed class LastClients(
    RunningInstances instances, SlowLanes lanes, Mailbox mailbox, EventFeed events, Counters counters, ILogger logger)
{
    /// <summary>From when its sets stopped waiting: who wants something says so at once, unless it connects in advance.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>The instance accepts no more, by our doing.</summary>
    public static bool IsHearing(RunningInstance? instance) => instance?.Hearing is not null;

    /// <summary>
    /// Whether whom the instance accepted has been heard, and it accepts nobody else. Null: <see cref="Event.QueuesSeen"/> will tell.
    /// </summary>
    public bool? AreHeard(InstanceId id)
    {
        if (instances.Find(id) is not { MainEnded: false, Process: { } process } leaving)
            return true;
        List<ListenerClients> listeners = [];
        foreach (FileDescriptor listener in leaving.Given)
        {
            if (ListenerClients.Of(listener) is { } clients)
                listeners.Add(clients);
        }
        if (listeners.Count == 0)
            return true;
        LastClientsLook look = new(
            process.Pid, withDescendants: leaving.Definition.Stop.Kill != KillScope.Process, listeners, IsHearing(leaving));
        bool isUnderWay = lanes.Of(id.Service).TryRun(() =>
        {
            look.Run();
            mailbox.Post(() => Judge(id, look));
        });
        if (isUnderWay)
            return null;
        // The service has made its lane wait already: the core asks again in a while.
        look.Dispose();
        return false;
    }

    private void Judge(InstanceId id, LastClientsLook look)
    {
        if (look.RefusedCount > 0)
            counters.Count("accepts-not-stopped");
        if (look.Defect is { } defect)
            SupervisorLog.EffectFailed(logger, "look at last clients", defect);
        bool areHeard = instances.Find(id) is not { MainEnded: false } leaving || Judge(leaving, look);
        events.Feed(new Event.QueuesSeen(id, areHeard));
    }

    private static bool Judge(RunningInstance leaving, LastClientsLook look)
    {
        // It does not wait by epoll, or may not be touched.
        if (look.StoppedCount == 0 && leaving.Hearing is null)
            return true;
        Hearing hearing = leaving.Hearing ??= new Hearing(HostClock.Now);
        return hearing.IsOver(look) || HostClock.Now - hearing.Since >= Patience;
    }

    /// <param name="since">When its sets stopped waiting.</param>
    internal sealed class Hearing(Moment since)
    {
        public Moment Since => since;

        // Inodes: of the connections that the last look found, and of those that one look has found heard.
        private HashSet<ulong> _accepted = [];
        private readonly HashSet<ulong> _heard = [];

        /// <summary>
        /// Whether nobody has come since the last look, and everybody was heard: at this one or, on a kept connection
        /// that has always more to say, at one before.
        /// </summary>
        public bool IsOver(LastClientsLook look)
        {
            // It may have been about to accept another when its sets stopped waiting.
            bool isOver = look.StoppedCount == 0 && look.Accepted.IsSubsetOf(_accepted) && look.Unheard.IsSubsetOf(_heard);
            _accepted = look.Accepted;
            // At the first look somebody may just have come, and not said anything yet.
            if (look.StoppedCount == 0)
                _heard.UnionWith(look.Accepted.Except(look.Unheard));
            return isOver;
        }
    }
}
