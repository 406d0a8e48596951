using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Control;
using Launchd.Core;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>What <c>status</c> and <c>fds</c> show: the core's state beside what the kernel says of the descriptors.</summary>
internal sealed class StatusReporter(SupervisorHost host)
{
    public static string Word(PublicState state) => state == PublicState.BackingOff ? "backing-off" : state.ToString().ToLowerInvariant();

    public StatusReply Status(ImmutableArray<ServiceName> names)
    {
        HashSet<ServiceName> wanted = [.. names];
        ILookup<string, string> users = host.Core.Services.SelectMany(s => s.Definition.Sockets.Select(socket => (socket, s.Definition.Name.Text)))
            .ToLookup(u => u.socket, u => u.Text, StringComparer.Ordinal);
        Moment now = SupervisorHost.Now;
        return new StatusReply
        {
            Supervisor = new SupervisorStatus
            {
                Name = host.Definition.Name,
                Version = ProductVersion.Text,
                Pid = Environment.ProcessId,
                ConfigPath = host.Definition.ConfigPath,
                RuntimeDirectory = host.Definition.RuntimeDirectory,
                State = host.Core.Frame.Shutdown is null ? "running" : "shutting-down",
                UptimeMs = (long)(now - host.Parts.StartedAt).TotalMilliseconds,
                Counters = AllCounters(),
            },
            Services = [.. host.Core.Services.Where(s => wanted.Contains(s.Definition.Name)).Select(s => OfService(s, now))],
            Sockets = [.. host.Parts.Descriptors.Listeners.SelectMany(l => OfListener(l, [.. users[l.Definition.Key]]))
                .Where(s => s.Services.Length == 0 || s.Services.Any(n =>
                wanted.Contains(new ServiceName(n))))],
        };
    }

    public DescriptorsReply Descriptors(ImmutableArray<ServiceName> names, bool onlyTheirs)
    {
        List<DescriptorStatus> all = [];
        HashSet<string> wanted = [.. names.Select(n => n.Text)];
        // Asked for each of thousands of sockets: by look-up, and not by a walk through all services for each.
        ILookup<string, ServiceDefinition> users = UsersBy(s => s.Sockets), readers = UsersBy(s => s.Files);
        ILookup<string, string> holders = HoldersBy(s => s.Sockets), fileHolders = HoldersBy(s => s.Files);
        foreach ((ListenerDefinition definition, ImmutableArray<OpenedListener> opened) in host.Parts.Descriptors.Listeners)
        {
            foreach (OpenedListener listener in opened)
            {
                all.Add(Of(definition.Name, listener.Descriptor, listener.Address, "socket", [.. holders[definition.Key]], [.. users[definition.Key]]));
            }
        }
        foreach ((FileDefinition definition, FileDescriptor? descriptor) in host.Parts.Descriptors.Files)
        {
            if (descriptor is not null)
            {
                all.Add(Of(definition.Key, descriptor, null, "file", [.. fileHolders[definition.Key]], [.. readers[definition.Key]]));
            }
        }
        foreach (ServiceState service in host.Core.Services)
        {
            foreach (StoredDescriptor stored in service.Stored)
            {
                if (host.Effects.FindStored(stored.Id) is { } descriptor)
                    all.Add(Of(stored.Name, descriptor, null, "stored", [service.Definition.Name.Text], [service.Definition]));
            }
            foreach (SavedState state in service.SavedStates)
            {
                if (host.Effects.FindStored(state.Descriptor) is { } descriptor)
                    all.Add(Of("state", descriptor, null, "state", [$"{service.Definition.Name}.{state.Slot}"], []));
            }
            foreach ((Publication published, Channel.PublishedDescriptor descriptor) in host.Channels.Siblings.Of(service.Definition.Name))
                all.Add(OfPublished(service.Definition, published, descriptor));
        }
        return new DescriptorsReply([.. all.Where(d => !onlyTheirs || d.Holders.Any(h => wanted.Contains(h.Split('.')[0]) || wanted.Contains(h)))]);
    }

    private Dictionary<string, long> AllCounters()
    {
        Dictionary<string, long> counters = new(host.Counters);
        foreach ((string what, long count) in host.Parts.Pump.Counters.Dropped())
            counters[what] = count;
        return counters;
    }

