using System.Text;
using System.Text.RegularExpressions;
using Launchd.Config.Values;

namespace Launchd.Logs;

/// <summary>
/// Waits for a line of one instance in which a pattern matches. Without a time limit: if a line were skipped because the machine was busy,
/// or because the code was just being compiled, a service that has said it is ready would wait for ever. Besides, with a time limit the
/// engine misses matches (.NET 10, patterns of many states). The work is bounded by <see cref="LinePattern"/> and the length of a line.
/// </summary>
internal sealed class OutputMatcher
{
    /// <summary>How much of a piece of a long line is seen together with the next piece.</summary>
    public const int OverlapLength = 1024;

    /// <summary>A longer line is looked at in pieces of this length.</summary>
    public const int PieceBytes = 16 << 10;

    private readonly Regex _pattern;
    private readonly Action _onMatch;
    private string _before = "";

    /// <exception cref="ArgumentException">The pattern is wrong.</exception>
    /// <exception cref="NotSupportedException">The pattern needs backtracking (back references, look-around).</exception>
    public OutputMatcher(long instanceId, string pattern, Action onMatch)
    {
        _pattern = LinePattern.Compile(pattern);
        _onMatch = onMatch;
        InstanceId = instanceId;
    }

    public long InstanceId { get; }

    /// <summary>Whether a line has matched, so that the pump forgets this matcher.</summary>
    public bool IsDone { get; private set; }

    /// <summary>
    /// Tries a line: as it was written, and as one would see it in a terminal. For the first that matches it returns the action to post.
    /// </summary>
    /// <param name="line">Without its newline; or a piece of a too long one.</param>
    /// <param name="scratch">As long as the line or <see cref="PieceBytes"/>; for pieces <see cref="OverlapLength"/> longer.</param>
    /// <param name="cut">Where the piece was cut.</param>
    public Action? Try(ReadOnlySpan<byte> line, Span<char> scratch, LineCut cut = LineCut.None)
    {
        while (!IsDone)
        {
            bool isLast = line.Length <= PieceBytes;
            int length = isLast ? line.Length : LineSplitter.CutLength(line[..PieceBytes], line[PieceBytes]);
            LineCut end = isLast ? cut & LineCut.AtEnd : LineCut.AtEnd;
            if (TryPiece(line[..length], scratch, (cut & LineCut.AtStart) | end) is { } found)
                return found;
            if (isLast)
                return null;
            cut |= LineCut.AtStart;
            line = line[length..];
        }
        return null;
    }

    private Action? TryPiece(ReadOnlySpan<byte> line, Span<char> scratch, LineCut cut)
    {
        string before = (cut & LineCut.AtStart) != 0 ? _before : "";
        before.CopyTo(scratch);
        int length = before.Length + Encoding.UTF8.GetChars(line, scratch[before.Length..]);
        ReadOnlySpan<char> text = scratch[..length];
        _before = (cut & LineCut.AtEnd) != 0 ? new string(text[Math.Max(0, length - OverlapLength)..]) : "";
        if (!_pattern.IsMatch(text) && !IsSeen(text))
            return null;
        IsDone = true;
        return _onMatch;
    }

    private bool IsSeen(ReadOnlySpan<char> text)
    {
        foreach (string seen in VisibleText.Of(text))
        {
            if (_pattern.IsMatch(seen))
                return true;
        }
        return false;
    }
}
