namespace Launchd.Logs;

/// <summary>
/// Lines on their way from the pump to a file or the supervisor's own output. The pump writes them itself at the end of a turn
/// (<see cref="WriteOut"/>) until the target hangs for the first time; from then on a lane does. Lines that find no room are dropped and
/// counted. All members but <see cref="Work"/> are for the pump's thread, which alone puts lines in.
/// </summary>
/// <param name="target">Belongs to the lanes from now on, which dispose it.</param>
/// <param name="lanes">Threads that write when the pump does not.</param>
/// <param name="onLost">From any thread: so many lines of a service (null: of the supervisor) are lost.</param>
/// <param name="onRoom">On a lane: there is room again, after <see cref="IsFull"/> was true.</param>
internal sealed class LineQueue(ILineTarget target, Lanes lanes, Action<string?, long> onLost, Action? onRoom = null) : LaneWork
{
    /// <summary>Most bytes that wait, unless <see cref="LimitBytes"/> says less; and one line that is longer than what is left.</summary>
    public const int MostBytes = 1 << 20;

    /// <summary>Most bytes that wait while the pump writes itself: the lines of one read, with their labels.</summary>
    private const int MostOfARead = 4 << 20;

    /// <summary>If so many bytes wait, sources should not be read any more, as long as the target takes something.</summary>
    public const int FullBytes = 256 << 10;

    /// <summary>A target that took nothing for so long hangs, and is not waited for: in milliseconds.</summary>
    public const int PatienceMilliseconds = 1000;

    /// <summary>How long a lane may have to wait for a processor, in milliseconds.</summary>
    private const int BusyMilliseconds = 250;

    /// <summary>Pause between two looks at what the target is doing.</summary>
    private const int LookMilliseconds = 10;

    /// <summary>Bytes of one write: each write counts as progress.</summary>
    private const int PieceBytes = 64 << 10;

    private readonly object _lock = new();
    private readonly List<Action> _whenIdle = [];
    private byte[] _waiting = [];
    private byte[] _writing = [];
    private List<Segment> _segments = [];
    private List<Segment> _taken = [];
    private int _length;
    private long _dropped;
    private long _movedAt;
    private bool _isBusy, _isRoomAsked, _isStalled, _isClosing;

    // Whether another thread than the pump's writes, or is about to: a lane, or a former pump's thread that hangs.
    private bool _isLent;
    private bool _isLeftToLanes;
    private bool _isOwed;

    /// <summary>The pump must not write to the target: it has hung before, or can hang in a way that nobody ends.</summary>
    public bool IsLeftToLanes
    {
        get => Volatile.Read(ref _isLeftToLanes);
        init => _isLeftToLanes = value;
    }

    /// <summary>The target's name in the supervisor's log.</summary>
    public string Label { get; init; } = "the supervisor's own output";

    /// <summary>Called when bytes wait and no thread writes them: the pump then has to call <see cref="WriteOut"/>.</summary>
    public required Action<LineQueue> OnOwed { private get; init; }

    /// <summary>So many bytes wait that a write pays before the turn is over.</summary>
    public bool IsLarge => Volatile.Read(ref _length) >= PieceBytes;

    /// <summary>Most bytes that wait.</summary>
    public int LimitBytes { get; init; } = MostBytes;

    /// <summary>
    /// How many milliseconds the adding thread waits for room when the target's reader does not read, once for each such pause of the
    /// reader; 0: it never waits.
    /// </summary>
    public int WaitMilliseconds { get; init; }

    /// <summary>Whether the sender had better wait for <c>onRoom</c>: never while the target hangs, for which lines are dropped.</summary>
    public bool IsFull
    {
        get
        {
            if (Volatile.Read(ref _length) < FullBytes)
                return false;
            lock (_lock)
                return _isRoomAsked = _length >= FullBytes && Environment.TickCount64 - _movedAt < PatienceMilliseconds;
        }
    }

    /// <summary>Puts in a whole buffer. If nothing waits, the queue keeps the buffer itself and gives back another: no copy.</summary>
    public void Add(string? service, ref byte[] batch, int length)
    {
        lock (_lock)
        {
            if (_length == 0 && length > 0 && length <= LimitBytes && _segments.Count == 0)
            {
                byte[] other = _waiting.Length == batch.Length ? _waiting : lanes.Buffers.Rent(batch.Length);
                if (other != _waiting)
                    GiveBack(ref _waiting);
                (_waiting, batch) = (batch, other);
                Began();
                Volatile.Write(ref _length, length);
                _segments.Add(new Segment(service, length, _dropped, IsReopening: false));
                _dropped = 0;
                return;
            }
        }
        Add(service, batch.AsSpan(0, length));
    }

