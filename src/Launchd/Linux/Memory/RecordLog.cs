using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Memory;

/// <summary>
/// Records by key in a file in memory (memfd_create(2), or of a tmpfs), which somebody else holds too or finds by its name: whoever takes
/// the file over, after a death of the writer at any instruction, finds the records as of the last commit that was written whole. All that
/// is put between two commits takes effect together.
/// <para>
/// The file has two places for a header, each with a sequence number and a checksum, of which the newer valid one counts. The header names
/// the offset of an area of batches. A commit appends one batch with one write. When much of the area is out of date, all that holds is
/// written to a new area, before it if there is room and else behind it, the other header is made to name that, and the old area's memory
/// is given back (fallocate(2)).
/// </para>
/// <para>For one thread. Not for hostile readers: who can write the file is the supervisor, or the keeper that it trusts.</para>
/// </summary>
internal sealed unsafe class RecordLog : IDisposable
{
    /// <summary>A record that is longer is refused by <see cref="Put"/>, and a file that is longer by <see cref="TryTake"/>.</summary>
    public const int LongestRecord = 16 << 20;

    private const long LongestFile = 1L << 40, MostLive = 1L << 30;
    private const ulong HeaderMark = 0x3130_4345_5253_434C; // "LCSREC01"
    private const uint BatchMark = 0x4843_5442; // "BTCH"
    private const int HeaderBytes = 28, HeaderDistance = 64, FirstArea = 4096;
    private const int BatchHeadBytes = 24, EntryHeadBytes = 13;
    private const uint Removed = uint.MaxValue;
    private const int LargestPart = 1 << 20;

    /// <summary>An area is not written anew before so much of it is out of date.</summary>
    private const long LeastWaste = 256 << 10;

    private readonly FileDescriptor _file;
    private readonly Dictionary<(byte Kind, long Number), (long Offset, int Length)> _live = [];
    private byte[] _batch = new byte[4096];
    private int _length = BatchHeadBytes;
    private readonly List<((byte Kind, long Number) Key, int At, int Length)> _pending = [];
    private long _area, _end, _liveBytes;
    private ulong _sequence, _headerSequence;

    private RecordLog(FileDescriptor fileTaken) => _file = fileTaken;

    /// <summary>The file, to be given to whoever is to hold it too. Borrowed.</summary>
    public FileDescriptor File => _file;

    /// <summary>The keys of all records that hold.</summary>
    public IReadOnlyCollection<(byte Kind, long Number)> Keys => _live.Keys;

    /// <summary>Memory that the file takes now, in bytes, about.</summary>
    public long Bytes => _end - _area;

    /// <summary>A new, empty log. Null with the reason: there is no memory, or no descriptor.</summary>
    public static RecordLog? Create(out Errno refused) =>
        FileOpener.CreateMemory("launchd-cs-state", out refused) is { } file ? Begin(file, out refused) : null;

    /// <summary>A new log in an empty file in memory. Null with the reason.</summary>
    /// <param name="fileTaken">In any case.</param>
    /// <param name="refused">ENOSPC: its file system is full.</param>
    public static RecordLog? Begin(FileDescriptor fileTaken, out Errno refused)
    {
        RecordLog log = new(fileTaken);
        refused = log.BeginArea(FirstArea);
        if (refused == Errno.None)
            return log;
        log.Dispose();
        return null;
    }

    /// <summary>Takes over the file of another. Null with the reason, in words: it is none, or no valid header is in it.</summary>
    /// <param name="fileTaken">In any case.</param>
    /// <param name="why">What is wrong with it.</param>
    public static RecordLog? TryTake(FileDescriptor fileTaken, out string why)
    {
        RecordLog log = new(fileTaken);
        if (log.Read(out why))
            return log;
        log.Dispose();
        return null;
    }

    /// <summary>The content of a record; null: there is none.</summary>
    public byte[]? Find(byte kind, long number)
    {
        if (!_live.TryGetValue((kind, number), out (long Offset, int Length) place))
            return null;
        byte[] content = new byte[place.Length];
        return ReadAt(place.Offset, content) ? content : null;
    }

