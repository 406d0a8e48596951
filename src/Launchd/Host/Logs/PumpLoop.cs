using System.Diagnostics;
using Launchd.Client;
using Pump = Launchd.Interop.Libc.Pump;

namespace Launchd.Host.Logs;

/// <summary>
/// The thread of <see cref="LogPump"/>. One turn: wait, carry out requests, read each ready source once (at most its share, so that none
/// starves another), write. Nothing that a source does ends the loop: the source is closed and the fault is counted.
/// </summary>
internal sealed class PumpLoop : IDisposable
{
    private const int BufferBytes = 64 * 1024;
    private const int SmallestShareBytes = 4 * 1024;

    /// <summary>What all sources together may deliver in one turn: some milliseconds of work.</summary>
    private const int TurnBytes = 1024 * 1024;
    private const int EventCount = 64;
    private const int PollMilliseconds = 100;

    /// <summary>Turns in a row that may fail as a whole.</summary>
    private const int MostFailures = 100;

    /// <summary>Between two turns, once so many have failed.</summary>
    private const int RestMilliseconds = 1000;

    /// <summary>poll(2) passes over it: nothing is left to do but wait.</summary>
    private const int NoDescriptor = -1;

    private const ulong WakeId = 0;
    private const ulong FirstWriterId = 1;
    private const ulong FirstInputId = 16;

    private readonly LogPumpOptions _options;
    private readonly LogCounters _counters;
    private readonly PumpPoller _poller = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<ulong, PumpInput> _inputs = [];
    private readonly PumpWriters _writers;
    private readonly byte[] _buffer = new byte[BufferBytes];
    private readonly ulong[] _ready = new ulong[EventCount];
    private List<Action> _requests = [];
    private List<Action> _taken = [];
    private ulong _nextId = FirstInputId;
    private int _width;
    private int _polledCount;
    private long _nextTail = long.MaxValue;
    private bool _ended;
    private int _threadNumber;

    public PumpLoop(LogPumpOptions options, LogCounters counters)
    {
        _options = options;
        _counters = counters;
        Sinks = new LineSinks(options, counters, Post, Notice);
        _writers = new PumpWriters(_poller, FirstWriterId);
        if (options.Display is not null)
            _writers.Add(options.Display);
    }

    public LineSinks Sinks { get; }

    public int ThreadNumber => Volatile.Read(ref _threadNumber);

    /// <summary>After the end: everything was written.</summary>
    public bool IsDrained { get; private set; }

    /// <summary>From any thread.</summary>
    public void Enqueue(Action request)
    {
        lock (_lock)
        {
            _requests.Add(request);
            if (_requests.Count > 1)
                return;
        }
        _poller.Wake();
    }

    public void Run()
    {
        Volatile.Write(ref _threadNumber, Pump.gettid());
        int failures = 0;
        while (!_ended)
        {
            try
            {
                Turn();
                failures = 0;
            }
            catch (Exception fault)
            {
                // Not one source's fault, those are contained below: a defect, or no memory. If turn after turn fails, going on at once would
                // only burn the processor and flood the main loop; but who ended here would leave all services without a reader.
                Fault(fault);
                if (++failures >= MostFailures)
                    _ = PumpCalls.IsWritable(NoDescriptor, RestMilliseconds);
            }
        }
    }

    public void AddService(OutputSource source, FileDescriptor readEndTaken)
    {
        var input = new ServiceInput(_nextId++, source, readEndTaken, Sinks);
        WidenPrefixes(OutputStyle.Label(source.Service, source.Slot).Length);
        input.Prefix = _options.Style.Prefix(source.Service, source.Slot, _width);
        Watch(input);
    }

    public void AddOwn(FileDescriptor readEndTaken, OutputWriter target)
    {
        _writers.Add(target);
        Watch(new OwnInput(_nextId++, readEndTaken, target));
    }

    public void WidenPrefixes(int width)
    {
        if (width <= _width)
            return;
        _width = width;
        foreach (ServiceInput input in _inputs.Values.OfType<ServiceInput>())
            input.Prefix = _options.Style.Prefix(input.Source.Service, input.Source.Slot, width);
    }

