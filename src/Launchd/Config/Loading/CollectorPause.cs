using System.Runtime;

namespace Launchd.Config.Loading;

/// <summary>
/// Holds the garbage collector back while a large configuration is read or booted. Nearly all that is made for it lives until then, so that
/// each collection copies everything and frees nothing; the first one behind the end frees it all. Process-wide: where somebody else
/// holds the collector back already, or it does not want to be held, the work is slower and otherwise the same.
/// </summary>
internal sealed class CollectorPause : IDisposable
{
    /// <summary>Less fills no generation.</summary>
    private const long LeastBytes = 768 << 10;

    /// <summary>Memory that is reserved, but not touched before it is needed.</summary>
    private const long MostBytes = 64 << 20;

    private long _expected;
    private bool _isOn;

    /// <summary>Called before so much more is allocated. The pause ends by itself when it was far more.</summary>
    public void Expect(long bytes)
    {
        _expected += bytes;
        if (_isOn || _expected < LeastBytes)
            return;
        try
        {
            _isOn = GC.TryStartNoGCRegion(Math.Min(_expected, MostBytes), disallowFullBlockingGC: true);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentOutOfRangeException)
        {
            // Held back already, or more than this collector could promise.
            _isOn = false;
        }
    }

    public void Dispose()
    {
        // It lets itself go when more was allocated than promised.
        if (!_isOn || GCSettings.LatencyMode != GCLatencyMode.NoGCRegion)
            return;
        _isOn = false;
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // Another thread allocated the rest in this moment.
        }
    }
}
