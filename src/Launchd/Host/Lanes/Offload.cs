using Launchd.Host.Loop;
using Launchd.Linux.Loop;

namespace Launchd.Host.Lanes;

/// <summary>
/// Does work that may block (name services, slow disks) on a thread of its own, and gives the result to the loop. One piece
/// of work at a time; without work there is no thread.
/// </summary>
internal sealed class Offload(Mailbox mailbox)
{
    /// <summary>Parsing recurses as deep as the tables of a configuration are nested.</summary>
    private const int StackBytes = 1 << 20;

    private Thread? _thread;

    /// <summary>Begins. False: there is no thread for it (<see cref="Worker.Refusal"/>), and nothing will be called.</summary>
    /// <param name="work">Must not touch what belongs to the loop.</param>
    /// <param name="failed">Makes the result of work that threw, so that the caller always gets one.</param>
    /// <param name="then">Called on the loop with the result.</param>
    public bool TryRun<T>(Func<T> work, Func<Exception, T> failed, Action<T> then)
    {
        Thread? thread = Worker.TryStart("offload", StackBytes, () =>
        {
            T result = ResultOf(work, failed);
            mailbox.Post(() => then(result));
        });
        _thread = thread ?? _thread;
        return thread is not null;
    }

    /// <summary>Waits for work that is under way. False: it hangs, as name services can.</summary>
    public bool Join(TimeSpan patience) => _thread?.Join(patience) ?? true;

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
}
