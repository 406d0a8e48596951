using System.Text.Json;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;

namespace Launchd.Host.Channel;

/// <summary>
/// What an instance gives to the one that takes its place, while both live. It waits here until the successor watches its channel, and is
/// closed when that one is over.
/// </summary>
internal sealed class HandOvers(ChannelServer server) : IDisposable
{
    private readonly Dictionary<InstanceId, List<Handed>> _waiting = [];

    public void HandOver(ChannelConnection from, string name, ReceivedDescriptors descriptors)
    {
        if (descriptors.Count == 0)
        {
            from.Answer(ChannelMethods.BadRequest(server.Packet, "descriptors", $"HandOver takes 1 to {Limits.PacketDescriptorCount} descriptors"));
            return;
        }
        if (from.Successor is not { } successor || server.Host.Effects.Instances.Find(successor) is null)
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
        if (server.Find(successor) is not { IsWatching: true } to)
        {
            if (!TryKeep(successor, new Handed(from.Instance.Id, name, TakeAll(descriptors))))
            {
                from.Answer(server.Packet.Error("LimitReached", ("limit", $"{Limits.HandedOverCount} descriptors that wait for the successor to watch")));
                return;
            }
        }
        else
        {
            Tell(to, new Handed(from.Instance.Id, name, TakeAll(descriptors)));
        }
        from.Answer(ChannelPacket.Empty);
    }

    /// <summary>It watches now: gets what waits.</summary>
    public void Deliver(ChannelConnection to)
    {
        if (!_waiting.Remove(to.Instance.Id, out List<Handed>? waiting))
            return;
        foreach (Handed handed in waiting)
            Tell(to, handed);
    }

    public void Progress(ChannelConnection from, long remaining)
    {
        server.Host.Feed(new Event.DrainProgress(from.Instance.Id, (int)remaining));
        from.Answer(ChannelPacket.Empty);
    }

    public void Forget(InstanceId over)
    {
        if (!_waiting.Remove(over, out List<Handed>? waiting))
            return;
        foreach (Handed handed in waiting)
            handed.Dispose();
    }

    public void Dispose()
    {
        foreach (InstanceId instance in _waiting.Keys.ToArray())
            Forget(instance);
    }

    private bool TryKeep(InstanceId successor, Handed handed)
    {
        if (!_waiting.TryGetValue(successor, out List<Handed>? waiting))
            _waiting.Add(successor, waiting = []);
        if (waiting.Sum(h => h.Descriptors.Length) + handed.Descriptors.Length > Limits.HandedOverCount)
        {
            handed.Dispose();
            return false;
        }
        waiting.Add(handed);
        return true;
    }

    private void Tell(ChannelConnection to, Handed handed)
    {
        Utf8JsonWriter json = server.Packet.Begin();
        json.WriteString("event", "Received");
        json.WriteString("name", handed.Name);
        json.WriteNumber("from", handed.From.Number);
        json.WriteStartArray("descriptors");
        for (int i = 0; i < handed.Descriptors.Length; i++)
        {
            DescriptorFacts facts = DescriptorFacts.Read(handed.Descriptors[i]);
            OutgoingList.WriteEntry(json, new ListedDescriptor(handed.Name, "handed-over", null, facts), i);
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

    /// <summary>What came with one <c>HandOver</c>. Owns the descriptors.</summary>
    private sealed record Handed(InstanceId From, string Name, FileDescriptor[] Descriptors) : IDisposable
    {
        public void Dispose()
        {
            foreach (FileDescriptor descriptor in Descriptors)
                descriptor.Dispose();
        }
    }
}
