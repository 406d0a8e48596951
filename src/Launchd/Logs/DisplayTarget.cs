using Launchd.Client;

namespace Launchd.Logs;

/// <summary>
/// The supervisor's own output as the end of a queue. The lane that writes waits for the output's
/// reader; no other thread waits for the lane.
/// </summary>
/// <param name="writer">Borrowed; used by the lane alone.</param>
/// <param name="givingUp">Borrowed; becomes readable when the lane must not wait any more.</param>
/// <param name="byProcess">A pipe is written to by a process of its own (<see cref="Launchd.Linux.Spawning.WriterProcess"/>).</param>
internal sealed class DisplayTarget(OutputWriter writer, FileDescriptor givingUp, bool byProcess) : ILineTarget
{
    private bool _isBegun;

    public bool IsWaiting => writer.IsBlocked;

    public bool TakesPieces => true;

    public long Write(ReadOnlySpan<byte> lines, long lostBefore)
    {
        if (!_isBegun && byProcess && writer.IsPipe)
            writer.WriteByProcess(givingUp);
        _isBegun = true;
        long before = writer.LostLines;
        writer.Miss(lostBefore);
        writer.WriteLines(lines);
        _ = writer.Drain(givingUp);
        return writer.LostLines - before;
    }

    public void Reopen()
    {
    }

    public void Dispose()
    {
    }
}
