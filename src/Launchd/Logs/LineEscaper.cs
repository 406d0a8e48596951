using System.Buffers;
using System.Text;
using Launchd.Interop;

namespace Launchd.Logs;

/// <summary>
/// Makes foreign bytes safe to show: no control character of C0 (but TAB), DEL, C1, no bidirectional override, no invalid UTF-8 gets
/// through, so that a program's output can neither steer the terminal nor forge a line. They appear as <c>\x1b</c> or <c>\u202e</c>;
/// colour sequences (SGR, ECMA-48 8.3.117) are left out, because programs that colour their output mean no harm by it.
/// </summary>
internal static class LineEscaper
{
    /// <summary>Most bytes that one byte becomes: <c>\xNN</c>.</summary>
    public const int Growth = 4;

    private const byte Escape = 0x1B;

    /// <summary>
    /// Writes <paramref name="line"/> escaped; <paramref name="target"/> has <see cref="Growth"/> bytes for each of its. Returns the count.
    /// </summary>
    public static int Write(ReadOnlySpan<byte> line, Span<byte> target)
    {
        int written = 0;
        while (true)
        {
            int clean = line.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E);
            if (clean < 0)
            {
                line.CopyTo(target[written..]);
                return written + line.Length;
            }
            line[..clean].CopyTo(target[written..]);
            written += clean;
            line = line[(clean + WriteSpecial(line[clean..], target, ref written))..];
        }
    }

    /// <summary>How long <see cref="Write"/> makes a line.</summary>
    public static int LengthOf(ReadOnlySpan<byte> line)
    {
        Span<byte> room = stackalloc byte[4 * Growth];
        int length = 0;
        while (true)
        {
            int clean = line.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E);
            if (clean < 0)
                return length + line.Length;
            int written = 0;
            line = line[clean..];
            line = line[WriteSpecial(line, room, ref written)..];
            length += clean + written;
        }
    }

    /// <summary>Escapes a text of which nothing is known, such as an exception's or a status, for one line on a terminal.</summary>
    public static string ToSafeText(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            return text;
        byte[] bytes = new byte[KernelText.ByteCount(text)];
        _ = KernelText.Encode(text, bytes);
        byte[] target = new byte[bytes.Length * Growth];
        return Encoding.UTF8.GetString(target, 0, Write(bytes, target));
    }

    /// <summary>
    /// Decodes a line for programs (JSON escapes what it must): everything is kept, only invalid UTF-8 becomes <c>\xNN</c>.
    /// </summary>
    public static string ToText(ReadOnlySpan<byte> line)
    {
        if (System.Text.Unicode.Utf8.IsValid(line))
            return Encoding.UTF8.GetString(line);
        var text = new StringBuilder(line.Length + 16);
        while (!line.IsEmpty)
        {
            bool valid = Rune.DecodeFromUtf8(line, out Rune rune, out int length) == OperationStatus.Done;
            if (valid)
            {
                text.Append(rune.ToString());
            }
            else
            {
                foreach (byte b in line[..length])
                    text.Append($"\\x{b:x2}");
            }
            line = line[length..];
        }
        return text.ToString();
    }

    /// <summary>Handles the character at the start, which is not printable ASCII. Returns how many bytes it has.</summary>
    private static int WriteSpecial(ReadOnlySpan<byte> line, Span<byte> target, ref int written)
    {
        byte first = line[0];
        if (first == '\t')
        {
            target[written++] = first;
            return 1;
        }
        if (first < 0x80)
        {
            int colour = first == Escape ? ColourLength(line) : 0;
            if (colour > 0)
                return colour;
            WriteByte(first, target, ref written);
            return 1;
        }
        if (Rune.DecodeFromUtf8(line, out Rune rune, out int length) != OperationStatus.Done)
        {
            foreach (byte b in line[..length])
                WriteByte(b, target, ref written);
            return length;
        }
        if (IsUnsafe(rune.Value))
        {
            WriteCode(rune.Value, target, ref written);
            return length;
        }
        line[..length].CopyTo(target[written..]);
        written += length;
        return length;
    }

    /// <summary>Length of the SGR sequence at the start, 0 if there is none.</summary>
    private static int ColourLength(ReadOnlySpan<byte> line)
    {
        if (line.Length < 3 || line[1] != '[')
            return 0;
        int end = line[2..].IndexOfAnyExceptInRange((byte)'0', (byte)';');
        return end >= 0 && line[2 + end] == 'm' ? end + 3 : 0;
    }

    /// <summary>C1 controls; bidirectional marks, embeddings, overrides and isolates; line and paragraph separators; tags.</summary>
    private static bool IsUnsafe(int code) => code
        is (>= 0x80 and <= 0x9F)
        or 0x61C
        or 0x200E or 0x200F
        or (>= 0x2028 and <= 0x202E)
        or (>= 0x2066 and <= 0x2069)
        or (>= 0xE0000 and <= 0xE007F);

    private static void WriteByte(byte value, Span<byte> target, ref int written)
    {
        target[written++] = (byte)'\\';
        target[written++] = (byte)'x';
        target[written++] = Digit(value >> 4);
        target[written++] = Digit(value);
    }

    /// <summary>Four digits, or eight after a capital U: never more than <see cref="Growth"/> times the sequence's bytes.</summary>
    private static void WriteCode(int code, Span<byte> target, ref int written)
    {
        target[written++] = (byte)'\\';
        target[written++] = code > 0xFFFF ? (byte)'U' : (byte)'u';
        for (int shift = code > 0xFFFF ? 28 : 12; shift >= 0; shift -= 4)
            target[written++] = Digit(code >> shift);
    }

    private static byte Digit(int value) => "0123456789abcdef"u8[value & 0xF];
}
