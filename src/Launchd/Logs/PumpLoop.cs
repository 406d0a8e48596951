using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <summary>
/// What <see cref="LogPump"/> runs, on one thread at a time (<see cref="PumpSeat"/>). One turn: wait, carry out requests, then
/// read each ready source once (at most its share, so that none starves another). Nothing that a source does ends the loop:
/// the source is closed and the fault is counted. Output that was read goes into queues, which are written out between sources
/// and at the end of a turn, by this thread or by lanes.
/// </summary>
/// <remarks>
/// Another thread can take this one's place only between <see cref="PumpSeat.Enter"/> and <see cref="PumpSeat.TryLeave"/>, and begins a new
/// turn with the request that was under way: so a request must do no harm if it is begun twice.
/// </remarks>
internal sealed partial class PumpLoop : IDisposable
{
    /// <summary>Most bytes of one read.</summary>
    public const int BufferBytes = 64 * 1024;
    private const int SmallestShareBytes = 4 * 1024;

    /// <summary>What all sources together may deliver in one turn: some milliseconds of work.</summary>
    private const int TurnBytes = 1024 * 1024;

    /// <summary>Pause between two looks at things for which nothing wakes the pump.</summary>
    private const int PollMilliseconds = 100;

    /// <summary>Most turns in a row that may fail as a whole before the pump rests between turns.</summary>
    private const int MostFailures = 100;

    /// <summary>Pause between two turns, once so many have failed.</summary>
    private const int RestMilliseconds = 1000;

    /// <summary>How long a queue of the supervisor's own output waits for a reader that is alive but slower than the writers.</summary>
    private const int ReaderMilliseconds = 10;

    /// <summary>How long a file's queue waits: a file may be slow at times, and should still lose nothing.</summary>
    private const int FileMilliseconds = LineQueue.PatienceMilliseconds;

    /// <summary>How long the end of the pump waits for reads of lanes.</summary>
    private const int LastReadsMilliseconds = 300;

    /// <summary>A number that poll(2) ignores: there is nothing to do but wait.</summary>
    private const int NoDescriptor = -1;

    /// <summary>Lanes for the supervisor's own output: one for each of its two streams, and as many again for lanes that hang.</summary>
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

    /// <summary>Whether everything was written; known after the end.</summary>
    public bool IsDrained { get; private set; }

    public bool HasEnded => _seat.IsEmpty;

    /// <summary>Starts the thread. False: no thread can be made.</summary>
    public bool TryBegin() => _seat.TryBegin();

    /// <summary>Waits for the pump's end. False: it hangs.</summary>
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

    /// <summary>The queue of one of the supervisor's own outputs. To be called on the pump, or before it runs.</summary>
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

    /// <summary>Has a queue written out before the turn ends.</summary>
    public void Owe(LineQueue queue) => _owed.Add(queue);

    /// <summary>Writes out the queues. May hang, so that another thread takes over: see the remarks of the class.</summary>
    public void WriteOut()
    {
        while (_owed.Count > 0)
        {
            LineQueue queue = _owed[^1];
            _owed.RemoveAt(_owed.Count - 1);
            queue.WriteOut(_seat);
        }
    }

    /// <summary>Writes out queues before the turn ends, if they have enough to be worth it.</summary>
    private void WriteOutLarge()
    {
        if (_owed.Exists(q => q.IsLarge))
            WriteOut();
    }

    /// <summary>The last request: writes everything, and ends the pump.</summary>
    public void DrainAndEnd(TimeSpan patience)
    {
        long now = Environment.TickCount64, most = (long)patience.TotalMilliseconds;
        _ending = new Ending(now + most, now + Math.Min(most, LastReadsMilliseconds));
        EndIfRead();
    }

    /// <summary>Ends the pump, if it was told to, once the last reads of lanes are done, or hang.</summary>
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

    /// <summary>To be called after the end of <see cref="Run"/>.</summary>
    public void Dispose()
    {
        foreach (PumpInput input in _inputs.Values.Where(i => !i.IsAway))
            input.Dispose();
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
            // The main loop is ending and takes nothing any more: the notice is only counted.
            _counters.CountFault();
        }
    }

    /// <summary>From any thread.</summary>
    public void Notice(PumpNotice notice)
    {
        if (_options.Noticed is { } noticed)
            Post(() => noticed(notice));
    }

    /// <summary>Reports an unforeseen exception; from any thread.</summary>
    public void Fault(Exception fault)
    {
        try
        {
            Fault(new PumpNotice.RequestFailed(_options.Describe(fault)));
        }
        catch (Exception)
        {
            // There is no memory even to report it: it is counted, and the thread goes on.
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
                // Faults of single sources are contained further below; so this is a defect, or there is no memory. If turn
                // after turn fails, going on at once would only burn the processor and flood the main loop; but ending the
                // pump would leave all services without a reader.
                Fault(fault);
                isAfresh = true;
                if (++failures >= MostFailures)
                    _ = PumpCalls.IsWritable(NoDescriptor, RestMilliseconds);
            }
        }
        _seat.End();
    }

    /// <summary>
    /// Takes up a turn of another thread that was cut off: bytes may be read and not passed on, requests may be left, and the kernel may
    /// have reported sources that lanes read, which it does only once.
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

    /// <param name="End">Until when queues are written.</param>
    /// <param name="LastReads">Until when the pump waits for reads of lanes.</param>
    private sealed record Ending(long End, long LastReads);

    private static FileDescriptor MakeEvent()
    {
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        return number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("eventfd", "the log pump", Errno.Last);
    }

    // EAGAIN means that the counter is full, so a wake-up is pending anyway, eventfd(2).
    private static void Signal(FileDescriptor wakeup) => _ = PumpCalls.Write(wakeup.Number, [1, 0, 0, 0, 0, 0, 0, 0], out _);
}
