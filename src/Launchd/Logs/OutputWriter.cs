using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Spawning;

namespace Launchd.Logs;

/// <summary>
/// Writes whole lines to a descriptor that others share (the supervisor's standard output or error) and never hangs on it: what the
/// other side does not take is queued, at most <see cref="QueueBytes"/>; beyond that the newest lines are dropped and counted, and a line
/// "N lines lost" follows where they are missing. <c>O_NONBLOCK</c> belongs to the description, open(2), so it is never set on one that
/// others hold: pipes and terminals are opened anew through /proc/self/fd, sockets are asked per call, regular files never wait.
/// Used by one thread only. Owns what it opened, not what it was given.
/// </summary>
internal sealed class OutputWriter : IDisposable
{
    /// <summary>Most bytes that wait.</summary>
    public const int QueueBytes = 256 * 1024;

    /// <summary>So many queued bytes are worth a write of their own.</summary>
    private const int FlushBytes = 64 * 1024;

    /// <summary>pipe(7): a pipe that polls as writable takes this much without waiting.</summary>
    private const int PipeBuf = 4096;

    private readonly FileDescriptor _target;
    private readonly Way _way;
    private readonly byte[] _queue = new byte[QueueBytes];
    private readonly int _original;
    private int _other;
    private WriterProcess? _process;
    private FileDescriptor? _givingUp;
    private int _start;
    private int _end;
    private byte _lastWritten = (byte)'\n';

    // Lines that were dropped and not announced yet, and lines that announcements in the queue stand
    // for, in case the queue itself is dropped.
    private long _lost;
    private bool _speaksJson;
    private long _announced;
    private int _announcements;
    private long _announcedUpTo;
    private long _writtenBytes;

    private OutputWriter(FileDescriptor targetTaken, Way way, FileIdentity identity, bool isTerminal, int original)
    {
        _original = original;
        _other = original;
        _target = targetTaken;
        _way = way;
        Identity = identity;
        IsTerminal = isTerminal;
    }

    private enum Way { Opened, Polled, Socket, Plain }

    /// <summary>Whether it is a pipe: a process with the other end can keep a writer waiting, deaf to signals.</summary>
    public bool IsPipe => Identity.Type == Libc.S_IFIFO;

    /// <summary>Whether lines are seen by a person.</summary>
    public bool IsTerminal { get; }

    /// <summary>The pipe, terminal or file to which it writes.</summary>
    public FileIdentity Identity { get; }

    /// <summary>For epoll: the number to watch for writability while <see cref="IsBlocked"/>.</summary>
    public int Number => _target.Number;

    /// <summary>Whether bytes wait because the last write would have blocked.</summary>
    public bool IsBlocked { get; private set; }

    /// <summary>Lines dropped since the start.</summary>
    public long LostLines { get; private set; }

    /// <summary>Why the last write failed; <see cref="Errno.None"/> when it did not.</summary>
    public Errno LastError { get; private set; }

    /// <summary>Opens a writer to the file behind <paramref name="original"/>, which stays the caller's.</summary>
    public static OutputWriter Open(FileDescriptor original)
    {
        FileIdentity identity = PumpCalls.Identify(original.Number) ?? default;
        bool isTerminal = PumpCalls.IsTerminal(original.Number);
        if (identity.Type is Libc.S_IFIFO or Libc.S_IFCHR)
        {
            string path = "/proc/self/fd/" + original.Number.ToString(CultureInfo.InvariantCulture);
            if (PumpCalls.Open(path, Libc.O_WRONLY | Libc.O_NONBLOCK, mode: 0, out _) is { } own)
                return new OutputWriter(own, Way.Opened, identity, isTerminal, original.Number);

            // Opening anew can fail: without /proc, for a terminal of another user after su, for a FIFO without a reader, for a pty whose
            // master is gone. Then poll(2) is asked before each write.
            return new OutputWriter(Copy(original), Way.Polled, identity, isTerminal, original.Number);
        }
        return new OutputWriter(
            Copy(original), identity.Type == Libc.S_IFSOCK ? Way.Socket : Way.Plain, identity, isTerminal, original.Number);
    }

