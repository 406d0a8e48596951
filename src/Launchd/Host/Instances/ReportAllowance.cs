using Launchd.Core;

namespace Launchd.Host.Instances;

/// <summary>Sixty-four events at once, and eight a second: the newest are told, of the others how many there were.</summary>
internal sealed class ReportAllowance
{
    private const double Most = 64, PerSecond = 8;

    private double _left = Most;
    private Moment _last;
    private long _skipped;

    public bool Take(Moment now, out long skipped)
    {
        _left = Math.Min(Most, _left + ((now - _last).TotalSeconds * PerSecond));
        _last = now;
        skipped = _skipped;
        if (_left < 1)
        {
            _skipped++;
            return false;
        }
        _left--;
        _skipped = 0;
        return true;
    }
}
