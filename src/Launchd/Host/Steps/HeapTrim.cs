namespace Launchd.Host.Steps;

/// <summary>
/// Keeps the memory of a busy supervisor near what it uses. What stands in the list of events for a while has grown old by the time that it
/// leaves it, and the collector lets the old ones lie until they are many times what lives: tens of megabytes.
/// </summary>
internal sealed class HeapTrim
{
    /// <summary>Young collections between two full ones: something like a hundred thousand requests.</summary>
    private const int Interval = 128;

    private int _collections;

    /// <summary>Called once a turn; costs a comparison, and now and then a full collection of some milliseconds.</summary>
    public void Look()
    {
        if (GC.CollectionCount(0) - _collections < Interval)
            return;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        _collections = GC.CollectionCount(0);
    }
}