    /// <summary>
    /// Room for one line of at most <paramref name="mostBytes"/>, newline included, then <see cref="Commit"/>. False: it is dropped and
    /// counted.
    /// </summary>
    public bool TryReserve(int mostBytes, out Span<byte> room)
    {
        const int noticeBytes = 160;
        int needed = mostBytes + (_lost > 0 ? noticeBytes : 0) + 1;
        if (!HasRoom(needed) && !MakeRoom(needed))
        {
            _lost++;
            LostLines++;
            room = default;
            return false;
        }
        if (_lost > 0)
            AnnounceLoss();
        room = _queue.AsSpan(_end, mostBytes);
        return true;
    }

    /// <summary>Queues the first <paramref name="count"/> bytes of the room.</summary>
    public void Commit(int count)
    {
        _end += count;
        if (_end - _start >= FlushBytes)
            Flush();
    }

    /// <summary>Queues complete lines as they are, or drops them all.</summary>
    public void WriteLines(ReadOnlySpan<byte> lines)
    {
        if (_start == _end && _lost == 0 && _announcements == 0)
            lines = WriteThrough(lines);
        while (!lines.IsEmpty)
        {
            ReadOnlySpan<byte> block = lines;
            if (block.Length > FlushBytes)
            {
                int last = block[..FlushBytes].LastIndexOf((byte)'\n');
                block = block[..(last < 0 ? FlushBytes : last + 1)];
            }
            lines = lines[block.Length..];
            if (TryReserve(block.Length, out Span<byte> room))
            {
                block.CopyTo(room);
                Commit(block.Length);
                continue;
            }
            long more = Math.Max(0, block.Count((byte)'\n') - 1);
            _lost += more;
            LostLines += more;
        }
    }

    /// <summary>
    /// Writes without queueing, as far as the other side takes it. Returns the rest, which begins with a whole line or with the end of one.
    /// </summary>
    private ReadOnlySpan<byte> WriteThrough(ReadOnlySpan<byte> lines)
    {
        while (!lines.IsEmpty)
        {
            int count = Write(lines, out Errno error);
            if (error != Errno.None)
                break;
            _lastWritten = lines[count - 1];
            _writtenBytes += count;
            LastError = Errno.None;
            lines = lines[count..];
        }
        return lines;
    }

    /// <summary>Writes what the other side takes now.</summary>
    public void Flush()
    {
        IsBlocked = false;
        if (_start == _end && _lost > 0)
            AnnounceLoss();
        while (_start < _end)
        {
            int count = Write(_queue.AsSpan(_start, _end - _start), out Errno error);
            if (error == Errno.EAGAIN)
            {
                IsBlocked = true;
                return;
            }
            if (error != Errno.None)
            {
                Discard(error);
                return;
            }
            _lastWritten = _queue[_start + count - 1];
            _start += count;
            _writtenBytes += count;
            if (_writtenBytes >= _announcedUpTo)
                ForgetAnnouncements();
            LastError = Errno.None;
            if (_start == _end)
            {
                Empty();
                if (_lost > 0)
                    AnnounceLoss();
            }
        }
    }

    /// <summary>Notes lines that were dropped and counted before they came here, so that a line says where they are missing.</summary>
    public void Miss(long lines) => _lost += lines;

    /// <summary>Whether a write takes everything at once or fails: a regular file, or a device of the kernel's own.</summary>
    public bool NeverWaits => Identity.IsRegularFile || (Identity.Type == Libc.S_IFCHR && !IsTerminal);

    /// <summary>Names another descriptor of the same place, which stays the caller's. To be called before anything is written.</summary>
    public void StandFor(FileDescriptor other) => _other = other.Number;

