using System.Text.Json;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Loop;

namespace Launchd.Host.Channel;

/// <summary>
/// The descriptors that an instance hands over to the one that takes its place, while both live. They wait here until the
/// successor watches its channel and has room for them, and are closed when the successor is over. So a predecessor can
/// fill this queue, but never the successor's channel.
/// </summary>
internal sealed class HandOvers(ChannelServer server, RunningInstances instances, EventFeed events) : IDisposable
{
    private readonly Dictionary<InstanceId, Queue<Handed>> _waiting = [];

    public void HandOver(InstanceChannel from, string name, ReceivedDescriptors descriptors)
    {
        if (descriptors.Count == 0)
        {
            string wanted = $"HandOver takes 1 to {Limits.PacketDescriptorCount} descriptors";
            from.Answer(ChannelMethods.BadRequest(server.Packet, "descriptors", wanted));
            return;
        }
        if (from.Successor is not { } successor || instances.Find(successor) is null)
        {
            from.Answer(server.Packet.Error("NotReady", ("text", "there is no successor")));
            return;
        }
        for (int i = 0; i < descriptors.Count; i++)
        {
            if (ChannelMethods.WhyNotKept(descriptors[i]!) is not { } kind)
                continue;
            from.Answer(ChannelMethods.BadRequest(server.Packet, "descriptors", $"descriptor {i} is {kind}, which cannot be handed over"));
            return;
        }
        if (WhyFull(successor, descriptors.Count) is { } limit)
        {
            // Closed before the answer: a program that reads it may rely on that.
            descriptors.Dispose();
            from.Answer(server.Packet.Error("LimitReached", ("limit", limit)));
            return;
        }
        if (!_waiting.TryGetValue(successor, out Queue<Handed>? waiting))
            _waiting.Add(successor, waiting = []);
        waiting.Enqueue(new Handed(from.Instance.Id, name, TakeAll(descriptors)));
        if (server.Find(successor) is { } to)
            Deliver(to);
        from.Answer(PacketWriter.Empty);
    }

    /// <summary>A successor watches its channel now, or has room again: sends what waits for it.</summary>
    public void Deliver(InstanceChannel to)
    {
        while (to.HasRoomForEvents && _waiting.TryGetValue(to.Instance.Id, out Queue<Handed>? waiting))
        {
            Handed next = waiting.Dequeue();
            if (waiting.Count == 0)
                _waiting.Remove(to.Instance.Id);
            Tell(to, next);
        }
    }

    /// <summary>
    /// No predecessor is left that could hand anything over to an instance, which is told so behind everything that still waits for it.
    /// </summary>
    public void End(InstanceChannel to, InstanceId predecessor)
    {
        if (!to.IsWatching)
            return;
        if (_waiting.TryGetValue(to.Instance.Id, out Queue<Handed>? waiting))
            waiting.Enqueue(new Handed(predecessor, Name: null, []));
        else
            Tell(to, new Handed(predecessor, Name: null, []));
    }

    /// <summary>The predecessor whose descriptors wait for an instance; null: none do.</summary>
    public InstanceId? Source(InstanceId successor) =>
        _waiting.TryGetValue(successor, out Queue<Handed>? waiting) ? waiting.Peek().From : null;

    /// <summary>The number of descriptors that wait for successors of a service.</summary>
    public int CountOf(Model.ServiceName service) =>
        _waiting.Count == 0 ? 0 : _waiting.Where(w => w.Key.Service == service).Sum(w => w.Value.Sum(h => h.Descriptors.Length));

    public void Progress(InstanceChannel from, long remaining)
    {
        events.Feed(new Event.DrainProgress(from.Instance.Id, (int)remaining));
        from.Answer(PacketWriter.Empty);
    }

    public void Forget(InstanceId over)
    {
        if (!_waiting.Remove(over, out Queue<Handed>? waiting))
            return;
        foreach (Handed handed in waiting)
            handed.Dispose();
    }

    public void Dispose()
    {
        foreach (InstanceId instance in _waiting.Keys.ToArray())
            Forget(instance);
    }

    /// <summary>The limit that so many more descriptors would exceed; null: none.</summary>
    private string? WhyFull(InstanceId successor, int count)
    {
        int ofSuccessor = _waiting.TryGetValue(successor, out Queue<Handed>? waiting) ? waiting.Sum(h => h.Descriptors.Length) : 0;
        if (ofSuccessor + count > Limits.HandedOverCount)
            return $"{Limits.HandedOverCount} descriptors that wait for the successor";
        int ofAll = _waiting.Values.Sum(q => q.Sum(h => h.Descriptors.Length));
        return ofAll + count > Limits.HandedOverInAllCount
            ? $"{Limits.HandedOverInAllCount} descriptors that wait for the successors of all services"
            : null;
    }

    private void Tell(InstanceChannel to, Handed handed)
    {
        Utf8JsonWriter json = server.Packet.Begin();
        if (handed.Name is not { } name)
        {
            json.WriteString("event", "PredecessorEnded");
            json.WriteNumber("predecessor", handed.From.Number);
            to.Tell(server.Packet.End(continues: true));
            return;
        }
        json.WriteString("event", "Received");
        json.WriteString("name", name);
        json.WriteNumber("from", handed.From.Number);
        json.WriteStartArray("descriptors");
        for (int i = 0; i < handed.Descriptors.Length; i++)
        {
            DescriptorFacts facts = DescriptorFacts.Read(handed.Descriptors[i]);
            OutgoingList.WriteEntry(json, new ListedDescriptor(name, "handed-over", null, facts), i);
        }
        json.WriteEndArray();
        if (!to.Tell(server.Packet.End(continues: true), handed.Descriptors))
            handed.Dispose();
    }

    private static FileDescriptor[] TakeAll(ReceivedDescriptors descriptors)
    {
        FileDescriptor[] taken = new FileDescriptor[descriptors.Count];
        for (int i = 0; i < taken.Length; i++)
            taken[i] = descriptors.Take(i);
        return taken;
    }

    /// <summary>
    /// What came with one <c>HandOver</c>; without a name, the message that nothing more will come. Owns the descriptors.
    /// </summary>
    private sealed record Handed(InstanceId From, string? Name, FileDescriptor[] Descriptors) : IDisposable
    {
        public void Dispose()
        {
            foreach (FileDescriptor descriptor in Descriptors)
                descriptor.Dispose();
        }
    }
}
