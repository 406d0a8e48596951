using System.Diagnostics;
using Launchd.Client;
using Pump = Launchd.Interop.Libc.Pump;

namespace Launchd.Host.Logs;

/// <summary>
/// The writers of a pump. One is watched for writability only while it is blocked, because epoll(7) reports the write end of a pipe
/// without readers as in error all the time. Borrows writers and poller.
/// </summary>
internal sealed class PumpWriters(PumpPoller poller, ulong firstKey)
{
    private readonly List<Entry> _entries = [];

    /// <summary>Lines dropped since the start.</summary>
    public long LostLines
    {
        get
        {
            long lost = 0;
            foreach (Entry entry in _entries)
                lost += entry.Writer.LostLines;
            return lost;
        }
    }

    /// <summary>One is blocked but could not be watched: it must be tried in intervals.</summary>
    public bool NeedPolling
    {
        get
        {
            foreach (Entry entry in _entries)
            {
                if (entry.Writer.IsBlocked && !entry.IsWatched)
                    return true;
            }
            return false;
        }
    }

    public void Add(OutputWriter writer)
    {
        if (!_entries.Exists(e => e.Writer == writer))
            _entries.Add(new Entry(writer, firstKey + (ulong)_entries.Count));
    }

    public void BeginTurn()
    {
        foreach (Entry entry in _entries)
            entry.Writer.BeginTurn();
    }

    /// <summary>Writes what the others take now.</summary>
    public void EndTurn()
    {
        foreach (Entry entry in _entries)
        {
            entry.Writer.Flush();
            if (entry.Writer.IsBlocked == entry.IsWatched)
                continue;
            if (entry.IsWatched)
                poller.Remove(entry.Writer.Number);
            entry.IsWatched = !entry.IsWatched && poller.Add(entry.Writer.Number, Pump.EPOLLOUT, entry.Key) == Errno.None;
        }
    }

    /// <summary>Writes what waits, until a moment of <see cref="Stopwatch"/>. True: nothing is left.</summary>
    public bool Drain(long end)
    {
        bool drained = true;
        foreach (Entry entry in _entries)
        {
            long rest = Math.Max(0, end - Stopwatch.GetTimestamp());
            drained &= entry.Writer.Drain(TimeSpan.FromSeconds((double)rest / Stopwatch.Frequency));
        }
        return drained;
    }

    /// <summary>A writer and its key in epoll.</summary>
    private sealed class Entry(OutputWriter writer, ulong key)
    {
        public OutputWriter Writer { get; } = writer;

        public ulong Key { get; } = key;

        public bool IsWatched { get; set; }
    }
}
