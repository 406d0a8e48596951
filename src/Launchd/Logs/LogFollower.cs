using Launchd.Control;

namespace Launchd.Logs;

/// <summary>
/// A client that gets lines as they come. At most one batch is on its way: the next is sent after <see cref="Continue"/>, so a slow client
/// lets nothing grow but this queue of <see cref="MostLines"/> lines and <see cref="MostBytes"/>, or one line that is longer; beyond it
/// the oldest are dropped and counted. The public members are for the main loop's thread, the internal ones for the pump's.
/// </summary>
internal sealed class LogFollower : IDisposable
{
    public const int MostLines = 2000;
    public const int MostBytes = 2 << 20;

    private readonly LogPump _pump;
    private readonly IReadOnlyCollection<string>? _services;
    private readonly Action<LogLine[], long> _deliver;
    private readonly Queue<LogLine> _waiting = new();
    private long _waitingBytes;
    private long _lost;
    private bool _mayDeliver = true;

    // Read and written only on the main loop's thread.
    private bool _closed;

    public LogFollower(LogPump pump, IReadOnlyCollection<string>? services, Action<LogLine[], long> deliver)
    {
        _pump = pump;
        _services = services;
        _deliver = deliver;
    }

    /// <summary>Asks for the next batch, when the former has been passed on.</summary>
    public void Continue() => _pump.Enqueue(() => _mayDeliver = true);

    /// <summary>Ends the following: nothing is delivered any more.</summary>
    public void Dispose()
    {
        if (_closed)
            return;
        _closed = true;
        _pump.Unfollow(this);
    }

    internal bool Wants(string service) => _services is null || _services.Contains(service);

    /// <summary>Queues a line. Returns how many older ones it displaced.</summary>
    internal int Add(LogLine line)
    {
        _waiting.Enqueue(line);
        _waitingBytes += Weight(line);
        int displaced = 0;
        while (_waiting.Count > MostLines || (_waitingBytes > MostBytes && _waiting.Count > 1))
        {
            _waitingBytes -= Weight(_waiting.Dequeue());
            displaced++;
        }
        _lost += displaced;
        return displaced;
    }

    /// <summary>Called at the end of a turn: the batch to post to the main loop, if lines wait and the former batch was taken.</summary>
    internal Action? TakeBatch()
    {
        if (!_mayDeliver || (_waiting.Count == 0 && _lost == 0))
            return null;
        LogLine[] lines = [.. _waiting];
        long lost = _lost;
        _waiting.Clear();
        _waitingBytes = 0;
        _lost = 0;
        _mayDeliver = false;
        return () =>
        {
            if (!_closed)
                _deliver(lines, lost);
        };
    }

    private static long Weight(LogLine line) => (line.Text.Length * 2) + 128;
}
