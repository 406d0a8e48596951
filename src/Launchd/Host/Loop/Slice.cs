using Launchd.Linux.Loop;

namespace Launchd.Host.Loop;

/// <summary>
/// The share of one turn of the loop that waiting work of one kind gets: so many pieces, and no further piece once its time is over. A
/// bound in pieces alone is none in time, because on a busy machine a piece can take ten times as long as on an idle one.
/// </summary>
/// <param name="most">Pieces, at least 1.</param>
internal struct Slice(int most)
{
    /// <summary>A turn has a handful of such shares, and an operator is to be answered within 50 ms.</summary>
    private const long Nanoseconds = 4_000_000;

    private readonly long _end = Clock.MonotonicNanoseconds + Nanoseconds;
    private int _taken;

    /// <summary>Takes one piece. False: the rest is for the next turn. The first piece is always given.</summary>
    public bool TryTake()
    {
        if (_taken == most || (_taken > 0 && Clock.MonotonicNanoseconds >= _end))
            return false;
        _taken++;
        return true;
    }
}
