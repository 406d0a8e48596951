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
/// Lets an instance that is to end hear the clients that it accepted last. Most servers close on their stop signal every connection that
/// has not sent a request yet, also one that they accepted a moment ago and whose request is on its way, or lies in the socket already. So
/// before an instance is told to end, its epoll sets are changed to wait for its listeners no more. No client loses by that: new ones go to
/// another instance, or wait in the queue. The instance is told to end when it has heard the clients that it has accepted.
/// </summary>
/// <remarks>
/// Works only where the instance waits by epoll(7) and the supervisor can take its sets (<see cref="ProcessDescriptors.Explain"/>). Any
/// other instance is told to end when nobody waits in its queues, because a program that was busy may take everybody out of them at its
/// stop signal and send them away; at the latest after the same time. Called on the loop, but all work on the instance's processes is done
/// in the lane of its service, because they can make it last; the core's own deadline bounds it.
/// </remarks>
internal sealed class LastClients(
    RunningInstances instances, SlowLanes lanes, Mailbox mailbox, EventFeed events, Counters counters, ILogger logger)
{
    /// <summary>
    /// Counted from when the instance's sets stopped waiting, or from the first look where they did not. A client sends its request at
    /// once, unless it connects in advance.
    /// </summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Told of an instance before it is kept from accepting for the first time.</summary>
    public Action<RunningInstance>? OnBegun { get; set; }

    /// <summary>Whether the supervisor has stopped the instance from accepting.</summary>
    public static bool IsHearing(RunningInstance? instance) => instance?.Hearing is not null;

    /// <summary>
    /// Whether the instance has heard all clients that it accepted, and accepts no others. Null: <see cref="Event.QueuesSeen"/> will tell.
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
        if (!leaving.IsHeardOut)
        {
            leaving.IsHeardOut = true;
            OnBegun?.Invoke(leaving);
        }
        bool isUnderWay = lanes.Of(id.Service).TryRun(() =>
        {
            look.Run();
            mailbox.Post(() => Judge(id, look));
        });
        if (isUnderWay)
            return null;
        // The lane of the service is full, by the service's own doing: the core asks again in a while.
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
        // The instance does not wait by epoll, or its sets may not be changed.
        if (look.StoppedCount == 0 && leaving.Hearing is null)
        {
            leaving.EmptyingSince ??= HostClock.Now;
            return !look.HasQueue || HostClock.Now - leaving.EmptyingSince >= Patience;
        }
        Hearing hearing = leaving.Hearing ??= new Hearing(HostClock.Now);
        return hearing.IsOver(look) || HostClock.Now - hearing.Since >= Patience;
    }

    /// <param name="since">When the instance's epoll sets stopped waiting for its listeners.</param>
    internal sealed class Hearing(Moment since)
    {
        public Moment Since => since;

        // Inodes of connections: those that the last look found open, and those that any look has found heard.
        private HashSet<ulong> _accepted = [];
        private readonly HashSet<ulong> _heard = [];

        /// <summary>
        /// Whether no client was accepted since the last look, and every one was found heard: at this look or, for a kept connection
        /// that always has another request, at an earlier one.
        /// </summary>
        public bool IsOver(LastClientsLook look)
        {
            // The instance may have been about to accept another client when its sets stopped waiting.
            bool isOver = look.StoppedCount == 0 && look.Accepted.IsSubsetOf(_accepted) && look.Unheard.IsSubsetOf(_heard);
            _accepted = look.Accepted;
            // At the first look a client may just have been accepted and not have sent its request yet, so nobody counts as heard.
            if (look.StoppedCount == 0)
                _heard.UnionWith(look.Accepted.Except(look.Unheard));
            return isOver;
        }
    }
}
