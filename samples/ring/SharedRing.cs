using System.Runtime.InteropServices;

namespace Launchd.Samples.Ring;

/// <summary>One message: a number, and what a real one would carry.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct Message
{
    [FieldOffset(0)]
    public long Sequence;

    [FieldOffset(8)]
    public long Value;
}

/// <summary>
/// A queue in shared memory with one writer and one reader, each in a process of its own. Both count upwards for ever; what lies between
/// the two counts is full. Who has nothing to do sleeps on the other's count.
/// </summary>
internal sealed unsafe class SharedRing(byte* memory, long bytes)
{
    private const int HeaderBytes = 4_096;

    // Counts on cache lines of their own, each with the flag that says that somebody sleeps on it.
    private readonly long* _written = (long*)memory;
    private readonly int* _readerSleeps = (int*)(memory + 64);
    private readonly long* _read = (long*)(memory + 128);
    private readonly int* _writerSleeps = (int*)(memory + 192);
    private readonly Message* _messages = (Message*)(memory + HeaderBytes);

    /// <summary>How many messages fit.</summary>
    public long Capacity { get; } = (bytes - HeaderBytes) / sizeof(Message);

    /// <summary>Room for the next messages, at least one and at most so many without a wrap; waits for it.</summary>
    public Span<Message> Room(int most)
    {
        long written = *_written;
        while (written - Volatile.Read(ref *_read) == Capacity)
            Sleep(_writerSleeps, _read, () => *_written - Volatile.Read(ref *_read) == Capacity);
        long free = Capacity - (written - Volatile.Read(ref *_read));
        return Span(written, free, most);
    }

    /// <summary>The first so many of the room are filled.</summary>
    public void Wrote(int count)
    {
        Volatile.Write(ref *_written, *_written + count);
        WakeIf(_readerSleeps, _written);
    }

    /// <summary>The next messages, at least one and at most so many without a wrap; waits for them.</summary>
    public Span<Message> Filled(int most)
    {
        long read = *_read;
        while (Volatile.Read(ref *_written) == read)
            Sleep(_readerSleeps, _written, () => Volatile.Read(ref *_written) == *_read);
        return Span(read, Volatile.Read(ref *_written) - read, most);
    }

    /// <summary>The first so many of the messages are done with.</summary>
    public void Read(int count)
    {
        Volatile.Write(ref *_read, *_read + count);
        WakeIf(_writerSleeps, _read);
    }

    private Span<Message> Span(long from, long count, int most)
    {
        long at = from % Capacity;
        return new Span<Message>(_messages + at, (int)Math.Min(Math.Min(count, most), Capacity - at));
    }

    // The flag first, then the look: whoever changes the count looks at the flag afterwards, so one of the two sees the other.
    private static void Sleep(int* flag, long* count, Func<bool> isStillSo)
    {
        int before = Volatile.Read(ref *(int*)count);
        _ = Interlocked.Exchange(ref *flag, 1);
        if (isStillSo())
            Futex.Wait((int*)count, before);
        _ = Interlocked.Exchange(ref *flag, 0);
    }

    private static void WakeIf(int* flag, long* count)
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref *flag) != 0)
            Futex.Wake((int*)count);
    }
}
