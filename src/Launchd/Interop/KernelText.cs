using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Launchd.Interop;

/// <summary>
/// Text of the kernel's, such as arguments, environment and paths: to the kernel it is bytes, mostly UTF-8, without a NUL. A byte that is
/// no part of valid UTF-8 is kept as a low surrogate that stands alone, U+DC80 to U+DCFF, which no valid text has. So every text comes
/// back as the bytes that it was, and two texts are the same exactly when their bytes are.
/// </summary>
internal static class KernelText
{
    private const char FirstRaw = '\uDC80';
    private const char LastRaw = '\uDCFF';
    private const int RawOffset = 0xDC00;

    // U+E000 marks placeholders in definitions: foreign text must not hold it, so its bytes are kept as those that are no UTF-8.
    private const int Reserved = 0xE000;

    private static ReadOnlySpan<byte> ReservedBytes => "\uE000"u8;

    public static string Decode(ReadOnlySpan<byte> bytes)
    {
        if (Utf8.IsValid(bytes) && bytes.IndexOf(ReservedBytes) < 0)
            return Encoding.UTF8.GetString(bytes);
        StringBuilder text = new(bytes.Length);
        while (!bytes.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(bytes, out Rune rune, out int length) == OperationStatus.Done && rune.Value != Reserved)
            {
                text.Append(rune);
            }
            else
            {
                foreach (byte raw in bytes[..length])
                    text.Append((char)(RawOffset + raw));
            }
            bytes = bytes[length..];
        }
        return text.ToString();
    }

    /// <summary>Length in bytes.</summary>
    public static int ByteCount(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange(FirstRaw, LastRaw))
            return Encoding.UTF8.GetByteCount(text);
        int count = 0;
        for (ReadOnlySpan<char> rest = text; !rest.IsEmpty;)
            count += NextLength(ref rest, out _);
        return count;
    }

    /// <summary>Writes the bytes, and returns how many.</summary>
    /// <param name="text">A text that <see cref="Decode"/> made, or a valid one, or what was put together of such.</param>
    /// <param name="bytes">Has room for <see cref="ByteCount"/> bytes.</param>
    public static int Encode(string text, Span<byte> bytes)
    {
        if (!text.AsSpan().ContainsAnyInRange(FirstRaw, LastRaw))
            return Encoding.UTF8.GetBytes(text, bytes);
        int written = 0;
        for (ReadOnlySpan<char> rest = text; !rest.IsEmpty;)
        {
            int length = NextLength(ref rest, out int value);
            if (value < 0)
                bytes[written] = (byte)-value;
            else
                _ = new Rune(value).EncodeToUtf8(bytes[written..]);
            written += length;
        }
        return written;
    }

    /// <summary>The text as it can be shown: bytes that are no UTF-8 as <c>\xa3</c>.</summary>
    public static string Show(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange(FirstRaw, LastRaw))
            return text;
        StringBuilder shown = new(text.Length + 16);
        for (ReadOnlySpan<char> rest = text; !rest.IsEmpty;)
        {
            _ = NextLength(ref rest, out int value);
            if (value < 0)
                shown.Append("\\x").Append((-value).ToString("x2"));
            else
                shown.Append(new Rune(value));
        }
        return shown.ToString();
    }

    // The value of a raw byte is given as a negative number.
    private static int NextLength(ref ReadOnlySpan<char> rest, out int value)
    {
        char first = rest[0];
        bool isRune = Rune.DecodeFromUtf16(rest, out Rune rune, out int length) == OperationStatus.Done;
        rest = rest[length..];
        if (!isRune && first is >= FirstRaw and <= LastRaw)
        {
            value = RawOffset - first;
            return 1;
        }
        value = rune.Value;
        return rune.Utf8SequenceLength;
    }
}