    /// <summary>Services by the keys of their sockets, or files.</summary>
    private ILookup<string, ServiceDefinition> UsersBy(Func<ServiceDefinition, ImmutableArray<string>> keysOf) =>
        host.Core.Services.Select(s => s.Definition).SelectMany(s => keysOf(s).Distinct().Select(key => (key, s))).ToLookup(u => u.key, u => u.s);

    /// <summary>Running instances by the keys of their sockets, or files; those of one key in order.</summary>
    private ILookup<string, string> HoldersBy(Func<ServiceDefinition, ImmutableArray<string>> keysOf) =>
        host.Effects.Instances.All.OrderBy(i => i.Label, StringComparer.Ordinal)
            .SelectMany(i => keysOf(i.Definition).Distinct().Select(key => (key, i.Label))).ToLookup(h => h.key, h => h.Label);

    private DescriptorStatus OfPublished(ServiceDefinition owner, Publication published, Channel.PublishedDescriptor descriptor) => new()
    {
        Name = published.Name,
        Kind = descriptor.Facts?.Kind ?? "unknown",
        Address = descriptor.Facts?.Address ?? "",
        Origin = "sibling",
        Holders = [$"{owner.Name}.{published.Slot}"],
        Generation = published.Generation,
        Number = published.Number,
        MayAsk = MayAsk(published.Name, [owner]),
    };

    /// <summary>Services that may have a descriptor of this name from one of its owners.</summary>
    private string[] MayAsk(string name, ServiceDefinition[] owners) =>
        owners.All(o => o.Share.IsEmpty) ? []
            : [.. host.Core.Services.Select(s => s.Definition).Where(asking => owners.Any(owner => SharingPolicy.IsAllowed(asking, owner, name)))
                .Select(s => s.Name.Text)];

    private DescriptorStatus Of(string name, FileDescriptor descriptor, string? address, string origin, string[] holders, ServiceDefinition[] owners)
    {
        DescriptorState state = ListenerState.Read(descriptor);
        return new DescriptorStatus
        {
            Name = name,
            Kind = state.Kind,
            Address = address ?? state.Address,
            Origin = origin,
            Holders = holders,
            QueueCount = state.QueueCount,
            Number = descriptor.Number,
            MayAsk = MayAsk(name, owners),
            Flags = state.Flags,
        };
    }

    private static IEnumerable<SocketStatus> OfListener((ListenerDefinition Definition, ImmutableArray<OpenedListener> Opened) listener, string[] services)
    {
        foreach (OpenedListener opened in listener.Opened)
        {
            (int QueueCount, int BacklogCount)? queue = ListenerState.ReadQueue(opened.Descriptor);
            yield return new SocketStatus
            {
                Socket = listener.Definition.Key,
                Name = listener.Definition.Name,
                Address = opened.Address,
                QueueCount = queue?.QueueCount,
                BacklogCount = queue?.BacklogCount,
                Services = services,
            };
        }
    }

    private ServiceStatus OfService(ServiceState service, Moment now) => new()
    {
        Service = service.Definition.Name.Text,
        Description = service.Definition.Description,
        State = Word(service.PublicState),
        Wanted = service.IsWanted,
        Listening = service.IsWatching,
        Generation = service.Generation,
        Restarts = service.Slots.Sum(s => s.RestartCount),
        Reason = ReasonOf(service),
        Sockets = [.. service.Definition.Sockets],
        HeldDescriptors = service.Stored.Length + service.SavedStates.Length + host.Channels.HeldCountOf(service.Definition.Name),
        LostLines = host.Parts.Pump.Counters.LostLinesOf(service.Definition.Name.Text),
        LostEvents = host.Parts.Journal.DroppedOf(service.Definition.Name),
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
        return service.PublicState is PublicState.Failed or PublicState.Faulted or PublicState.BackingOff ? service.LastFailure?.ToString() : null;
    }

    private static InstanceStatus OfSlot(ServiceState service, SlotState slot, Moment now) => new()
    {
        Slot = slot.Slot,
        Generation = slot.Instance?.Generation ?? slot.Generation,
        Role = slot.Role == SlotRole.Holder ? null : slot.Role.ToString().ToLowerInvariant(),
        DrainingMs = slot.Phase is SlotPhase.Stopping { Instance.DrainingSince: { } since } ? (long)(now - since).TotalMilliseconds : null,
        RemainingCount = slot.Instance?.RemainingCount,
        ProvenInMs = slot.Instance?.ProvenAt is { } proven ? Math.Max(0, (long)(proven - now).TotalMilliseconds) : null,
        State = Word(ServiceState.Publish(slot.Phase)),
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
