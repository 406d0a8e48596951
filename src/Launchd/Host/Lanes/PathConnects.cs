using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Linux.Loop;

namespace Launchd.Host.Lanes;

/// <summary>
/// Connects to Unix sockets by their paths, on threads: the kernel looks the path up inside connect(2), and waits without end where a file
/// system does not answer. While a path keeps a thread for too long, no further connection to it is tried. For the loop's thread.
/// </summary>
internal sealed class PathConnects(Mailbox mailbox)
{
    /// <summary>Said of a path for which <see cref="IsHung"/> is true.</summary>
    public const string Silence = "its file system does not answer";

    /// <summary>How long a connection may take: longer than a full queue is waited for.</summary>
    private static readonly TimeSpan Patience = Limits.ConnectPatience + TimeSpan.FromSeconds(1);

    // By path: when the connections that are under way began, in order.
    private readonly Dictionary<string, List<long>> _underWay = new(StringComparer.Ordinal);

    /// <summary>Whether a connection to this path has taken so long that no other is to be begun.</summary>
    public bool IsHung(string path) =>
        _underWay.TryGetValue(path, out List<long>? begun) && Environment.TickCount64 - begun[0] > (long)Patience.TotalMilliseconds;

    /// <summary>Begins. False: there is no thread for it (<see cref="Worker.Refusal"/>), and nothing will be called.</summary>
    /// <param name="path">Of the socket.</param>
    /// <param name="work">Must not touch what belongs to the loop.</param>
    /// <param name="failed">Makes the result of work that threw.</param>
    /// <param name="then">Called on the loop with the result.</param>
    public bool TryRun<T>(string path, Func<T> work, Func<Exception, T> failed, Action<T> then)
    {
        long began = Environment.TickCount64;
        bool isBegun = LaneThreads.TryStart(() =>
        {
            T result = Offload.ResultOf(work, failed);
            mailbox.Post(() =>
            {
                CameBack(path, began);
                then(result);
            });
        });
        if (!isBegun)
            return false;
        if (!_underWay.TryGetValue(path, out List<long>? begun))
            _underWay.Add(path, begun = []);
        begun.Add(began);
        return true;
    }

    private void CameBack(string path, long began)
    {
        List<long> begun = _underWay[path];
        _ = begun.Remove(began);
        if (begun.Count == 0)
            _ = _underWay.Remove(path);
    }
}