    /// <summary>
    /// From now on a separate process writes, if one can be made, so that a hanging write does not keep the supervisor from ending.
    /// </summary>
    /// <param name="givingUp">Borrowed; when it becomes readable, the process's answer is not waited for any longer.</param>
    public void WriteByProcess(FileDescriptor givingUp)
    {
        _givingUp = givingUp;
        _process = _way == Way.Opened ? WriterProcess.TryStart(_target, (_original, _other)) : null;
    }

    /// <summary>Writes the queued lines, however long the other side takes. False: it was told to give up.</summary>
    /// <param name="givingUp">Becomes readable as the order to give up.</param>
    public bool Drain(FileDescriptor givingUp)
    {
        Flush();
        while (IsBlocked)
        {
            if (PumpCalls.WaitWritable(Number, givingUp.Number))
                return false;
            Flush();
        }
        return true;
    }

    public void Dispose()
    {
        _process?.Dispose();
        _target.Dispose();
    }

    private static FileDescriptor Copy(FileDescriptor original) =>
        PumpCalls.Duplicate(original.Number, out _) ?? new FileDescriptor(-1);

    private int Write(ReadOnlySpan<byte> bytes, out Errno error)
    {
        if (_process is not null)
        {
            int count = _process.Write(bytes, _givingUp!, out error);
            if (error != Errno.EIO)
                return count;
            // The process was killed.
            _process.Dispose();
            _process = null;
        }
        if (_way == Way.Socket)
            return PumpCalls.Send(Number, bytes, out error);
        if (_way != Way.Polled)
            return PumpCalls.Write(Number, bytes, out error);
        if (PumpCalls.IsWritable(Number, milliseconds: 0))
            return PumpCalls.Write(Number, bytes[..Math.Min(bytes.Length, PipeBuf)], out error);
        error = Errno.EAGAIN;
        return -1;
    }

    private bool HasRoom(int needed)
    {
        if (QueueBytes - _end >= needed)
            return true;
        if (QueueBytes - (_end - _start) < needed)
            return false;
        _queue.AsSpan(_start, _end - _start).CopyTo(_queue);
        _end -= _start;
        _start = 0;
        return true;
    }

    private bool MakeRoom(int needed)
    {
        Flush();
        return HasRoom(needed);
    }

    /// <summary>Whether what stands between its lines is JSON, as they are. From any thread.</summary>
    public bool SpeaksJson { get => Volatile.Read(ref _speaksJson); set => Volatile.Write(ref _speaksJson, value); }

    /// <summary>The line that stands where lines are missing, with its newline: at most 160 bytes of ASCII.</summary>
    public string LossText(long lost)
    {
        string said = string.Create(CultureInfo.InvariantCulture, $"launchd-cs: {lost} {(lost == 1 ? "line" : "lines")} lost");
        return SpeaksJson ? $$"""{"level":"warning","event":"lines-lost","text":"{{said}}"}""" + "\n" : said + "\n";
    }

    private void AnnounceLoss()
    {
        // A line that broke off in the middle must not swallow the announcement.
        if (_start == _end && _lastWritten != '\n')
            _queue[_end++] = (byte)'\n';
        _end += Encoding.ASCII.GetBytes(LossText(_lost), _queue.AsSpan(_end));
        _announcements++;
        _announcedUpTo = _writtenBytes + (_end - _start);
        _announced += _lost;
        _lost = 0;
    }

    /// <summary>The other side is gone or full: the queued lines are lost, and the next line tries again.</summary>
    private void Discard(Errno error)
    {
        long lines = _queue.AsSpan(_start, _end - _start).Count((byte)'\n') - _announcements;
        lines = Math.Max(0, lines);
        LostLines += lines;
        _lost += lines + _announced;
        LastError = error;
        Empty();
    }

    private void Empty()
    {
        _start = 0;
        _end = 0;
        ForgetAnnouncements();
    }

    private void ForgetAnnouncements()
    {
        _announcements = 0;
        _announced = 0;
    }
}
