using System.Buffers;
using Launchd.Client;

namespace Launchd.Logs;

/// <summary>The read end of one pipe and what becomes of its bytes. Belongs to the pump's thread; owns the descriptor.</summary>
internal abstract class PumpInput : ILineSink, IDisposable
{
    protected PumpInput(ulong id, FileDescriptor readEndTaken, LineMemory memory, int longestBytes)
    {
        Id = id;
        ReadEnd = readEndTaken;
        Splitter = new LineSplitter(memory, longestBytes);
    }

    /// <summary>A number that is never used again.</summary>
    public ulong Id { get; }

    public FileDescriptor ReadEnd { get; }

    /// <summary>The instance whose output it is; 0: the supervisor.</summary>
    public virtual long InstanceId => 0;

    /// <summary>The name of its service; null: it has none.</summary>
    public virtual string? Service => null;

    public virtual string Label => "launchd-cs";

    public virtual string Stream => "own";

    /// <summary>Whether another thread reads it now, or hangs in the read: the pump must not touch the descriptor then.</summary>
    public bool IsAway { get; set; }

    /// <summary>Reads it by lanes, because the pipe of a program of the same service has hung before. Null: the pump reads it.</summary>
    public InputReader? Reader { get; set; }

    /// <summary>How many more reads by lanes come before it is closed; negative: it is not to be closed.</summary>
    public int LastReads { get; set; } = -1;

    /// <summary>Whether nothing more is expected from it.</summary>
    public virtual bool IsDone => false;

    /// <summary>
    /// Whether it is the master of a pseudo-terminal: the kernel does not tell how much can be read from it, and says EIO when nobody
    /// has the other end.
    /// </summary>
    public virtual bool IsTerminal => false;

    /// <summary>When an unterminated line is passed on after all, in milliseconds of <see cref="Environment.TickCount64"/>.</summary>
    public long TailDue { get; set; }

    public bool HasTail => Splitter.HasTail;

    protected LineSplitter Splitter { get; }

    public virtual void Receive(ReadOnlySpan<byte> data) => Splitter.Split(data, this);

    /// <summary>Passes on a line without its end: the source has ended, or rests.</summary>
    public virtual void FlushTail() => Splitter.Flush(this);

    public abstract void Take(ReadOnlySpan<byte> line, LineCut cut);

    /// <summary>The input has ended: gives back everything but its descriptors.</summary>
    public virtual void Leave() => Splitter.Forget();

    /// <summary>Closes the descriptor. That may wait for whoever has a lock of it.</summary>
    public virtual void Dispose() => ReadEnd.Dispose();
}

/// <summary>Output of a service's instance.</summary>
internal sealed class ServiceInput : PumpInput
{
    private readonly LineSinks _sinks;

    /// <param name="id">As of the base.</param>
    /// <param name="source">Whose output it is.</param>
    /// <param name="readEndTaken">Of a pipe, or the master of a pseudo-terminal.</param>
    /// <param name="sinks">Where lines go.</param>
    /// <param name="terminalTaken">The terminal whose master it is; null: it is a pipe.</param>
    public ServiceInput(ulong id, OutputSource source, FileDescriptor readEndTaken, LineSinks sinks, ServiceTerminal? terminalTaken)
        : base(id, readEndTaken, sinks.Memory, source.LongestLineBytes)
    {
        Terminal = terminalTaken;
        _sinks = sinks;
        Source = source;
        File = source.File is null ? null : sinks.OpenFile(source.File, source.FileOwner);
        Matcher = sinks.MatcherOf(source.InstanceId);
    }

    public override long InstanceId => Source.InstanceId;

    public override string? Service => Source.Service;

    public override string Label => OutputStyle.Label(Source.Service, Source.Slot);

    public override string Stream => Source.Stream;

    public OutputSource Source { get; }

    public ServiceTerminal? Terminal { get; }

    public override bool IsTerminal => Terminal is not null;

