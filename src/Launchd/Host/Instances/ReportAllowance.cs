using Launchd.Core;

namespace Launchd.Host.Instances;

/// <summary>Lets an instance report sixty-four events at once and eight a second; the events beyond are only counted.</summary>
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