    /// <summary>Puts in whole lines of one service (null: of the supervisor). What finds no room is dropped and counted.</summary>
    public void Add(string? service, ReadOnlySpan<byte> lines)
    {
        if (lines.IsEmpty)
            return;
        long lost = 0;
        lock (_lock)
        {
            Began();
            int fitting = FittingLength(lines);
            if (fitting < lines.Length && WaitMilliseconds > 0 && _isLent)
                fitting = WaitForRoom(lines);
            if (fitting > 0)
                Put(service, lines[..fitting]);
            if (fitting < lines.Length)
            {
                ReadOnlySpan<byte> rest = lines[fitting..];
                lost = rest.Count((byte)'\n') + (rest[^1] == '\n' ? 0 : 1);
                _dropped += lost;
            }
        }
        if (lost > 0)
            onLost(service, lost);
    }

    /// <summary>
    /// Writes the waiting lines, or has a lane write them; called between two sources or requests. A thread that hangs in such a write
    /// goes on with it even when another thread has become the pump meanwhile.
    /// </summary>
    /// <exception cref="PassedOverException">This thread is not the pump any more.</exception>
    public void WriteOut(PumpSeat seat)
    {
        lock (_lock)
        {
            _isOwed = false;
            if (_isLent || !_isBusy)
                return;
            _isLent = true;
        }
        if (IsLeftToLanes)
        {
            lanes.Schedule(this);
            return;
        }
        seat.Enter(this);
        try
        {
            Work();
        }
        catch (Exception) when (!seat.TryLeave(this))
        {
            throw new PassedOverException();
        }
        if (!seat.TryLeave(this))
            throw new PassedOverException();
    }

    /// <summary>A thread hangs in a write and keeps the target until it returns; after that, lanes write to the target.</summary>
    public void LeaveToLanes() => Volatile.Write(ref _isLeftToLanes, true);

    /// <summary>Lines that were put in until now go to the old file, later ones to the new file.</summary>
    public void Reopen()
    {
        lock (_lock)
        {
            _segments.Add(new Segment(null, _length, 0, IsReopening: true));
            Began();
        }
    }

