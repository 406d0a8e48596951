using Launchd.Control;
using Launchd.Model;

namespace Launchd.Host.Logs;

/// <summary>
/// Where each line of a service goes: the supervisor's standard output, the service's file, the memory of recent lines, followers and
/// readiness patterns. Belongs to the pump's thread; allocates nothing for a line unless somebody follows it.
/// </summary>
internal sealed class LineSinks : IDisposable
{
    private const int FileBatchBytes = 128 * 1024;
    private const int TimeBytes = 27;

    private static ReadOnlySpan<byte> CutMark => "[...]"u8;

    private readonly LogPumpOptions _options;
    private readonly LogCounters _counters;
    private readonly Action<Action> _post;
    private readonly Action<PumpNotice> _notice;
    private readonly Dictionary<string, LogFile> _files = [];
    private readonly List<LogFollower> _followers = [];
    private readonly List<OutputMatcher> _matchers = [];
    private readonly byte[] _fileBatch = new byte[FileBatchBytes];
    private readonly char[] _matchText = new char[LineSplitter.LongestBytes + 1];
    private readonly byte[] _time = new byte[TimeBytes];
    private long _now;
    private long _timeOf = -1;
    private int _fileBatchLength;
    private long _sequence;
    private long _closedFilesLost;

    public LineSinks(LogPumpOptions options, LogCounters counters, Action<Action> post, Action<PumpNotice> notice)
    {
        _options = options;
        _counters = counters;
        _post = post;
        _notice = notice;
    }

    public LogHistory History { get; } = new();

    /// <summary>Lines that log files did not take.</summary>
    public long FileLostLines
    {
        get
        {
            long lost = _closedFilesLost;
            foreach (LogFile file in _files.Values)
                lost += file.LostLines;
            return lost;
        }
    }

