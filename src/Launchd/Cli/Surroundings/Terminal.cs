using System.Text;
using Tmds.Linux;

namespace Launchd.Cli.Surroundings;

/// <summary>How a piece of text is shown where colour is wanted.</summary>
internal enum Style { Plain, Strong, Faint, Good, Warning, Bad }

/// <summary>Standard output as the verbs see it: a writer, and what is known of the screen behind it.</summary>
internal sealed class Terminal
{
    public required TextWriter Writer { get; init; }

    /// <summary>False for a pipe or file: then nothing is cut, coloured or redrawn.</summary>
    public required bool IsTerminal { get; init; }
    public required bool HasColour { get; init; }

    /// <summary>Columns and rows, asked anew each time because windows are resized.</summary>
    public required Func<(int Columns, int Rows)> Size { get; init; }

    /// <summary>The longest line to write, in columns.</summary>
    public int Width => IsTerminal ? Math.Max(20, Size().Columns) : int.MaxValue;

    /// <summary>The process's own standard output. Colour follows https://no-color.org and <c>TERM=dumb</c>.</summary>
    public static Terminal OfProcess(Func<string, string?> environment)
    {
        bool isTerminal = LibC.isatty(1) == 1;
        return new Terminal
        {
            Writer = new StreamWriter(new StandardStream(1), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), 1 << 14),
            IsTerminal = isTerminal,
            HasColour = isTerminal && string.IsNullOrEmpty(environment("NO_COLOR")) && environment("TERM") is not (null or "dumb"),
            Size = WindowSize,
        };
    }

    public void WriteLine(string line = "") => Writer.Write(line + "\n");

    /// <summary>The text in the style's colour, or as it is. The text must be escaped already.</summary>
    public string Paint(string text, Style style)
    {
        if (!HasColour || style == Style.Plain || text.Length == 0)
            return text;
        string code = style switch
        {
            Style.Strong => "1",
            Style.Faint => "2",
            Style.Good => "32",
            Style.Warning => "33",
            _ => "31",
        };
        return $"\e[{code}m{text}\e[0m";
    }

    /// <summary>The text, escaped and cut so that it fits beside <paramref name="usedColumns"/> columns.</summary>
    public string Fit(string text, int usedColumns = 0) =>
        TerminalText.Cut(TerminalText.Escape(text), Math.Max(1, Width == int.MaxValue ? int.MaxValue : Width - usedColumns));

    private static unsafe (int Columns, int Rows) WindowSize()
    {
        winsize size;
        bool isKnown = LibC.ioctl(1, LibC.TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        return isKnown ? (size.ws_col, Math.Max((int)size.ws_row, 2)) : (80, 24);
    }
}
