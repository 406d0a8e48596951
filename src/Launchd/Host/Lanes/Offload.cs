using Launchd.Host.Loop;
using Launchd.Linux.Loop;

namespace Launchd.Host.Lanes;

/// <summary>
/// Does work that may block (name services, slow disks) beside the loop, on a thread of the lanes (<see cref="LaneThreads"/>), and gives
/// the result to the loop. One piece of work at a time.
/// </summary>
internal sealed class Offload(Mailbox mailbox)
{
    private readonly object _gate = new();
    private bool _isUnderWay;

    /// <summary>Begins. False: there is no thread for it (<see cref="Worker.Refusal"/>), and nothing will be called.</summary>
    /// <param name="work">Must not touch what belongs to the loop.</param>
    /// <param name="failed">Makes the result of work that threw, so that the caller always gets one.</param>
    /// <param name="then">Called on the loop with the result.</param>
    public bool TryRun<T>(Func<T> work, Func<Exception, T> failed, Action<T> then)
    {
        Note(isUnderWay: true);
        bool isBegun = LaneThreads.TryStart(() =>
        {
            T result = ResultOf(work, failed);
            mailbox.Post(() => then(result));
            Note(isUnderWay: false);
        });
        if (!isBegun)
            Note(isUnderWay: false);
        return isBegun;
    }

    /// <summary>Waits for work that is under way. False: it hangs, as name services can.</summary>
    public bool Join(TimeSpan patience)
    {
        long end = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        lock (_gate)
        {
            while (_isUnderWay)
            {
                long left = end - Environment.TickCount64;
                if (left <= 0 || !Monitor.Wait(_gate, (int)left))
                    return !_isUnderWay;
            }
            return true;
        }
    }

    /// <summary>The result of the work, or the one that is made from its exception.</summary>
    public static T ResultOf<T>(Func<T> work, Func<Exception, T> failed)
    {
        try
        {
            return work();
        }
        catch (Exception defect)
        {
            // Any exception is caught: on a thread of its own it would end the process.
            return failed(defect);
        }
    }

    private void Note(bool isUnderWay)
    {
        lock (_gate)
        {
            _isUnderWay = isUnderWay;
            Monitor.PulseAll(_gate);
        }
    }
}
