using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>Carries out the core's orders, one method each. Owns the instances, the connections and the stored descriptors.</summary>
internal sealed class EffectRunner : IDisposable
{
    private const int MostGoneInATurn = 64;
    private const int PriorityOfHangUps = LoopPriority.Listener;

    private readonly SupervisorHost _host;
    private readonly HostParts _parts;
    private readonly Dictionary<ConnectionId, AcceptedConnection> _connections = [];
    private readonly Dictionary<DescriptorId, FileDescriptor> _received = [];

    // What the stores of services hold, to tell what is there already.
    private readonly Dictionary<ServiceName, DescriptorSet> _stored = [];
    private readonly Dictionary<DescriptorId, ServiceName> _storedBy = [];
    private readonly Dictionary<ServiceName, List<FileDescriptor>> _watched = [];
    private readonly Dictionary<FileDescriptor, ServiceName> _watchedBy = [];
    private readonly ListenerUse _use;
    private readonly Preparations _preparations;
    private readonly QueueLooks _queueLooks;
    private long _connectionCount;
    private long _descriptorCount;

    public EffectRunner(SupervisorHost host, HostParts parts)
    {
        _host = host;
        _parts = parts;
        _use = new ListenerUse(parts.Loop);
        _preparations = new Preparations(host, parts);
        _queueLooks = new QueueLooks(host, parts);
        Instances = new InstanceTable(host, parts);
    }

    public InstanceTable Instances { get; }

    /// <summary>Answers operators; set once the control server stands.</summary>
    public Action<RequestId, ImmutableArray<Outcome>>? OnReply { get; set; }

    public void Run(Effect effect)
    {
        switch (effect)
        {
            case Effect.Prepare e: _preparations.Begin(e.Instance, e.Definition); break;
            case Effect.Spawn e: Spawn(e); break;
            case Effect.EndBirth e: Instances.EndBirth(e.Instance); break;
            case Effect.Signal e: Instances.Signal(e.Instance, e.Number, e.Scope); break;
            case Effect.RunCommand e: Instances.RunCommand(e.Instance, e.Kind, e.Arguments); break;
            case Effect.EndCommand e: Instances.EndCommand(e.Instance, e.Kind); break;
            case Effect.StartProbe e: Instances.Checks.StartProbe(e.Instance); break;
            case Effect.EndProbe e: Instances.Checks.EndProbe(e.Instance); break;
            case Effect.Release e: Release(e.Instance); break;
            case Effect.ArmTimer e: _host.Timers.Arm(e.Key, e.Due); break;
            case Effect.DisarmTimer e: _host.Timers.Disarm(e.Key); break;
            case Effect.WatchListeners e: WatchListeners(e.Service); break;
            case Effect.UnwatchListeners e: UnwatchListeners(e.Service); break;
            case Effect.WatchUse e: WatchUse(e.Service); break;
            case Effect.UnwatchUse e: _use.Unwatch(e.Service); break;
            case Effect.LookForUse e: LookForUse(e.Service); break;
            case Effect.LookAtQueues e: _queueLooks.Begin(e); break;
            case Effect.Accept e: Accept(e); break;
            case Effect.CloseConnection e: CloseConnection(e.Connection); break;
            case Effect.Keep e: Keep(e); break;
            case Effect.CloseDescriptor e: CloseDescriptor(e.Descriptor); break;
            case Effect.AnswerStore e: _host.Channels.Methods.AnswerStore(e.Call, e.Answer); break;
            case Effect.Reply e: OnReply?.Invoke(e.Request, e.Outcomes); break;
            case Effect.Report e: Report(e.Notice); break;
            case Effect.AwaitTurn: _host.Orders.IsTurnAwaited = true; break;
            case Effect.Exit e: Instances.EndAll(() => _host.Orders.ExitCode = e.Code); break;
            case Effect.StartHealth e: Instances.Checks.StartHealth(e.Instance); break;
            case Effect.EndHealth e: Instances.Checks.EndHealth(e.Instance); break;
            case Effect.Forget e: Forget(e.Service); break;
            case Effect.TellReload e: _host.Channels.TellReload(e.Instance); break;
            case Effect.TellDrain e: _host.Channels.TellDrain(e.Instance, e.Deadline, e.Successor); break;
            case Effect.TellHandOver e: _host.Channels.TellHandOver(e.Instance, e.Successor); break;
            case Effect.TellPredecessorEnded e: _host.Channels.TellPredecessorEnded(e.Instance, e.Predecessor); break;
            default: throw new System.Diagnostics.UnreachableException(effect.GetType().Name);
        }
    }

