using Launchd.Client;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <content>The sources: added, read, passed over, ended.</content>
internal sealed partial class PumpLoop
{
    private const ulong FirstInputId = 1;

    /// <summary>Most that is read of a terminal when all that was written before is to be read.</summary>
    private const long LastTerminalBytes = 1 << 20;

    private readonly Dictionary<ulong, PumpInput> _inputs = [];
    private readonly List<PumpInput> _paused = [];
    private readonly ViewerPlaces _viewers = new();
    private byte[] _buffer = new byte[BufferBytes];
    private ulong _nextId = FirstInputId;
    private int _width;
    private long _nextTail = long.MaxValue;

    public void AddService(OutputSource source, FileDescriptor readEndTaken, ServiceTerminal? terminalTaken = null)
    {
        var input = new ServiceInput(_nextId++, source, readEndTaken, Sinks, terminalTaken);
        WidenPrefixes(OutputStyle.Label(source.Service, source.Slot).Length);
        input.Prefix = _options.Style.Prefix(source.Service, source.Slot, _width);
        Watch(input);
    }

    public void AddTerminal(OutputSource source, FileDescriptor masterTaken, FileDescriptor slaveTaken) =>
        AddService(source, masterTaken, new ServiceTerminal(_loop, _viewers, masterTaken, slaveTaken));

    public bool? Attach(long instanceId, FileDescriptor socketTaken, in TerminalView view)
    {
        if (InputsOf(instanceId).OfType<ServiceInput>().FirstOrDefault(i => i.IsTerminal) is { Terminal: { } terminal })
            return terminal.TryAttach(socketTaken, view);
        socketTaken.Dispose();
        return null;
    }

    public void AddReady(OutputSource source, FileDescriptor readEndTaken, Action onReady) =>
        Watch(new ReadyInput(_nextId++, source, readEndTaken, Sinks.Memory, () => Post(onReady)));

    public void AddOwn(FileDescriptor readEndTaken, OutputWriter target) =>
        Watch(new OwnInput(_nextId++, readEndTaken, Sinks.Memory, QueueOf(target)!));

    public void WidenPrefixes(int width)
    {
        if (width <= _width)
            return;
        _width = width;
        foreach (ServiceInput input in _inputs.Values.OfType<ServiceInput>())
            input.Prefix = _options.Style.Prefix(input.Source.Service, input.Source.Slot, width);
    }

    public void SetMatcher(long instanceId, OutputMatcher matcher)
    {
        Sinks.RemoveMatchers(instanceId);
        Sinks.AddMatcher(matcher);
        foreach (ServiceInput input in InputsOf(instanceId).OfType<ServiceInput>())
            input.Matcher = matcher;
    }

    /// <summary>
    /// Reads what an instance's pipes hold now; output that is written meanwhile does not prolong it. Pipes that hang, or did before,
    /// are read by lanes, for which the pump does not wait.
    /// </summary>
    public void FlushInstance(long instanceId, bool close)
    {
        foreach (PumpInput input in InputsOf(instanceId))
        {
            if (input.IsAway || input.Reader is not null)
            {
                if (close && input.LastReads < 0)
                    input.LastReads = LastReads;
                ReadOnLane(input);
                continue;
            }
            ReadWhatIsThere(input);
            if (close && _inputs.ContainsKey(input.Id))
                End(input);
        }
        // There may be a pattern and no pipe: the instance was not born. Pipes that lanes still read have the matcher themselves.
        if (close)
            Sinks.RemoveMatchers(instanceId);
    }

    /// <summary>Reads sources again that waited for room in a file's queue.</summary>
    public void Resume()
    {
        foreach (PumpInput input in _paused)
        {
            if (_inputs.ContainsKey(input.Id))
                Await(input);
        }
        _paused.Clear();
    }

    // A file that has begun to hang is not waited for any longer.
    private void ResumeReady()
    {
        if (_paused.Exists(i => i is not ServiceInput { File.Queue.IsFull: true }))
            Resume();
    }

    private void Await(PumpInput input) =>
        _loop.Change(input.ReadEnd, input.Reader is null ? IoReadiness.Readable : IoReadiness.Readable | IoReadiness.Once);

    private void Ready(PumpInput input)
    {
        if (!_inputs.ContainsKey(input.Id) || input.IsAway)
            return;
        if (input is ServiceInput { File.Queue.IsFull: true })
        {
            // A hang-up of the pipe is reported once more, and then no more.
            _loop.Change(input.ReadEnd, IoReadiness.Once);
            if (!_paused.Contains(input))
                _paused.Add(input);
            return;
        }
        if (input.Reader is not null)
            ReadOnLane(input);
        else
            ReadContained(input, Math.Clamp(TurnBytes / Math.Max(1, _loop.ReadyCount), SmallestShareBytes, BufferBytes));
        WriteOutLarge();
    }

