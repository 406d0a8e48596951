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
/// Cuts a stream of bytes into lines. Complete lines are passed on in place; only an unterminated tail is copied, into a buffer which is
/// given back when the tail is complete. A line longer than <paramref name="longestBytes"/>, or than there is memory for, is passed on in
/// pieces, never cut inside a UTF-8 sequence.
/// </summary>
/// <param name="memory">Where tails get their memory.</param>
/// <param name="longestBytes">At least 4, the length of the longest UTF-8 sequence.</param>
internal sealed class LineSplitter(LineMemory memory, int longestBytes)
{
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
            else if (newline >= 0 && length <= longestBytes)
            {
                Pass(data[..length], LineCut.None, sink);
                data = data[(length + 1)..];
            }
            else if ((length > longestBytes ? longestBytes : Reserve(length)) is int most && most < length)
            {
                int cut = CutLength(data[..most], data[most]);
                Pass(data[..cut], LineCut.AtEnd, sink);
                data = data[cut..];
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

    /// <summary>Gives back the memory of a tail that nobody wants any more.</summary>
    public void Forget()
    {
        _tailLength = 0;
        GiveTailBack();
    }

    /// <summary>Appends to the tail what fits, and passes it on if that completes or fills it. Returns the bytes taken.</summary>
    private int ExtendTail(ReadOnlySpan<byte> segment, bool endsLine, ILineSink sink)
    {
        int wanted = Math.Min(segment.Length, longestBytes - _tailLength);
        int taken = Reserve(_tailLength + wanted) - _tailLength;
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
        tail.AsSpan(length, rest).CopyTo(tail);
        _tailLength = rest;
        if (rest == 0)
            GiveTailBack();
    }

    private void GiveTailBack()
    {
        byte[] tail = _tail;
        _tail = [];
        if (tail.Length > 0)
            memory.Return(tail);
    }

    /// <summary>
    /// Makes room for a tail of so many bytes. Returns for how many there is room: fewer, if the memory of long lines is used up.
    /// </summary>
    private int Reserve(int needed)
    {
        if (needed <= _tail.Length)
            return needed;
        int ample = Math.Max(SmallestTailBytes, (int)Math.Min(longestBytes, needed * 2L));
        byte[]? larger = memory.TryRent(ample) ?? memory.TryRent(needed);
        if (larger is null)
        {
            needed = Math.Max(_tail.Length, LineMemory.ShortBytes);
            if (needed == _tail.Length)
                return needed;
            larger = memory.TryRent(needed)!;
        }
        _tail.AsSpan(0, _tailLength).CopyTo(larger);
        GiveTailBack();
        _tail = larger;
        return needed;
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_tail.AsSpan(_tailLength));
        _tailLength += bytes.Length;
    }

    /// <summary>
    /// How much of a piece of a line to pass on, if <paramref name="next"/> is the byte after it: all, or up to a UTF-8 sequence that would
    /// be torn.
    /// </summary>
    public static int CutLength(ReadOnlySpan<byte> piece, byte next)
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