    /// <summary>Takes a descriptor that came with a notification; the core decides what becomes of it.</summary>
    public DescriptorId Receive(FileDescriptor taken)
    {
        DescriptorId id = new(++_descriptorCount);
        _received.Add(id, taken);
        return id;
    }

    /// <summary>Closes what came with an event that the core never took.</summary>
    public void Discard(Event lost)
    {
        if (lost is Event.ConnectionAccepted accepted)
            CloseConnection(accepted.Connection);
        if (lost is Event.SpawnFailed { Connection: { } givenBack })
            CloseConnection(givenBack);
        ImmutableArray<DescriptorId> received = lost switch
        {
            Event.Notified e => e.Descriptors,
            Event.StoreAsked e => e.Order.Descriptors,
            Event.StateSaved e => [e.Descriptor],
            _ => [],
        };
        foreach (DescriptorId id in received)
            CloseDescriptor(id);
    }

    /// <summary>Those of received descriptors that the store of a service has already, or that came twice: the same open file description.</summary>
    /// <param name="service">Whose store.</param>
    /// <param name="replaced">What goes by this name does not count; null: everything does.</param>
    /// <param name="received">From <see cref="Receive"/>.</param>
    public ImmutableArray<DescriptorId> FindDuplicates(ServiceName service, string? replaced, ImmutableArray<DescriptorId> received)
    {
        DescriptorSet? stored = _stored.GetValueOrDefault(service);
        DescriptorSet together = new();
        HashSet<FileDescriptor> gone = [.. (replaced is null ? [] : _host.Core.Find(service)?.Stored ?? [])
            .Where(s => s.Name == replaced).Select(s => FindStored(s.Id)).OfType<FileDescriptor>()];
        List<DescriptorId> duplicates = [];
        foreach (DescriptorId id in received)
        {
            FileDescriptor taken = _received[id];
            DescriptorIdentity identity = Channel.DescriptorFacts.Of(taken).Identity;
            bool isStored = stored?.Find(identity, taken) is { } same && !gone.Contains(same);
            if (isStored || !together.Add(identity, taken))
                duplicates.Add(id);
        }
        return [.. duplicates];
    }

    public FileDescriptor? FindStored(DescriptorId id) => _received.GetValueOrDefault(id);

    /// <summary>The bound address of a service's listener, for events and the log.</summary>
    public string? AddressOf(ServiceName service, int listenerIndex) =>
        ListenersOf(service).ElementAtOrDefault(listenerIndex) is { Definition: { } definition } ? definition.Key : null;

    public void Dispose()
    {
        Instances.Dispose();
        _preparations.Dispose();
        foreach (ServiceName service in _watched.Keys.ToArray())
            UnwatchListeners(service);
        _use.Dispose();
        foreach (AcceptedConnection connection in _connections.Values)
            connection.Dispose();
        foreach (FileDescriptor descriptor in _received.Values)
            descriptor.Dispose();
    }

    private void Spawn(Effect.Spawn spawn)
    {
        AcceptedConnection? connection = null;
        if (spawn.Connection is { } id)
            _connections.Remove(id, out connection);
        Preparations.Preparation prepared = _preparations.Take(spawn.Instance);
        IReadOnlyList<(string, FileDescriptor)> stored = spawn.Stored.IsEmpty ? []
            : [.. spawn.Stored.Where(s => _received.ContainsKey(s.Id)).Select(s => (s.Name, _received[s.Id]))];
        Instances.Begin(spawn, connection, prepared, stored, Keep);

        ConnectionId Keep(AcceptedConnection unserved)
        {
            _connections.Add(spawn.Connection!.Value, unserved);
            return spawn.Connection.Value;
        }
    }

