using Launchd.Client.Interop;
using Launchd.Client;
using Launchd.Config.Diagnostics;
using Launchd.Core.Sharing;
using Launchd.Core.Slots;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Notices;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Paths;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Channel;

/// <summary>
/// Descriptors between siblings: what is published, which instance asks for it and whether it may, and which instances wait. How an
/// asked-for descriptor is got is decided by <see cref="SiblingDelivery"/>.
/// </summary>
internal sealed class SiblingRequests : IDisposable
{
    private readonly ChannelServer _server;
    private readonly Supervisor _core;
    private readonly RunningInstances _instances;
    private readonly Provisions _provisions;
    private readonly NoticeReporter _notices;
    private readonly SlowLanes _lanes;
    private readonly Delays _delays;
    private readonly Siblings _siblings;
    private readonly Dictionary<long, PublishedDescriptor> _published = [];
    private readonly Dictionary<long, (WaitingRequest Waiting, SiblingOrder Order)> _waiting = [];
    private readonly SiblingDelivery _delivery;

    public SiblingRequests(ChannelServer server, Supervisor core, RunningInstances instances, Provisions provisions, NoticeReporter notices,
        SlowLanes lanes, Mailbox mailbox, Delays delays)
    {
        _server = server;
        _core = core;
        _instances = instances;
        _provisions = provisions;
        _notices = notices;
        _lanes = lanes;
        _delays = delays;
        _siblings = new Siblings(RankOf);
        _delivery = new SiblingDelivery(server, instances, notices, lanes, mailbox, delays);
    }

    /// <summary>All publications of a service, for operators.</summary>
    public IEnumerable<(Publication Publication, PublishedDescriptor Descriptor)> Of(Model.ServiceName service) =>
        _siblings.Of(service).Select(p => (p, _published[p.Id]));

    /// <summary>The best publication of a name, whoever asks; null: there is none.</summary>
    public (Publication Publication, PublishedDescriptor Descriptor)? Find(Model.ServiceName service, int? slot, string name) =>
        _siblings.Find(default, service, slot, name) is { } found ? (found, _published[found.Id]) : null;

    private PacketWriter Packet => _server.Packet;

    public void Publish(InstanceChannel from, in ChannelRequest request, int senderPid)
    {
        RunningInstance instance = from.Instance;
        if (instance.Process is not { } process || senderPid != process.Pid)
        {
            from.Answer(ChannelMethods.BadRequest(Packet, "number", "only the main process publishes: the number is one of its own table"));
            return;
        }
        using FileDescriptor? taken = ProcessDescriptors.Take(process, request.Number, _lanes.Of(instance.Id.Service), out Errno refused);
        if (refused == Errno.EBADF)
        {
            from.Answer(ChannelMethods.BadRequest(Packet, "number", $"descriptor {request.Number} is not open"));
            return;
        }
        if (taken is not null && ChannelPair.IsEnd(taken))
        {
            from.Answer(ChannelMethods.BadRequest(Packet, "number", "the end of an instance channel cannot be published"));
            return;
        }
        PublishedDescriptor record = Record(instance, taken);
        if (record.Reference is not null && HasTooManyReferences(instance.Id, request.Name))
        {
            record.Dispose();
            string limit = $"{Limits.ReferencesPerServiceCount} published event counters, timers and the like of a service, "
                + $"and {Limits.ReferenceCount} of all";
            from.Answer(Packet.Error("LimitReached", ("limit", limit)));
            return;
        }
        Publication? published = _siblings.Publish(
            instance.Id, instance.Slot, instance.Generation, request.Name, request.Number, out Publication? replaced);
        if (published is null)
        {
            record.Dispose();
            from.Answer(Packet.Error("LimitReached", ("limit", $"{Limits.PublishedCount} published names")));
            return;
        }
        instance.HasSpoken = true;
        if (replaced is not null)
            Drop(replaced);
        _published.Add(published.Id, record);
        from.Answer(PacketWriter.Empty);
        foreach (WaitingRequest waiting in _siblings.TakeWaiting(published))
        {
            if (_waiting.Remove(waiting.Id, out (WaitingRequest Waiting, SiblingOrder Order) served))
            {
                _delays.Cancel(waiting);
                _delivery.Serve(served.Order, published, _published[published.Id]);
            }
        }
    }

