using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <summary>
/// What <see cref="LogPump"/> runs, on one thread at a time (<see cref="PumpSeat"/>). One turn: wait, carry out requests, then read each
/// ready source once (at most its share, so that none starves another). Nothing that a source does ends the loop: the source is closed and
/// the fault is counted. What is read goes into queues, which are written out between sources and at the end of a turn, here or by lanes.
/// </summary>
/// <remarks>
/// A thread can be passed over inside <see cref="PumpSeat.Enter"/> and <see cref="PumpSeat.TryLeave"/> alone, and the next one begins a new
/// turn with the request that was being carried out: so a request must do no harm if it is begun twice.
/// </remarks>
internal sealed partial class PumpLoop : IDisposable
{
    /// <summary>At most read at once.</summary>
    public const int BufferBytes = 64 * 1024;
    private const int SmallestShareBytes = 4 * 1024;

    /// <summary>What all sources together may deliver in one turn: some milliseconds of work.</summary>
    private const int TurnBytes = 1024 * 1024;

    /// <summary>Between two looks at what nobody wakes us for.</summary>
    private const int PollMilliseconds = 100;

    /// <summary>Turns in a row that may fail as a whole.</summary>
    private const int MostFailures = 100;

    /// <summary>Between two turns, once so many have failed.</summary>
    private const int RestMilliseconds = 1000;

    /// <summary>How long a queue of the supervisor's own output waits for a reader that is alive but slower than the writers.</summary>
    private const int ReaderMilliseconds = 10;

    /// <summary>The same for a file, which is slow at times and yet loses nothing.</summary>
    private const int FileMilliseconds = LineQueue.PatienceMilliseconds;

    /// <summary>What lanes are reading is waited for so long in the end.</summary>
    private const int LastReadsMilliseconds = 300;

    /// <summary>poll(2) passes over it: nothing is left to do but wait.</summary>
    private const int NoDescriptor = -1;

    /// <summary>One for each of the two ends of the supervisor's own output, and as many again for what hangs.</summary>
    private const int MostDisplayLanes = 4;

    private readonly LogPumpOptions _options;
    private readonly LogCounters _counters;
    private readonly EventLoop _loop = new();
    private readonly PumpSeat _seat;
    private readonly FileDescriptor _wake = MakeEvent();
    private readonly FileDescriptor _givingUp = MakeEvent();
    private readonly Lock _lock = new();
    private readonly Lanes _displayLanes;
    private readonly Dictionary<OutputWriter, LineQueue> _displays = [];
    private List<Action> _requests = [];
    private List<Action> _taken = [];
    private int _carriedOut;
    private readonly List<LineQueue> _owed = [];
    private Ending? _ending;
    private bool _ended;

    /// <exception cref="SystemCallException">The kernel gave no epoll or eventfd.</exception>
    public PumpLoop(LogPumpOptions options, LogCounters counters)
    {
        _options = options;
        _counters = counters;
        _seat = new PumpSeat(Run);
        _displayLanes = new Lanes("log display", MostDisplayLanes, Fault);
        _readers = new Lanes("log pipes", MostReaders, Fault);
        Sinks = new LineSinks(options, counters, this, QueueOf(options.Display));
        _loop.OnAsking = refused =>
        {
            _counters.CountAsking();
            Notice(new PumpNotice.SourcesAreAsked(refused));
        };
        Errno refused = _loop.Watch(_wake, IoReadiness.Readable, priority: 0, _ => TakeRequests());
        if (refused != Errno.None)
            throw new SystemCallException("epoll_ctl", "the log pump", refused);
    }

    public LineSinks Sinks { get; }

    public int ThreadNumber => _seat.Holder;

    /// <summary>After the end: everything was written.</summary>
    public bool IsDrained { get; private set; }

    public bool HasEnded => _seat.IsEmpty;

    /// <summary>Starts the thread. False: there is none.</summary>
    public bool TryBegin() => _seat.TryBegin();

    /// <summary>Waits for the end. False: it hangs.</summary>
    public bool Wait(TimeSpan patience) => _seat.Wait(patience);

