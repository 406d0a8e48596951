using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Launchd.Host.Channel;

/// <summary>
/// Builds one packet at a time, always in the same memory: an answer is built and sent before the next request is looked at. The
/// bytes that a method returns are valid until the next call.
/// </summary>
internal sealed class PacketWriter : IDisposable
{
    private const string Interface = "org.launchd-cs.Instance.";

    private readonly ArrayBufferWriter<byte> _bytes = new(4096);
    private readonly Utf8JsonWriter _json;

    public PacketWriter()
    {
        JsonWriterOptions options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };
        _json = new Utf8JsonWriter(_bytes, options);
    }

    public static ReadOnlySpan<byte> Empty => "{\"parameters\":{}}"u8;

    public static ReadOnlySpan<byte> EmptyContinues => "{\"parameters\":{},\"continues\":true}"u8;

    /// <summary>Bytes of the packet so far.</summary>
    public int Length => checked((int)(_json.BytesCommitted + _json.BytesPending));

    /// <summary>Opens an answer and its parameters; write them, then call <see cref="End"/>.</summary>
    public Utf8JsonWriter Begin(string? error = null)
    {
        _bytes.ResetWrittenCount();
        _json.Reset(_bytes);
        _json.WriteStartObject();
        if (error is not null)
            _json.WriteString("error", error.StartsWith("org.", StringComparison.Ordinal) ? error : Interface + error);
        _json.WriteStartObject("parameters");
        return _json;
    }

    public ReadOnlySpan<byte> End(bool continues = false)
    {
        _json.WriteEndObject();
        if (continues)
            _json.WriteBoolean("continues", true);
        _json.WriteEndObject();
        _json.Flush();
        return _bytes.WrittenSpan;
    }

    public void Dispose() => _json.Dispose();

    /// <summary>An error with texts; those that are null are left out.</summary>
    public ReadOnlySpan<byte> Error(string error, params ReadOnlySpan<(string Key, string? Value)> texts)
    {
        Utf8JsonWriter json = Begin(error);
        foreach ((string key, string? value) in texts)
        {
            if (value is not null)
                json.WriteString(key, value);
        }
        return End();
    }
}
