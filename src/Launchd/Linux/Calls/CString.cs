using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux.Calls;

/// <summary>Text as C has it: bytes, by the rule of <see cref="KernelText"/>, and a NUL.</summary>
internal static unsafe class CString
{
    /// <summary>The bytes with the final NUL. A NUL inside would silently cut the text short, so it is refused.</summary>
    public static byte[] From(string text)
    {
        if (text.Contains('\0'))
            throw new ArgumentException("the text holds a NUL character", nameof(text));
        byte[] bytes = new byte[KernelText.ByteCount(text) + 1];
        _ = KernelText.Encode(text, bytes);
        return bytes;
    }

    /// <summary>Length in bytes without the NUL.</summary>
    public static int ByteCount(string text) => KernelText.ByteCount(text);

    /// <summary>Copies text out of memory that C owns; null for a null pointer.</summary>
    public static string? Read(byte* text) => text == null ? null
        : KernelText.Decode(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
}
