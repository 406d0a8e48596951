using System.Globalization;
using System.Text;
using Launchd.Interop;

namespace Launchd.Cli.Surroundings;

/// <summary>
/// Foreign text on a terminal: escapes what a terminal would obey, and measures and cuts by columns. Services write their own status
/// texts, reasons and log lines; none of it may move the cursor, set a title or turn the line around.
/// </summary>
internal static class TerminalText
{
    /// <summary>
    /// Control characters of both tables, bidirectional controls and line separators become visible escapes such as <c>\x1b</c>, and so do
    /// bytes of <see cref="KernelText"/> that are no UTF-8; other halves of surrogate pairs become U+FFFD.
    /// </summary>
    public static string Escape(string text)
    {
        if (IsPlain(text))
            return text;
        bool isHarmless = true;
        foreach (char c in text)
            isHarmless &= !IsDangerous(c) && !char.IsSurrogate(c);
        if (isHarmless)
            return text;

        StringBuilder escaped = new(text.Length + 16);
        foreach (Rune rune in KernelText.Show(text).EnumerateRunes())
        {
            bool isDangerous = rune.IsBmp && IsDangerous((char)rune.Value);
            escaped.Append(isDangerous ? Visible(rune.Value) : rune.ToString());
        }
        return escaped.ToString();
    }

    /// <summary>Columns that an escaped text takes.</summary>
    public static int Columns(string text)
    {
        if (IsPlain(text))
            return text.Length;
        int columns = 0;
        foreach (Rune rune in text.EnumerateRunes())
            columns += Columns(rune);
        return columns;
    }

    /// <summary>The text if it fits into <paramref name="columns"/>, else its beginning and an ellipsis.</summary>
    public static string Cut(string text, int columns)
    {
        if (text.Length <= columns / 2 || Columns(text) <= columns)
            return text;
        StringBuilder kept = new();
        int used = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            used += Columns(rune);
            if (used > columns - 1)
                break;
            kept.Append(rune);
        }
        return kept.Append('…').ToString();
    }

    /// <summary>Whether it is one of nearly all: of printable ASCII alone, each of which takes one column.</summary>
    private static bool IsPlain(string text) => !text.AsSpan().ContainsAnyExceptInRange(' ', '~');

    private static string Visible(int value) => value switch
    {
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        <= 0xff => $"\\x{value:x2}",
        _ => $"\\u{value:x4}",
    };

    private static bool IsDangerous(char c) =>
        c is < ' ' or >= '\x7f' and <= '\x9f'
            or '\u061c' or '\u200e' or '\u200f' or >= '\u2028' and <= '\u202e' or >= '\u2066' and <= '\u2069';

    private static int Columns(Rune rune)
    {
        if (rune.Value < 0x300)
            return 1;
        if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format)
            return 0;
        // The wide and full-width blocks of Unicode's East Asian Width, and the emoji that terminals draw two columns wide.
        return rune.Value is >= 0x1100 and <= 0x115f or >= 0x2e80 and <= 0x303e or >= 0x3041 and <= 0xa4cf or >= 0xac00 and <= 0xd7a3
            or >= 0xf900 and <= 0xfaff or >= 0xfe30 and <= 0xfe6f or >= 0xff00 and <= 0xff60 or >= 0xffe0 and <= 0xffe6
            or >= 0x1f300 and <= 0x1f64f or >= 0x1f680 and <= 0x1f6ff or >= 0x1f900 and <= 0x1faff or >= 0x20000 and <= 0x3fffd ? 2 : 1;
    }
}
