namespace Launchd.Host;

/// <summary>
/// Does what may block (name services, slow disks) on a thread of its own, and gives the result to the loop. One piece of work at a time;
/// between two there is no thread.
/// </summary>
internal sealed class Offload(Mailbox mailbox)
{
    /// <summary>Parsing a large configuration goes as deep as its tables are nested.</summary>
    private const int StackBytes = 1 << 20;

    private Thread? _thread;

    /// <param name="work">Must not touch what belongs to the loop, and must not throw.</param>
    /// <param name="then">Called on the loop with the result.</param>
    public void Run<T>(Func<T> work, Action<T> then)
    {
        _thread = new Thread(
            () =>
            {
                T result = work();
                mailbox.Post(() => then(result));
            },
            StackBytes)
        { IsBackground = true, Name = "offload" };
        _thread.Start();
    }

    /// <summary>Waits for work that is under way. False: it hangs, as name services can.</summary>
    public bool Join(TimeSpan patience) => _thread?.Join(patience) ?? true;
}
