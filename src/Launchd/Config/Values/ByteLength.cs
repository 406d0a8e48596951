using System.Text;

namespace Launchd.Config.Values;

/// <summary>
/// The bytes that a text takes where the kernel reads it. A byte of a path or of a variable that is no UTF-8 stands in the text as half of
/// a surrogate pair, because the text could not hold it otherwise, and counts once.
/// </summary>
internal static class ByteLength
{
    private static readonly Encoding OneForEachHalf =
        Encoding.GetEncoding("utf-8", new EncoderReplacementFallback("?"), DecoderFallback.ReplacementFallback);

    public static int Of(string text) => OneForEachHalf.GetByteCount(text);
}
