using System.Text.Json;
using Launchd.Host.Reporting;
using Launchd.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LogFormatterTests
{
    private static readonly FixedTime Clock = new();

    [Fact]
    public void Pretty_HasTimeLevelAndSentence() =>
        Assert.Equal("12:34:56.789 warn  service 'web' is slow\n", Format(LogFormat.Pretty, LogLevel.Warning, "service 'web' is slow"));

    [Fact]
    public void Pretty_WithColour_ColoursTheLevelOnly() =>
        Assert.Equal("12:34:56.789 \x1b[31merror\x1b[0m no\n", Format(LogFormat.Pretty, LogLevel.Error, "no", colour: true));

    [Fact]
    public void Pretty_NeitherForgesLinesNorSteersTheTerminal() =>
        Assert.Equal(
            "12:34:56.789 info  a\n             12:00 forged\\x1b[2J\n",
            Format(LogFormat.Pretty, LogLevel.Information, "a\n12:00 forged\x1b[2J"));

    [Fact]
    public void Systemd_PrefixesEachLine() =>
        Assert.Equal("<3>a\n<3>InvalidOperationException\n",
            Format(LogFormat.Systemd, LogLevel.Error, "a", exception: new InvalidOperationException("b")));

    [Fact]
    public void Json_IsOneObjectALine_WithFieldsInSnakeCase()
    {
        string line = Format(LogFormat.Json, LogLevel.Information, "two\nlines", fields:
        [
            new("Service", "web"), new("ExitCode", 3), new("Text", "taken"), new("Missing", null), new("Ok", true),
            new("{OriginalFormat}", "…"),
        ]);

        Assert.EndsWith("}\n", line);
        Assert.Equal(1, line.Count(c => c == '\n'));
        JsonElement json = JsonDocument.Parse(line).RootElement;
        Assert.Equal("2026-01-31T12:34:56.789000Z", json.GetProperty("time").GetString());
        Assert.Equal("information", json.GetProperty("level").GetString());
        Assert.Equal("service-started", json.GetProperty("event").GetString());
        Assert.Equal("two\nlines", json.GetProperty("text").GetString());
        Assert.Equal("web", json.GetProperty("service").GetString());
        Assert.Equal(3, json.GetProperty("exit_code").GetInt32());
        Assert.Equal("taken", json.GetProperty("text_").GetString());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("missing").ValueKind);
        Assert.True(json.GetProperty("ok").GetBoolean());
        Assert.Equal(9, json.EnumerateObject().Count());
    }

    private static string Format(
        LogFormat format,
        LogLevel level,
        string text,
        bool colour = false,
        Exception? exception = null,
        KeyValuePair<string, object?>[]? fields = null)
    {
        ConsoleFormatter formatter = SupervisorLogging.CreateFormatter(format, colour, Clock, moment => moment.UtcDateTime);
        using var writer = new StringWriter();
        var entry = new LogEntry<KeyValuePair<string, object?>[]>(
            level, "launchd-cs", new EventId(2001, "ServiceStarted"), fields ?? [], exception, (_, _) => text);
        formatter.Write(entry, null, writer);
        return writer.ToString();
    }

    private sealed class FixedTime : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 1, 31, 12, 34, 56, 789, TimeSpan.Zero);
    }
}
