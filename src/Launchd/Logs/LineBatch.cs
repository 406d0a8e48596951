namespace Launchd.Logs;

/// <summary>
/// Lines of one read, made up for one target: marked, with their labels, on their way into its queue. A line that is longer than the batch
/// gets memory of its own as long as it is made up. Belongs to the pump's thread.
/// </summary>
/// <param name="memory">Lends the memory for long lines.</param>
internal sealed class LineBatch(LineMemory memory)
{
    private const int BatchBytes = 128 << 10;

    private byte[] _bytes = new byte[BatchBytes];
    private int _length;

    // The batch, while a long line has memory of its own.
    private byte[]? _aside;
    private LineQueue? _queue;
    private string? _service;

    /// <summary>How much of a line that is cut stands for what is missing, at both ends together.</summary>
    public static int MarksBytes => 2 * (CutMark.Length + 1);

    private static ReadOnlySpan<byte> CutMark => "[...]"u8;

    /// <summary>Begins with the lines of one read.</summary>
    public void Begin(LineQueue? queue, string service)
    {
        _queue = queue;
        _service = service;
        _length = 0;
        _bytes = _aside ?? _bytes;
        _aside = null;
    }

    /// <summary>Makes room for a line.</summary>
    /// <param name="mostBytes">At least its bytes with everything that is added, but the newline.</param>
    public void BeginLine(int mostBytes)
    {
        if (BatchBytes - _length > mostBytes)
            return;
        Write();
        if (mostBytes >= BatchBytes)
            (_aside, _bytes) = (_bytes, memory.RentForNow(mostBytes + 1));
    }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_bytes.AsSpan(_length));
        _length += bytes.Length;
    }

    public void Append(byte value) => _bytes[_length++] = value;

    public void AppendEscaped(ReadOnlySpan<byte> text) => _length += LineEscaper.Write(text, _bytes.AsSpan(_length));

    /// <summary>Marks that the beginning is missing.</summary>
    public void AppendMarkBefore(LineCut cut)
    {
        if ((cut & LineCut.AtStart) == 0)
            return;
        Append(CutMark);
        Append((byte)' ');
    }

    /// <summary>Marks that the rest is missing, and ends the line.</summary>
    public void EndLine(LineCut cut)
    {
        if ((cut & LineCut.AtEnd) != 0)
        {
            Append((byte)' ');
            Append(CutMark);
        }
        Append((byte)'\n');
        if (_aside is not { } batch)
            return;
        byte[] line = _bytes;
        (_aside, _bytes) = (null, batch);
        _queue?.Add(_service, line.AsSpan(0, _length));
        _length = 0;
        memory.ReturnFromNow(line);
    }

    /// <summary>Puts the lines into the queue.</summary>
    public void Write()
    {
        int length = _length;
        _length = 0;
        if (length > 0)
            _queue?.Add(_service, ref _bytes, length);
    }
}