    public void SetMatcher(long instanceId, OutputMatcher? matcher)
    {
        Sinks.RemoveMatchers(instanceId);
        if (matcher is not null)
            Sinks.AddMatcher(matcher);
        foreach (ServiceInput input in InputsOf(instanceId))
            input.Matcher = matcher;
    }

    /// <summary>Reads what the instance's pipes hold now; what is written meanwhile does not prolong it.</summary>
    public void FlushInstance(long instanceId, bool close)
    {
        foreach (ServiceInput input in InputsOf(instanceId))
        {
            ReadWhatIsThere(input);
            if (close && _inputs.ContainsKey(input.Id))
                End(input);
        }
    }

    /// <summary>
    /// The last request. With <paramref name="released"/> the read ends of services are put there, still open, instead of being closed.
    /// </summary>
    public void DrainAndEnd(TimeSpan patience, List<(OutputSource Source, FileDescriptor ReadEnd)>? released)
    {
        _ended = true;
        long end = Stopwatch.GetTimestamp() + (long)(patience.TotalSeconds * Stopwatch.Frequency);
        foreach (PumpInput input in _inputs.Values.ToArray())
        {
            ReadWhatIsThere(input);
            if (released is not null && input is ServiceInput service && _inputs.Remove(input.Id))
            {
                _poller.Remove(input.ReadEnd.Number);
                released.Add((service.Source, new FileDescriptor(input.ReadEnd.ReleaseNumber())));
                input.Dispose();
            }
            if (_inputs.ContainsKey(input.Id))
                End(input);
        }
        Sinks.EndTurn();
        IsDrained = _writers.Drain(end);
        _counters.SetLosses(_writers.LostLines, Sinks.FileLostLines);
    }

    /// <summary>After the end of <see cref="Run"/>.</summary>
    public void Dispose()
    {
        foreach (PumpInput input in _inputs.Values)
            input.Dispose();
        _inputs.Clear();
        Sinks.Dispose();
        _poller.Dispose();
    }

    private void Turn()
    {
        int count = _poller.Wait(_ready, Timeout());
        _counters.CountTurn();
        _writers.BeginTurn();
        int share = Math.Clamp(TurnBytes / Math.Max(1, count), SmallestShareBytes, BufferBytes);
        for (int i = 0; i < count && !_ended; i++)
            Handle(_ready[i], share);
        if (_polledCount > 0)
            ReadPolled(share);
        if (_nextTail != long.MaxValue)
            FlushRestingTails();
        _writers.EndTurn();
        Sinks.EndTurn();
        _counters.SetLosses(_writers.LostLines, Sinks.FileLostLines);
    }

    private int Timeout()
    {
        long timeout = _nextTail == long.MaxValue ? -1 : Math.Clamp(_nextTail - Environment.TickCount64, 0, int.MaxValue);
        bool polls = _polledCount > 0 || _writers.NeedPolling;
        return (int)(polls && (timeout < 0 || timeout > PollMilliseconds) ? PollMilliseconds : timeout);
    }

    private void Handle(ulong id, int share)
    {
        if (id == WakeId)
        {
            _poller.Acknowledge();
            CarryOutRequests();
            return;
        }
        if (_inputs.TryGetValue(id, out PumpInput? input))
            ReadContained(input, share);

        // A writer that became writable needs nothing here: every turn ends with a flush. An input that is unknown was closed before.
    }

    private void ReadPolled(int share)
    {
        foreach (PumpInput input in _inputs.Values.Where(v => v.IsPolled).ToArray())
            ReadContained(input, share);
    }

    private void CarryOutRequests()
    {
        lock (_lock)
        {
            (_requests, _taken) = (_taken, _requests);
        }
        foreach (Action request in _taken)
        {
            try
            {
                request();
            }
            catch (Exception fault)
            {
                Fault(fault);
            }
        }
        _taken.Clear();
    }

    private void ReadContained(PumpInput input, int mostBytes)
    {
        try
        {
            Read(input, mostBytes, out _);
        }
        catch (Exception fault)
        {
            Abandon(input, Defect.DescribeWithStack(fault));
        }
    }

