using Launchd.Core;
using Launchd.Core.Sharing;
using Launchd.Core.Slots;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Notices;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Channel;

/// <summary>
/// All instance channels, and what they share: one buffer, one writer, the publications. The core tells programs through this class what
/// they are to know. The memory is allocated when the first program sends something.
/// </summary>
internal sealed class ChannelServer(
    Supervisor core, EventFeed events, RunningInstances instances, KeptDescriptors kept, NoticeReporter notices, Provisions provisions,
    EventLoop loop, SlowLanes lanes, Mailbox mailbox, Delays delays, Counters counters, ILogger logger) : IDisposable
{
    private readonly Dictionary<InstanceId, InstanceChannel> _channels = [];
    private readonly Dictionary<ServiceName, PublicState> _lastStates = [];
    private PacketWriter? _packet;
    private int _watchers;

    /// <summary>
    /// Room for the longest packet and one byte more, so that a longer one shows. A packet is handled before the next is read.
    /// </summary>
    public byte[] Buffer => field ??= new byte[Limits.PacketBytes + 1];
    public PacketWriter Packet => _packet ??= new PacketWriter();
    public ChannelMethods Methods => field ??= new ChannelMethods(this, core, events, kept, lanes);
    public SiblingRequests Siblings => field ??= new SiblingRequests(this, core, instances, provisions, notices, lanes, mailbox, delays);
    public HandOvers HandOvers => field ??= new HandOvers(this, instances, events);

    /// <summary>The number of descriptors that are held because programs of a service have published them or hand them over.</summary>
    public int HeldCountOf(ServiceName service) => Siblings.ReferenceCountOf(service) + HandOvers.CountOf(service);

    /// <summary>The program runs: opens its channel. Takes over the supervisor's end from the instance.</summary>
    public void Open(RunningInstance instance)
    {
        if (instance.ChannelEnd is not { } end)
            return;
        instance.ChannelEnd = null;
        InstanceChannel channel = new(this, instance, end, lanes.Of(instance.Id.Service), loop, delays, counters, logger);
        if (!channel.IsClosed)
            _channels.Add(instance.Id, channel);
    }

    /// <summary>The same for a program that ran under a supervisor before this one, which may have watched its channel.</summary>
    public void Resume(RunningInstance instance, bool isWatching, InstanceId? successor)
    {
        // It may have published something; who holds that is not known any more.
        instance.HasSpoken = true;
        Open(instance);
        if (Find(instance.Id) is not { } channel)
            return;
        channel.Successor = successor;
        if (!isWatching)
            return;
        channel.IsWatching = true;
        _watchers++;
    }

    /// <summary>The instance is over: closes its channel and forgets what it has published.</summary>
    public void End(RunningInstance instance)
    {
        if (_channels.TryGetValue(instance.Id, out InstanceChannel? channel))
            channel.Close();
        if (instance.HasSpoken)
            Siblings.Forget(instance.Id);
        HandOvers.Forget(instance.Id);
    }

    /// <summary>The program of an instance has ended: reads the packets that it sent before, however many there are.</summary>
    public void ReadLast(RunningInstance instance) => Find(instance.Id)?.ReadLast(most: 1024);

    /// <summary>Descriptors that a service sent were closed: its channels are read again.</summary>
    public void Ease(ServiceName service)
    {
        foreach (InstanceChannel channel in _channels.Values.Where(c => c.Instance.Id.Service == service).ToArray())
            channel.Flush();
    }

    public InstanceChannel? Find(InstanceId instance) => _channels.GetValueOrDefault(instance);

    /// <summary>Tells a program to finish what it has.</summary>
    /// <param name="instance">Told only if it watches its channel.</param>
    /// <param name="deadline">When it will be killed; null: never.</param>
    /// <param name="successor">The instance that has taken its place; null: none has, and what it hands over is refused.</param>
    public void TellDrain(InstanceId instance, Moment? deadline, InstanceId? successor)
    {
        if (Find(instance) is not { } channel)
            return;
        channel.Successor = successor;
        if (!channel.IsWatching)
            return;
        System.Text.Json.Utf8JsonWriter json = Packet.Begin();
        json.WriteString("event", "Drain");
        if (deadline is { } due)
            json.WriteNumber("deadline_usec", due.Nanoseconds / 1000);
        if (successor is { } next)
            json.WriteNumber("successor", next.Number);
        channel.Tell(Packet.End(continues: true));
    }

    /// <summary>Tells a program which instance takes its place, and that it can hand over descriptors.</summary>
    public void TellHandOver(InstanceId instance, InstanceId successor)
    {
        if (Find(instance) is not { } channel)
            return;
        channel.Successor = successor;
        if (!channel.IsWatching)
            return;
        System.Text.Json.Utf8JsonWriter json = Packet.Begin();
        json.WriteString("event", "HandOver");
        json.WriteNumber("successor", successor.Number);
        channel.Tell(Packet.End(continues: true));
    }

    /// <summary>Tells a program that nobody is left who could hand anything over to it.</summary>
    public void TellPredecessorEnded(InstanceId instance, InstanceId predecessor)
    {
        if (Find(instance) is { } channel)
            HandOvers.End(channel, predecessor);
    }

    /// <summary>Tells a program to read its configuration again.</summary>
    public void TellReload(InstanceId instance)
    {
        if (Find(instance) is not { IsWatching: true } channel)
            return;
        Packet.Begin().WriteString("event", "Reload");
        channel.Tell(Packet.End(continues: true));
    }

    /// <summary>Tells the watching programs that may know of a service when its state has changed.</summary>
    public void Note(Notice notice)
    {
        if (notice is Notice.Shutdown)
            Siblings.EndWaits();
        if (_watchers == 0 || notice.Service is not { } service || core.Find(service) is not { } state)
            return;
        if (_lastStates.TryGetValue(service, out PublicState last) && last == state.PublicState)
            return;
        _lastStates[service] = state.PublicState;
        foreach (InstanceChannel channel in _channels.Values.ToArray())
        {
            if (channel.IsWatching && core.Find(channel.Instance.Id.Service) is { } asking
                && SharingPolicy.Knows(asking.Definition, state.Definition))
            {
                TellChange(channel, state);
            }
        }
    }

    /// <summary>A program begins to watch.</summary>
    public void BeginWatch(InstanceChannel channel)
    {
        if (channel.IsWatching)
            return;
        channel.IsWatching = true;
        _watchers++;
        events.Feed(new Event.ChannelWatched(channel.Instance.Id, IsWatched: true));
    }

    public void NoteClosed(InstanceChannel channel)
    {
        _ = _channels.Remove(channel.Instance.Id);
        if (!channel.IsWatching)
            return;
        _watchers--;
        events.Feed(new Event.ChannelWatched(channel.Instance.Id, IsWatched: false));
    }

    public void ReportCut(RunningInstance instance, string reason)
    {
        counters.Count("channels-closed");
        notices.Report(new Notice.ChannelClosed(instance.Id, instance.Slot, instance.Generation, instance.Process?.Pid ?? 0, reason));
    }

    /// <summary>
    /// Whether an event about a descriptor may be reported, and how many before it were not: a program that asks all the time must not push
    /// everything else out of the list of events.
    /// </summary>
    public static bool MayReport(InstanceChannel channel, out long skipped) => channel.Instance.MayReport(HostClock.Now, out skipped);

    /// <summary>What the core knows of an instance; null: it is over.</summary>
    public (SlotPhase.Live Phase, SlotState Slot)? InstanceOf(InstanceId id)
    {
        if (core.Find(id.Service) is not { } service)
            return null;
        foreach (SlotState slot in service.Slots.Concat(service.Beside))
        {
            if (slot.Phase is SlotPhase.Live live && live.Instance.Id == id)
                return (live, slot);
        }
        return null;
    }

    public void Dispose()
    {
        foreach (InstanceChannel channel in _channels.Values.ToArray())
            channel.Close();
        Siblings.Dispose();
        HandOvers.Dispose();
        _packet?.Dispose();
    }

    private void TellChange(InstanceChannel channel, ServiceState state)
    {
        System.Text.Json.Utf8JsonWriter json = Packet.Begin();
        json.WriteString("event", "SiblingChanged");
        json.WriteString("service", state.Definition.Name.Text);
        json.WriteString("state", StateWords.Of(state.PublicState));
        channel.Tell(Packet.End(continues: true));
    }
}
