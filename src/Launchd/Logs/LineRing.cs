using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Launchd.Logs;

/// <summary>Where and when a remembered line was written.</summary>
/// <param name="Sequence">Counts all lines of the pump: orders the lines of several slots.</param>
/// <param name="UnixMicroseconds">UTC.</param>
/// <param name="InstanceId">The instance that wrote it.</param>
/// <param name="Cut">Where it lacks something.</param>
internal readonly record struct LineStamp(long Sequence, long UnixMicroseconds, long InstanceId, LineCut Cut = LineCut.None);

/// <summary>
/// The last lines of one slot: at most <see cref="MostBytes"/> (with 28 bytes of stamp for each line) and <see cref="MostLines"/>. The
/// memory starts small and doubles, so a service that writes little costs little. Oldest lines make room for new ones. As long as a line
/// of more than <see cref="LineMemory.ShortBytes"/> is among them, there may be room for two of its length; without memory for that, a
/// line that is longer than the ring is cut to half of it.
/// </summary>
/// <param name="memory">What is taken beyond <see cref="MostBytes"/> is taken from there.</param>
internal sealed class LineRing(LineMemory memory)
{
    public const int MostBytes = 64 * 1024;
    public const int MostLines = 1000;

    private const int FirstBytes = 2 * 1024;
    private const int CutBits = 2;

    // Absolute positions, which only grow; the place in the array is the position modulo its length, a power of two.
    private byte[] _data = new byte[FirstBytes];
    private long _first;
    private long _end;
    private int _mostBytes = MostBytes;
    private int _longCount;
    private bool _isForgotten;

    private static int HeadBytes => Unsafe.SizeOf<Head>();

    /// <summary>Lines that are remembered.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of memory taken.</summary>
    public int CapacityBytes => _data.Length;

    public void Add(in LineStamp stamp, ReadOnlySpan<byte> line)
    {
        LineCut cut = stamp.Cut;
        int needed = HeadBytes + line.Length;
        if (line.Length > LineMemory.ShortBytes)
            _mostBytes = Math.Max(_mostBytes, (int)BitOperations.RoundUpToPowerOf2(2 * (uint)needed));
        else if (_longCount == 0)
            _mostBytes = MostBytes;
        while (_end - _first + needed > _data.Length && TryGrow())
        {
        }
        if (needed > _data.Length)
        {
            int most = (_data.Length / 2) - HeadBytes;
            line = line[..LineSplitter.CutLength(line[..most], line[most])];
            needed = HeadBytes + line.Length;
            cut |= LineCut.AtEnd;
        }
        while (Count == MostLines || _end - _first + needed > _data.Length)
            DropOldest();
        if (line.Length > LineMemory.ShortBytes)
            _longCount++;
        else if (_longCount == 0 && _data.Length > MostBytes)
            Shrink(MostBytes - needed);
        var head = new Head
        {
            Sequence = stamp.Sequence,
            Time = stamp.UnixMicroseconds,
            InstanceId = stamp.InstanceId,
            LengthAndCut = (line.Length << CutBits) | (int)cut,
        };
        Put(MemoryMarshal.AsBytes(new ReadOnlySpan<Head>(in head)));
        Put(line);
        Count++;
    }

    /// <summary>Visits the newest lines from the oldest of them on; the span is valid during the call only.</summary>
    public void ForEach(LineVisitor visit, int newest = MostLines)
    {
        byte[] line = new byte[1024];
        int skipped = Count - newest;
        for (long at = _first; at < _end; skipped--)
        {
            Head head = HeadAt(at);
            if (skipped <= 0)
            {
                if (head.Length > line.Length)
                    line = new byte[head.Length];
                Get(at + HeadBytes, line.AsSpan(0, head.Length));
                visit(new LineStamp(head.Sequence, head.Time, head.InstanceId, head.Cut), line.AsSpan(0, head.Length));
            }
            at += HeadBytes + head.Length;
        }
    }

    /// <summary>Gives back what it has of the memory of long lines. The ring has nothing of it from then on.</summary>
    public void Forget()
    {
        if (_isForgotten)
            return;
        _isForgotten = true;
        GiveBack();
    }

    private void DropOldest()
    {
        int length = HeadAt(_first).Length;
        if (length > LineMemory.ShortBytes)
            _longCount--;
        _first += HeadBytes + length;
        Count--;
    }

    private bool TryGrow()
    {
        if (_data.Length >= _mostBytes)
            return false;
        if (_data.Length >= MostBytes && (_isForgotten || !memory.TryTake(_data.Length)))
            return false;
        Move(_data.Length * 2);
        return true;
    }

    private void Shrink(int used)
    {
        while (_end - _first > used)
            DropOldest();
        if (!_isForgotten)
            GiveBack();
        Move(MostBytes);
    }

    private void GiveBack() => memory.Give(Math.Max(0, _data.Length - MostBytes));

    private void Move(int size)
    {
        byte[] other = new byte[size];
        int used = (int)(_end - _first);
        Get(_first, other.AsSpan(0, used));
        _data = other;
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
        public int LengthAndCut;

        public readonly int Length => LengthAndCut >> CutBits;

        public readonly LineCut Cut => (LineCut)(LengthAndCut & ((1 << CutBits) - 1));
    }
}

/// <summary>Sees one remembered line.</summary>
internal delegate void LineVisitor(LineStamp stamp, ReadOnlySpan<byte> line);
