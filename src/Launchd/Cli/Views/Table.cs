using System.Text;
using Launchd.Cli.Surroundings;

namespace Launchd.Cli.Views;

/// <summary>A column: its heading, whether figures stand on the right, and the most columns of the screen it takes.</summary>
internal readonly record struct Column(string Heading, bool IsRight = false, int MostColumns = 48);

/// <summary>One cell: foreign text as it came (the table escapes it) and how it is shown.</summary>
internal readonly record struct Cell(string Text, Style Style = Style.Plain)
{
    public static implicit operator Cell(string text) => new(text);
}

/// <summary>
/// Rows in aligned columns, two blanks apart. The last column is free text: it takes what is left of the width, or moves to a line of its
/// own below the row where too little is left.
/// </summary>
internal sealed class Table(params Column[] columns)
{
    private const string Gap = "  ";
    private const string TextIndent = "    ";
    private const int LeastTextColumns = 32;
    private const int LeastColumns = 6;

    private readonly List<Cell[]> _rows = [];
    private readonly StringBuilder _line = new();
    private readonly Column[] _fixed = columns[..^1];
    private readonly Column _text = columns[^1];

    /// <summary>For a cell that has no meaning in its row. An empty cell gets a dash: nothing is known, or there is none.</summary>
    public const string Blank = " ";

    /// <summary>Adds a row with one cell for each column.</summary>
    public void Add(params Cell[] cells)
    {
        var row = new Cell[cells.Length];
        for (int i = 0; i < cells.Length; i++)
        {
            string text = TerminalText.Escape(cells[i].Text);
            bool isEmpty = text.Length == 0 && i < cells.Length - 1;
            row[i] = isEmpty ? new Cell("-", Style.Faint) : cells[i] with { Text = text == Blank ? "" : text };
        }
        _rows.Add(row);
    }

    public void Write(Terminal terminal)
    {
        int[] widths = Widths(terminal.Width);
        int used = widths.Sum() + widths.Length * Gap.Length;
        int left = terminal.Width == int.MaxValue ? int.MaxValue : terminal.Width - used;
        int longest = _rows.Max(r => (int?)TerminalText.Columns(r[^1].Text)) ?? 0;
        bool isBelow = longest > left && left < LeastTextColumns;

        string heading = isBelow || longest == 0 ? "" : _text.Heading;
        IEnumerable<string> headings = _fixed.Select(c => c.Heading).Append(heading);
        terminal.WriteLine(Line(terminal, [.. headings.Select(h => new Cell(h, Style.Strong))], widths, left));
        foreach (Cell[] row in _rows)
        {
            terminal.WriteLine(Line(terminal, isBelow ? [.. row[..^1], ""] : row, widths, left));
            if (!isBelow || row[^1].Text.Length == 0)
                continue;
            string text = TerminalText.Cut(row[^1].Text, terminal.Width - TextIndent.Length);
            terminal.WriteLine(TextIndent + terminal.Paint(text, row[^1].Style));
        }
    }

    private int[] Widths(int screen)
    {
        var widths = new int[_fixed.Length];
        for (int i = 0; i < widths.Length; i++)
        {
            int widest = _rows.Max(r => (int?)TerminalText.Columns(r[i].Text)) ?? 0;
            widths[i] = Math.Max(_fixed[i].Heading.Length, screen == int.MaxValue ? widest : Math.Min(widest, _fixed[i].MostColumns));
        }

        // Figures stay whole; texts give way, the widest first.
        while (widths.Sum() + (widths.Length - 1) * Gap.Length > screen)
        {
            int widest = -1;
            for (int i = 0; i < widths.Length; i++)
            {
                if (!_fixed[i].IsRight && widths[i] > LeastColumns && (widest < 0 || widths[i] > widths[widest]))
                    widest = i;
            }
            if (widest < 0)
                break;
            widths[widest]--;
        }
        return widths;
    }

    private string Line(Terminal terminal, Cell[] cells, int[] widths, int left)
    {
        int last = Array.FindLastIndex(cells, c => c.Text.Length > 0);
        StringBuilder line = _line.Clear();
        for (int i = 0; i <= last; i++)
        {
            bool isText = i == widths.Length;
            string text = TerminalText.Cut(cells[i].Text, isText ? left : widths[i]);
            int padding = isText ? 0 : Math.Max(0, widths[i] - TerminalText.Columns(text));
            bool isRight = !isText && _fixed[i].IsRight;
            line.Append(i == 0 ? "" : Gap)
                .Append(' ', isRight ? padding : 0)
                .Append(terminal.Paint(text, cells[i].Style))
                .Append(' ', isRight || i == last ? 0 : padding);
        }
        return line.ToString();
    }
}
