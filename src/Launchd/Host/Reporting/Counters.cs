namespace Launchd.Host.Reporting;

/// <summary>What was dropped or went wrong since the start, by kind, for <c>status</c>. For the loop's thread.</summary>
internal sealed class Counters
{
    private readonly SortedDictionary<string, long> _counts = [];

    /// <summary>The counts by kind, in the order of the kinds.</summary>
    public IReadOnlyDictionary<string, long> All => _counts;

    public void Count(string what) => _counts[what] = _counts.GetValueOrDefault(what) + 1;
}
