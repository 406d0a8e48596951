using Launchd.Client;

namespace Launchd.Logs;

/// <content>Sources whose pipe keeps its reader waiting: passed over by the pump, read and closed by lanes from then on.</content>
internal sealed partial class PumpLoop
{
    /// <summary>Most pipes that may hang in lanes at the same time; the output of further ones waits in the pipes.</summary>
    private const int MostReaders = 128;

    /// <summary>Reads of a source that is being closed and that lanes read: enough for the largest pipe.</summary>
    private const int LastReads = 16;

    private readonly HashSet<string> _hungServices = new(StringComparer.Ordinal);
    private readonly Lanes _readers;

    /// <summary>Called by the thread that has taken the seat, because the former one hangs in a call on this source.</summary>
    private void PassOver(PumpInput input)
    {
        _buffer = new byte[BufferBytes];
        _counters.CountPassedOver();
        Notice(new PumpNotice.SourceHangs(input.Label, input.Stream, input.IsTerminal));
        if (!_inputs.ContainsKey(input.Id))
            return;
        input.IsAway = true;
        Forget(input);
        if (input.Service is not { } service || !_hungServices.Add(service))
            return;
        // A pipe that hung once may hang again, and so may other pipes of the service: lanes read all of them, so
        // that no service costs the pump a second wait.
        foreach (PumpInput other in _inputs.Values)
        {
            if (other.Service == service && other.Reader is null)
                LeaveToLanes(other);
        }
    }

    private void LeaveToLanes(PumpInput input)
    {
        input.Reader = new InputReader(input, (buffer, count, error) => Enqueue(() => Return(input, buffer, count, error)));
        if (!input.IsAway)
            Await(input);
    }

    private void ReadOnLane(PumpInput input)
    {
        if (input.IsAway)
            return;
        input.IsAway = true;
        _readers.Schedule(input.Reader!);
    }

    /// <summary>A thread has come back from a read: a lane, or a former pump's thread that hung in it.</summary>
    /// <param name="input">The source, which no other thread has touched meanwhile.</param>
    /// <param name="buffer">Not used by the reader before the next read.</param>
    /// <param name="count">The number of bytes.</param>
    /// <param name="error">EAGAIN: there was nothing.</param>
    private void Return(PumpInput input, byte[] buffer, int count, Errno error)
    {
        input.IsAway = false;
        if (!_inputs.ContainsKey(input.Id))
        {
            Close(input);
            return;
        }
        try
        {
            _ = Accept(input, buffer, count, error, out _);
        }
        catch (Exception fault) when (fault is not PassedOverException)
        {
            Abandon(input, _options.Describe(fault));
        }
        if (!_inputs.ContainsKey(input.Id))
            return;
        bool isMore = error == Errno.None || count < 0 && input.LastReads == LastReads;
        if (input.LastReads == 0 || (input.LastReads > 0 && !isMore))
            End(input);
        else if (input.LastReads-- > 0)
            ReadOnLane(input);
        else
            WatchAgain(input);
    }

    // In a method of its own, so that the request's closure is not allocated for each read.
    private PassedOverException HandOver(PumpInput input, byte[] buffer, int count, Errno error)
    {
        Enqueue(() => Return(input, buffer, count, error));
        return new PassedOverException();
    }

    /// <summary>Closes a source, if need be by a lane: closing a pipe waits for the pipe's lock as well.</summary>
    private void Close(PumpInput input)
    {
        if (input.Reader is not null)
        {
            _readers.Schedule(new InputCloser(input));
            return;
        }
        _seat.Enter(input);
        input.Dispose();
        if (!_seat.TryLeave(input))
            throw new PassedOverException();
    }
}
