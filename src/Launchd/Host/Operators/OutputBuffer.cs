using System.Buffers;

namespace Launchd.Host.Operators;

/// <summary>What waits to be sent to one operator. An answer is written right into it: the largest are some megabytes.</summary>
internal sealed class OutputBuffer : IBufferWriter<byte>
{
    private const int LeastBytes = 4096;

    private byte[] _bytes = [];
    private int _start;

    public int Count { get; private set; }

    public ReadOnlySpan<byte> Waiting => _bytes.AsSpan(_start, Count);

    /// <summary>The first bytes were sent.</summary>
    public void Remove(int count)
    {
        _start += count;
        Count -= count;
    }

    /// <summary>Takes the last bytes back, so that so many are left.</summary>
    public void Truncate(int count) => Count = count;

    public void Advance(int count) => Count += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        MakeRoom(Math.Max(1, sizeHint));
        return _bytes.AsMemory(_start + Count);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    private void MakeRoom(int count)
    {
        if (_start + Count + count <= _bytes.Length)
            return;
        byte[] larger = new byte[Math.Max(LeastBytes, (Count + count) * 2)];
        Waiting.CopyTo(larger);
        _bytes = larger;
        _start = 0;
    }
}