    /// <summary>Before the lines of one read: they all carry this moment.</summary>
    public void BeginBatch() =>
        _now = (_options.Time.GetUtcNow().UtcTicks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;

    public void Take(ServiceInput input, ReadOnlySpan<byte> line, LineCut cut)
    {
        if (input.File is not null)
            AddToFile(input, input.File, line, cut);
        ReadOnlySpan<byte> text = line.EndsWith((byte)'\r') && (cut & LineCut.AtEnd) == 0 ? line[..^1] : line;
        if (_options.Display is not null && !TryShow(_options.Display, input.Prefix, text, cut))
            _counters.CountLoss(input.Source.Service, 1);
        var stamp = new LineStamp(_sequence++, _now, input.Source.InstanceId);
        input.Ring ??= History.RingOf(input.Source.Service, input.Source.Slot);
        input.Ring.Add(stamp, text);
        if (_followers.Count > 0)
            Follow(input, stamp, text);
        if (input.Matcher is not null)
            Match(input, text);
    }

    /// <summary>After the lines of one read.</summary>
    public void EndBatch(ServiceInput input) => WriteFileBatch(input, input.File);

    /// <summary>After a turn of the loop: what followers wait for goes to the main loop.</summary>
    public void EndTurn()
    {
        foreach (LogFollower follower in _followers)
        {
            if (follower.TakeBatch() is { } batch)
                _post(batch);
        }
    }

    public LogFile OpenFile(LogPolicy policy)
    {
        if (!_files.TryGetValue(policy.FilePath, out LogFile? file))
            _files.Add(policy.FilePath, file = new LogFile(policy, _options.Time, _notice));
        file.Policy = policy;
        file.UserCount++;
        return file;
    }

    public void CloseFile(LogFile file)
    {
        if (--file.UserCount > 0)
            return;
        file.Dispose();
        _closedFilesLost += file.LostLines;
        _files.Remove(file.Policy.FilePath);
    }

    public void ReopenFiles()
    {
        foreach (LogFile file in _files.Values)
            file.Reopen();
        _notice(new PumpNotice.FilesReopened(_files.Count));
    }

    /// <summary>Starts with what is remembered, so that nothing is missing or double between that and what comes.</summary>
    public void AddFollower(LogFollower follower, IReadOnlyCollection<string>? services, int lines)
    {
        foreach (LogLine line in History.Tail(services, lines))
            _counters.CountFollowerLoss(follower.Add(line));
        _followers.Add(follower);
    }

    public void RemoveFollower(LogFollower follower) => _followers.Remove(follower);

    public void AddMatcher(OutputMatcher matcher) => _matchers.Add(matcher);

    public void RemoveMatchers(long instanceId) => _matchers.RemoveAll(m => m.InstanceId == instanceId);

    public OutputMatcher? MatcherOf(long instanceId) => _matchers.Find(m => m.InstanceId == instanceId);

    public void Dispose()
    {
        foreach (LogFile file in _files.Values)
            file.Dispose();
        _files.Clear();
    }

    private static bool TryShow(OutputWriter display, byte[] prefix, ReadOnlySpan<byte> text, LineCut cut)
    {
        int most = prefix.Length + (text.Length * LineEscaper.Growth) + (2 * (CutMark.Length + 1)) + 1;
        if (!display.TryReserve(most, out Span<byte> room))
            return false;
        int length = 0;
        Append(room, ref length, prefix);
        if ((cut & LineCut.AtStart) != 0)
        {
            Append(room, ref length, CutMark);
            room[length++] = (byte)' ';
        }
        length += LineEscaper.Write(text, room[length..]);
        if ((cut & LineCut.AtEnd) != 0)
        {
            room[length++] = (byte)' ';
            Append(room, ref length, CutMark);
        }
        room[length++] = (byte)'\n';
        display.Commit(length);
        return true;
    }

    /// <summary>The bytes as they came; a line in pieces gets the same marks as on the display.</summary>
    private void AddToFile(ServiceInput input, LogFile file, ReadOnlySpan<byte> line, LineCut cut)
    {
        int most = TimeBytes + 1 + line.Length + (2 * (CutMark.Length + 1)) + 1;
        if (FileBatchBytes - _fileBatchLength < most)
            WriteFileBatch(input, file);
        Span<byte> room = _fileBatch;
        if (file.Policy.Timestamps)
        {
            Append(room, ref _fileBatchLength, Time());
            room[_fileBatchLength++] = (byte)' ';
        }
        if ((cut & LineCut.AtStart) != 0)
        {
            Append(room, ref _fileBatchLength, CutMark);
            room[_fileBatchLength++] = (byte)' ';
        }
        Append(room, ref _fileBatchLength, line);
        if ((cut & LineCut.AtEnd) != 0)
        {
            room[_fileBatchLength++] = (byte)' ';
            Append(room, ref _fileBatchLength, CutMark);
        }
        room[_fileBatchLength++] = (byte)'\n';
    }

    private void WriteFileBatch(ServiceInput input, LogFile? file)
    {
        int length = _fileBatchLength;
        _fileBatchLength = 0;
        if (length == 0 || file is null)
            return;
        long before = file.LostLines;
        file.Append(_fileBatch.AsSpan(0, length));
        _counters.CountLoss(input.Source.Service, file.LostLines - before);
    }

    private void Follow(ServiceInput input, in LineStamp stamp, ReadOnlySpan<byte> text)
    {
        LogLine? line = null;
        foreach (LogFollower follower in _followers)
        {
            if (!follower.Wants(input.Source.Service))
                continue;
            line ??= LogHistory.ToLogLine(stamp, input.Source.Service, input.Source.Slot, text);
            _counters.CountFollowerLoss(follower.Add(line));
        }
    }

    private void Match(ServiceInput input, ReadOnlySpan<byte> text)
    {
        OutputMatcher matcher = input.Matcher!;
        if (matcher.Try(text, _matchText) is { } found)
            _post(found);
        if (matcher.IsDone)
        {
            input.Matcher = null;
            _matchers.Remove(matcher);
        }
    }

    private ReadOnlySpan<byte> Time()
    {
        if (_timeOf != _now && LogHistory.TryFormatTime(_now, _time, out _))
            _timeOf = _now;
        return _time;
    }

    private static void Append(Span<byte> target, ref int length, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(target[length..]);
        length += bytes.Length;
    }
}
