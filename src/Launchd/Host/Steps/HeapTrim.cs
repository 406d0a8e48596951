namespace Launchd.Host.Steps;

/// <summary>
/// Keeps the memory of a busy supervisor near what it uses. An event that stands in the list of events for a while is in the
/// collector's oldest generation by the time that it leaves the list, and there the collector lets dead objects lie until
/// they are many times what lives: tens of megabytes.
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
