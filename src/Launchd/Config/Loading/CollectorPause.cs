using System.Runtime;

namespace Launchd.Config.Loading;

/// <summary>
/// Holds the garbage collector back while much is made that lives until a known end: a large configuration is read or booted, or a long
/// answer of the control socket is put together or taken apart. Each collection before the end would copy everything and free nothing;
/// the first one afterwards frees it all. Works for the whole process: if the collector is held back already, or cannot be, the work is
/// slower and otherwise the same.
/// </summary>
internal sealed class CollectorPause : IDisposable
{
    /// <summary>With less to allocate no collection would come.</summary>
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
            // The collector is held back already, or cannot promise so much memory.
            _isOn = false;
        }
    }

    public void Dispose()
    {
        // The pause ends by itself when more was allocated than promised.
        if (!_isOn || GCSettings.LatencyMode != GCLatencyMode.NoGCRegion)
            return;
        _isOn = false;
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // Another thread allocated the rest at this moment, which has ended the pause.
        }
    }
}