    /// <summary>Puts a record in the place of one with the same key, with the next commit.</summary>
    public void Put(byte kind, long number, ReadOnlySpan<byte> content)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(content.Length, LongestRecord);
        int at = AppendEntry(kind, number, (uint)content.Length, content.Length);
        content.CopyTo(_batch.AsSpan(at));
        _pending.Add(((kind, number), at, content.Length));
    }

    /// <summary>Takes a record out, with the next commit. One that is not there may be taken out too.</summary>
    public void Remove(byte kind, long number) => _pending.Add(((kind, number), AppendEntry(kind, number, Removed, 0), -1));

    /// <summary>
    /// Makes all that was put and removed since the last commit hold. On a refusal (ENOSPC, ENOMEM) the records are as they were at the
    /// last commit that succeeded, and what was put is forgotten.
    /// </summary>
    public Errno Commit()
    {
        Errno refused = TryCommit();
        if (refused != Errno.None)
            Forget();
        return refused;
    }

    /// <summary>The same, but after a refusal what was put is still to be committed, here or by <see cref="CopyTo"/>.</summary>
    public Errno TryCommit()
    {
        if (_pending.Count == 0)
            return Errno.None;
        Errno refused = WriteBatch(_end, _batch.AsSpan(0, _length));
        if (refused == Errno.None)
        {
            foreach (((byte Kind, long Number) key, int at, int length) in _pending)
                Note(key, _end + at, length);
            _end += Padded(_length);
        }
        else
        {
            // A part of the batch may stand there, which the next batch replaces.
            _sequence--;
            return refused;
        }
        Forget();
        if (_end - _area > (2 * _liveBytes) + LeastWaste)
            Compact();
        return refused;
    }

    /// <summary>What was put since the last commit is not to be committed any more.</summary>
    public void Forget()
    {
        _pending.Clear();
        _length = BatchHeadBytes;
        if (_batch.Length > LargestPart)
            _batch = new byte[4096];
    }

    /// <summary>Commits all records, and what was put and not committed yet, to another log, which is empty.</summary>
    /// <returns>Why it is not whole there: none of it counts then.</returns>
    public Errno CopyTo(RecordLog other)
    {
        foreach (((byte Kind, long Number) key, (long Offset, int Length) place) in _live)
        {
            int at = other.AppendEntry(key.Kind, key.Number, (uint)place.Length, place.Length);
            if (!ReadAt(place.Offset, other._batch.AsSpan(at, place.Length)))
                return Errno.EIO;
            other._pending.Add((key, at, place.Length));
        }
        foreach (((byte Kind, long Number) key, int at, int length) in _pending)
        {
            if (length < 0)
                other.Remove(key.Kind, key.Number);
            else
                other.Put(key.Kind, key.Number, _batch.AsSpan(at, length));
        }
        return other.Commit();
    }

    public void Dispose() => _file.Dispose();

    private int AppendEntry(byte kind, long number, uint length, int room)
    {
        int at = _length + EntryHeadBytes;
        if (_batch.Length < at + room)
            Array.Resize(ref _batch, Math.Max(_batch.Length * 2, at + room));
        Span<byte> head = _batch.AsSpan(_length);
        head[0] = kind;
        BinaryPrimitives.WriteInt64LittleEndian(head[1..], number);
        BinaryPrimitives.WriteUInt32LittleEndian(head[9..], length);
        _length = at + room;
        return at;
    }

    private void Note((byte Kind, long Number) key, long offset, int length)
    {
        if (_live.Remove(key, out (long Offset, int Length) before))
            _liveBytes -= before.Length + EntryHeadBytes;
        if (length < 0)
            return;
        _live.Add(key, (offset, length));
        _liveBytes += length + EntryHeadBytes;
    }

    private Errno WriteBatch(long at, Span<byte> batch)
    {
        _sequence++;
        BinaryPrimitives.WriteUInt32LittleEndian(batch, BatchMark);
        BinaryPrimitives.WriteUInt32LittleEndian(batch[4..], (uint)(batch.Length - BatchHeadBytes));
        BinaryPrimitives.WriteUInt64LittleEndian(batch[8..], _sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(batch[16..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(batch[16..], Checksum(batch));
        return WriteAt(at, batch);
    }

    // What holds is written behind the area; until the header names the new one, the old one counts.
    private void Compact()
    {
        // Before the area if there is room by now, so that offsets do not grow for ever; else behind it.
        long former = _area, formerEnd = _end, needed = (2 * _liveBytes) + (4 * LargestPart);
        long next = former - FirstArea > needed ? FirstArea : (formerEnd + FirstArea - 1) & ~((long)FirstArea - 1), at = next;
        ulong sequence = _sequence;
        Dictionary<(byte, long), (long, int)> moved = new(_live.Count);
        List<((byte, long) Key, int At, int Length)> part = [];
        bool isWritten = true;
        foreach (((byte Kind, long Number) key, (long Offset, int Length) place) in _live)
        {
            int content = AppendEntry(key.Kind, key.Number, (uint)place.Length, place.Length);
            isWritten &= ReadAt(place.Offset, _batch.AsSpan(content, place.Length));
            part.Add((key, content, place.Length));
            if (_length >= LargestPart)
                isWritten &= WritePart();
            if (!isWritten)
                break;
        }
        isWritten = isWritten && (part.Count == 0 || WritePart());
        _length = BatchHeadBytes;
        if (!isWritten || WriteHeader(next) != Errno.None)
        {
            // There is no memory for it. The old area goes on, and the next commit tries again. What was written behind the old area must
            // not be taken for its continuation.
            _sequence = sequence;
            GiveBack(next, next < former ? former - next : at + LargestPart - next);
            return;
        }
        (_area, _end) = (next, at);
        _live.Clear();
        foreach ((var key, var place) in moved)
            _live.Add(key, place);
        GiveBack(former, formerEnd - former);

        bool WritePart()
        {
            if (WriteBatch(at, _batch.AsSpan(0, _length)) != Errno.None)
                return false;
            foreach ((var key, int content, int length) in part)
                moved.Add(key, (at + content, length));
            at += Padded(_length);
            part.Clear();
            _length = BatchHeadBytes;
            return true;
        }
    }

    private void GiveBack(long offset, long length) =>
        _ = Libc.fallocate(_file.Number, Libc.FALLOC_FL_PUNCH_HOLE_KEEP_SIZE, (nint)offset, (nint)length);

    private Errno BeginArea(long area)
    {
        (_area, _end) = (area, area);
        return WriteHeader(area);
    }

    private Errno WriteHeader(long area)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(header, HeaderMark);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], ++_headerSequence);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], area);
        BinaryPrimitives.WriteUInt32LittleEndian(header[24..], Checksum(header[..24]));
        return WriteAt((long)(_headerSequence % 2) * HeaderDistance, header);
    }

    private bool Read(out string why)
    {
        why = "";
        Span<byte> header = stackalloc byte[HeaderBytes];
        for (int place = 0; place < 2; place++)
        {
            if (!ReadAt(place * HeaderDistance, header)
                || BinaryPrimitives.ReadUInt64LittleEndian(header) != HeaderMark
                || BinaryPrimitives.ReadUInt32LittleEndian(header[24..]) != Checksum(header[..24]))
            {
                continue;
            }
            ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(header[8..]);
            long area = BinaryPrimitives.ReadInt64LittleEndian(header[16..]);
            if (sequence <= _headerSequence || area < FirstArea || area > LongestFile)
                continue;
            (_headerSequence, _area, _end) = (sequence, area, area);
        }
        if (_area == 0)
        {
            why = "it has no valid header";
            return false;
        }
        while (ReadBatch())
        {
            if (_liveBytes <= MostLive)
                continue;
            why = $"it has more than {MostLive} bytes of records";
            return false;
        }
        return true;
    }

    // False: the log ends here.
    private bool ReadBatch()
    {
        Span<byte> head = stackalloc byte[BatchHeadBytes];
        if (_end > LongestFile || !ReadAt(_end, head) || BinaryPrimitives.ReadUInt32LittleEndian(head) != BatchMark)
            return false;
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
        ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(head[8..]);
        // The first batch of an area goes on from whatever came before.
        bool follows = _end == _area || sequence == _sequence + 1;
        if (!follows || length > MostLive || length > Size - _end - BatchHeadBytes)
            return false;
        byte[] batch = new byte[BatchHeadBytes + (int)length];
        if (!ReadAt(_end, batch))
            return false;
        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(batch.AsSpan(16));
        BinaryPrimitives.WriteUInt64LittleEndian(batch.AsSpan(16), 0);
        if (Checksum(batch) != expected)
            return false;
        for (int at = BatchHeadBytes; at < batch.Length;)
        {
            if (batch.Length - at < EntryHeadBytes)
                return false;
            (byte Kind, long Number) key = (batch[at], BinaryPrimitives.ReadInt64LittleEndian(batch.AsSpan(at + 1)));
            uint content = BinaryPrimitives.ReadUInt32LittleEndian(batch.AsSpan(at + 9));
            at += EntryHeadBytes;
            if (content == Removed)
            {
                Note(key, 0, -1);
                continue;
            }
            if (content > batch.Length - at)
                return false;
            Note(key, _end + at, (int)content);
            at += (int)content;
        }
        _sequence = sequence;
        _end += Padded(batch.Length);
        return true;
    }

    private long Size => FileStatus.Read(_file, out FileStatus status) == Errno.None ? status.SizeBytes : 0;

    private static long Padded(int length) => (length + 7L) & ~7L;

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint sum = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
            sum = BitOperations.Crc32C(sum, word);
        foreach (byte one in bytes[(words.Length * sizeof(ulong))..])
            sum = BitOperations.Crc32C(sum, one);
        return ~sum;
    }

    private bool ReadAt(long offset, Span<byte> into)
    {
        int got = 0;
        fixed (byte* start = into)
        {
            while (got < into.Length)
            {
                nint more = Libc.pread(_file.Number, start + got, (nuint)(into.Length - got), (nint)(offset + got));
                if (more > 0)
                    got += (int)more;
                else if (more == 0 || Errno.Last != Errno.EINTR)
                    return false;
            }
        }
        return true;
    }

    private Errno WriteAt(long offset, ReadOnlySpan<byte> bytes)
    {
        int put = 0;
        fixed (byte* start = bytes)
        {
            while (put < bytes.Length)
            {
                nint more = Libc.pwrite(_file.Number, start + put, (nuint)(bytes.Length - put), (nint)(offset + put));
                if (more > 0)
                    put += (int)more;
                else if (more < 0 && Errno.Last != Errno.EINTR)
                    return Errno.Last;
            }
        }
        return Errno.None;
    }
}
