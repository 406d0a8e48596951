using System.Runtime.InteropServices;
using System.Text;

namespace Launchd.Linux.Calls;

/// <summary>Text as C has it: UTF-8 bytes and a NUL.</summary>
internal static unsafe class CString
{
    /// <summary>The bytes with the final NUL. A NUL inside would silently cut the text short, so it is refused.</summary>
    public static byte[] From(string text)
    {
        if (text.Contains('\0'))
            throw new ArgumentException("the text holds a NUL character", nameof(text));
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>Length in bytes without the NUL.</summary>
    public static int ByteCount(string text) => Encoding.UTF8.GetByteCount(text);

    /// <summary>Copies text out of memory that C owns; null for a null pointer.</summary>
    public static string? Read(byte* text) => text == null ? null
        : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
}