    private void Release(InstanceId id)
    {
        _preparations.Cancel(id);
        Instances.Release(id);
    }

    /// <summary>Another configuration holds: services that wait for clients wait at the listeners that they have now.</summary>
    public void Rewatch()
    {
        foreach ((ServiceName service, List<FileDescriptor> watched) in _watched.ToArray())
        {
            if (_host.Core.Find(service) is null)
                UnwatchListeners(service);
            else if (!ListenersOf(service).Select(l => l.Listener.Descriptor).SequenceEqual(watched))
                WatchListeners(service);
        }
    }

    /// <summary>A listener is about to be closed; another may be watched in its place.</summary>
    public void ForgetListener(FileDescriptor listener, FileDescriptor? successor = null)
    {
        _use.Forget(listener);
        if (!_watchedBy.Remove(listener, out ServiceName service) || !_watched.TryGetValue(service, out List<FileDescriptor>? watched))
            return;
        int at = watched.IndexOf(listener);
        if (at < 0)
            return;
        if (successor is null)
        {
            watched.RemoveAt(at);
            return;
        }
        watched[at] = successor;
        _watchedBy[successor] = service;
    }

    private IEnumerable<(ListenerDefinition Definition, OpenedListener Listener)> ListenersOf(ServiceName service)
    {
        // A service that a reload took out waits for nobody.
        if (_host.Core.Find(service) is not { IsLeaving: false } state || !_parts.Descriptors.Provisions.TryFind(state.Definition, out Provision? provision))
            yield break;
        foreach (HeldSocket socket in provision.Sockets)
        {
            foreach (OpenedListener one in socket.Opened)
                yield return (socket.Definition, one);
        }
    }

    private void WatchListeners(ServiceName service)
    {
        UnwatchListeners(service);
        List<FileDescriptor> watched = [];
        _watched.Add(service, watched);
        int index = 0;
        foreach ((_, OpenedListener listener) in ListenersOf(service))
        {
            int number = index++;
            if (_host.Guard.WatchReadable(listener.Descriptor, () => _host.Events.Feed(new Event.ListenerReadable(service, number))) == Errno.None)
            {
                watched.Add(listener.Descriptor);
                _watchedBy[listener.Descriptor] = service;
            }
            else
            {
                _host.Counters.Count("listeners-unwatchable");
            }
        }
    }

    // By what was watched, not by what the service has: a reload may have given it others.
    private void UnwatchListeners(ServiceName service)
    {
        if (!_watched.Remove(service, out List<FileDescriptor>? watched))
            return;
        foreach (FileDescriptor listener in watched)
        {
            _host.Guard.UnwatchReadable(listener);
            if (_watchedBy.GetValueOrDefault(listener) == service)
                _ = _watchedBy.Remove(listener);
        }
    }

    private void Forget(ServiceName service)
    {
        UnwatchListeners(service);
        _use.Unwatch(service);
        if (_host.Core.Find(service) is null or { Stored.IsEmpty: true })
            _stored.Remove(service);
        _parts.NotifySockets.Forget(service);
        _parts.Lanes.Forget(service);
        _parts.Pump.Forget(service.Text);
    }

    private void WatchUse(ServiceName service)
    {
        int refused = _use.Watch(service, ListenersOf(service).Select(l => l.Listener.Descriptor), () => _host.Events.Feed(new Event.ListenerUsed(service)));
        if (refused > 0)
            _host.Counters.Count("listeners-unwatchable");
    }

