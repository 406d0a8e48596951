using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Launchd.Logs;

/// <summary>Where and when a remembered line was written.</summary>
/// <param name="Sequence">Counts all lines of the pump: orders the lines of several slots.</param>
/// <param name="UnixMicroseconds">UTC.</param>
/// <param name="InstanceId">The instance that wrote it.</param>
internal readonly record struct LineStamp(long Sequence, long UnixMicroseconds, long InstanceId);

/// <summary>
/// The last lines of one slot: at most <see cref="MostBytes"/> (with 28 bytes of stamp for each line) and <see cref="MostLines"/>. The
/// memory starts small and doubles, so a service that writes little costs little. Oldest lines make room for new ones.
/// </summary>
internal sealed class LineRing
{
    public const int MostBytes = 64 * 1024;
    public const int MostLines = 1000;

    private const int FirstBytes = 2 * 1024;

    // Absolute positions, which only grow; the place in the array is the position modulo its length, a power of two.
    private byte[] _data = new byte[FirstBytes];
    private long _first;
    private long _end;

    private static int HeadBytes => Unsafe.SizeOf<Head>();

    /// <summary>Lines that are remembered.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of memory taken.</summary>
    public int CapacityBytes => _data.Length;

    public void Add(in LineStamp stamp, ReadOnlySpan<byte> line)
    {
        int needed = HeadBytes + line.Length;
        if (needed > MostBytes)
            throw new ArgumentException("line longer than the ring", nameof(line));
        while (_end - _first + needed > _data.Length && _data.Length < MostBytes)
            Grow();
        while (Count == MostLines || _end - _first + needed > _data.Length)
            DropOldest();
        var head = new Head
        {
            Sequence = stamp.Sequence,
            Time = stamp.UnixMicroseconds,
            InstanceId = stamp.InstanceId,
            Length = line.Length,
        };
        Put(MemoryMarshal.AsBytes(new ReadOnlySpan<Head>(in head)));
        Put(line);
        Count++;
    }

    /// <summary>Visits the lines from the oldest to the newest; the span is valid during the call only.</summary>
    public void ForEach(LineVisitor visit)
    {
        byte[] line = new byte[LineSplitter.LongestBytes + 64];
        long at = _first;
        while (at < _end)
        {
            Head head = HeadAt(at);
            if (head.Length > line.Length)
                line = new byte[head.Length];
            Get(at + HeadBytes, line.AsSpan(0, head.Length));
            visit(new LineStamp(head.Sequence, head.Time, head.InstanceId), line.AsSpan(0, head.Length));
            at += HeadBytes + head.Length;
        }
    }

    private void DropOldest()
    {
        _first += HeadBytes + HeadAt(_first).Length;
        Count--;
    }

    private void Grow()
    {
        byte[] larger = new byte[_data.Length * 2];
        int used = (int)(_end - _first);
        Get(_first, larger.AsSpan(0, used));
        _data = larger;
        _first = 0;
        _end = used;
    }

    private Head HeadAt(long position)
    {
        var head = default(Head);
        Get(position, MemoryMarshal.AsBytes(new Span<Head>(ref head)));
        return head;
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        int start = (int)(_end & (_data.Length - 1));
        int straight = Math.Min(bytes.Length, _data.Length - start);
        bytes[..straight].CopyTo(_data.AsSpan(start));
        bytes[straight..].CopyTo(_data);
        _end += bytes.Length;
    }

    private void Get(long position, Span<byte> target)
    {
        int start = (int)(position & (_data.Length - 1));
        int straight = Math.Min(target.Length, _data.Length - start);
        _data.AsSpan(start, straight).CopyTo(target);
        _data.AsSpan(0, target.Length - straight).CopyTo(target[straight..]);
    }

    /// <summary>The header before each line in the memory.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private struct Head
    {
        public long Sequence;
        public long Time;
        public long InstanceId;
        public int Length;
    }
}

/// <summary>Sees one remembered line.</summary>
internal delegate void LineVisitor(LineStamp stamp, ReadOnlySpan<byte> line);
