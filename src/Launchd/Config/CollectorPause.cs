using System.Runtime;

namespace Launchd.Config;

/// <summary>
/// Holds the garbage collector back while a large configuration is read. Nearly all that is made for it lives until it is read, so that
/// each collection copies everything and frees nothing; the first one behind the end frees it all. Process-wide: where somebody else
/// holds the collector back already, or it does not want to be held, the reading is slower and otherwise the same.
/// </summary>
internal sealed class CollectorPause : IDisposable
{
    /// <summary>Smaller files fill no generation.</summary>
    private const int LeastFileBytes = 16 << 10;

    /// <summary>A thousand services take 25 to 45 bytes of tree and definitions for each byte of text.</summary>
    private const int MemoryPerFileByte = 48;

    /// <summary>Memory that is reserved, but not touched before it is needed.</summary>
    private const long MostBytes = 48 << 20;

    private long _fileBytes;
    private bool _isOn;

    /// <summary>Called with the size of each file before it is parsed.</summary>
    public void Expect(int fileBytes)
    {
        _fileBytes += fileBytes;
        if (_isOn || _fileBytes < LeastFileBytes)
            return;
        try
        {
            _isOn = GC.TryStartNoGCRegion(Math.Min(_fileBytes * MemoryPerFileByte, MostBytes), disallowFullBlockingGC: true);
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