    // What the kernel does not tell counts as use: an open connection is worth more than an idle process. It goes through all sockets of the machine to
    // find some, so that is done in the lane.
    private void LookForUse(ServiceName service)
    {
        FileDescriptor[] listeners = [.. ListenersOf(service).Select(l => l.Listener.Descriptor)];
        bool isAsked = _parts.Lanes.Of(service).TryLook(_parts.Mailbox, listeners, () => Array.ConvertAll(listeners, ListenerUse.IsUsed), answers =>
        {
            foreach (bool? its in answers)
            {
                if (its is null)
                    _host.Counters.Count("idle-unknown");
            }
            _host.Events.Feed(new Event.UseSeen(service, answers.Any(its => its ?? true)));
        });
        if (!isAsked)
            _host.Events.FeedResult(new Event.UseSeen(service, IsUsed: true));
    }

    private void Accept(Effect.Accept accept)
    {
        (ListenerDefinition definition, OpenedListener listener) = ListenersOf(accept.Service).ElementAt(accept.ListenerIndex);
        SlowLane lane = _parts.Lanes.Of(accept.Service);
        string name = definition.Name == definition.Key ? "connection" : definition.Name;
        AcceptedConnection? connection = AcceptedConnection.Accept(listener.Descriptor, name, lane, out Errno refused);
        // Who connected and was gone before its turn came needs no process; a flood of such must not keep the others waiting.
        for (int gone = 0; connection is { IsGone: true } && gone < MostGoneInATurn; gone++)
        {
            _host.Counters.Count("connections-gone");
            connection.Dispose();
            connection = AcceptedConnection.Accept(listener.Descriptor, name, lane, out refused);
        }
        if (connection is null)
        {
            if (refused != Errno.EAGAIN)
                _host.Counters.Count("accepts-failed");
            _host.Events.FeedResult(new Event.AcceptFailed(accept.Service, refused.IsShortage));
            return;
        }
        ConnectionId id = new(++_connectionCount);
        _connections.Add(id, connection);
        _host.Events.FeedResult(new Event.ConnectionAccepted(accept.Service, id, connection.Source));
    }

    private void CloseConnection(ConnectionId id)
    {
        if (_connections.Remove(id, out AcceptedConnection? connection))
            connection.Dispose();
    }

    private void Keep(Effect.Keep keep)
    {
        if (!_received.TryGetValue(keep.Descriptor.Id, out FileDescriptor? descriptor))
            return;
        if (!_stored.TryGetValue(keep.Service, out DescriptorSet? stored))
            _stored.Add(keep.Service, stored = new DescriptorSet());
        if (stored.Add(Channel.DescriptorFacts.Of(descriptor).Identity, descriptor))
            _storedBy.Add(keep.Descriptor.Id, keep.Service);
        if (!keep.IsPolled)
            return;
        // A file never hangs up, and one of a user-space file system may not answer when it is asked.
        if (Channel.DescriptorFacts.Of(descriptor).IsFile)
            return;
        Errno refused = _host.Loop.Watch(
            descriptor, IoReadiness.None, PriorityOfHangUps, _ => _host.Events.Feed(new Event.DescriptorHungUp(keep.Service, keep.Descriptor.Id)));
        // EPERM: what never hangs up (epoll_ctl(2)). Without any other watch it is kept until it is taken out.
        if (refused != Errno.None && refused != Errno.EPERM)
            _host.Counters.Count("watches-refused");
    }

    private void CloseDescriptor(DescriptorId id)
    {
        if (!_received.Remove(id, out FileDescriptor? descriptor))
            return;
        if (_storedBy.Remove(id, out ServiceName service))
            _stored[service].Remove(Channel.DescriptorFacts.Of(descriptor).Identity, descriptor);
        _host.Loop.Unwatch(descriptor);
        descriptor.Dispose();
    }

    /// <summary>Tells those who follow.</summary>
    public void Report(Notice notice)
    {
        if (notice is Notice.Stored stored && Instances.Find(stored.Instance) is { } storing)
        {
            if (!storing.MayReport(HostClock.Now, out long skipped))
                return;
            notice = stored with { SkippedCount = skipped };
        }
        _parts.Journal.Add(notice);
        NoticeLogger.Write(_parts.Logger, notice, AddressOf);
        _host.Channels.Note(notice);
    }
}
