using System.Text.Json;
using Launchd.Client.Interop;

namespace Launchd.Client.Channel;

/// <summary>One packet of the supervisor, read: its JSON and the descriptors that came along, which it owns until they are taken.</summary>
internal sealed class ChannelPacket : IDisposable
{
    private readonly ReceivedDescriptors _descriptors;

    private ChannelPacket(JsonElement root, ReceivedDescriptors descriptorsTaken)
    {
        _descriptors = descriptorsTaken;
        Error = root.TryGetProperty("error", out JsonElement error) ? error.GetString() : null;
        Parameters = root.TryGetProperty("parameters", out JsonElement parameters) && parameters.ValueKind == JsonValueKind.Object
            ? parameters : default;
        Continues = root.TryGetProperty("continues", out JsonElement continues) && continues.ValueKind == JsonValueKind.True;
        EventName = Text("event");
    }

    /// <summary>An object, or undefined if there was none.</summary>
    public JsonElement Parameters { get; }

    /// <summary>The error's full name; null for an answer.</summary>
    public string? Error { get; }

    /// <summary>More packets follow for the same request.</summary>
    public bool Continues { get; }

    /// <summary>What happened, if this packet is no answer but an event.</summary>
    public string? EventName { get; }

    /// <summary>Whether descriptors were lost on the way, such as for want of a free number here.</summary>
    public bool IsCut { get; private init; }

    public int DescriptorCount => _descriptors.Count;

    /// <summary>Takes ownership of what was received; null, and everything closed, if it is no object of JSON.</summary>
    public static ChannelPacket? Read(ReadOnlyMemory<byte> bytes, ReceivedPart partTaken)
    {
        partTaken.Beside.Pidfd?.Dispose();
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return new ChannelPacket(document.RootElement.Clone(), partTaken.Beside.Descriptors) { IsCut = partTaken.IsCut };
        }
        catch (JsonException)
        {
            // Told by the null.
        }
        partTaken.Beside.Descriptors.Dispose();
        return null;
    }

    public string? Text(string key) =>
        Find(key) is { ValueKind: JsonValueKind.String } found ? found.GetString() : null;

    public long? Number(string key) =>
        Find(key) is { ValueKind: JsonValueKind.Number } found && found.TryGetInt64(out long number) ? number : null;

    /// <summary>The entries of <c>descriptors</c>.</summary>
    public IEnumerable<JsonElement> Entries() =>
        Find("descriptors") is { ValueKind: JsonValueKind.Array } array
            ? array.EnumerateArray().Where(e => e.ValueKind == JsonValueKind.Object)
            : [];

    /// <summary>The descriptor that an entry's <c>index</c> names, with what the entry says of it. The caller owns it.</summary>
    /// <exception cref="LaunchdException">The index names none, or one that was taken.</exception>
    public NamedDescriptor Take(JsonElement entry)
    {
        int index = entry.TryGetProperty("index", out JsonElement at) && at.TryGetInt32(out int number) ? number : -1;
        return new NamedDescriptor(TextOf(entry, "name") ?? "", Take(index), TextOf(entry, "address"), Text("way"));
    }

    /// <summary>The descriptor at a place. The caller owns it.</summary>
    public FileDescriptor Take(int index)
    {
        if (index < 0 || index >= _descriptors.Count || _descriptors[index] is null)
            throw new LaunchdException(LaunchdError.BadAnswer, $"the answer speaks of descriptor {index}, and has {_descriptors.Count}");
        return _descriptors.Take(index);
    }

    public static string? TextOf(JsonElement entry, string key) =>
        entry.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    public void Dispose() => _descriptors.Dispose();

    private JsonElement? Find(string key) =>
        Parameters.ValueKind == JsonValueKind.Object && Parameters.TryGetProperty(key, out JsonElement value) ? value : null;
}
