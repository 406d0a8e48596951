using System.Text.Json;
using Launchd.Client;
using Launchd.Core;

namespace Launchd.Host.Channel;

/// <summary>Something that waits to be sent to one program. A closed family.</summary>
internal abstract class Outgoing
{
    /// <summary>Whether it can be sent as soon as the program reads.</summary>
    public virtual bool IsComplete => true;

    /// <summary>Sends as much as the kernel takes. True: all of it.</summary>
    public abstract bool TrySend(InstanceChannel to);

    /// <summary>Called when it was sent, or never will be: closes the descriptors that it owns.</summary>
    public virtual void Discard()
    {
    }
}

/// <summary>One packet. Its descriptors are borrowed or owned.</summary>
internal sealed class OutgoingPacket(byte[] bytes, FileDescriptor[] descriptors, bool isOwned) : Outgoing
{
    public override bool TrySend(InstanceChannel to) => to.TrySend(bytes, descriptors);

    public override void Discard()
    {
        if (!isOwned)
            return;
        foreach (FileDescriptor descriptor in descriptors)
            descriptor.Dispose();
    }
}

/// <summary>The place of an answer that is still to come; the answers behind it wait.</summary>
internal sealed class OutgoingLater(InstanceChannel to) : Outgoing
{
    private OutgoingPacket? _answer;
    private bool _isDiscarded;

    public override bool IsComplete => _answer is not null;

    /// <summary>Whether the program is gone or was answered, so that nothing is left to do.</summary>
    public bool IsOver => _isDiscarded || IsComplete;

    /// <summary>Fills in the answer and takes over its descriptor.</summary>
    public void Complete(ReadOnlySpan<byte> packet, FileDescriptor? descriptorTaken = null, bool isOwned = true)
    {
        if (IsOver)
        {
            if (isOwned)
                descriptorTaken?.Dispose();
            return;
        }
        _answer = new OutgoingPacket(packet.ToArray(), descriptorTaken is null ? [] : [descriptorTaken], isOwned);
        to.Flush();
    }

    public override bool TrySend(InstanceChannel connection) => _answer is not null && _answer.TrySend(connection);

    public override void Discard()
    {
        _isDiscarded = true;
        _answer?.Discard();
    }
}

/// <summary>One descriptor of a list, borrowed.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Origin">socket, file, stored or sibling.</param>
/// <param name="Descriptor">Null: the supervisor does not hold it.</param>
/// <param name="Known">Its kind and address; null: to be read from the descriptor.</param>
/// <param name="Service">The service whose it is, if it is a sibling's.</param>
/// <param name="Slot">The slot whose it is, if it is a sibling's.</param>
internal readonly record struct ListedDescriptor(
    string Name, string Origin, FileDescriptor? Descriptor, DescriptorFacts? Known = null, string? Service = null, int Slot = 0)
{
    public DescriptorFacts Facts => Known ?? (Descriptor is null ? DescriptorFacts.None : DescriptorFacts.Of(Descriptor));
}

/// <summary>
/// An answer with a list of descriptors, in as many packets as it takes: each is built when the kernel has taken the
/// one before, so that a long list costs no memory.
/// </summary>
/// <param name="packet">Builds the packets.</param>
/// <param name="entries">All entries of the list.</param>
/// <param name="sends">Whether the descriptors go along.</param>
internal sealed class OutgoingList(PacketWriter packet, IReadOnlyList<ListedDescriptor> entries, bool sends) : Outgoing
{
    // Room for one entry with the longest name and path, escaped in the form that takes most bytes.
    private const int LongestEntryBytes = 16 << 10;

    private int _next;

    public override bool TrySend(InstanceChannel to)
    {
        do
        {
            int end = Write(_next, out ReadOnlySpan<byte> bytes, out FileDescriptor[] descriptors);
            if (!to.TrySend(bytes, descriptors))
                return false;
            _next = to.WasRefused ? entries.Count : end;
        }
        while (_next < entries.Count);
        return true;
    }

    private int Write(int first, out ReadOnlySpan<byte> bytes, out FileDescriptor[] descriptors)
    {
        Utf8JsonWriter json = packet.Begin();
        json.WriteStartArray("descriptors");
        List<FileDescriptor> attached = [];
        int at = first;
        for (; at < entries.Count && HasRoom(); at++)
        {
            ListedDescriptor entry = entries[at];
            // A descriptor that was closed while the program read the packets before is left out.
            if (entry.Descriptor is { IsClosed: true })
                continue;
            WriteEntry(json, entry, sends ? attached.Count : -1);
            if (sends && entry.Descriptor is { } descriptor)
                attached.Add(descriptor);
        }
        json.WriteEndArray();
        bytes = packet.End(continues: at < entries.Count);
        descriptors = [.. attached];
        return at;

        bool HasRoom() => packet.Length < Limits.PacketBytes - LongestEntryBytes && attached.Count < Limits.PacketDescriptorCount;
    }

    /// <param name="json">A writer inside an array.</param>
    /// <param name="entry">The descriptor.</param>
    /// <param name="index">Its index among the descriptors of the packet; negative: it is not sent.</param>
    public static void WriteEntry(Utf8JsonWriter json, in ListedDescriptor entry, int index)
    {
        json.WriteStartObject();
        json.WriteString("name", entry.Name);
        DescriptorFacts facts = entry.Facts;
        json.WriteString("kind", facts.Kind);
        json.WriteString("address", facts.Address);
        json.WriteString("origin", entry.Origin);
        if (entry.Service is { } service)
        {
            json.WriteString("service", service);
            json.WriteNumber("slot", entry.Slot);
        }
        if (index >= 0)
            json.WriteNumber("index", index);
        json.WriteEndObject();
    }
}
