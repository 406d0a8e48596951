using System.Buffers;

namespace Launchd.Logs;

/// <summary>At which of its ends a piece of a too long line was cut.</summary>
[Flags]
internal enum LineCut
{
    None = 0,

    /// <summary>The piece goes on where the former one stopped.</summary>
    AtStart = 1,

    /// <summary>The next piece goes on where this one stops.</summary>
    AtEnd = 2,
}

/// <summary>Takes lines one after the other.</summary>
internal interface ILineSink
{
    /// <summary><paramref name="line"/> is without its newline and valid during the call only.</summary>
    public void Take(ReadOnlySpan<byte> line, LineCut cut);
}

/// <summary>
/// Cuts a stream of bytes into lines. Complete lines are passed on in place; only an unterminated tail is copied, into a pooled buffer
/// which is given back when the tail is complete. A line longer than <paramref name="longestBytes"/> is passed on in pieces, never cut
/// inside a UTF-8 sequence.
/// </summary>
/// <param name="longestBytes">At least 4, the length of the longest UTF-8 sequence.</param>
internal sealed class LineSplitter(int longestBytes = LineSplitter.LongestBytes)
{
    /// <summary>Longest line that is passed on in one piece.</summary>
    public const int LongestBytes = 16 * 1024;

    private const int SmallestTailBytes = 512;

    private byte[] _tail = [];
    private int _tailLength;
    private LineCut _start;

    /// <summary>Whether bytes wait for the rest of their line.</summary>
    public bool HasTail => _tailLength > 0;

    public void Split(ReadOnlySpan<byte> data, ILineSink sink)
    {
        while (!data.IsEmpty)
        {
            int newline = data.IndexOf((byte)'\n');
            int length = newline < 0 ? data.Length : newline;
            if (_tailLength > 0)
            {
                int taken = ExtendTail(data[..length], newline >= 0, sink);
                bool complete = taken == length && newline >= 0;
                data = data[(complete ? taken + 1 : taken)..];
            }
            else if (length > longestBytes)
            {
                int cut = CutLength(data[..length]);
                Pass(data[..cut], LineCut.AtEnd, sink);
                data = data[cut..];
            }
            else if (newline >= 0)
            {
                Pass(data[..length], LineCut.None, sink);
                data = data[(length + 1)..];
            }
            else
            {
                Keep(data);
                return;
            }
        }
    }

    /// <summary>Passes an unterminated tail on as a line: nothing more will come, or nothing came for a while.</summary>
    public void Flush(ILineSink sink)
    {
        if (_tailLength > 0)
            PassTail(_tailLength, LineCut.None, sink);
        _start = LineCut.None;
    }

    /// <summary>Appends to the tail what fits, and passes it on if that completes or fills it. Returns the bytes taken.</summary>
    private int ExtendTail(ReadOnlySpan<byte> segment, bool endsLine, ILineSink sink)
    {
        int taken = Math.Min(segment.Length, longestBytes - _tailLength);
        Keep(segment[..taken]);
        if (taken < segment.Length)
            PassTail(CutLength(_tail.AsSpan(0, _tailLength), segment[taken]), LineCut.AtEnd, sink);
        else if (endsLine)
            PassTail(_tailLength, LineCut.None, sink);
        return taken;
    }

    private void Pass(ReadOnlySpan<byte> line, LineCut end, ILineSink sink)
    {
        LineCut cut = _start | end;
        _start = end == LineCut.AtEnd ? LineCut.AtStart : LineCut.None;
        sink.Take(line, cut);
    }

    private void PassTail(int length, LineCut end, ILineSink sink)
    {
        byte[] tail = _tail;
        int rest = _tailLength - length;
        _tailLength = 0;
        Pass(tail.AsSpan(0, length), end, sink);
        if (rest > 0)
        {
            tail.AsSpan(length, rest).CopyTo(tail);
            _tailLength = rest;
            return;
        }
        _tail = [];
        ArrayPool<byte>.Shared.Return(tail);
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return;
        int needed = _tailLength + bytes.Length;
        if (needed > _tail.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(SmallestTailBytes, Math.Min(longestBytes, needed * 2)));
            _tail.AsSpan(0, _tailLength).CopyTo(larger);
            if (_tail.Length > 0)
                ArrayPool<byte>.Shared.Return(_tail);
            _tail = larger;
        }
        bytes.CopyTo(_tail.AsSpan(_tailLength));
        _tailLength = needed;
    }

    private int CutLength(ReadOnlySpan<byte> segment) => CutLength(segment[..longestBytes], segment[longestBytes]);

    /// <summary>How much of a full piece to pass on, if <paramref name="next"/> is the byte after it.</summary>
    private static int CutLength(ReadOnlySpan<byte> piece, byte next)
    {
        if (!IsContinuation(next))
            return piece.Length;

        // The sequence that `next` belongs to starts at most three bytes before; if there is no start, the
        // bytes are not UTF-8 and may be cut anywhere.
        for (int back = 1; back <= 3; back++)
        {
            byte at = piece[^back];
            if (!IsContinuation(at))
                return at >= 0xC0 ? piece.Length - back : piece.Length;
        }
        return piece.Length;
    }

    private static bool IsContinuation(byte b) => (b & 0xC0) == 0x80;
}
