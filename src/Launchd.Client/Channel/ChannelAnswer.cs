namespace Launchd.Client.Channel;

/// <summary>All packets of one answer. Owns the descriptors in them until they are taken.</summary>
internal sealed class ChannelAnswer(IReadOnlyList<ChannelPacket> packetsTaken) : IDisposable
{
    /// <summary>The first packet: the only one, unless a list did not fit.</summary>
    public ChannelPacket First => packetsTaken[0];

    public IReadOnlyList<ChannelPacket> Packets => packetsTaken;

    /// <summary>Every descriptor of every packet, in order. The caller owns them; on a failure none is left open.</summary>
    public IReadOnlyList<NamedDescriptor> TakeAll()
    {
        List<NamedDescriptor> all = [];
        try
        {
            foreach (ChannelPacket packet in packetsTaken)
                all.AddRange(packet.Entries().Select(packet.Take));
            return all;
        }
        catch (LaunchdException)
        {
            foreach (NamedDescriptor taken in all)
                taken.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (ChannelPacket packet in packetsTaken)
            packet.Dispose();
    }
}
