using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Control;
using Launchd.Core;
using Launchd.Core.Sharing;
using Launchd.Core.Slots;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Operators;

/// <summary>What <c>status</c> and <c>fds</c> show: the core's state beside what the kernel says of the descriptors.</summary>
internal sealed class StatusReporter(
    AdoptedConfiguration configuration, Supervisor core, RunningInstances instances, DescriptorTable descriptors, KeptDescriptors kept,
    ChannelServer channels, LogPump pump, Journal journal, Counters counters, Moment startedAt)
{
    /// <summary>Pid of the keeper; null: there is none.</summary>
    public int? Keeper { get; init; }

    /// <summary>Whether that has ended.</summary>
    public Func<bool> HasKeeperEnded { get; init; } = () => false;

    /// <summary>How the supervisor before this one ended; null: there was none.</summary>
    public string? After { get; init; }

    // Names of services by the keys of their sockets. One of thousands of services is asked about often, so it is kept until it changes.
    private readonly Dictionary<string, List<ServiceName>> _users = new(StringComparer.Ordinal);
    private long _usersVersion = -1;

    /// <summary>
    /// What the kernel has to be asked about for <see cref="Status"/>: the listeners of these services, and those of none.
    /// </summary>
    public IReadOnlyCollection<FileDescriptor> ListenersOf(IReadOnlySet<ServiceName> wanted) =>
        [.. SocketsOf(wanted).SelectMany(s => s.Socket.Opened).Select(o => o.Descriptor)];

    /// <param name="wanted">Names of services that may be gone by now.</param>
    /// <param name="queues">What the kernel says of their listeners, as far as it does.</param>
    public StatusReply Status(
        IReadOnlySet<ServiceName> wanted, IReadOnlyDictionary<FileDescriptor, (int QueueCount, int BacklogCount)?> queues)
    {
        Moment now = HostClock.Now;
        return new StatusReply
        {
            Supervisor = new SupervisorStatus
            {
                Name = configuration.Definition.Name,
                Version = ProductVersion.Text,
                Pid = Environment.ProcessId,
                ConfigPath = configuration.Definition.ConfigPath,
                RuntimeDirectory = configuration.Definition.RuntimeDirectory,
                State = core.Frame.Shutdown is null ? "running" : "shutting-down",
                UptimeMs = (long)(now - startedAt).TotalMilliseconds,
                Keeper = Keeper,
                KeeperEnded = HasKeeperEnded() ? true : null,
                After = After,
                Counters = AllCounters(),
            },
            Services = [.. core.Services.Where(s => wanted.Contains(s.Definition.Name)).Select(s => OfService(s, now))],
            Sockets = [.. SocketsOf(wanted).SelectMany(s => OfListener(s.Socket, [.. s.Users.Select(u => u.Text)], queues))],
        };
    }

    /// <summary>The sockets of these services, and those of none, each with all that use it.</summary>
    private IEnumerable<(HeldSocket Socket, IReadOnlyList<ServiceName> Users)> SocketsOf(IReadOnlySet<ServiceName> wanted)
    {
        FindUsers();
        HashSet<string> asked = new(wanted.SelectMany(name => core.Find(name)?.Definition.Sockets ?? []), StringComparer.Ordinal);
        foreach (HeldSocket socket in descriptors.Sockets)
        {
            if (asked.Contains(socket.Key))
                yield return (socket, _users.GetValueOrDefault(socket.Key) ?? []);
            else if (!_users.ContainsKey(socket.Key))
                yield return (socket, []);
        }
    }

    private void FindUsers()
    {
        if (_usersVersion == core.DefinitionsVersion)
            return;
        _usersVersion = core.DefinitionsVersion;
        _users.Clear();
        foreach (ServiceState service in core.Services)
        {
            foreach (string socket in service.Definition.Sockets)
            {
                if (!_users.TryGetValue(socket, out List<ServiceName>? users))
                    _users.Add(socket, users = []);
                users.Add(service.Definition.Name);
            }
        }
    }

    /// <summary>What the kernel has to be asked about for <see cref="Descriptors"/>.</summary>
    public IReadOnlyCollection<FileDescriptor> AllDescriptors()
    {
        HashSet<FileDescriptor> all = new(descriptors.Sockets.Count + descriptors.Files.Count);
        all.UnionWith(descriptors.Configured.Select(l => l.Descriptor));
        all.UnionWith(descriptors.Files.Select(f => f.Descriptor).OfType<FileDescriptor>());
        foreach (ServiceState service in core.Services)
        {
            all.UnionWith(service.Stored.Select(s => kept.Find(s.Id)).OfType<FileDescriptor>());
            all.UnionWith(service.SavedStates.Select(s => kept.Find(s.Descriptor)).OfType<FileDescriptor>());
        }
        return all;
    }

    /// <param name="names">Services that may be gone by now.</param>
    /// <param name="onlyTheirs">What no service holds is left out.</param>
    /// <param name="states">What the kernel says, as far as it does.</param>
    public DescriptorsReply Descriptors(
        ImmutableArray<ServiceName> names, bool onlyTheirs, IReadOnlyDictionary<FileDescriptor, DescriptorState> states)
    {
        List<DescriptorStatus> all = [];
        ServiceDefinition[] asking = [.. core.Services.Select(s => s.Definition).Where(d => !d.Request.IsEmpty)];
        DescriptorStatus Of(
            string name, FileDescriptor descriptor, string? address, string origin, string[] holders, ServiceDefinition[] owners) =>
            OfOne(name, descriptor, address, origin, holders, MayAsk(name, owners, asking), states);
        HashSet<string> wanted = [.. names.Select(n => n.Text)];
        // Asked for each of thousands of sockets: by look-up, and not by a walk through all services for each.
        ILookup<string, ServiceDefinition> users = UsersBy(s => s.Sockets), readers = UsersBy(s => s.Files);
        ILookup<string, string> holders = HoldersBy(s => s.Sockets), fileHolders = HoldersBy(s => s.Files);
        foreach (HeldSocket socket in descriptors.Sockets)
        {
            string[] holding = [.. holders[socket.Key]];
            ServiceDefinition[] usedBy = [.. users[socket.Key]];
            foreach (OpenedListener listener in socket.Opened)
                all.Add(Of(socket.Definition.Name, listener.Descriptor, listener.Address, "socket", holding, usedBy));
        }
        foreach ((FileDefinition definition, FileDescriptor? descriptor) in descriptors.Files)
        {
            if (descriptor is not null)
            {
                all.Add(Of(definition.Key, descriptor, null, "file", [.. fileHolders[definition.Key]], [.. readers[definition.Key]]));
            }
        }
        foreach (ServiceState service in core.Services)
        {
            foreach (StoredDescriptor stored in service.Stored)
            {
                if (kept.Find(stored.Id) is { } descriptor)
                    all.Add(Of(stored.Name, descriptor, null, "stored", [service.Definition.Name.Text], [service.Definition]));
            }
            foreach (SavedState state in service.SavedStates)
            {
                if (kept.Find(state.Descriptor) is { } descriptor)
                    all.Add(Of("state", descriptor, null, "state", [$"{service.Definition.Name}.{state.Slot}"], []));
            }
            foreach ((Publication published, PublishedDescriptor descriptor) in channels.Siblings.Of(service.Definition.Name))
                all.Add(OfPublished(service.Definition, published, descriptor, asking));
        }
        return new DescriptorsReply([.. all.Where(d => !onlyTheirs || d.Holders.Any(IsWanted))]);

        bool IsWanted(string holder) => wanted.Contains(holder.Split('.')[0]) || wanted.Contains(holder);
    }

    private Dictionary<string, long> AllCounters()
    {
        Dictionary<string, long> all = new(counters.All);
        foreach ((string what, long count) in pump.Counters.Dropped())
            all[what] = count;
        return all;
    }

    /// <summary>Services by the keys of their sockets, or files.</summary>
    private ILookup<string, ServiceDefinition> UsersBy(Func<ServiceDefinition, ImmutableArray<string>> keysOf) =>
        core.Services.Select(s => s.Definition)
            .SelectMany(s => keysOf(s).Distinct().Select(key => (key, s))).ToLookup(u => u.key, u => u.s);

    /// <summary>Running instances by the keys of their sockets, or files; those of one key in order.</summary>
    private ILookup<string, string> HoldersBy(Func<ServiceDefinition, ImmutableArray<string>> keysOf) =>
        instances.All.OrderBy(i => i.Label, StringComparer.Ordinal)
            .SelectMany(i => keysOf(i.Definition).Distinct().Select(key => (key, i.Label))).ToLookup(h => h.key, h => h.Label);

    private static DescriptorStatus OfPublished(
        ServiceDefinition owner, Publication published, PublishedDescriptor descriptor, ServiceDefinition[] asking) => new()
    {
        Name = published.Name,
        Kind = descriptor.Facts?.Kind ?? "unknown",
        Address = descriptor.Facts?.Address ?? "",
        Origin = "sibling",
        Holders = [$"{owner.Name}.{published.Slot}"],
        Generation = published.Generation,
        Number = published.Number,
        MayAsk = MayAsk(published.Name, [owner], asking),
    };

    /// <summary>Those of the services that ask for anything who may have a descriptor of this name from one of its owners.</summary>
    private static string[] MayAsk(string name, ServiceDefinition[] owners, ServiceDefinition[] asking) =>
        owners.All(o => o.Share.IsEmpty) ? []
            : [.. asking.Where(a => owners.Any(owner => SharingPolicy.IsAllowed(a, owner, name))).Select(s => s.Name.Text)];

    private static DescriptorStatus OfOne(string name, FileDescriptor descriptor, string? address, string origin, string[] holders,
        string[] mayAsk, IReadOnlyDictionary<FileDescriptor, DescriptorState> states)
    {
        // A question that does not come back is no answer.
        DescriptorState state = states.GetValueOrDefault(descriptor) ?? new DescriptorState("unknown", "", ["not-answering"]);
        return new DescriptorStatus
        {
            Name = name,
            Kind = state.Kind,
            Address = address ?? state.Address,
            Origin = origin,
            Holders = holders,
            QueueCount = state.QueueCount,
            Number = descriptor.Number,
            MayAsk = mayAsk,
            Flags = state.Flags,
        };
    }

    private IEnumerable<SocketStatus> OfListener(HeldSocket listener, string[] services,
        IReadOnlyDictionary<FileDescriptor, (int QueueCount, int BacklogCount)?> queues)
    {
        foreach (OpenedListener opened in listener.Opened)
        {
            (int QueueCount, int BacklogCount)? queue = queues.GetValueOrDefault(opened.Descriptor);
            yield return new SocketStatus
            {
                Socket = listener.Definition.Key,
                Name = listener.Definition.Name,
                Address = opened.Address,
                QueueCount = queue?.QueueCount,
                BacklogCount = queue?.BacklogCount,
                Services = services,
                Trouble = descriptors.Find(opened.Descriptor)?.Watch is { } watch
                    ? watch.PathTaken ?? watch.Unaccepted ?? watch.Held : null,
            };
        }
    }

    private ServiceStatus OfService(ServiceState service, Moment now) => new()
    {
        Service = service.Definition.Name.Text,
        Description = service.Definition.Description,
        State = StateWords.Of(service.PublicState),
        Wanted = service.IsWanted,
        Listening = service.IsWatching,
        Generation = service.Generation,
        Restarts = service.Slots.Sum(s => s.RestartCount),
        Reason = ReasonOf(service),
        Sockets = [.. service.Definition.Sockets],
        HeldDescriptors = service.Stored.Length + service.SavedStates.Length + channels.HeldCountOf(service.Definition.Name),
        LostLines = pump.Counters.LostLinesOf(service.Definition.Name.Text),
        LostEvents = journal.DroppedOf(service.Definition.Name),
        Instances = [.. service.Slots.Concat(service.Beside).Select(s => OfSlot(service, s, now))],
    };

    private static string? ReasonOf(ServiceState service)
    {
        if (service.PausedUntil is not null)
            return "activation rests";
        if (service.Rollout is { } rollout)
        {
            return rollout.IsBack ? $"rolling back to generation {rollout.Generation}: {rollout.Failure}"
                : $"rolling out generation {rollout.Generation}";
        }
        if (service.LastRollout is { Text: { } failed } && service.PublicState == PublicState.Ready)
            return "last rollout failed: " + failed;
        bool isFailing = service.PublicState is PublicState.Failed or PublicState.Faulted or PublicState.BackingOff;
        return isFailing ? service.LastFailure?.ToString() : null;
    }

    private static InstanceStatus OfSlot(ServiceState service, SlotState slot, Moment now) => new()
    {
        Slot = slot.Slot,
        Generation = slot.Instance?.Generation ?? slot.Generation,
        Role = slot.Role == SlotRole.Holder ? null : slot.Role.ToString().ToLowerInvariant(),
        DrainingMs = slot.Phase is SlotPhase.Stopping { Instance.DrainingSince: { } since } ? (long)(now - since).TotalMilliseconds : null,
        RemainingCount = slot.Instance?.RemainingCount,
        ProvenInMs = slot.Instance?.ProvenAt is { } proven ? Math.Max(0, (long)(proven - now).TotalMilliseconds) : null,
        State = StateWords.Of(ServiceState.Publish(slot.Phase)),
        LogFile = (slot.Instance?.Definition ?? slot.Definition).Log?.In(slot.Slot).FilePath,
        Pid = slot.Instance is { Pid: > 0 } instance ? instance.Pid : null,
        UptimeMs = slot.Instance is { } live ? (long)(now - live.StartedAt).TotalMilliseconds : null,
        RetryInMs = slot.Phase is SlotPhase.BackingOff backingOff ? Math.Max(0, (long)(backingOff.Until - now).TotalMilliseconds) : null,
        StatusText = slot.Phase is SlotPhase.Preparing ? "waits for its connections"
            : slot.Instance is { StatusText.Length: > 0 } speaking ? speaking.StatusText : null,
        Reason = slot.Phase switch
        {
            SlotPhase.Failed failed => failed.Failure.ToString(),
            SlotPhase.BackingOff pausing => pausing.Reason,
            SlotPhase.Ended ended => ended.Status.ToString(),
            _ => null,
        },
        StoredDescriptors = service.Stored.Length,
    };
}