    private void ReadContained(PumpInput input, int mostBytes)
    {
        try
        {
            Read(input, mostBytes, out _);
        }
        catch (Exception fault) when (fault is not PassedOverException)
        {
            Abandon(input, _options.Describe(fault));
        }
    }

    /// <summary>
    /// Reads once. Returns the number of bytes; 0 when there are none now, or when none will come and the input has been closed.
    /// </summary>
    private int Read(PumpInput input, int mostBytes, out bool ended)
    {
        byte[] buffer = _buffer;
        _seat.Enter(input);
        int count = PumpCalls.Read(input.ReadEnd.Number, buffer.AsSpan(0, mostBytes), out Errno error);
        if (!_seat.TryLeave(input))
            throw HandOver(input, buffer, count, error);
        return Accept(input, buffer, count, error, out ended);
    }

    private int Accept(PumpInput input, byte[] buffer, int count, Errno error, out bool ended)
    {
        ended = false;
        if (error == Errno.EAGAIN)
            return 0;
        bool hasEnded = count == 0 || (error == Errno.EIO && input.IsTerminal);
        if (error != Errno.None && !hasEnded)
        {
            ended = true;
            Abandon(input, $"read: {error.Text}");
            return 0;
        }
        if (hasEnded)
        {
            ended = true;
            End(input);
            return 0;
        }
        if (input is ServiceInput)
            _counters.CountRead(count);
        input.Receive(buffer.AsSpan(0, count));
        if (input.IsDone)
        {
            ended = true;
            End(input);
            return count;
        }
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
            long rest = input.IsTerminal ? LastTerminalBytes : Readable(input);
            bool ended = false;
            while (rest > 0 && !ended)
            {
                int count = Read(input, (int)Math.Min(rest, BufferBytes), out ended);
                WriteOutLarge();
                if (count == 0)
                    break;
                rest -= count;
            }
            if (!ended)
                input.FlushTail();
        }
        catch (Exception fault) when (fault is not PassedOverException)
        {
            Abandon(input, _options.Describe(fault));
        }
    }

    private int Readable(PumpInput input)
    {
        _seat.Enter(input);
        int count = PumpCalls.ReadableBytes(input.ReadEnd.Number);
        return _seat.TryLeave(input) ? count : throw HandOver(input, [], -1, Errno.EAGAIN);
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
            WriteOutLarge();
        }
    }

    private void FlushTailContained(PumpInput input)
    {
        try
        {
            input.FlushTail();
        }
        catch (Exception fault) when (fault is not PassedOverException)
        {
            Abandon(input, _options.Describe(fault));
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
        if (input.Service is { } service && _hungServices.Contains(service))
            LeaveToLanes(input);
        WatchAgain(input);
    }

    private void WatchAgain(PumpInput input)
    {
        IoReadiness awaited = input.Reader is null ? IoReadiness.Readable : IoReadiness.Readable | IoReadiness.Once;
        Errno error = _loop.Watch(input.ReadEnd, awaited, priority: 1, _ => Ready(input));
        if (error == Errno.EEXIST)
            Await(input);
        else if (error != Errno.None)
            Abandon(input, $"epoll_ctl: {error.Text}");
    }

    private void End(PumpInput input)
    {
        FlushTailContained(input);
        Remove(input);
    }

    private void Abandon(PumpInput input, string reason)
    {
        if (_inputs.ContainsKey(input.Id))
        {
            Fault(new PumpNotice.SourceFailed(input.InstanceId, input.Stream, reason));
            Remove(input);
        }
    }

    private void Remove(PumpInput input)
    {
        if (!_inputs.Remove(input.Id))
            return;
        Forget(input);
        _paused.Remove(input);
        if (input is ServiceInput { Source: { } source } service)
        {
            if (InputsOf(source.InstanceId).Count == 0)
                Sinks.RemoveMatchers(source.InstanceId);
            TellEnd(service, source);
        }
        input.Leave();
        if (!input.IsAway)
            Close(input);
    }

    private void TellEnd(ServiceInput input, OutputSource source)
    {
        if (_options.Ended is not { } ended)
            return;
        if (input.File is { } file)
            file.Queue.WhenIdle(() => Post(() => ended(source.InstanceId, source.Stream)));
        else
            Post(() => ended(source.InstanceId, source.Stream));
    }


    /// <summary>
    /// Ends the watching of an input. Closing is not enough: another process may hold a copy, and epoll(7) would go on reporting.
    /// </summary>
    private void Forget(PumpInput input) => _loop.Unwatch(input.ReadEnd);

    private List<PumpInput> InputsOf(long instanceId) => [.. _inputs.Values.Where(i => i.InstanceId == instanceId)];
}
