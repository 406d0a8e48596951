using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Views;

/// <summary>
/// Draws what a reload changes, as tools that deploy do: one line for each table with a sign and what the change means, below it the keys
/// with their values before and after, and a line that sums up.
/// </summary>
internal static class ChangeView
{
    private const string Indent = "      ";
    private const int MostKeyColumns = 32;

    /// <summary>A longer value is cut: it can be read in the file.</summary>
    private const int MostValueColumns = 60;

    public static void Write(Terminal terminal, ReloadReply reply, bool isPlan)
    {
        ReloadChange[] changes = reply.Changes ?? [];
        if (changes.Length == 0)
        {
            terminal.WriteLine(isPlan ? "a reload would change nothing" : "nothing has changed");
            return;
        }
        int names = changes.Max(c => TerminalText.Columns(TerminalText.Escape(c.Table)));
        foreach (ReloadChange change in changes)
        {
            (string sign, Style style) = change.Kind switch
            {
                "added" => ("+", Style.Good),
                "removed" => ("-", Style.Bad),
                _ => ("~", Style.Warning),
            };
            string name = TerminalText.Escape(change.Table);
            string padding = new(' ', names - TerminalText.Columns(name));
            string meaning = terminal.Fit(Meaning(change, isPlan), 6 + names);
            terminal.WriteLine(
                $"  {terminal.Paint(sign, style)} {terminal.Paint(name, style)}{padding}  {Painted(terminal, change, meaning)}");
            WriteKeys(terminal, change.Keys);
        }
        terminal.WriteLine();
        terminal.WriteLine(terminal.Paint(Sum(changes, reply.UnchangedCount ?? 0, isPlan), Style.Strong));
    }

    private static void WriteKeys(Terminal terminal, ReloadKey[] keys)
    {
        if (keys.Length == 0)
            return;
        int columns = Math.Min(MostKeyColumns, keys.Max(k => TerminalText.Columns(TerminalText.Escape(k.Key))));
        foreach (ReloadKey key in keys)
        {
            string name = TerminalText.Cut(TerminalText.Escape(key.Key), columns);
            string padding = new(' ', columns - TerminalText.Columns(name));
            terminal.WriteLine(Indent + name + padding + "  " + Values(terminal, key, Indent.Length + columns + 2));
        }
    }

    private static string Values(Terminal terminal, ReloadKey key, int usedColumns)
    {
        // An ellipsis on both sides stands for a secret value.
        if (key is { From: "…", To: "…" })
            return terminal.Paint("changed", Style.Faint);
        if (key.From is null)
            return terminal.Fit(key.To == "…" ? "set" : Short(key.To ?? ""), usedColumns);
        if (key.To is null)
        {
            string text = key.From == "…" ? "taken away" : $"{Short(key.From)} → not set";
            return terminal.Paint(terminal.Fit(text, usedColumns), Style.Plain);
        }
        int room = terminal.Width == int.MaxValue
            ? MostValueColumns
            : Math.Max(8, Math.Min(MostValueColumns, (terminal.Width - usedColumns - 3) / 2));
        int same = Same(key.From, key.To, room);
        return $"{terminal.Paint(Cut(From(key.From, same), room), Style.Faint)} → {Cut(From(key.To, same), room)}";
    }

    /// <summary>How much of the beginning of two long texts is left out, so that the place where they differ is shown.</summary>
    private static int Same(string from, string to, int room)
    {
        if (Math.Max(from.Length, to.Length) <= room)
            return 0;
        int same = from.AsSpan().CommonPrefixLength(to);
        // A word or two before the difference are kept, to show where it is.
        int start = Math.Max(0, same - (room / 4));
        return start > 0 && char.IsLowSurrogate(from[start - 1]) ? start - 1 : start;
    }

    private static string From(string text, int start) => start == 0 ? text : "…" + text[start..];

    private static string Short(string text) => Cut(text, MostValueColumns);

    private static string Cut(string text, int columns) => TerminalText.Cut(TerminalText.Escape(text), columns);

    private static string Painted(Terminal terminal, ReloadChange change, string meaning) =>
        terminal.Paint(meaning, change.Effect == "refused" ? Style.Bad : Style.Plain);

    private static string Meaning(ReloadChange change, bool isPlan) => change.Effect switch
    {
        "starts" => isPlan ? "will be started" : "is started",
        "stays-stopped" => "stays stopped until it is asked for",
        "stops" => isPlan ? "will be stopped" : "is stopped",
        "new-generation" => isPlan ? "new instances will take over" : "new instances take over",
        "scales" => "more or fewer instances, the others run on",
        "in-place" => "in place, what runs goes on",
        "opens" => isPlan ? "will be opened" : "is open",
        "opens-anew" => isPlan ? "will be opened anew" : "was opened anew",
        "takes-over" => $"keeps the open socket of {change.Source}",
        "closes" => "closes when the last program that has it has ended",
        "refused" => "cannot change while the supervisor runs: the reload would be refused",
        _ => change.Effect,
    };

    private static string Sum(ReloadChange[] changes, int unchanged, bool isPlan)
    {
        List<string> parts = [];
        foreach (string kind in (ReadOnlySpan<string>)["added", "changed", "removed"])
        {
            int count = changes.Count(c => c.Kind == kind);
            if (count > 0)
                parts.Add($"{count} {(isPlan ? $"to be {kind}" : kind)}");
        }
        parts.Add($"{unchanged} unchanged");
        return string.Join(", ", parts);
    }
}
