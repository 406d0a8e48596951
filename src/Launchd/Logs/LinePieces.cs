namespace Launchd.Logs;

/// <summary>Takes lines apart for a target that is to get a bounded number of bytes at once.</summary>
internal static class LinePieces
{
    /// <summary>The length of the first piece: whole lines of at most so many bytes; where the first line is longer, that line.</summary>
    /// <param name="lines">Not empty, each with its newline.</param>
    /// <param name="mostBytes">From 1.</param>
    /// <param name="mayCut">Whether a longer line may come in pieces itself.</param>
    public static int LengthOfFirst(ReadOnlySpan<byte> lines, int mostBytes, bool mayCut)
    {
        if (lines.Length <= mostBytes)
            return lines.Length;
        int whole = lines[..mostBytes].LastIndexOf((byte)'\n') + 1;
        if (whole > 0)
            return whole;
        int end = lines.IndexOf((byte)'\n');
        return mayCut ? mostBytes : end < 0 ? lines.Length : end + 1;
    }
}
