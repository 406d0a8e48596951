using Launchd.Client;

namespace Launchd.Host.Logs;

/// <summary>The read end of one pipe and what becomes of its bytes. Belongs to the pump's thread; owns the descriptor.</summary>
internal abstract class PumpInput : ILineSink, IDisposable
{
    protected PumpInput(ulong id, FileDescriptor readEndTaken, int longestBytes)
    {
        Id = id;
        ReadEnd = readEndTaken;
        Splitter = new LineSplitter(longestBytes);
    }

    /// <summary>Its key in epoll, never used again.</summary>
    public ulong Id { get; }

    public FileDescriptor ReadEnd { get; }

    /// <summary>epoll would not watch it (no memory for it): read it in regular intervals.</summary>
    public bool IsPolled { get; set; }

    /// <summary>When an unterminated line is passed on after all, in milliseconds of <see cref="Environment.TickCount64"/>.</summary>
    public long TailDue { get; set; }

    public bool HasTail => Splitter.HasTail;

    protected LineSplitter Splitter { get; }

    public virtual void Receive(ReadOnlySpan<byte> data) => Splitter.Split(data, this);

    /// <summary>Passes on a line without its end: the source has ended, or rests.</summary>
    public virtual void FlushTail() => Splitter.Flush(this);

    public abstract void Take(ReadOnlySpan<byte> line, LineCut cut);

    public virtual void Dispose() => ReadEnd.Dispose();
}

/// <summary>Output of a service's instance.</summary>
internal sealed class ServiceInput : PumpInput
{
    private readonly LineSinks _sinks;

    public ServiceInput(ulong id, OutputSource source, FileDescriptor readEndTaken, LineSinks sinks)
        : base(id, readEndTaken, LineSplitter.LongestBytes)
    {
        _sinks = sinks;
        Source = source;
        File = source.File is null ? null : sinks.OpenFile(source.File);
        Matcher = sinks.MatcherOf(source.InstanceId);
    }

    public OutputSource Source { get; }

    public byte[] Prefix { get; set; } = [];

    public LogFile? File { get; }

    /// <summary>Null until the first line.</summary>
    public LineRing? Ring { get; set; }

    public OutputMatcher? Matcher { get; set; }

    public override void Receive(ReadOnlySpan<byte> data)
    {
        _sinks.BeginBatch();
        base.Receive(data);
        _sinks.EndBatch(this);
    }

    public override void FlushTail()
    {
        if (!HasTail)
            return;
        _sinks.BeginBatch();
        base.FlushTail();
        _sinks.EndBatch(this);
    }

    public override void Take(ReadOnlySpan<byte> line, LineCut cut) => _sinks.Take(this, line, cut);

    public override void Dispose()
    {
        if (File is not null)
            _sinks.CloseFile(File);
        base.Dispose();
    }
}

/// <summary>What the supervisor itself wrote to its standard output or error: passed on as it is, in whole lines.</summary>
internal sealed class OwnInput : PumpInput
{
    /// <summary>One line of the supervisor's log is passed on in one piece up to this length.</summary>
    private const int LongestOwnBytes = 64 * 1024;

    private readonly OutputWriter _target;

    public OwnInput(ulong id, FileDescriptor readEndTaken, OutputWriter target)
        : base(id, readEndTaken, LongestOwnBytes)
    {
        _target = target;
    }

    public override void Take(ReadOnlySpan<byte> line, LineCut cut)
    {
        if (!_target.TryReserve(line.Length + 1, out Span<byte> room))
            return;
        line.CopyTo(room);
        bool complete = (cut & LineCut.AtEnd) == 0;
        if (complete)
            room[line.Length] = (byte)'\n';
        _target.Commit(line.Length + (complete ? 1 : 0));
    }
}
