using System.Formats.Cbor;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Paths;

namespace Launchd.Host.Keeping;

/// <summary>
/// A descriptor that is held for the supervisor after this one, and what it is recognised by where nobody holds it any more: then one of
/// the processes that are left may have the same. Written as a CBOR array; further items are passed over.
/// </summary>
/// <param name="Name">By which it is held.</param>
/// <param name="Identity">Of the descriptor.</param>
internal sealed record HeldNote(string Name, DescriptorIdentity Identity)
{
    private const int LongestName = 127;

    public void Write(CborWriter writer)
    {
        writer.WriteStartArray(8);
        writer.WriteTextString(Name);
        writer.WriteUInt64(Identity.Device);
        writer.WriteUInt64(Identity.Inode);
        writer.WriteInt32((int)Identity.Kind);
        writer.WriteInt32(Identity.AccessMode);
        writer.WriteInt64(Identity.BirthSeconds);
        writer.WriteUInt32(Identity.BirthNanoseconds);
        writer.WriteUInt64(Identity.Cookie);
        writer.WriteEndArray();
    }

    /// <summary>Null: it is no such note.</summary>
    public static HeldNote? TryRead(ReadOnlyMemory<byte> content)
    {
        try
        {
            CborReader reader = new(content, CborConformanceMode.Lax);
            _ = reader.ReadStartArray();
            HeldNote note = new(reader.ReadTextString(), new DescriptorIdentity(
                reader.ReadUInt64(), reader.ReadUInt64(), (FileKind)reader.ReadInt32(), reader.ReadInt32(), reader.ReadInt64(),
                reader.ReadUInt32(), reader.ReadUInt64()));
            return note.Name.Length is > 0 and <= LongestName && Enum.IsDefined(note.Identity.Kind) ? note : null;
        }
        catch (Exception unsound) when (unsound is CborContentException or InvalidOperationException or OverflowException)
        {
            return null;
        }
    }
}