    /// <summary>Has the target closed when all is written, unless it is used again before.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosing = true;
            Began();
        }
    }

    /// <summary>Takes back <see cref="Close"/>: the queue is used again.</summary>
    public void Keep()
    {
        lock (_lock)
            _isClosing = false;
    }

    /// <summary>Calls back when all that was put in until now is written, or lost: at once, or on a lane.</summary>
    public void WhenIdle(Action action)
    {
        lock (_lock)
        {
            if (_isBusy)
            {
                _whenIdle.Add(action);
                return;
            }
        }
        action();
    }

    /// <summary>Waits until all is written, until a moment of <see cref="Environment.TickCount64"/>. False: it is not.</summary>
    public bool WaitUntilIdle(long end)
    {
        lock (_lock)
        {
            while (_isBusy && end - Environment.TickCount64 is > 0 and long rest)
                Monitor.Wait(_lock, (int)Math.Min(rest, int.MaxValue));
            return !_isBusy;
        }
    }

    internal override void Work()
    {
        try
        {
            WriteAll();
        }
        catch (Exception)
        {
            lock (_lock)
                _isLent = false;
            throw;
        }
    }

    private void WriteAll()
    {
        bool isClosed = false;
        while (Take(isClosed, out int length))
        {
            isClosed = length < 0;
            if (isClosed)
                target.Dispose();
            try
            {
                WriteTaken();
            }
            finally
            {
                _taken.Clear();
            }
        }
    }

    private void WriteTaken()
    {
        int start = 0;
        foreach (Segment segment in _taken)
        {
            if (segment.IsReopening)
                target.Reopen();
            else
                Write(segment, _writing.AsSpan(start, segment.End - start));
            start = segment.End;
        }
    }

    /// <summary>Takes the waiting bytes. A negative length: none wait, the target is to be closed. False: nothing is left to do.</summary>
    private bool Take(bool isClosed, out int length)
    {
        Action[] owed;
        lock (_lock)
        {
            Moved();
            length = _length;
            if (_segments.Count == 0 && _dropped > 0)
            {
                // No line may ever follow those that are missing.
                _segments.Add(new Segment(null, length, _dropped, IsReopening: false));
                _dropped = 0;
            }
            if (_segments.Count > 0)
            {
                (_waiting, _writing) = (_writing, _waiting);
                (_segments, _taken) = (_taken, _segments);
                _length = 0;
                if (_isRoomAsked)
                    onRoom?.Invoke();
                _isRoomAsked = false;
                return true;
            }
            if (_isClosing && !isClosed)
            {
                length = -1;
                return true;
            }
            _isBusy = false;
            _isLent = false;
            GiveBack(ref _waiting);
            GiveBack(ref _writing);
            owed = [.. _whenIdle];
            _whenIdle.Clear();
        }
        foreach (Action action in owed)
            action();
        return false;
    }

    private void Write(in Segment segment, ReadOnlySpan<byte> lines)
    {
        long lost = 0, before = segment.LostBefore;
        do
        {
            int count = lines.IsEmpty ? 0 : LinePieces.LengthOfFirst(lines, PieceBytes, target.TakesPieces);
            lost += target.Write(lines[..count], before);
            before = 0;
            lines = lines[count..];
            lock (_lock)
                Moved();
        }
        while (!lines.IsEmpty);
        if (lost > 0)
            onLost(segment.Service, lost);
    }

    private void Began()
    {
        if (!_isBusy)
            _movedAt = Environment.TickCount64;
        _isBusy = true;
        if (_isLent || _isOwed)
            return;
        _isOwed = true;
        OnOwed(this);
    }

    private void Moved()
    {
        _movedAt = Environment.TickCount64;
        _isStalled = false;
        Monitor.PulseAll(_lock);
    }

    // As long as the pump writes itself, it does so right after each read. Labels can make the lines of one read longer than the limit
    // of the queue, so a read gets a limit of its own: a fast target loses nothing. Where little waits, a line of any length has room.
    private int FittingLength(ReadOnlySpan<byte> lines)
    {
        int room = Math.Max(0, (_isLent ? LimitBytes : MostOfARead) - _length);
        int whole = lines.Length <= room ? lines.Length : lines[..room].LastIndexOf((byte)'\n') + 1;
        return whole == 0 && _length <= LimitBytes / 2 ? lines.IndexOf((byte)'\n') + 1 : whole;
    }

    /// <summary>
    /// Waits for room in the queue: each time for a target that is only slow, but only once for a target that stands still.
    /// </summary>
    private int WaitForRoom(ReadOnlySpan<byte> lines)
    {
        long start = Environment.TickCount64;
        int fitting = FittingLength(lines);
        while (fitting < lines.Length && !_isStalled)
        {
            int patience = target.IsWaiting ? WaitMilliseconds : Math.Max(WaitMilliseconds, BusyMilliseconds);
            if (Environment.TickCount64 - start >= patience)
                _isStalled = true;
            else
                Monitor.Wait(_lock, Math.Min(patience, LookMilliseconds));
            fitting = FittingLength(lines);
        }
        return fitting;
    }

    private void Put(string? service, ReadOnlySpan<byte> lines)
    {
        int needed = _length + lines.Length;
        if (needed > _waiting.Length)
        {
            byte[] larger = lanes.Buffers.Rent(Math.Max(needed, Math.Min(MostBytes, needed * 2)));
            _waiting.AsSpan(0, _length).CopyTo(larger);
            GiveBack(ref _waiting);
            _waiting = larger;
        }
        lines.CopyTo(_waiting.AsSpan(_length));
        Volatile.Write(ref _length, needed);
        if (_dropped == 0 && _segments.Count > 0 && _segments[^1] is { IsReopening: false } last && last.Service == service)
            _segments[^1] = last with { End = needed };
        else
            _segments.Add(new Segment(service, needed, _dropped, IsReopening: false));
        _dropped = 0;
    }

    private void GiveBack(ref byte[] buffer)
    {
        if (buffer.Length > 0)
            lanes.Buffers.Return(buffer);
        buffer = [];
    }

    /// <summary>Lines of one service, up to a place in the buffer; or the moment of a reopening.</summary>
    private readonly record struct Segment(string? Service, int End, long LostBefore, bool IsReopening);
}
