using System.Text.Json;
using Launchd.Cli.Surroundings;
using Launchd.Client;

namespace Launchd.Cli.Views;

/// <summary>One event as one line: time, service, kind, and what belongs to the kind.</summary>
internal static class EventText
{
    private const int KindColumns = 18;
    private const int OriginColumns = 12;

    public static string Line(Terminal terminal, JsonElement item, Func<DateTimeOffset, DateTime> local)
    {
        string time = TimeText.Local(Text(item, "time") ?? "", local);
        string origin = Text(item, "service") is { } service ? service + (Text(item, "slot") is { } slot ? $".{slot}" : "") : "-";
        string kind = Text(item, "event") ?? "?";
        string details = Details(kind, item);
        string head = $"{terminal.Paint(time, Style.Faint)} {Pad(origin, OriginColumns)} ";
        string paintedKind = terminal.Paint(details.Length == 0 ? TerminalText.Escape(kind) : Pad(kind, KindColumns), StyleOf(kind));
        return head + paintedKind + (details.Length == 0 ? "" : " " + TerminalText.Escape(details));
    }

    private static string Pad(string text, int columns)
    {
        string escaped = TerminalText.Escape(text);
        return escaped + new string(' ', Math.Max(0, columns - TerminalText.Columns(escaped)));
    }

    private static Style StyleOf(string kind) => kind switch
    {
        "ready" or "completed" or "rollout-finished" or "reloaded" => Style.Good,
        "failed" or "exec-failed" or "rolled-back" or "reload-refused" or "descriptor-denied" => Style.Bad,
        "exited" or "restarting" or "draining" or "activation-paused" => Style.Warning,
        _ => Style.Plain,
    };

    private static string Details(string kind, JsonElement item)
    {
        List<string> parts = [];
        HashSet<string> said = ["time", "event", "service", "slot"];
        string? Take(string key)
        {
            said.Add(key);
            return Text(item, key);
        }

        switch (kind)
        {
            case "exited":
                if (Take("signal") is { } signal)
                    parts.Add($"killed by {signal}");
                else if (Take("code") is { } code)
                    parts.Add($"exit code {code}");
                if (Take("core") == "true")
                    parts.Add("core dumped");
                parts.Add(Take("reason") ?? "");
                break;
            case "restarting" when long.TryParse(Text(item, "delay_ms"), out long delay):
                _ = Take("delay_ms");
                parts.Add($"in {DurationText.Countdown(delay)}");
                break;
            case "exec-failed":
                string stage = Take("stage") ?? "exec";
                parts.Add(int.TryParse(Take("errno"), out int errno) ? $"{stage}: {new Errno(errno).Text}" : stage);
                break;
            case "failed" or "rolled-back" or "reload-refused" or "supervisor-started":
                parts.Add(Take("reason") ?? "");
                break;
            default:
                break;
        }
        foreach (JsonProperty property in item.EnumerateObject().Where(p => !said.Contains(p.Name)))
            parts.Add(Other(property));
        return string.Join(", ", parts.Where(p => p.Length > 0));
    }

    // What ends in "_ms" is a time: "after_ms": 1 reads "after 1 ms".
    private static string Other(JsonProperty property)
    {
        const string milliseconds = "_ms";
        string name = property.Name;
        return name.EndsWith(milliseconds, StringComparison.Ordinal) && long.TryParse(Value(property.Value), out long value)
            ? $"{name[..^milliseconds.Length].Replace('_', ' ')} {DurationText.Elapsed(value)}"
            : $"{name.Replace('_', ' ')} {Value(property.Value)}";
    }

    private static string? Text(JsonElement item, string key) =>
        item.ValueKind == JsonValueKind.Object && item.TryGetProperty(key, out JsonElement value) ? Value(value) : null;

    private static string Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Array => value.GetArrayLength() == 0 ? "none" : string.Join(' ', value.EnumerateArray().Select(Value)),
        _ => value.GetRawText(),
    };
}