    public byte[] Prefix { get; set; } = [];

    public SharedLogFile? File { get; }

    /// <summary>Null until the first line.</summary>
    public LineRing? Ring { get; set; }

    public OutputMatcher? Matcher { get; set; }

    public override void Receive(ReadOnlySpan<byte> data)
    {
        Terminal?.Show(data);
        _sinks.BeginBatch(this);
        base.Receive(data);
        _sinks.EndBatch();
    }

    public override void FlushTail()
    {
        if (!HasTail)
            return;
        _sinks.BeginBatch(this);
        base.FlushTail();
        _sinks.EndBatch();
    }

    public override void Take(ReadOnlySpan<byte> line, LineCut cut) => _sinks.Take(this, line, cut);

    public override void Leave()
    {
        base.Leave();
        Terminal?.End();
        if (File is not null)
            _sinks.CloseFile(File);
    }

    public override void Dispose()
    {
        Terminal?.Dispose();
        base.Dispose();
    }
}

/// <summary>What the supervisor itself wrote to its standard output or error: passed on as it is, in whole lines.</summary>
internal sealed class OwnInput(ulong id, FileDescriptor readEndTaken, LineMemory memory, LineQueue target)
    : PumpInput(id, readEndTaken, memory, LongestOwnBytes)
{
    /// <summary>One line of the supervisor's log is passed on in one piece up to this length.</summary>
    private const int LongestOwnBytes = 64 * 1024;

    public override void Take(ReadOnlySpan<byte> line, LineCut cut)
    {
        byte[] whole = ArrayPool<byte>.Shared.Rent(line.Length + 1);
        line.CopyTo(whole);
        bool complete = (cut & LineCut.AtEnd) == 0;
        if (complete)
            whole[line.Length] = (byte)'\n';
        target.Add(null, whole.AsSpan(0, line.Length + (complete ? 1 : 0)));
        ArrayPool<byte>.Shared.Return(whole);
    }
}

/// <summary>The pipe into which a program writes a line when it is ready.</summary>
/// <param name="id">As of the base.</param>
/// <param name="source">The instance and its stream, without a log file.</param>
/// <param name="readEndTaken">Non-blocking.</param>
/// <param name="memory">As of the base.</param>
/// <param name="onReady">Called once, on the pump.</param>
internal sealed class ReadyInput(ulong id, OutputSource source, FileDescriptor readEndTaken, LineMemory memory, Action onReady)
    : PumpInput(id, readEndTaken, memory, LineMemory.ShortBytes)
{
    private bool _isDone;

    public override long InstanceId => source.InstanceId;

    public override string? Service => source.Service;

    public override string Label => OutputStyle.Label(source.Service, source.Slot);

    public override string Stream => source.Stream;

    public override bool IsDone => _isDone;

    // Only the newline counts: the bytes before it are no output, and are not kept.
    public override void Receive(ReadOnlySpan<byte> data)
    {
        if (_isDone || !data.Contains((byte)'\n'))
            return;
        _isDone = true;
        onReady();
    }

    public override void Take(ReadOnlySpan<byte> line, LineCut cut)
    {
    }
}

/// <summary>Reads one pipe on a lane, once each time that it is asked to.</summary>
/// <param name="input">Nothing but its descriptor is used.</param>
/// <param name="onRead">Called on the lane with the buffer, and how much of it was filled or why nothing was.</param>
internal sealed class InputReader(PumpInput input, Action<byte[], int, Errno> onRead) : LaneWork
{
    private readonly byte[] _buffer = new byte[PumpLoop.BufferBytes];

    internal override void Work()
    {
        int count = PumpCalls.Read(input.ReadEnd.Number, _buffer, out Errno error);
        onRead(_buffer, count, error);
    }
}

/// <summary>Closes the descriptors of an input on a lane.</summary>
internal sealed class InputCloser(PumpInput input) : LaneWork
{
    internal override void Work() => input.Dispose();
}