    /// <summary>One read. Returns the bytes; 0 when there are none now, or none will come and the input has been closed.</summary>
    private int Read(PumpInput input, int mostBytes, out bool ended)
    {
        ended = false;
        int count = PumpCalls.Read(input.ReadEnd.Number, _buffer.AsSpan(0, mostBytes), out Errno error);
        if (error == Errno.EAGAIN)
            return 0;
        if (error != Errno.None)
        {
            ended = true;
            Abandon(input, $"read: {error.Text}");
            return 0;
        }
        if (count == 0)
        {
            ended = true;
            End(input);
            return 0;
        }
        if (input is ServiceInput)
            _counters.CountRead(count);
        input.Receive(_buffer.AsSpan(0, count));
        if (input.HasTail)
        {
            input.TailDue = Environment.TickCount64 + (long)_options.TailPatience.TotalMilliseconds;
            _nextTail = Math.Min(_nextTail, input.TailDue);
        }
        return count;
    }

    private void ReadWhatIsThere(PumpInput input)
    {
        try
        {
            long rest = PumpCalls.ReadableBytes(input.ReadEnd.Number);
            bool ended = false;
            while (rest > 0 && !ended)
            {
                int count = Read(input, (int)Math.Min(rest, BufferBytes), out ended);
                if (count == 0)
                    break;
                rest -= count;
            }
            if (!ended)
                input.FlushTail();
        }
        catch (Exception fault)
        {
            Abandon(input, Defect.DescribeWithStack(fault));
        }
    }

    private void FlushRestingTails()
    {
        long now = Environment.TickCount64;
        if (now < _nextTail)
            return;
        _nextTail = long.MaxValue;
        foreach (PumpInput input in _inputs.Values.ToArray())
        {
            if (!input.HasTail)
                continue;
            if (input.TailDue > now)
                _nextTail = Math.Min(_nextTail, input.TailDue);
            else
                FlushTailContained(input);
        }
    }

    private void FlushTailContained(PumpInput input)
    {
        try
        {
            input.FlushTail();
        }
        catch (Exception fault)
        {
            Abandon(input, Defect.DescribeWithStack(fault));
        }
    }

    private void Watch(PumpInput input)
    {
        _inputs.Add(input.Id, input);
        Errno error = PumpCalls.SetNonBlocking(input.ReadEnd.Number);
        if (error != Errno.None)
        {
            Abandon(input, $"fcntl: {error.Text}");
            return;
        }
        error = _poller.Add(input.ReadEnd.Number, Pump.EPOLLIN, input.Id);
        if (error == Errno.None)
            return;

        // epoll_ctl(2): out of memory, or of the user's watches. The output still comes, a little later.
        input.IsPolled = true;
        _polledCount++;
    }

    private void End(PumpInput input)
    {
        FlushTailContained(input);
        Remove(input);
    }

    private void Abandon(PumpInput input, string reason)
    {
        if (!Remove(input))
            return;
        var source = (input as ServiceInput)?.Source;
        Fault(new PumpNotice.SourceFailed(source?.InstanceId ?? 0, source?.Stream ?? "own", reason));
    }

    private bool Remove(PumpInput input)
    {
        if (!_inputs.Remove(input.Id))
            return false;
        if (input.IsPolled)
        {
            _polledCount--;
        }
        else
        {
            // Closing is not enough: another process (the keeper) may hold the description, which would go on reporting, epoll(7).
            _poller.Remove(input.ReadEnd.Number);
        }
        input.Dispose();
        if (input is not ServiceInput { Source: { } source })
            return true;
        if (InputsOf(source.InstanceId).Count == 0)
            Sinks.RemoveMatchers(source.InstanceId);
        if (_options.Ended is { } ended)
            Post(() => ended(source.InstanceId, source.Stream));
        return true;
    }

    private List<ServiceInput> InputsOf(long instanceId) =>
        [.. _inputs.Values.OfType<ServiceInput>().Where(i => i.Source.InstanceId == instanceId)];

    private void Post(Action action)
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

    private void Notice(PumpNotice notice)
    {
        if (_options.Noticed is { } noticed)
            Post(() => noticed(notice));
    }

    private void Fault(Exception fault)
    {
        try
        {
            Fault(new PumpNotice.RequestFailed(Defect.DescribeWithStack(fault)));
        }
        catch (Exception)
        {
            // No memory even to say so: it is counted, and the thread goes on.
            _counters.CountFault();
        }
    }

    private void Fault(PumpNotice notice)
    {
        _counters.CountFault();
        Notice(notice);
    }
}