    /// <summary>From any thread.</summary>
    public void Enqueue(Action request)
    {
        lock (_lock)
        {
            _requests.Add(request);
            if (_requests.Count > 1)
                return;
        }
        Signal(_wake);
    }

    /// <summary>The queue of one of the supervisor's own outputs. On the pump, or before it runs.</summary>
    public LineQueue? QueueOf(OutputWriter? writer)
    {
        if (writer is null)
            return null;
        if (!_displays.TryGetValue(writer, out LineQueue? queue))
        {
            int patience = writer.Identity.IsRegularFile ? FileMilliseconds : ReaderMilliseconds;
            queue = new LineQueue(new DisplayTarget(writer, _givingUp, _options.WritesByProcess), _displayLanes, _counters.LoseOnDisplay)
            {
                LimitBytes = OutputWriter.QueueBytes,
                IsLeftToLanes = !writer.NeverWaits,
                OnOwed = Owe,
                WaitMilliseconds = patience,
            };
            _displays.Add(writer, queue);
        }
        return queue;
    }

    /// <summary>This queue is written out before the turn ends.</summary>
    public void Owe(LineQueue queue) => _owed.Add(queue);

    /// <summary>Writes out what was put into queues. Where this thread may be passed over: see above.</summary>
    public void WriteOut()
    {
        while (_owed.Count > 0)
        {
            LineQueue queue = _owed[^1];
            _owed.RemoveAt(_owed.Count - 1);
            queue.WriteOut(_seat);
        }
    }

    /// <summary>The same, before the turn ends, if it is worth it.</summary>
    private void WriteOutLarge()
    {
        if (_owed.Exists(q => q.IsLarge))
            WriteOut();
    }

    /// <summary>The last request.</summary>
    public void DrainAndEnd(TimeSpan patience)
    {
        long now = Environment.TickCount64, most = (long)patience.TotalMilliseconds;
        _ending = new Ending(now + most, now + Math.Min(most, LastReadsMilliseconds));
        EndIfRead();
    }

    /// <summary>Ends, if told to, once lanes have read the last of what they read, or hang in it.</summary>
    private void EndIfRead()
    {
        if (_ending is not (long end, long lastReads))
            return;
        if (Environment.TickCount64 < lastReads && _inputs.Values.Any(i => i is { IsAway: true, Reader: not null }))
            return;
        foreach (PumpInput input in _inputs.Values.ToArray())
        {
            if (input.IsAway)
                continue;
            ReadWhatIsThere(input);
            if (_inputs.ContainsKey(input.Id))
                End(input);
        }
        WriteOut();
        _ended = true;
        Sinks.EndTurn();
        bool drained = true;
        foreach (LineQueue display in _displays.Values)
            drained &= display.WaitUntilIdle(end);
        drained &= Sinks.DrainFiles(end);
        Signal(_givingUp);
        _displayLanes.End();
        _readers.End();
        IsDrained = drained && _inputs.Count == 0;
    }

    /// <summary>After the end of <see cref="Run"/>.</summary>
    public void Dispose()
    {
        foreach (PumpInput input in _inputs.Values.Where(i => !i.IsAway))
            input.ReadEnd.Dispose();
        _inputs.Clear();
        _loop.Dispose();
        _wake.Dispose();
    }

    public void Post(Action action)
    {
        try
        {
            _options.Post(action);
        }
        catch (Exception)
        {
            // The main loop is going down and takes nothing any more; there is nobody left to tell.
            _counters.CountFault();
        }
    }

    /// <summary>From any thread.</summary>
    public void Notice(PumpNotice notice)
    {
        if (_options.Noticed is { } noticed)
            Post(() => noticed(notice));
    }

    /// <summary>From any thread: something was thrown that nobody foresaw.</summary>
    public void Fault(Exception fault)
    {
        try
        {
            Fault(new PumpNotice.RequestFailed(_options.Describe(fault)));
        }
        catch (Exception)
        {
            // No memory even to say so: it is counted, and the thread goes on.
            _counters.CountFault();
        }
    }

