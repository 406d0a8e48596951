using Launchd.Addresses;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Keeps listeners alive against those who share them. Every listening socket is watched for the hang-up that the kernel reports when a
/// holder has shut it down; what the kernel does not report (a filter, a shorter queue) is looked for before a listener is handed out. What
/// is found is mended on the same open socket if possible, else the socket is made anew at its address, and the instances that hold the
/// dead one are replaced. Watching costs nothing while nothing happens, and a listener that cannot be helped is not watched, so that its
/// hang-up wakes nobody.
/// </summary>
/// <remarks>One registration with the loop for each listener, shared with activation, which also wants to know when it is readable.</remarks>
internal sealed class ListenerGuard(
    EventLoop loop, DescriptorTable descriptors, StoppedIntakes stopped, SlowLanes lanes, Mailbox mailbox, Delays delays, EventFeed events,
    Counters counters, Journal journal, ILogger logger) : IDisposable
{
    /// <summary>At most one repair of a listener in this time, however often a program spoils it.</summary>
    private static readonly TimeSpan LeastPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MostPause = TimeSpan.FromSeconds(60);

    private readonly Dictionary<FileDescriptor, Watch> _watches = [];

    // Those whose repair has failed, and is tried again.
    private readonly HashSet<Watch> _troubled = [];

    /// <summary>Told when one was made anew, of the dead one and of its successor, before that is watched.</summary>
    public Action<FileDescriptor, FileDescriptor>? OnExchanged { get; set; }

    /// <summary>Told at the end of that, when the dead one may have nobody left who holds it.</summary>
    public Action? OnRetired { get; set; }

    /// <summary>Watches what the table holds now, and nothing else.</summary>
    public void Adopt()
    {
        HashSet<FileDescriptor> held = [.. descriptors.Sockets.SelectMany(s => s.Opened).Select(l => l.Descriptor)];
        foreach ((FileDescriptor descriptor, Watch watch) in _watches.Where(w => !held.Contains(w.Key)).ToArray())
            Forget(descriptor, watch);
        foreach (HeldSocket socket in descriptors.Sockets)
        {
            foreach (OpenedListener listener in socket.Opened)
                Register(WatchOf(listener.Descriptor));
        }
    }

    /// <summary>Tells, level-triggered, while something waits in a listener. EPERM: it cannot be watched.</summary>
    public Errno WatchReadable(FileDescriptor listener, Action onReadable)
    {
        Watch watch = WatchOf(listener);
        watch.OnReadable = onReadable;
        return Register(watch);
    }

    public void UnwatchReadable(FileDescriptor listener)
    {
        if (!_watches.TryGetValue(listener, out Watch? watch))
            return;
        watch.OnReadable = null;
        Register(watch);
    }

    /// <summary>Looks at the listeners that an instance of this slot is about to get.</summary>
    public void Check(Provision provision, int slot)
    {
        if (provision.Sockets.IsEmpty)
            return;
        ServiceName service = provision.Definition.Name;
        foreach ((_, OpenedListener listener) in provision.Listeners(slot).ToArray())
        {
            if (Find(listener.Descriptor) is null)
            {
                CheckRetired(listener, service);
                continue;
            }
            Watch watch = WatchOf(listener.Descriptor);
            // Nobody can have spoilt what nobody was given.
            if (watch.GivenTo is not null && !stopped.IsStopped(listener.Descriptor))
                Repair(watch);
            watch.GivenTo = service;
        }
    }

    /// <summary>An instance is over: tries again what its holding may have hindered.</summary>
    public void HolderEnded()
    {
        if (_troubled.Count == 0)
            return;
        foreach (Watch watch in _troubled.ToArray())
            Repair(watch);
    }

    /// <summary>Whether the supervisor waits for who comes to a listener.</summary>
    public bool IsWatchedForClients(FileDescriptor listener) => _watches.TryGetValue(listener, out Watch? watch) && watch.OnReadable is not null;

    /// <summary>As if the loop had found it readable. False: nobody wants to know.</summary>
    public bool TellReadable(FileDescriptor listener)
    {
        if (!IsWatchedForClients(listener))
            return false;
        _watches[listener].OnReadable!();
        return true;
    }

    /// <summary>A listener is about to be closed.</summary>
    public void Forget(FileDescriptor listener)
    {
        if (_watches.TryGetValue(listener, out Watch? watch))
            Forget(listener, watch);
    }

    public void Dispose()
    {
        foreach ((FileDescriptor descriptor, Watch watch) in _watches.ToArray())
            Forget(descriptor, watch);
    }

    // It goes to a service that went back to what it was; there is no place in the table where another could stand for it.
    private void CheckRetired(OpenedListener listener, ServiceName service)
    {
        HeldSocket socket = descriptors.FindRetired(listener.Descriptor)!.Socket;
        stopped.Resume(listener.Descriptor);
        ListenAddress endpoint = socket.EndpointOf(listener);
        _ = lanes.Of(service).TryLook(mailbox, [listener.Descriptor], () => Mend(listener, endpoint, socket.Request.BacklogCount), seen =>
        {
            if (seen is { Fault: not ListenerFault.None, IsMended: true })
                Tell(socket, listener, seen.Fault, isAnew: false);
        });
    }

    private static (ListenerFault Fault, bool IsMended) Mend(OpenedListener listener, ListenAddress endpoint, int backlogCount)
    {
        ListenerFault fault = ListenerRepair.Look(listener, endpoint, backlogCount);
        return (fault, fault == ListenerFault.None || ListenerRepair.TryMend(listener, endpoint, fault, backlogCount));
    }

    private Watch WatchOf(FileDescriptor listener)
    {
        if (!_watches.TryGetValue(listener, out Watch? watch))
            _watches.Add(listener, watch = new Watch(listener));
        return watch;
    }

    private void Forget(FileDescriptor descriptor, Watch watch)
    {
        if (watch.IsRegistered)
            loop.Unwatch(descriptor);
        watch.IsRegistered = false;
        delays.Cancel(watch);
        _watches.Remove(descriptor);
        _ = _troubled.Remove(watch);
    }

    /// <summary>Brings the registration in line with what is to be known.</summary>
    private Errno Register(Watch watch)
    {
        bool isGuarded = !watch.IsResting && Find(watch.Descriptor) is var (socket, listener) && socket.EndpointOf(listener).IsConnectionOriented;
        bool isWanted = isGuarded || (watch.OnReadable is not null && !watch.IsResting);
        IoReadiness what = (watch.OnReadable is null ? IoReadiness.None : IoReadiness.Readable) | (isGuarded ? IoReadiness.HalfHungUp : IoReadiness.None);
        if (isWanted && watch.IsRegistered)
        {
            // Asked for each of thousands when another configuration holds.
            if (watch.What != what)
                loop.Change(watch.Descriptor, what);
            watch.What = what;
        }
        else if (isWanted)
        {
            watch.What = what;
            Errno refused = loop.Watch(watch.Descriptor, what, LoopPriority.Listener, ready => Happened(watch, ready));
            watch.IsRegistered = refused == Errno.None;
            return refused;
        }
        else if (watch.IsRegistered)
        {
            loop.Unwatch(watch.Descriptor);
            watch.IsRegistered = false;
        }
        return Errno.None;
    }

    private void Happened(Watch watch, IoReadiness ready)
    {
        if (ready.HasFlag(IoReadiness.HungUp) && Find(watch.Descriptor) is var (socket, listener) && socket.EndpointOf(listener).IsConnectionOriented)
        {
            Moment now = HostClock.Now;
            bool isAgain = watch.LookedAt is { } last && now - last < LeastPause;
            watch.LookedAt = now;
            if (isAgain)
            {
                Rest(watch, LeastPause);
                return;
            }
            // It would be told without end while it is looked at.
            watch.IsResting = true;
            Register(watch);
            Repair(watch);
        }
        else if (ready.HasFlag(IoReadiness.Readable))
        {
            watch.OnReadable?.Invoke();
        }
        else
        {
            // An error that only its holders can take from it (a queue of errors, ip(7)): it would be told without end.
            Rest(watch, LeastPause);
        }
    }

    /// <summary>
    /// Looks at it and mends what can be mended on the socket that is open, in the lane of the service that had it last: both wait for a lock that
    /// a holder may keep. Whoever is born meanwhile gets the same socket, and profits as well.
    /// </summary>
    private void Repair(Watch watch)
    {
        if (watch.IsLookedAt || Find(watch.Descriptor) is not var (socket, listener))
            return;
        ListenAddress endpoint = socket.EndpointOf(listener);
        SlowLane lane = watch.GivenTo is { } service ? lanes.Of(service) : lanes.Owners;
        watch.IsLookedAt = lane.TryLook(mailbox, [watch.Descriptor], () => Mend(listener, endpoint, socket.Request.BacklogCount), seen =>
        {
            watch.IsLookedAt = false;
            Conclude(watch, seen.Fault, seen.IsMended);
        });
        if (!watch.IsLookedAt)
            Rest(watch, LeastPause);
    }

    private void Conclude(Watch watch, ListenerFault fault, bool isMended)
    {
        if (_watches.GetValueOrDefault(watch.Descriptor) != watch || Find(watch.Descriptor) is not var (socket, listener))
            return;
        if (fault == ListenerFault.None)
        {
            Recover(watch);
            return;
        }
        watch.LookedAt = HostClock.Now;
        if (isMended)
        {
            Recover(watch);
            Tell(socket, listener, fault, isAnew: false);
            return;
        }
        // A reload has looked at the table and is about to exchange it.
        if (descriptors.IsAboutToChange)
        {
            Rest(watch, LeastPause);
            return;
        }
        OpenResult<ReplacementListener> opened = ReplacementListener.Open(socket.EndpointOf(listener), socket.Request, listener, []);
        OpenFailure? failure = opened.Failure ?? opened.Value.Take(isAlone: socket.Definition.ShardCount == 0);
        if (failure is null)
            MakeAnew(watch, socket, listener, opened.Value, fault);
        else
            GiveUp(watch, opened, failure);
    }

    private void MakeAnew(Watch watch, HeldSocket socket, OpenedListener listener, ReplacementListener replacement, ListenerFault fault)
    {
        replacement.Finish();
        OpenedListener next = replacement.Listener with { EndpointIndex = listener.EndpointIndex, ShardIndex = listener.ShardIndex };
        descriptors.Replace(socket, listener, next, next.Descriptor);
        Action? onReadable = watch.OnReadable;
        Forget(watch.Descriptor, watch);
        OnExchanged?.Invoke(listener.Descriptor, next.Descriptor);
        Watch anew = WatchOf(next.Descriptor);
        anew.OnReadable = onReadable;
        anew.GivenTo = watch.GivenTo;
        anew.LookedAt = HostClock.Now;
        Register(anew);
        Tell(socket, listener, fault, isAnew: true);
        // They hold the dead socket, and nobody can take it from them: whoever comes waits for their successors.
        ServiceName[] holders = [.. descriptors.HoldersOf(listener.Descriptor).Select(i => i.Id.Service).Distinct()];
        if (holders.Length > 0)
        {
            RequestId own = events.NextOwnRequest();
            events.Feed(new Event.Requested(own, Verb.Restart, [.. holders]));
            events.Feed(new Event.ClientLeft(own));
        }
        OnRetired?.Invoke();
    }

    private void GiveUp(Watch watch, OpenResult<ReplacementListener> opened, OpenFailure failure)
    {
        if (opened.Failure is null)
            opened.Value.Undo();
        if (watch.Attempts == 0)
        {
            counters.Count("listeners-not-healed");
            // Who is in the way is found by a walk through all processes.
            bool isTold = new Offload(mailbox).TryRun(failure.ToString, Defect.Describe, text => SupervisorLog.NotHealed(logger, text));
            if (!isTold)
                SupervisorLog.NotHealed(logger, $"{failure.Subject}: {failure.Errno.Text}");
        }
        watch.Attempts = Math.Min(watch.Attempts + 1, 16);
        _ = _troubled.Add(watch);
        TimeSpan pause = LeastPause * Math.Pow(2, watch.Attempts - 1);
        Rest(watch, pause < MostPause ? pause : MostPause);
    }

    private void Rest(Watch watch, TimeSpan pause)
    {
        watch.IsResting = true;
        Register(watch);
        delays.After(pause, watch, () =>
        {
            Repair(watch);
            // One that is not in the table is only waited at.
            if (Find(watch.Descriptor) is null && _watches.ContainsKey(watch.Descriptor))
                Recover(watch);
        });
    }

    private void Recover(Watch watch)
    {
        watch.Attempts = 0;
        _ = _troubled.Remove(watch);
        if (!watch.IsResting)
            return;
        watch.IsResting = false;
        delays.Cancel(watch);
        Register(watch);
    }

    private void Tell(HeldSocket socket, OpenedListener listener, ListenerFault fault, bool isAnew)
    {
        string what = fault switch
        {
            ListenerFault.BacklogShrunk => "its queue was shortened",
            ListenerFault.Filtered => "a packet filter was put on it",
            ListenerFault.Connected => "it was connected to a peer",
            _ => "it was shut down",
        };
        counters.Count("listeners-healed");
        journal.Add(new ListenerHealed(socket.Key, listener.Address, what, isAnew ? "made anew" : "mended"));
        SupervisorLog.Healed(logger, socket.Key, listener.Address, what, isAnew ? "it was made anew" : "it was mended");
    }

    private (HeldSocket Socket, OpenedListener Listener)? Find(FileDescriptor descriptor) => descriptors.FindListener(descriptor);

    /// <summary>What is known of one listener, beyond what the kernel tells.</summary>
    private sealed class Watch(FileDescriptor descriptor)
    {
        public FileDescriptor Descriptor => descriptor;
        public Action? OnReadable { get; set; }
        public bool IsRegistered { get; set; }

        /// <summary>For what it is registered.</summary>
        public IoReadiness What { get; set; }

        /// <summary>Not registered for a while, because its hang-up would wake the loop for ever.</summary>
        public bool IsResting { get; set; }

        /// <summary>The service of the last instance that got it; null: nobody has.</summary>
        public ServiceName? GivenTo { get; set; }

        /// <summary>A look at it has not come back yet.</summary>
        public bool IsLookedAt { get; set; }

        /// <summary>When something was wrong last.</summary>
        public Moment? LookedAt { get; set; }

        /// <summary>Repairs in a row that failed.</summary>
        public int Attempts { get; set; }
    }
}
