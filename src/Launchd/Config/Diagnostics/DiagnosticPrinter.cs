using System.Globalization;
using System.Text;
using Launchd.Config.Sources;

namespace Launchd.Config.Diagnostics;

/// <summary>
/// Renders diagnostics for a terminal: a header line, the source line with its number, a caret line, and a hint if there is one.
/// Nothing of the source reaches the terminal as a control character.
/// </summary>
internal static class DiagnosticPrinter
{
    /// <summary>Columns of a source line that are shown at most; a longer one is cut around the caret.</summary>
    public const int LongestLineColumns = 120;

    private const int ContextColumns = 40;

    public static string Print(IEnumerable<Diagnostic> diagnostics, bool withColour = false)
    {
        StringBuilder output = new();
        foreach (Diagnostic diagnostic in diagnostics)
            Print(output, diagnostic, withColour);
        return output.ToString();
    }

    /// <summary>Place and sentence, for a log.</summary>
    public static string OneLine(Diagnostic diagnostic) =>
        $"{Escaped(diagnostic.Span.ToString())}: {Escaped(diagnostic.Message)} ({diagnostic.CodeText})";

    private static void Print(StringBuilder output, Diagnostic diagnostic, bool withColour)
    {
        (string bold, string colour, string reset) = withColour
            ? ("\e[1m", diagnostic.IsError ? "\e[31m" : "\e[33m", "\e[0m")
            : ("", "", "");
        string severity = diagnostic.IsError ? "error" : "warning";
        output.Append($"{bold}{Escaped(diagnostic.Span.ToString())}:{reset} {colour}{severity} {diagnostic.CodeText}:{reset} ")
            .Append($"{Escaped(diagnostic.Message)}\n");
        PrintSource(output, diagnostic.Span, colour, reset);
        if (diagnostic.Hint is { } hint)
            output.Append($"hint: {Escaped(hint)}\n");
    }

    private static void PrintSource(StringBuilder output, SourceSpan span, string colour, string reset)
    {
        // A file that could not be read has no lines.
        if (span.Source.Text.Length == 0)
            return;
        (int start, int end) = span.Source.LineAround(span.Start);
        int from = Math.Clamp(span.Start, start, end);
        int to = Math.Clamp(span.Start + Math.Max(span.Length, 1), from, end);
        Cell before = Shown(span.Source.Text.AsSpan(start, from - start));
        Cell marked = Shown(span.Source.Text.AsSpan(from, to - from));
        Cell after = Shown(span.Source.Text.AsSpan(to, end - to));
        if (before.Columns + marked.Columns + after.Columns > LongestLineColumns)
            (before, marked, after) = Cut(before, marked, after);

        string number = span.Place.Line.ToString(CultureInfo.InvariantCulture);
        output.Append($"  {number} | {before.Text}{marked.Text}{after.Text}".TrimEnd()).Append('\n');
        output.Append(' ', number.Length + 2).Append(" | ").Append(' ', before.Columns);
        output.Append(colour).Append('^', Math.Max(marked.Columns, 1)).Append(reset).Append('\n');
    }

    private static (Cell Before, Cell Marked, Cell After) Cut(Cell before, Cell marked, Cell after)
    {
        Cell left = before.Columns > ContextColumns ? before.LastColumns(ContextColumns, "…") : before;
        int room = Math.Max(LongestLineColumns - left.Columns, ContextColumns);
        Cell middle = marked.Columns > room ? marked.FirstColumns(room, "…") : marked;
        room = Math.Max(LongestLineColumns - left.Columns - middle.Columns, 1);
        Cell right = middle.Columns < marked.Columns ? new Cell("", 0) : after.Columns > room ? after.FirstColumns(room, "…") : after;
        return (left, middle, right);
    }

    private static string Escaped(string text) => Shown(text).Text;

    // A tab becomes four blanks, wherever it stands, so that the carets below are at the right place in every terminal.
    private static Cell Shown(ReadOnlySpan<char> text)
    {
        StringBuilder shown = new(text.Length);
        int columns = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            string piece = PieceOf(rune);
            shown.Append(piece);
            columns += piece.Length > 2 ? piece.Length : WidthOf(rune);
        }
        return new Cell(shown.ToString(), columns);
    }

    // Format characters can reverse or hide text on a terminal (bidirectional overrides), so they are spelled out as well.
    private static string PieceOf(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        _ when rune.Value == '\t' => "    ",
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
            or UnicodeCategory.PrivateUse or UnicodeCategory.Surrogate => $"\\u{{{rune.Value:X}}}",
        _ => rune.ToString(),
    };

    private static int WidthOf(Rune rune)
    {
        if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark)
            return 0;
        // The blocks that terminals draw two columns wide (UAX #11, coarse).
        return rune.Value is (>= 0x1100 and <= 0x115F) or (>= 0x2E80 and <= 0xA4CF)
            or (>= 0xAC00 and <= 0xD7A3) or (>= 0xF900 and <= 0xFAFF)
            or (>= 0xFE30 and <= 0xFE6F) or (>= 0xFF00 and <= 0xFF60) or (>= 0xFFE0 and <= 0xFFE6) or (>= 0x1F300 and <= 0x1FAFF)
            or (>= 0x20000 and <= 0x3FFFD) ? 2 : 1;
    }

    /// <summary>Text as it is shown, and how many columns it takes.</summary>
    private readonly record struct Cell(string Text, int Columns)
    {
        public Cell FirstColumns(int most, string ellipsis)
        {
            StringBuilder kept = new();
            int columns = 0;
            foreach (Rune rune in Text.EnumerateRunes())
            {
                if (columns + WidthOf(rune) > most - 1)
                    break;
                kept.Append(rune.ToString());
                columns += WidthOf(rune);
            }
            return new Cell(kept + ellipsis, columns + 1);
        }

        public Cell LastColumns(int most, string ellipsis)
        {
            Rune[] runes = [.. Text.EnumerateRunes()];
            int from = runes.Length;
            int columns = 0;
            while (from > 0 && columns + WidthOf(runes[from - 1]) <= most - 1)
                columns += WidthOf(runes[--from]);
            return new Cell(ellipsis + string.Concat(runes[from..]), columns + 1);
        }
    }
}
