using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using Launchd.Client.Interop;
using Launchd.Client;
using Launchd.Config.Diagnostics;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Channel;

/// <summary>
/// The methods that programs may call on their channel: who they are, what they have, their notifications, the store, their state.
/// </summary>
internal sealed class ChannelMethods(ChannelServer server, Supervisor core, EventFeed events, KeptDescriptors kept, SlowLanes lanes)
{
    private const int ProtocolVersion = 2;
    private const string StateName = "state";

    private long _calls;
    private long _storeCall;
    private StoreAnswer? _storeAnswer;

    private PacketWriter Packet => server.Packet;

    public void Call(InstanceChannel from, in ChannelRequest request, in Received received)
    {
        ReceivedDescriptors descriptors = received.Descriptors;
        switch (request.Rule!.Method)
        {
            case ChannelMethod.Describe: Describe(from); break;
            case ChannelMethod.List: List(from); break;
            case ChannelMethod.Get: Get(from, request); break;
            case ChannelMethod.Publish: server.Siblings.Publish(from, request, received.Pid); break;
            case ChannelMethod.Unpublish: server.Siblings.Unpublish(from, request.Name); break;
            case ChannelMethod.Request: server.Siblings.Request(from, request); break;
            case ChannelMethod.Give: server.Siblings.Give(from, request.Ask, descriptors); break;
            case ChannelMethod.Store: Store(from, request, descriptors); break;
            case ChannelMethod.Unstore: Unstore(from, request.Name); break;
            case ChannelMethod.SaveState: SaveState(from, descriptors); break;
            case ChannelMethod.LoadState: LoadState(from); break;
            case ChannelMethod.Ready: Notify(from, received, Notification.Ready); break;
            case ChannelMethod.Status: Notify(from, received, Notification.Says(request.Text)); break;
            case ChannelMethod.Stopping: Notify(from, received, Notification.Stopping); break;
            case ChannelMethod.Watchdog: Notify(from, received, Notification.Watchdog); break;
            case ChannelMethod.ExtendTimeout: Notify(from, received, Notification.Extends(request.Microseconds)); break;
            case ChannelMethod.Watch: Watch(from, request.IsMore); break;
            case ChannelMethod.HandOver: server.HandOvers.HandOver(from, request.Name, descriptors); break;
            case ChannelMethod.DrainProgress: server.HandOvers.Progress(from, request.Remaining); break;
            default: throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>The core answers an order to the store.</summary>
    public void AnswerStore(long call, StoreAnswer answer)
    {
        if (call == _storeCall)
            _storeAnswer = answer;
    }

    /// <summary>The descriptors that the supervisor holds for an instance, in the order in which the instance got them.</summary>
    /// <param name="provision">The provision of the instance, or of its service.</param>
    /// <param name="slot">From 0.</param>
    /// <param name="name">Only those of this name; null: all.</param>
    public IEnumerable<ListedDescriptor> Own(Provision provision, int slot, string? name = null)
    {
        foreach ((ListenerDefinition listener, OpenedListener opened) in provision.Listeners(slot, name))
            yield return new ListedDescriptor(listener.Name, "socket", opened.Descriptor);
        foreach (HeldFile file in provision.Files)
        {
            if ((name is null || file.Definition.Key == name) && file.Descriptor is { } shared)
                yield return new ListedDescriptor(file.Definition.Key, "file", shared);
        }
        if (core.Find(provision.Definition.Name) is not { } state)
            yield break;
        foreach (StoredDescriptor stored in state.Stored)
        {
            if ((name is null || stored.Name == name) && kept.Find(stored.Id) is { } descriptor)
                yield return new ListedDescriptor(stored.Name, "stored", descriptor);
        }
    }

    public static ReadOnlySpan<byte> BadRequest(PacketWriter packet, string parameter, string text) =>
        packet.Error("BadRequest", ("parameter", parameter), ("text", text));

    /// <summary>What a descriptor is that may not be kept and passed on. Null: it may.</summary>
    public static string? WhyNotKept(FileDescriptor descriptor)
    {
        if (ChannelPair.IsEnd(descriptor))
            return "the end of an instance channel";
        // Both kinds act on the memory or the descriptor table of the process that made them.
        string kind = DescriptorFacts.Of(descriptor).Kind;
        return kind is "eventpoll" or "io_uring" ? $"an {kind}" : null;
    }

    private void Describe(InstanceChannel from)
    {
        RunningInstance instance = from.Instance;
        Instance? known = server.InstanceOf(instance.Id)?.Phase.Instance;
        StartReason reason = known?.Reason ?? StartReason.Boot;
        Utf8JsonWriter json = Packet.Begin();
        json.WriteString("service", instance.Id.Service.Text);
        json.WriteNumber("slot", instance.Slot);
        json.WriteNumber("generation", instance.Generation);
        json.WriteNumber("instance", instance.Id.Number);
        json.WriteString("reason", reason.ToString().ToLowerInvariant());
        // As long as handed-over descriptors wait for the instance there is more to come, also from a predecessor that has ended.
        if ((known?.Predecessor ?? server.HandOvers.Source(instance.Id)) is { } predecessor)
            json.WriteNumber("predecessor", predecessor.Number);
        json.WriteNumber("protocol", ProtocolVersion);
        json.WriteString("version", ProductVersion.Text);
        from.Answer(Packet.End());
    }

    private void List(InstanceChannel from) => from.AnswerList(new OutgoingList(
        Packet, [.. Own(from.Instance.Provision, from.Instance.Slot), .. server.Siblings.Askable(from)], sends: false));

    private void Get(InstanceChannel from, in ChannelRequest request)
    {
        RunningInstance instance = from.Instance;
        List<ListedDescriptor> found = [];
        if (request.Names is null)
            found.AddRange(Own(instance.Provision, instance.Slot));
        foreach (string name in request.Names ?? [])
        {
            int before = found.Count;
            found.AddRange(Own(instance.Provision, instance.Slot, name));
            if (found.Count > before)
                continue;
            string? hint = Suggestion.Nearest(name, Own(instance.Provision, instance.Slot).Select(o => o.Name).Distinct());
            from.Answer(Packet.Error("NoSuchDescriptor", ("name", name), ("hint", hint)));
            return;
        }
        from.AnswerList(new OutgoingList(Packet, found, sends: true));
    }

    private void Notify(InstanceChannel from, in Received received, Notification notification)
    {
        events.Feed(new Event.Notified(from.Instance.Id, notification, received.Pid, received.Uid, []));
        from.Answer(PacketWriter.Empty);
    }

    private void Watch(InstanceChannel from, bool isMore)
    {
        if (!isMore)
        {
            from.Answer(BadRequest(Packet, "more", "Watch is called with more"));
            return;
        }
        from.Answer(PacketWriter.EmptyContinues);
        server.BeginWatch(from);
        InstanceId? waited = server.HandOvers.Source(from.Instance.Id);
        server.HandOvers.Deliver(from);
        if (waited is { } source && server.InstanceOf(from.Instance.Id)?.Phase.Instance.Predecessor is null)
            server.HandOvers.End(from, source);
    }

    private void Store(InstanceChannel from, in ChannelRequest request, ReceivedDescriptors descriptors)
    {
        if (descriptors.Count == 0)
        {
            from.Answer(BadRequest(Packet, "descriptors", $"Store takes 1 to {Limits.PacketDescriptorCount} descriptors"));
            return;
        }
        if (request.Replace && request.IfAbsent)
        {
            from.Answer(BadRequest(Packet, "if_absent", "replace and if_absent contradict each other"));
            return;
        }
        for (int i = 0; i < descriptors.Count; i++)
        {
            if (WhyNotKept(descriptors[i]!) is not { } kind)
                continue;
            from.Answer(BadRequest(Packet, "descriptors", $"descriptor {i} is {kind}, which cannot be stored"));
            return;
        }
        from.Instance.HasSpoken = true;
        DescriptorId[] received = new DescriptorId[descriptors.Count];
        for (int i = 0; i < received.Length; i++)
            received[i] = kept.Receive(descriptors.Take(i));
        ImmutableArray<DescriptorId> ids = ImmutableCollectionsMarshal.AsImmutableArray(received);
        StoreOrder order = new()
        {
            Call = 0, Name = request.Name, Descriptors = ids,
            Duplicates = kept.FindDuplicates(from.Instance.Id.Service, request.Replace ? request.Name : null, ids),
            Replaces = request.Replace, OnlyIfAbsent = request.IfAbsent, IsPolled = request.Poll ?? true,
        };
        StoreAnswer? answer = Ask(call => new Event.StoreAsked(from.Instance.Id, order with { Call = call }));
        if (answer is null || answer.Refusal is not null)
        {
            from.Answer(answer is null ? Packet.Error("ShuttingDown") : Packet.Error("LimitReached", ("limit", answer.Refusal)));
            return;
        }
        Utf8JsonWriter json = Packet.Begin();
        json.WriteNumber("stored", answer.StoredCount);
        json.WriteNumber("present", answer.PresentCount);
        if (answer.RemovedCount > 0)
            json.WriteNumber("removed", answer.RemovedCount);
        from.Answer(Packet.End());
    }

    private void Unstore(InstanceChannel from, string name)
    {
        StoreAnswer? answer = Ask(call => new Event.UnstoreAsked(from.Instance.Id, call, name));
        if (answer is null or { RemovedCount: 0 })
        {
            from.Answer(answer is null ? Packet.Error("ShuttingDown") : Packet.Error("NoSuchDescriptor", ("name", name)));
            return;
        }
        Packet.Begin().WriteNumber("removed", answer.RemovedCount);
        from.Answer(Packet.End());
    }

    /// <summary>
    /// Feeds an order to the core and returns its answer. Null: the step did not happen, because the
    /// supervisor is ending or has set the service aside.
    /// </summary>
    private StoreAnswer? Ask(Func<long, Event> order)
    {
        _storeCall = ++_calls;
        _storeAnswer = null;
        events.Feed(order(_storeCall));
        return _storeAnswer;
    }

    private void SaveState(InstanceChannel from, ReceivedDescriptors descriptors)
    {
        if (descriptors.Count != 1 || !ProcessDescriptors.IsMemory(descriptors[0]!))
        {
            from.Answer(BadRequest(Packet, "descriptors", "SaveState takes one memfd"));
            return;
        }
        if (KeptState.Take(descriptors[0]!, Limits.StateBytes, out string? fault) is not { } memory)
        {
            from.Answer(fault is null ? Packet.Error("LimitReached", ("limit", $"{Limits.StateBytes} bytes of state"))
                : BadRequest(Packet, "descriptors", fault));
            return;
        }
        descriptors.Dispose();
        FileDescriptor state = new(memory.ReleaseNumber(), lanes.Of(from.Instance.Id.Service));
        DescriptorId saved = kept.Receive(state);
        // Before the core is told, since it keeps every state that it is told of.
        kept.Hold(saved);
        events.Feed(new Event.StateSaved(from.Instance.Id, saved));
        from.Answer(PacketWriter.Empty);
    }

    private void LoadState(InstanceChannel from)
    {
        List<ListedDescriptor> found = [];
        foreach (SavedState state in core.Find(from.Instance.Id.Service)?.SavedStates ?? [])
        {
            if (state.Slot == from.Instance.Slot && kept.Find(state.Descriptor) is { } descriptor)
                found.Add(new ListedDescriptor(StateName, "stored", descriptor));
        }
        from.AnswerList(new OutgoingList(Packet, found, sends: true));
    }
}
