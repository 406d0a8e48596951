namespace Launchd.Keeper;

/// <summary>
/// Counts the deaths of supervisors, and decides when the next one is started: at once, after a pause, or not at all. Moments are
/// CLOCK_MONOTONIC in nanoseconds.
/// </summary>
internal sealed class KeeperDeaths
{
    /// <summary>So many within a minute, and the next supervisor is told not to trust what was recorded.</summary>
    public const int Distrusted = 3;

    /// <summary>So many within a minute, and no supervisor is started any more.</summary>
    public const int Most = 6;

    /// <summary>So many supervisors in a row may be killed before they serve, by chance.</summary>
    private const int MostEarlyKills = 20;

    private const long Millisecond = 1_000_000, Minute = 60_000 * Millisecond;
    private const long FirstPause = 100 * Millisecond, LongestPause = 5000 * Millisecond;

    private readonly long[] _moments = new long[Most];
    private int _count;
    private bool _isLastTry;
    private bool _wasRefusal;
    private int _earlyKills;

    /// <summary>Whether the last death says something against what was recorded.</summary>
    public bool Counts { get; private set; }

    /// <summary>How long to wait before the next start; 0: not at all.</summary>
    public long Pause { get; private set; }

    /// <summary>Nothing is to be started before <see cref="TryOnceMore"/>.</summary>
    public bool IsGivenUp { get; private set; }

    /// <summary>Whether the next supervisor is to trust nothing but descriptors.</summary>
    public bool IsDistrusted(long now) => _isLastTry || (Counts && !_wasRefusal && Recent(now) >= Distrusted);

    /// <summary>Deaths within the last minute, at most <see cref="Most"/>.</summary>
    public int Recent(long now)
    {
        int recent = 0;
        for (int i = 0; i < Math.Min(_count, Most); i++)
            recent += now - _moments[i] < Minute ? 1 : 0;
        return recent;
    }

    /// <summary>A supervisor has died.</summary>
    /// <param name="startedAt">When it was started.</param>
    /// <param name="now">When it died.</param>
    /// <param name="isKill">It died of SIGKILL, which somebody else has sent, or the kernel for want of memory.</param>
    /// <param name="wasRunning">It had come to serve.</param>
    public void Note(long startedAt, long now, bool isKill, bool wasRunning)
    {
        _wasRefusal = false;
        _earlyKills = isKill && !wasRunning ? _earlyKills + 1 : 0;
        // A kill says nothing against what was recorded, and the next one is started at once; unless one after the other never serves.
        Counts = !isKill || _earlyKills > MostEarlyKills || _isLastTry;
        if (!Counts)
        {
            Pause = 0;
            return;
        }
        bool wasWell = now - startedAt >= Minute;
        Pause = _count == 0 || wasWell ? 0 : Math.Clamp(Pause * 2, FirstPause, LongestPause);
        _moments[_count % Most] = now;
        // The count starts over where the ring does, so that it never ends.
        _count = _count == (2 * Most) - 1 ? Most : _count + 1;
        _isLastTry &= !wasWell;
        IsGivenUp = _isLastTry || Recent(now) >= Most;
    }

    /// <summary>
    /// The supervisor that was noted last has said by itself that it cannot start: that counts, but speaks of what is in its way.
    /// </summary>
    public void NoteRefusal() => _wasRefusal = true;

    /// <summary>How many numbers say everything.</summary>
    public const int NumberCount = Most + 6;

    /// <summary>Writes everything down, for <see cref="Recall"/>. What is added later stands at the end.</summary>
    public void Remember(Span<long> numbers)
    {
        _moments.CopyTo(numbers);
        Span<long> rest = numbers[Most..];
        rest[0] = _count;
        rest[1] = Pause;
        rest[2] = _earlyKills;
        rest[3] = _isLastTry ? 1 : 0;
        rest[4] = _wasRefusal ? 1 : 0;
        rest[5] = Counts ? 1 : 0;
    }

    /// <summary>Goes on with what <see cref="Remember"/> has written.</summary>
    public void Recall(ReadOnlySpan<long> numbers)
    {
        numbers[..Most].CopyTo(_moments);
        ReadOnlySpan<long> rest = numbers[Most..];
        _count = (int)Math.Clamp(rest[0], 0, (2 * Most) - 1);
        Pause = Math.Clamp(rest[1], 0, LongestPause);
        _earlyKills = (int)Math.Clamp(rest[2], 0, MostEarlyKills);
        _isLastTry = rest[3] != 0;
        _wasRefusal = rest[4] != 0;
        Counts = rest[5] != 0;
    }

    /// <summary>One more start is wanted: if that one does not last a minute, it was the last.</summary>
    public void TryOnceMore()
    {
        IsGivenUp = false;
        _isLastTry = true;
        Pause = 0;
    }
}