    public void Unpublish(InstanceChannel from, string name)
    {
        if (_siblings.Unpublish(from.Instance.Id, name) is not { } gone)
        {
            IEnumerable<Publication> own = _siblings.Of(from.Instance.Id.Service).Where(p => p.Owner == from.Instance.Id);
            string? hint = Suggestion.Nearest(name, own.Select(p => p.Name));
            from.Answer(Packet.Error("NoSuchDescriptor", ("name", name), ("hint", hint)));
            return;
        }
        Drop(gone);
        from.Answer(PacketWriter.Empty);
    }

    public void Request(InstanceChannel from, in ChannelRequest request)
    {
        ServiceState asking = _core.Find(from.Instance.Id.Service)!;
        if (_core.Find(new Model.ServiceName(request.Service)) is not { } owner)
        {
            string? hint = Suggestion.Nearest(request.Service, _core.Services.Select(s => s.Definition.Name.Text));
            from.Answer(Packet.Error("NoSuchService", ("name", request.Service), ("hint", hint)));
            return;
        }
        if (SharingPolicy.WhyDenied(asking.Definition, owner.Definition, request.Name) is { } rule)
        {
            if (ChannelServer.MayReport(from, out long skipped))
                _notices.Report(new Notice.DescriptorDenied(owner.Definition.Name, request.Name, from.Instance.Label, rule, skipped));
            from.Answer(Packet.Error("Denied", ("rule", rule)));
            return;
        }
        SiblingOrder order = new(from, request.Mode ?? "duplicate", forWriting: request.Access == "write", request.Name);
        int? slot = (request.Given & ChannelKeys.Slot) != 0 ? request.Slot : null;
        if (_siblings.Find(from.Instance.Id, owner.Definition.Name, slot, request.Name) is { } published)
            _delivery.Serve(order, published, _published[published.Id]);
        else if (!TryServeHeld(order, owner, slot ?? 0))
            WaitOrRefuse(order, owner, slot, request);
    }

    /// <summary>The descriptors that siblings have published and that an instance may have.</summary>
    public IEnumerable<ListedDescriptor> Askable(InstanceChannel from)
    {
        Model.ServiceDefinition asking = _core.Find(from.Instance.Id.Service)!.Definition;
        foreach (ServiceState owner in _core.Services)
        {
            if (!SharingPolicy.Knows(asking, owner.Definition))
                continue;
            foreach (Publication published in _siblings.Of(owner.Definition.Name))
            {
                if (published.Owner != from.Instance.Id && SharingPolicy.IsAllowed(asking, owner.Definition, published.Name))
                {
                    DescriptorFacts facts = _published[published.Id].Facts ?? DescriptorFacts.None;
                    yield return new ListedDescriptor(
                        published.Name, "sibling", null, facts, owner.Definition.Name.Text, published.Slot);
                }
            }
        }
    }

    /// <summary>An owner gives the descriptor for which it was asked, or refuses.</summary>
    public void Give(InstanceChannel from, long ask, ReceivedDescriptors descriptors) => _delivery.Give(from, ask, descriptors);

    /// <summary>An instance is over.</summary>
    public void Forget(InstanceId over)
    {
        IReadOnlyList<Publication> published = _siblings.Forget(over, out IReadOnlyList<WaitingRequest> unanswered);
        foreach (Publication gone in published)
            Drop(gone);
        foreach (WaitingRequest waiting in unanswered)
        {
            _ = _waiting.Remove(waiting.Id);
            _delays.Cancel(waiting);
        }
        _delivery.Forget(over);
    }

    /// <summary>The supervisor shuts down: nobody will publish any more.</summary>
    public void EndWaits()
    {
        foreach ((WaitingRequest waiting, SiblingOrder order) in _waiting.Values.ToArray())
        {
            _ = _siblings.StopWaiting(waiting);
            _ = _waiting.Remove(waiting.Id);
            _delays.Cancel(waiting);
            order.Reply(Packet.Error("ShuttingDown"));
        }
    }

    public void Dispose()
    {
        foreach (PublishedDescriptor published in _published.Values)
            published.Dispose();
        _published.Clear();
    }

    // An instance that has not taken its place yet may never do so.
    private SiblingRank RankOf(InstanceId instance) => _server.InstanceOf(instance) switch
    {
        { Slot.Role: SlotRole.Holder, Phase: SlotPhase.Ready } => SiblingRank.Ready,
        { Slot.Role: SlotRole.Holder, Phase: SlotPhase.Starting } => SiblingRank.Starting,
        _ => SiblingRank.Draining,
    };

