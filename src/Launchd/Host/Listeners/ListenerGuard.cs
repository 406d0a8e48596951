using Launchd.Addresses;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Keeps listeners alive against those who share them. Every listening socket is watched for the hang-up that the kernel reports when a
/// holder has shut it down, and every path for what happens to it; what the kernel does not report (a filter, a shorter queue) is looked
/// for before a listener is handed out. What is found is mended on the same open socket if possible, else the socket is made anew at its
/// address, and the instances that hold the dead one are replaced. Watching costs nothing while nothing happens, and a listener that cannot
/// be helped is not watched, so that its hang-up wakes nobody.
/// </summary>
/// <remarks>
/// One registration with the loop for each listener, shared with activation, which also wants to know when it is readable.
/// </remarks>
internal sealed partial class ListenerGuard(
    EventLoop loop, DescriptorTable descriptors, StoppedIntakes stopped,
    ListenerPaths paths, SlowLanes lanes, Mailbox mailbox, Delays delays,
    EventFeed events, Counters counters, Journal journal, ILogger logger) : IDisposable
{
    /// <summary>At most one repair of a listener in this time, however often a program spoils it.</summary>
    private static readonly TimeSpan LeastPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MostPause = TimeSpan.FromSeconds(60);

    /// <summary>From READY or an end to the look at what the program has done to its listeners: it may be about to do it.</summary>
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(50);
    private const string Mended = "mended";

    /// <summary>Listeners up to this number are asked one by one.</summary>
    private const int MostAskedAlone = 8;

    // Those that are looked at in a moment, all of them together: a service that is restarted all the
    // time is looked at twenty times a second.
    private readonly HashSet<Listener> _due = [];
    private bool _isDue;

    // Those whose repair has failed, and is tried again.
    private readonly HashSet<Listener> _troubled = [];

    /// <summary>Told when one was made anew, of the dead one and of its successor, before that is watched.</summary>
    public Action<Listener, Listener>? OnExchanged { get; set; }

    /// <summary>Told at the end of that, when the dead one may have nobody left who holds it.</summary>
    public Action? OnRetired { get; set; }

    /// <summary>Watches what the table holds now. What it holds no more is watched only where somebody waits for clients.</summary>
    public void Adopt()
    {
        foreach (Listener retired in descriptors.Retired)
        {
            if (retired.Watch.OnReadable is null)
                Forget(retired);
            else
                _ = Register(retired);
        }
        foreach (Listener listener in descriptors.Configured)
            _ = Register(listener);
        paths.Adopt();
    }

    /// <summary>Tells, level-triggered, while something waits in a listener. EPERM: it cannot be watched.</summary>
    public Errno WatchReadable(Listener listener, Action onReadable)
    {
        listener.Watch.OnReadable = onReadable;
        return Register(listener);
    }

    public void UnwatchReadable(Listener listener)
    {
        listener.Watch.OnReadable = null;
        _ = Register(listener);
    }

    /// <summary>Looks at the listeners that an instance of this slot is about to get.</summary>
    /// <returns>What is to be done on the thread of the birth before its program runs, with what it may wait for in words.</returns>
    public IReadOnlyList<(string WaitsFor, Action Work)> Check(Provision provision, int slot)
    {
        if (provision.Sockets.IsEmpty)
            return [];
        List<(string, Action)> first = [];
        ServiceName service = provision.Definition.Name;
        foreach ((_, OpenedListener opened) in provision.Listeners(slot).ToArray())
        {
            Listener listener = descriptors[opened];
            if (!listener.IsConfigured)
            {
                CheckRetired(listener, service);
                continue;
            }
            // Nobody can have spoilt what nobody was given.
            if (listener.Watch.GivenTo is not null && listener.Intake is null)
            {
                LookBefore(listener, first);
                if (PuttingBack(listener) is { } work)
                    first.Add(work);
            }
            listener.Watch.GivenTo = service;
        }
        return first;
    }

    /// <summary>An instance became ready, or is over: what it has done to its listeners is looked for in a moment.</summary>
    public void LookSoon(RunningInstance instance)
    {
        foreach (FileDescriptor given in instance.Given)
        {
            if (descriptors.Find(given) is { IsConfigured: true } listener)
                _ = _due.Add(listener);
        }
        if (_due.Count == 0 || _isDue)
            return;
        _isDue = true;
        delays.After(Soon, _due, () =>
        {
            _isDue = false;
            Listener[] all = [.. _due];
            _due.Clear();
            // For each single question the kernel goes through all Unix sockets of the machine: many are one question.
            UnixQueues? queues = all.Length > MostAskedAlone ? new UnixQueues() : null;
            // One that rests is looked at when its rest is over, and not more often for a program that starts again and again.
            foreach (Listener listener in all.Where(l => !l.Watch.IsResting))
                Repair(listener, queues: queues);
        });
    }

    /// <summary>An instance is over: tries again what its holding may have hindered.</summary>
    public void HolderEnded()
    {
        if (_troubled.Count == 0)
            return;
        foreach (Listener listener in _troubled.ToArray())
            Repair(listener);
    }

    /// <summary>A listener is about to be closed.</summary>
    public void Forget(Listener listener)
    {
        ListenerWatch watch = listener.Watch;
        if (watch.IsRegistered)
            loop.Unwatch(listener.Descriptor);
        watch.IsRegistered = false;
        watch.OnReadable = null;
        delays.Cancel(listener);
        _ = _troubled.Remove(listener);
        _ = _due.Remove(listener);
        paths.Forget(listener);
    }

    public void Dispose()
    {
        foreach (Listener listener in descriptors.Configured.Concat(descriptors.Retired))
            Forget(listener);
    }

    // It goes to a service that went back to what it was; there is no place in the table where another could stand for it.
    private void CheckRetired(Listener listener, ServiceName service)
    {
        stopped.Resume(listener);
        _ = lanes.Of(service).TryLook(mailbox, [listener.Descriptor], Mending(listener), seen =>
        {
            if (seen is { Fault: not ListenerFault.None, IsMended: true })
                Tell(listener, seen.Words, Mended, seen.Fault == ListenerFault.BacklogShrunk ? Once : default);
        });
    }

    /// <summary>What looks at a listener as it is now and mends what can be mended; for another thread.</summary>
    /// <param name="listener">Looked at.</param>
    /// <param name="onlyPath">Its socket is not looked at: something happened at its path, and nothing else is known.</param>
    /// <param name="queues">For one of many listeners that are looked at together; null: for one alone.</param>
    private static Func<ListenerLook> Mending(Listener listener, bool onlyPath = false, UnixQueues? queues = null)
    {
        (OpenedListener opened, ListenAddress endpoint, int backlogCount) = (listener.Opened, listener.Endpoint, listener.BacklogCount);
        Func<ListenerLook, ListenerLook>? mendPath = MendingPath(listener);
        if (onlyPath)
        {
            ListenerLook notLooked = new(ListenerFault.None, "", IsMended: true) { IsOfPathAlone = true };
            return () => mendPath is null ? notLooked : mendPath(notLooked);
        }
        return () =>
        {
            ListenerFault fault = ListenerRepair.Look(opened, endpoint, backlogCount, queues);
            string words = WordsOf(fault, opened, backlogCount);
            bool isMended = fault == ListenerFault.None || ListenerRepair.TryMend(opened, endpoint, fault, backlogCount);
            ListenerLook seen = new(fault, words, isMended);
            return mendPath is null ? seen : mendPath(seen);
        };
    }

    /// <summary>Brings the registration in line with what is to be known.</summary>
    private Errno Register(Listener listener)
    {
        ListenerWatch watch = listener.Watch;
        bool isGuarded = !watch.IsResting && listener.IsConfigured && listener.Endpoint.IsConnectionOriented;
        bool isWanted = isGuarded || (watch.OnReadable is not null && !watch.IsResting);
        IoReadiness what =
            (watch.OnReadable is null ? IoReadiness.None : IoReadiness.Readable) | (isGuarded ? IoReadiness.HalfHungUp : IoReadiness.None);
        if (isWanted && watch.IsRegistered)
        {
            // Asked for each of thousands when another configuration holds.
            if (watch.What != what)
                loop.Change(listener.Descriptor, what);
            watch.What = what;
        }
        else if (isWanted)
        {
            watch.What = what;
            Errno refused = loop.Watch(listener.Descriptor, what, LoopPriority.Listener, ready => Happened(listener, ready));
            watch.IsRegistered = refused == Errno.None;
            return refused;
        }
        else if (watch.IsRegistered)
        {
            loop.Unwatch(listener.Descriptor);
            watch.IsRegistered = false;
        }
        return Errno.None;
    }

    private void Happened(Listener listener, IoReadiness ready)
    {
        ListenerWatch watch = listener.Watch;
        if (ready.HasFlag(IoReadiness.HungUp) && listener.IsConfigured && listener.Endpoint.IsConnectionOriented)
        {
            Moment now = HostClock.Now;
            bool isAgain = watch.HungUpAt is { } last && now - last < LeastPause;
            watch.HungUpAt = now;
            if (isAgain)
            {
                Rest(listener, LeastPause);
                return;
            }
            // It would be told without end while it is looked at.
            watch.IsResting = true;
            _ = Register(listener);
            Repair(listener);
        }
        else if (ready.HasFlag(IoReadiness.Readable))
        {
            watch.OnReadable?.Invoke();
        }
        else
        {
            // An error that only its holders can take from it (a queue of errors, ip(7)): it would be told without end.
            Rest(listener, LeastPause);
        }
    }

    /// <summary>
    /// Looks at it and mends what can be mended on the socket that is open, in the lane of the service that had it last: both wait for a
    /// lock that a holder may keep. Whoever is born meanwhile gets the same socket, and profits as well.
    /// </summary>
    private void Repair(Listener listener, bool onlyPath = false, UnixQueues? queues = null)
    {
        ListenerWatch watch = listener.Watch;
        if (watch.IsLookedAt || !listener.IsConfigured)
            return;
        SlowLane lane = watch.GivenTo is { } service ? lanes.Of(service) : lanes.Owners;
        bool wasInDoubt = watch.IsPathInDoubt;
        watch.IsLookedAt = lane.TryLook(mailbox, [listener.Descriptor], Mending(listener, onlyPath, queues), seen =>
        {
            watch.IsLookedAt = false;
            Conclude(listener, seen);
        });
        if (watch.IsLookedAt)
            return;
        // The lane is full, and nothing was looked at.
        watch.IsPathInDoubt = wasInDoubt;
        LookAgain(listener, LeastPause, isOfSocket: !onlyPath);
    }

    private void Conclude(Listener listener, ListenerLook seen)
    {
        if (!IsToBeKept(listener, seen))
            return;
        // Something happened to it while it was looked at.
        bool isInDoubt = listener.Watch.IsPathInDoubt;
        TellOfPath(listener, seen);
        // Nothing else counts: programs shorten the queue at each start, and a hang-up soon after that is to be mended at once.
        if (seen.Fault == ListenerFault.ShutDown)
            listener.Watch.HungUpAt = HostClock.Now;
        if (seen is { Fault: not ListenerFault.None, IsMended: true })
            Tell(listener, seen.Words, Mended, seen.Fault == ListenerFault.BacklogShrunk ? Once : default);
        if (!seen.IsMended || seen.Path is { NeedsNew: true })
            TryMakeAnew(listener, seen);
        else if (seen.Path is { IsMended: false, Fault: not PathFault.Taken, Failure: { } hindrance })
            GiveUp(listener, hindrance, isOfSocket: false);
        else if (!seen.IsOfPathAlone || !listener.Watch.IsResting)
            Recover(listener);
        // Its socket was to be looked at meanwhile.
        if (seen.IsOfPathAlone && listener is { IsConfigured: true, Watch.IsResting: true })
            Repair(listener);
        else if (isInDoubt && listener is { IsConfigured: true, Path: not null })
            Repair(listener, onlyPath: true);
    }

    private void TryMakeAnew(Listener listener, ListenerLook seen)
    {
        // A reload has looked at the table and is about to exchange it.
        if (descriptors.IsAboutToChange)
        {
            LookAgain(listener, LeastPause, isOfSocket: !seen.IsMended);
            return;
        }
        OpenResult<ReplacementListener> opened = ReplacementListener.Open(listener.Endpoint, listener.Socket.Request, listener.Opened, []);
        OpenFailure? failure = opened.Failure ?? opened.Value.Take(isAlone: listener.Socket.Definition.ShardCount == 0);
        if (failure is null)
        {
            MakeAnew(listener, opened.Value, seen.IsMended ? seen.Path!.Words! : seen.Words);
            return;
        }
        if (opened.Failure is null)
            opened.Value.Undo();
        GiveUp(listener, failure, isOfSocket: !seen.IsMended);
    }

    private void MakeAnew(Listener dead, ReplacementListener replacement, string fault)
    {
        replacement.Finish();
        Listener next = descriptors.Replace(dead,
            replacement.Listener with { EndpointIndex = dead.Opened.EndpointIndex, ShardIndex = dead.Opened.ShardIndex });
        next.Watch.OnReadable = dead.Watch.OnReadable;
        next.Watch.GivenTo = dead.Watch.GivenTo;
        next.Watch.HungUpAt = HostClock.Now;
        Forget(dead);
        OnExchanged?.Invoke(dead, next);
        _ = Register(next);
        paths.Adopt();
        Tell(next, fault, "made anew");
        // They hold the dead socket, and nobody can take it from them: whoever comes waits for their successors.
        ServiceName[] holders = [.. dead.Holders.Select(i => i.Id.Service).Distinct()];
        if (holders.Length > 0)
        {
            RequestId own = events.NextOwnRequest();
            events.Feed(new Event.Requested(own, Verb.Restart, [.. holders]));
            events.Feed(new Event.ClientLeft(own));
        }
        OnRetired?.Invoke();
    }

    private void GiveUp(Listener listener, OpenFailure failure, bool isOfSocket)
    {
        ListenerWatch watch = listener.Watch;
        if (watch.Attempts == 0)
        {
            counters.Count("listeners-not-healed");
            // Who is in the way is found by a walk through all processes.
            bool isTold = new Offload(mailbox).TryRun(failure.ToString, Defect.Describe, text => SupervisorLog.NotHealed(logger, text));
            if (!isTold)
                SupervisorLog.NotHealed(logger, $"{failure.Subject}: {failure.Errno.Text}");
        }
        watch.Attempts = Math.Min(watch.Attempts + 1, 16);
        _ = _troubled.Add(listener);
        TimeSpan pause = LeastPause * Math.Pow(2, watch.Attempts - 1);
        LookAgain(listener, pause < MostPause ? pause : MostPause, isOfSocket);
    }

    /// <param name="listener">Rests if it is its socket that is not well; with a path alone it goes on.</param>
    /// <param name="pause">Until it is looked at again.</param>
    /// <param name="isOfSocket">As opposed to its path.</param>
    private void LookAgain(Listener listener, TimeSpan pause, bool isOfSocket)
    {
        listener.Watch.IsPathInDoubt |= !isOfSocket;
        listener.Watch.IsResting |= isOfSocket;
        _ = Register(listener);
        delays.After(pause, listener, () =>
        {
            Repair(listener);
            // One that the configuration has no more is only waited at.
            if (listener.Standing == ListenerStanding.Retired)
                Recover(listener);
        });
    }

    private void Rest(Listener listener, TimeSpan pause) => LookAgain(listener, pause, isOfSocket: true);

    private void Recover(Listener listener)
    {
        listener.Watch.Attempts = 0;
        _ = _troubled.Remove(listener);
        if (!listener.Watch.IsResting)
            return;
        listener.Watch.IsResting = false;
        delays.Cancel(listener);
        _ = Register(listener);
    }
}
