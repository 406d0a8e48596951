using System.Collections.Concurrent;

namespace Launchd.Logs;

/// <summary>What the pump did since its start. Written by the pump's thread and its lanes, read by any.</summary>
internal sealed class LogCounters
{
    private readonly ConcurrentDictionary<string, long> _ofServices = new(StringComparer.Ordinal);
    private long _readBytes;
    private long _displayLostLines;
    private long _fileLostLines;
    private long _followerLostLines;
    private long _faults;
    private long _askings;
    private long _passedOver;
    private long _turns;

    /// <summary>Bytes that were read from services.</summary>
    public long ReadBytes => Volatile.Read(ref _readBytes);

    /// <summary>Turns of the pump's loop: stands still while nothing happens.</summary>
    public long Turns => Volatile.Read(ref _turns);

    /// <summary>Lines that the supervisor's standard output or error did not take.</summary>
    public long DisplayLostLines => Volatile.Read(ref _displayLostLines);

    /// <summary>Lines that log files did not take.</summary>
    public long FileLostLines => Volatile.Read(ref _fileLostLines);

    /// <summary>Lines that slow followers missed.</summary>
    public long FollowerLostLines => Volatile.Read(ref _followerLostLines);

    /// <summary>Errors that were contained: a source closed, a request refused.</summary>
    public long Faults => Volatile.Read(ref _faults);

    public void CountTurn() => Volatile.Write(ref _turns, _turns + 1);

    public void CountRead(int bytes) => Volatile.Write(ref _readBytes, _readBytes + bytes);

    public void CountFollowerLoss(long lines) => Volatile.Write(ref _followerLostLines, _followerLostLines + lines);

    /// <summary>How often the pump had to begin asking pipes in intervals, because the kernel did not watch them.</summary>
    public long Askings => Volatile.Read(ref _askings);

    /// <summary>How often a pipe was passed over because its lock was held.</summary>
    public long PassedOver => Volatile.Read(ref _passedOver);

    // Called by the pump and by lanes.
    public void CountFault() => Interlocked.Increment(ref _faults);

    public void CountAsking() => Interlocked.Increment(ref _askings);

    public void CountPassedOver() => Interlocked.Increment(ref _passedOver);

    /// <summary>Lines that the supervisor's own output did not take, of a service; null: of the supervisor itself.</summary>
    public void LoseOnDisplay(string? service, long lines)
    {
        Interlocked.Add(ref _displayLostLines, lines);
        CountLoss(service, lines);
    }

    /// <summary>Lines that a log file did not take.</summary>
    public void LoseInFile(string? service, long lines)
    {
        Interlocked.Add(ref _fileLostLines, lines);
        CountLoss(service, lines);
    }

    private void CountLoss(string? service, long lines)
    {
        if (lines > 0 && service is not null)
            _ = _ofServices.AddOrUpdate(service, lines, (_, before) => before + lines);
    }

    /// <summary>Lines of a service that its log file, or the supervisor's own output, did not take.</summary>
    public long LostLinesOf(string service) => _ofServices.GetValueOrDefault(service);

    /// <summary>What was dropped, by the names of <c>status</c>: only those above zero.</summary>
    public IEnumerable<KeyValuePair<string, long>> Dropped() => new Dictionary<string, long>
    {
        ["display_lines_lost"] = DisplayLostLines,
        ["log_file_lines_lost"] = FileLostLines,
        ["follower_lines_lost"] = FollowerLostLines,
        ["log_pump_faults"] = Faults,
        ["log_pipes_not_watched"] = Askings,
        ["log_pipes_passed_over"] = PassedOver,
    }.Where(c => c.Value > 0);
}
