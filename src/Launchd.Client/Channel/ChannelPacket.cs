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
        // An error that has no name, or none that can be read, is an error all the same.
        Error = TryGet(root, "error", out JsonElement error) && error.ValueKind != JsonValueKind.Null ? StringOf(error) ?? "" : null;
        Parameters = TryGet(root, "parameters", out JsonElement parameters) && parameters.ValueKind == JsonValueKind.Object
            ? parameters : default;
        Continues = TryGet(root, "continues", out JsonElement continues) && continues.ValueKind == JsonValueKind.True;
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
            // The null result says so.
        }
        partTaken.Beside.Descriptors.Dispose();
        return null;
    }

    public string? Text(string key) => Find(key) is { } found ? StringOf(found) : null;

    public long? Number(string key) =>
        Find(key) is { ValueKind: JsonValueKind.Number } found && found.TryGetInt64(out long number) ? number : null;

    /// <summary>The entries of <c>descriptors</c>.</summary>
    public IEnumerable<JsonElement> Entries() =>
        Find("descriptors") is { ValueKind: JsonValueKind.Array } array
            ? array.EnumerateArray().Where(e => e.ValueKind == JsonValueKind.Object)
            : [];

    /// <summary>The descriptor that an entry's <c>index</c> names, with what the entry says of it. The caller owns it.</summary>
    /// <exception cref="LaunchdException">There is no descriptor of that index, or it was taken before.</exception>
    public NamedDescriptor Take(JsonElement entry)
    {
        int index = TryGet(entry, "index", out JsonElement at)
            && at.ValueKind == JsonValueKind.Number && at.TryGetInt32(out int number) ? number : -1;
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
        TryGet(entry, key, out JsonElement value) ? StringOf(value) : null;

    // JSON can spell half of a surrogate pair, in a name or in a value; reading that as text throws InvalidOperationException.
    private static bool TryGet(JsonElement element, string key, out JsonElement value)
    {
        try
        {
            return element.TryGetProperty(key, out value);
        }
        catch (InvalidOperationException)
        {
            value = default;
            return false;
        }
    }

    private static string? StringOf(JsonElement value)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    public void Dispose() => _descriptors.Dispose();

    private JsonElement? Find(string key) =>
        Parameters.ValueKind == JsonValueKind.Object && TryGet(Parameters, key, out JsonElement value) ? value : null;
}
