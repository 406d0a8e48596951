using System.Buffers;

namespace Launchd.Logs;

/// <summary>
/// Memory of lines that are longer than <see cref="ShortBytes"/>, which all services share: so that a thousand services with endless lines
/// cannot make the supervisor hold a thousand times the longest line. Who is refused cuts its line. Belongs to the pump's thread.
/// </summary>
/// <param name="mostBytes">How much may be in use at the same time.</param>
internal sealed class LineMemory(long mostBytes = LineMemory.MostBytes)
{
    /// <summary>What everybody may have without asking: a line up to this length is never cut.</summary>
    public const int ShortBytes = 16 << 10;

    public const long MostBytes = 32 << 20;

    /// <summary>Longer buffers, and all but one of each size, are left to the garbage collector when they are given back.</summary>
    private const int LongestKeptBytes = 1 << 20;

    private readonly ArrayPool<byte> _pool = ArrayPool<byte>.Create(LongestKeptBytes, maxArraysPerBucket: 1);

    /// <summary>How much is in use.</summary>
    public long UsedBytes { get; private set; }

    /// <summary>Takes a part of the memory, which the caller allocates itself. False: there is not so much left.</summary>
    public bool TryTake(long bytes)
    {
        if (UsedBytes + bytes > mostBytes)
            return false;
        UsedBytes += bytes;
        return true;
    }

    /// <summary>Ends what <see cref="TryTake"/> began.</summary>
    public void Give(long bytes) => UsedBytes -= bytes;

    /// <summary>A buffer of at least this length, for <see cref="Return"/>. Null: there is not so much left.</summary>
    public byte[]? TryRent(int bytes)
    {
        if (bytes <= ShortBytes)
            return ArrayPool<byte>.Shared.Rent(bytes);
        if (UsedBytes + bytes > mostBytes)
            return null;
        byte[] buffer = _pool.Rent(bytes);
        if (TryTake(buffer.Length))
            return buffer;
        _pool.Return(buffer);
        return null;
    }

    public void Return(byte[] buffer)
    {
        if (buffer.Length <= ShortBytes)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            return;
        }
        Give(buffer.Length);
        _pool.Return(buffer);
    }

    /// <summary>A buffer that is in use during a call only, and so counts as nothing.</summary>
    public byte[] RentForNow(int bytes) => _pool.Rent(bytes);

    public void ReturnFromNow(byte[] buffer) => _pool.Return(buffer);
}
