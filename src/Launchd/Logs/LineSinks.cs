using Launchd.Control;
using Launchd.Model;

namespace Launchd.Logs;

/// <summary>
/// Where each line of a service goes: the supervisor's standard output, the service's file, the memory of recent lines, followers and
/// readiness patterns. Belongs to the pump's thread; allocates nothing for a line unless somebody follows it.
/// </summary>
internal sealed class LineSinks
{
    private const int TimeBytes = 27;

    /// <summary>Files that may hang at the same time; beyond it the lines of all files are dropped once their queues are full.</summary>
    private const int MostFileLanes = 128;

    private readonly LogPumpOptions _options;
    private readonly LogCounters _counters;
    private readonly PumpLoop _pump;
    private readonly LineQueue? _display;
    private readonly Dictionary<string, SharedLogFile> _files = [];
    private readonly List<LogFollower> _followers = [];
    private readonly List<OutputMatcher> _matchers = [];
    private readonly LineBatch _fileBatch, _displayBatch;
    private readonly char[] _matchText = new char[OutputMatcher.PieceBytes + OutputMatcher.OverlapLength + 1];
    private readonly byte[] _time = new byte[TimeBytes];
    private LineObject? _object;
    private long _now;
    private long _timeOf = -1;
    private long _sequence;

    public LineSinks(LogPumpOptions options, LogCounters counters, PumpLoop pump, LineQueue? display)
    {
        _options = options;
        _counters = counters;
        _pump = pump;
        _display = display;
        _fileBatch = new LineBatch(Memory);
        _displayBatch = new LineBatch(Memory);
        FileLanes = new Lanes("log files", MostFileLanes, pump.Fault);
    }

    /// <summary>The lanes that write log files.</summary>
    public Lanes FileLanes { get; }

    public LogHistory History { get; } = new();

    /// <summary>Memory of long lines that have not ended yet.</summary>
    public LineMemory Memory { get; } = new();

    /// <summary>Whether lines are shown as JSON, for programs, and not for people.</summary>
    public bool ShowsJson { get; set; }

    /// <summary>Called before the lines of one read, which all get the same time.</summary>
    public void BeginBatch(ServiceInput input)
    {
        _fileBatch.Begin(input.File?.Queue, input.Source.Service);
        _displayBatch.Begin(_display, input.Source.Service);
        _object?.BeginBatch();
        _now = (_options.Time.GetUtcNow().UtcTicks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
    }

    public void Take(ServiceInput input, ReadOnlySpan<byte> line, LineCut cut)
    {
        // The terminal, and not the program, puts a carriage return before each newline.
        if (input.IsTerminal && (cut & LineCut.AtEnd) == 0)
            line = line.TrimEnd((byte)'\r');
        if (input.File is not null)
            AddToFile(input.File, line, cut);
        ReadOnlySpan<byte> text = line.EndsWith((byte)'\r') && (cut & LineCut.AtEnd) == 0 ? line[..^1] : line;
        if (_display is not null && ShowsJson)
            ShowObject(input, text, cut);
        else if (_display is not null)
            Show(input, text, cut);
        var stamp = new LineStamp(_sequence++, _now, input.Source.InstanceId, cut);
        input.Ring ??= History.RingOf(input.Source.Service, input.Source.Slot);
        input.Ring.Add(stamp, text);
        if (_followers.Count > 0)
            Follow(input, stamp, text);
        if (input.Matcher is not null)
            Match(input, text, cut);
    }

    /// <summary>Called after the lines of one read.</summary>
    public void EndBatch()
    {
        _fileBatch.Write();
        _displayBatch.Write();
    }

    /// <summary>Called after a turn of the loop: sends the lines for followers to the main loop.</summary>
    public void EndTurn()
    {
        foreach (LogFollower follower in _followers)
        {
            if (follower.TakeBatch() is { } batch)
                _pump.Post(batch);
        }
    }

    public SharedLogFile OpenFile(LogPolicy policy, LogFileOwner owner)
    {
        if (!_files.TryGetValue(policy.FilePath, out SharedLogFile? shared))
        {
            LogFile file = new(policy, _options.Time, _pump.Notice);
            LineQueue queue = new(file, FileLanes, _counters.LoseInFile, () => _pump.Enqueue(_pump.Resume))
            {
                Label = policy.FilePath,
                OnOwed = _pump.Owe,
            };
            _files.Add(policy.FilePath, shared = new SharedLogFile(file, queue));
        }
        shared.File.Use(policy, owner);
        shared.UserCount++;
        shared.Queue.Keep();
        return shared;
    }

    public void CloseFile(SharedLogFile shared)
    {
        if (--shared.UserCount > 0)
            return;
        shared.Queue.Close();
        shared.Queue.WhenIdle(() => _pump.Enqueue(() =>
        {
            if (shared.UserCount == 0)
                _files.Remove(shared.File.Policy.FilePath);
        }));
    }

    public void ReopenFiles()
    {
        foreach (SharedLogFile shared in _files.Values)
            shared.Queue.Reopen();
        _pump.Notice(new PumpNotice.FilesReopened(_files.Count));
    }

    /// <summary>
    /// Waits until all files are written, at most until a moment of <see cref="Environment.TickCount64"/>,
    /// and closes them. False: some are not written.
    /// </summary>
    public bool DrainFiles(long end)
    {
        bool drained = true;
        foreach (SharedLogFile shared in _files.Values)
            shared.Queue.Close();
        _pump.WriteOut();
        foreach (SharedLogFile shared in _files.Values)
            drained &= shared.Queue.WaitUntilIdle(end);
        FileLanes.End();
        return drained;
    }

    /// <summary>Starts with the remembered lines, so that no line is missing or double between these and new ones.</summary>
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

    private void Show(ServiceInput input, ReadOnlySpan<byte> text, LineCut cut)
    {
        int length = text.Length <= LineMemory.ShortBytes ? text.Length * LineEscaper.Growth : LineEscaper.LengthOf(text);
        _displayBatch.BeginLine(input.Prefix.Length + length + LineBatch.MarksBytes);
        _displayBatch.Append(input.Prefix);
        _displayBatch.AppendMarkBefore(cut);
        _displayBatch.AppendEscaped(text);
        _displayBatch.EndLine(cut);
    }

    private void ShowObject(ServiceInput input, ReadOnlySpan<byte> text, LineCut cut)
    {
        ReadOnlySpan<byte> line = (_object ??= new LineObject()).Write(input.Source, Time(), text, cut);
        _displayBatch.BeginLine(line.Length);
        _displayBatch.Append(line);
        _displayBatch.EndLine(LineCut.None);
    }

    /// <summary>Writes the bytes as they came; a line in pieces gets the same marks as on the display.</summary>
    private void AddToFile(SharedLogFile shared, ReadOnlySpan<byte> line, LineCut cut)
    {
        _fileBatch.BeginLine(TimeBytes + 1 + line.Length + LineBatch.MarksBytes);
        if (shared.File.Policy.Timestamps)
        {
            _fileBatch.Append(Time());
            _fileBatch.Append((byte)' ');
        }
        _fileBatch.AppendMarkBefore(cut);
        _fileBatch.Append(line);
        _fileBatch.EndLine(cut);
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

    private void Match(ServiceInput input, ReadOnlySpan<byte> text, LineCut cut)
    {
        OutputMatcher matcher = input.Matcher!;
        if (matcher.Try(text, _matchText, cut) is { } found)
            _pump.Post(found);
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
}