    private void Run(object? hung)
    {
        int failures = 0;
        bool isAfresh = hung is not null;
        while (!_ended)
        {
            try
            {
                if (hung is PumpInput input)
                    PassOver(input);
                else if (hung is LineQueue queue)
                    PassOver(queue);
                hung = null;
                if (isAfresh)
                    BeginAfresh();
                Turn(mayWait: !isAfresh);
                isAfresh = false;
                failures = 0;
            }
            catch (PassedOverException)
            {
                return;
            }
            catch (Exception fault)
            {
                // Not one source's fault, those are contained below: a defect, or no memory. If turn after turn fails, going on at once
                // would only burn the processor and flood the main loop; but who ended here would leave all services without a reader.
                Fault(fault);
                isAfresh = true;
                if (++failures >= MostFailures)
                    _ = PumpCalls.IsWritable(NoDescriptor, RestMilliseconds);
            }
        }
        _seat.End();
    }

    /// <summary>
    /// A turn was cut off: what it had read is not passed on yet, requests may be left, and of sources that lanes read
    /// the kernel may have told, which it does once.
    /// </summary>
    private void BeginAfresh()
    {
        foreach (PumpInput input in _inputs.Values)
        {
            if (input is { Reader: not null, IsAway: false })
                Await(input);
        }
        CarryOutRequests();
    }

    private void Turn(bool mayWait)
    {
        _loop.Wait(mayWait ? Timeout() * 1_000_000L : 0);
        _counters.CountTurn();
        if (_ended)
            return;
        if (_nextTail != long.MaxValue)
            FlushRestingTails();
        if (_paused.Count > 0)
            ResumeReady();
        WriteOut();
        LookAtLanes();
        EndIfRead();
        if (!_ended)
            Sinks.EndTurn();
    }

    private long Timeout()
    {
        long timeout = _nextTail == long.MaxValue ? -1 : Math.Clamp(_nextTail - Environment.TickCount64, 0, int.MaxValue);
        bool lanesWait = _readers.HasWaiting || _displayLanes.HasWaiting || Sinks.FileLanes.HasWaiting;
        bool polls = lanesWait || _ending is not null || _paused.Count > 0;
        return polls && (timeout < 0 || timeout > PollMilliseconds) ? PollMilliseconds : timeout;
    }

    private void LookAtLanes()
    {
        foreach (Lanes lanes in (ReadOnlySpan<Lanes>)[_readers, _displayLanes, Sinks.FileLanes])
        {
            if (lanes.HasWaiting)
                lanes.Look();
        }
    }

    private void TakeRequests()
    {
        Span<byte> count = stackalloc byte[8];
        _ = PumpCalls.Read(_wake.Number, count, out _);
        lock (_lock)
        {
            (_requests, _taken) = (_taken, _requests);
        }
        _carriedOut = 0;
        CarryOutRequests();
    }

    private void CarryOutRequests()
    {
        while (_carriedOut < _taken.Count)
        {
            try
            {
                _taken[_carriedOut]();
            }
            catch (Exception fault) when (fault is not PassedOverException)
            {
                Fault(fault);
            }
            _carriedOut++;
        }
        _taken.Clear();
        _carriedOut = 0;
    }

    private void Fault(PumpNotice notice)
    {
        _counters.CountFault();
        Notice(notice);
    }

    private void PassOver(LineQueue queue)
    {
        queue.LeaveToLanes();
        Notice(new PumpNotice.TargetHangs(queue.Label));
    }

    /// <param name="End">Until when what waits is written.</param>
    /// <param name="LastReads">Until when lanes are waited for that read.</param>
    private sealed record Ending(long End, long LastReads);

    private static FileDescriptor MakeEvent()
    {
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        return number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("eventfd", "the log pump", Errno.Last);
    }

    // EAGAIN means that the counter is full, so a wake-up is pending anyway, eventfd(2).
    private static void Signal(FileDescriptor wakeup) => _ = PumpCalls.Write(wakeup.Number, [1, 0, 0, 0, 0, 0, 0, 0], out _);
}
