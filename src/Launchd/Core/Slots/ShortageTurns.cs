using System.Collections.Immutable;

namespace Launchd.Core.Slots;

/// <summary>
/// When services are tried again after a shortage: no two attempts come closer to each other than
/// <see cref="Limits.ShortageDistance"/>, and an attempt that lies far ahead puts off none that can come before it.
/// </summary>
internal readonly record struct ShortageTurns
{
    private static readonly TimeSpan Distance = Limits.ShortageDistance;

    // From the first to the last attempt of each row in which there is no room for one more, in the order of time. Rows instead of
    // attempts, so that thousands of services that are short together find their turns at once.
    private readonly ImmutableArray<(Moment First, Moment Last)> _rows;

    private ShortageTurns(ImmutableArray<(Moment First, Moment Last)> rows) => _rows = rows;

    /// <summary>No attempt is to come.</summary>
    public static ShortageTurns None { get; } = new([]);

    /// <summary>From the first to the last attempt of each row, in the order of time.</summary>
    public ImmutableArray<(Moment First, Moment Last)> Rows => _rows;

    /// <summary>Turns with these rows; null: rows cannot be so.</summary>
    public static ShortageTurns? Of(ImmutableArray<(Moment First, Moment Last)> rows)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            if (rows[i].First > rows[i].Last || (i > 0 && rows[i - 1].Last >= rows[i].First))
                return null;
        }
        return new ShortageTurns(rows);
    }

    /// <summary>The first moment for another attempt that is not before <paramref name="wanted"/>.</summary>
    /// <param name="wanted">When the attempt would be made if there were no others.</param>
    /// <param name="now">Rows that are over by then are forgotten.</param>
    /// <param name="after">The turns with this one.</param>
    public Moment Take(Moment wanted, Moment now, out ShortageTurns after)
    {
        ImmutableArray<(Moment First, Moment Last)> rows = _rows.RemoveAll(row => row.Last <= now);
        int at = 0;
        while (at < rows.Length && rows[at].Last + Distance <= wanted)
            at++;
        // There is room for one behind each row, or the next row would be part of it.
        Moment turn = at == rows.Length || wanted + Distance <= rows[at].First ? wanted : rows[at++].Last + Distance;
        (Moment First, Moment Last) joined = (turn, turn);
        if (at < rows.Length && !HasRoom(turn, rows[at].First))
        {
            joined.Last = rows[at].Last;
            rows = rows.RemoveAt(at);
        }
        if (at > 0 && !HasRoom(rows[at - 1].Last, turn))
        {
            joined.First = rows[--at].First;
            rows = rows.RemoveAt(at);
        }
        after = new ShortageTurns(rows.Insert(at, joined));
        return turn;
    }

    private static bool HasRoom(Moment before, Moment behind) => before + Distance + Distance <= behind;
}
