using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Launchd.Logs;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Launchd.Host.Reporting;

/// <summary>For people: <c>12:00:00.123 info  sentence</c>. Further lines of a text or an exception are indented.</summary>
/// <param name="time">Tells the moment.</param>
/// <param name="local">Makes a local time of it.</param>
/// <param name="colour">Whether the level has a colour.</param>
internal sealed class PrettyLineFormatter(TimeProvider time, Func<DateTimeOffset, DateTime> local, bool colour) : ConsoleFormatter("pretty")
{
    private const string Indent = "             ";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        (string level, string code) = Describe(logEntry.LogLevel);
        textWriter.Write(local(time.GetUtcNow()).ToString("HH:mm:ss.fff", CultureInfo.InvariantCulture));
        textWriter.Write(' ');
        textWriter.Write(colour ? $"\x1b[{code}m{level}\x1b[0m" : level);
        textWriter.Write(' ');
        string start = "";
        foreach (string line in LogText.Lines(logEntry))
        {
            textWriter.Write(start);
            textWriter.Write(LineEscaper.ToSafeText(line));
            textWriter.Write('\n');
            start = Indent;
        }
    }

    private static (string Name, string ColourCode) Describe(LogLevel level) => level switch
    {
        LogLevel.Trace => ("trace", "2"),
        LogLevel.Debug => ("debug", "2"),
        LogLevel.Information => ("info ", "32"),
        LogLevel.Warning => ("warn ", "33"),
        LogLevel.Error => ("error", "31"),
        _ => ("fatal", "1;31"),
    };
}

/// <summary>
/// For the journal: each line begins with its severity in angle brackets, sd-daemon(3). No time, the journal has its own.
/// </summary>
internal sealed class SystemdLineFormatter() : ConsoleFormatter("systemd")
{
    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        // Severities of syslog(3): 2 critical, 3 error, 4 warning, 6 informational, 7 debug.
        string prefix = logEntry.LogLevel switch
        {
            LogLevel.Critical => "<2>",
            LogLevel.Error => "<3>",
            LogLevel.Warning => "<4>",
            LogLevel.Information => "<6>",
            _ => "<7>",
        };
        foreach (string line in LogText.Lines(logEntry))
        {
            textWriter.Write(prefix);
            textWriter.Write(LineEscaper.ToSafeText(line));
            textWriter.Write('\n');
        }
    }
}

/// <summary>
/// For programs: one JSON object a line with time (ISO 8601, UTC, microseconds), level, event, text and the fields of the message in
/// snake_case; a field whose name is taken gets an underscore. All but ASCII is escaped.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class JsonLineFormatter(TimeProvider time) : ConsoleFormatter("json")
{
    private const string TemplateField = "{OriginalFormat}";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var bytes = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            long now = (time.GetUtcNow().UtcTicks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
            json.WriteString("time", LogHistory.FormatTime(now));
            json.WriteString("level", logEntry.LogLevel.ToString().ToLowerInvariant());
            if (logEntry.EventId.Id != 0 || logEntry.EventId.Name is not null)
                json.WriteString("event", EventName(logEntry.EventId));
            json.WriteString("text", LogText.Sentence(logEntry));
            if (logEntry.State is IReadOnlyList<KeyValuePair<string, object?>> fields)
                WriteFields(json, fields);
            if (logEntry.Exception is not null)
                json.WriteString("exception", Defect.DescribeWithStack(logEntry.Exception));
            json.WriteEndObject();
        }
        textWriter.Write(Encoding.UTF8.GetString(bytes.WrittenSpan));
        textWriter.Write('\n');
    }

    private static string EventName(EventId id) =>
        id.Name is null ? id.Id.ToString(CultureInfo.InvariantCulture) : JsonNamingPolicy.KebabCaseLower.ConvertName(id.Name);

    private static void WriteFields(Utf8JsonWriter json, IReadOnlyList<KeyValuePair<string, object?>> fields)
    {
        for (int i = 0; i < fields.Count; i++)
        {
            (string name, object? value) = fields[i];
            if (name == TemplateField)
                continue;
            string key = JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
            json.WritePropertyName(key is "time" or "level" or "event" or "text" or "exception" ? key + "_" : key);
            WriteValue(json, value);
        }
    }

    private static void WriteValue(Utf8JsonWriter json, object? value)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case bool b:
                json.WriteBooleanValue(b);
                break;
            case int n:
                json.WriteNumberValue(n);
                break;
            case long n:
                json.WriteNumberValue(n);
                break;
            case double n when double.IsFinite(n):
                json.WriteNumberValue(n);
                break;
            default:
                json.WriteStringValue(Convert.ToString(value, CultureInfo.InvariantCulture));
                break;
        }
    }
}

/// <summary>What a log entry says.</summary>
internal static class LogText
{
    public static string Sentence<TState>(in LogEntry<TState> entry) => entry.Formatter?.Invoke(entry.State, entry.Exception) ?? "";

    /// <summary>The sentence and the exception, cut at line ends, so that no text can pass for another entry.</summary>
    public static IEnumerable<string> Lines<TState>(in LogEntry<TState> entry)
    {
        string text = Sentence(entry);
        if (entry.Exception is not null)
            text = (text.Length > 0 ? text + "\n" : "") + Defect.DescribeWithStack(entry.Exception);
        return text.ReplaceLineEndings("\n").Split('\n');
    }
}
