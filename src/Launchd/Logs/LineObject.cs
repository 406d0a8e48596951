using System.Buffers;
using System.Text.Json;
using System.Text.Unicode;

namespace Launchd.Logs;

/// <summary>
/// Writes a line of a service as one JSON object for programs: time (ISO 8601, UTC, microseconds), service, slot, stream, and the line as
/// <c>text</c>, or as <c>object</c> if it is a JSON object itself. A piece of a line that was too long has <c>cut</c>: <c>start</c>,
/// <c>end</c> or <c>both</c>, where it lacks something. All but ASCII is escaped in <c>text</c>; bytes that are no UTF-8 become U+FFFD.
/// Once it has its memory it allocates only for what is not UTF-8, and for what looks like an object and is none. For the pump's thread.
/// </summary>
internal sealed class LineObject : IDisposable
{
    private const int MostDepth = 64;

    /// <summary>
    /// The reader says by an exception that a text is wrong, which costs some microseconds: after so many in one read its lines are texts.
    /// </summary>
    private const int MostWrong = 8;

    private const int FirstBytes = 4096;

    /// <summary>What was needed for a longer line is not kept for the next one.</summary>
    private const int MostKeptBytes = 8 * LineMemory.ShortBytes;

    private ArrayBufferWriter<byte> _bytes = new(FirstBytes);
    private readonly Utf8JsonWriter _json;
    private int _wrongCount;

    public LineObject()
    {
        _json = new Utf8JsonWriter(_bytes, new JsonWriterOptions { SkipValidation = true });
    }

    /// <summary>Called before the lines of one read of one program.</summary>
    public void BeginBatch() => _wrongCount = 0;

    /// <summary>The object without a newline; valid until the next call.</summary>
    /// <param name="source">Whose line it is.</param>
    /// <param name="time">As <see cref="LogHistory.TryFormatTime"/> writes it.</param>
    /// <param name="line">Without its newline.</param>
    /// <param name="cut">Where a piece of a line lacks something.</param>
    public ReadOnlySpan<byte> Write(OutputSource source, ReadOnlySpan<byte> time, ReadOnlySpan<byte> line, LineCut cut)
    {
        if (_bytes.Capacity > MostKeptBytes)
            _bytes = new ArrayBufferWriter<byte>(FirstBytes);
        _bytes.ResetWrittenCount();
        _json.Reset(_bytes);
        _json.WriteStartObject();
        _json.WriteString("time"u8, time);
        _json.WriteString("service"u8, source.Service);
        _json.WriteNumber("slot"u8, source.Slot);
        _json.WriteString("stream"u8, source.Stream);
        if (cut == LineCut.None && IsObject(line))
        {
            _json.WritePropertyName("object"u8);
            _json.WriteRawValue(line, skipInputValidation: true);
        }
        else
        {
            WriteText(line);
        }
        if (WordOf(cut) is { } word)
            _json.WriteString("cut"u8, word);
        _json.WriteEndObject();
        _json.Flush();
        return _bytes.WrittenSpan;
    }

    /// <summary>What programs read: <c>start</c>, <c>end</c> or <c>both</c>, where a line lacks something; null: it is whole.</summary>
    public static string? WordOf(LineCut cut) => cut switch
    {
        LineCut.None => null,
        LineCut.AtStart => "start",
        LineCut.AtEnd => "end",
        _ => "both",
    };

    public void Dispose() => _json.Dispose();

    private void WriteText(ReadOnlySpan<byte> line)
    {
        if (Utf8.IsValid(line))
            _json.WriteString("text"u8, line);
        else
            _json.WriteString("text"u8, System.Text.Encoding.UTF8.GetString(line));
    }

    // The reader does not look into the texts of the object, so that they are UTF-8 is asked first. A carriage return between its parts
    // would be as good as a newline to some who read lines. Indented JSON, whose lines begin and do not end an object, costs no exception.
    private bool IsObject(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> trimmed = line.TrimEnd((byte)' ');
        bool mayBe = trimmed.Length > 1 && trimmed[0] == (byte)'{' && trimmed[^1] == (byte)'}';
        if (!mayBe || _wrongCount >= MostWrong || line.Contains((byte)'\r') || !Utf8.IsValid(line))
            return false;
        Utf8JsonReader reader = new(line, new JsonReaderOptions { MaxDepth = MostDepth });
        try
        {
            while (reader.Read())
            {
            }
            return true;
        }
        catch (JsonException)
        {
            _wrongCount++;
            return false;
        }
    }
}
