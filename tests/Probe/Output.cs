using System.Text.Json;

namespace Launchd.Probe;

/// <summary>Where the probe speaks: JSON lines (one <c>write</c> each, so that those of several processes do not mix), raw bytes.</summary>
internal static class Output
{
    private static readonly Lock Gate = new();
    private static Stream _lines = Stream.Null;
    private static Stream _raw = Stream.Null;

    /// <param name="path">A file or FIFO for the JSON lines; null for standard output.</param>
    public static void Open(string? path)
    {
        _raw = Console.OpenStandardOutput();
        _lines = path is null
            ? _raw
            : new FileStream(path, FileMode.Append, System.IO.FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
    }

    /// <summary>Prints <c>{"probe":KIND,…}</c> and a newline.</summary>
    public static void Line(string kind, Action<Utf8JsonWriter>? members = null)
    {
        using MemoryStream text = new();
        using (Utf8JsonWriter json = new(text))
        {
            json.WriteStartObject();
            json.WriteString("probe", kind);
            members?.Invoke(json);
            json.WriteEndObject();
        }
        text.WriteByte((byte)'\n');
        lock (Gate)
        {
            _lines.Write(text.ToArray());
            _lines.Flush();
        }
    }

    /// <summary>Writes bytes to standard output as they are.</summary>
    public static void Raw(ReadOnlySpan<byte> bytes)
    {
        lock (Gate)
        {
            _raw.Write(bytes);
            _raw.Flush();
        }
    }
}