    private PublishedDescriptor Record(RunningInstance instance, FileDescriptor? taken)
    {
        if (taken is null)
            return new PublishedDescriptor(null, null, null);
        DescriptorFacts facts = DescriptorFacts.Read(taken);
        // Reads the address while the supervisor has the descriptor open.
        _ = facts.Address;
        foreach (ListedDescriptor own in _server.Methods.Own(instance.Provision, instance.Slot))
        {
            if (own.Facts.Identity == facts.Identity && OpenDescription.AreSame(own.Descriptor!, taken))
                return new PublishedDescriptor(facts, own.Descriptor, null);
        }
        return new PublishedDescriptor(facts, null, facts.Identity.IsAnonymous
            ? new FileDescriptor(taken.ReleaseNumber(), _lanes.Of(instance.Id.Service)) : null);
    }

    /// <summary>The number of descriptors that are held to recognise what a service has published.</summary>
    public int ReferenceCountOf(Model.ServiceName service) => _siblings.Of(service).Count(p => _published[p.Id].Reference is not null);

    private bool HasTooManyReferences(InstanceId instance, string name)
    {
        // A reference that replaces another adds none.
        if (_siblings.Of(instance.Service).Any(p => p.Owner == instance && p.Name == name && _published[p.Id].Reference is not null))
            return false;
        return ReferenceCountOf(instance.Service) >= Limits.ReferencesPerServiceCount
            || _published.Values.Count(p => p.Reference is not null) >= Limits.ReferenceCount;
    }

    private void Drop(Publication gone)
    {
        if (_published.Remove(gone.Id, out PublishedDescriptor? descriptor))
            descriptor.Dispose();
    }

    /// <summary>
    /// Answers with one of the sibling's own sockets, files or stored descriptors, when it has published nothing under the name.
    /// </summary>
    private bool TryServeHeld(SiblingOrder order, ServiceState owner, int slot)
    {
        if (order.Mode == "direct")
            return false;
        foreach (ListedDescriptor own in _server.Methods.Own(_provisions[owner.Definition], slot, order.Name))
        {
            Instance? holder = owner.Slots.FirstOrDefault(s => s.Slot == slot)?.Instance;
            InstanceId id = holder?.Id ?? new InstanceId(owner.Definition.Name, 0);
            Publication assumed = new(0, id, slot, holder?.Generation ?? owner.Generation, order.Name, -1);
            if (order.Mode == "reopen")
                _delivery.Reopen(order, assumed, own.Descriptor!, isOwned: false, own.Origin == "file" ? null : RightsOf(owner, holder));
            else
                _delivery.Send(order, assumed, "held", own.Facts, own.Descriptor!, isOwned: false);
            return true;
        }
        return false;
    }

    /// <summary>
    /// The rights with which a stored descriptor's file is opened anew: the service's own, because it chose the file, unlike one that the
    /// configuration names. Null: the service runs as the supervisor does.
    /// </summary>
    private Credentials? RightsOf(ServiceState owner, Instance? holder) =>
        holder is not null && _instances.Find(holder.Id) is { Process: { } process, MainEnded: false }
            && ProcessDescriptors.RightsOf(process.Pid) is { } now ? now : _provisions[owner.Definition].User.Credentials;

    private void WaitOrRefuse(SiblingOrder order, ServiceState owner, int? slot, in ChannelRequest request)
    {
        if (request.Wait > 0 && _core.Frame.Shutdown is not null)
        {
            order.Reply(Packet.Error("ShuttingDown"));
            return;
        }
        if (request.Wait == 0)
        {
            RefuseMissing(order, owner);
            return;
        }
        if (!order.ReplyLater())
            return;
        order.From.Instance.HasSpoken = true;
        WaitingRequest waiting = _siblings.Wait(order.From.Instance.Id, owner.Definition.Name, slot, order.Name);
        _waiting.Add(waiting.Id, (waiting, order));
        _delays.After(TimeSpan.FromMicroseconds(request.Wait), waiting, () =>
        {
            if (_siblings.StopWaiting(waiting) && _waiting.Remove(waiting.Id))
                RefuseMissing(order, _core.Find(waiting.Service) ?? owner);
        });
    }

    private void RefuseMissing(SiblingOrder order, ServiceState owner)
    {
        if (!owner.HasLiveInstance)
        {
            order.Reply(Packet.Error("NotReady", ("service", owner.Definition.Name.Text), ("state", StateWords.Of(owner.PublicState)),
                ("text", "it has no running instance")));
            return;
        }
        string? hint = Suggestion.Nearest(order.Name, _siblings.Of(owner.Definition.Name).Select(p => p.Name).Distinct());
        order.Reply(Packet.Error("NoSuchDescriptor", ("name", order.Name), ("hint", hint)));
    }
}
