using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Model;
using Pump = Launchd.Interop.Libc.Pump;

namespace Launchd.Host.Logs;

/// <summary>
/// A service's own log file: appended to in whole lines, rotated by size (<c>web.log</c>, <c>web.log.1</c> … <c>web.log.N</c>, the
/// highest the oldest), mode 0640. When the disk refuses, lines are dropped and counted; the next write after a growing pause tries
/// again, and a line "N lines lost" stands where they are missing. Only regular files are rotated; a symbolic link as last component
/// is not followed. Used by one thread only.
/// </summary>
internal sealed class LogFile : IDisposable
{
    private const int Mode = 0b110_100_000;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly TimeProvider _time;
    private readonly Action<PumpNotice> _notice;
    private FileDescriptor? _file;
    private long _size;
    private bool _isRegular;
    private bool _endsInsideLine;
    private long _lost;
    private TimeSpan _pause;
    private long _failedAt;
    // What a file that could not be renamed may grow beyond its limit before the next attempt.
    private long _extraRoom;

    public LogFile(LogPolicy policy, TimeProvider time, Action<PumpNotice> notice)
    {
        Policy = policy;
        _time = time;
        _notice = notice;
    }

    /// <summary>A reload may change it; the path stays.</summary>
    public LogPolicy Policy { get; set; }

    /// <summary>Lines dropped since the start.</summary>
    public long LostLines { get; private set; }

    /// <summary>Sources that write to it: counted by the owner.</summary>
    public int UserCount { get; set; }

    /// <summary><c>web.log.3</c>.</summary>
    public static string RotatedPath(string path, int number) => path + "." + number.ToString(CultureInfo.InvariantCulture);

    /// <summary>Appends complete lines, each with its newline. What the disk does not take is dropped and counted.</summary>
    public void Append(ReadOnlySpan<byte> lines)
    {
        if (_pause > TimeSpan.Zero && _time.GetElapsedTime(_failedAt) < _pause)
        {
            Lose(lines);
            return;
        }
        if (_file is null && !TryOpen(lines))
            return;
        if (!TryAnnounceLoss(lines))
            return;
        while (!lines.IsEmpty)
        {
            int count = FittingLength(lines);
            if (count == 0)
            {
                if (!TryRotate(lines))
                    return;
                continue;
            }
            if (!TryWrite(lines[..count], out int written))
            {
                Lose(lines[written..]);
                return;
            }
            lines = lines[count..];
        }
        Recovered();
    }

    /// <summary>Opens the path anew with the next line: somebody else has renamed the file (logrotate and SIGUSR1).</summary>
    public void Reopen()
    {
        _file?.Dispose();
        _file = null;
        _endsInsideLine = false;
        _extraRoom = 0;
        _pause = TimeSpan.Zero;
    }

    public void Dispose()
    {
        if (_lost > 0 && _file is not null)
            TryAnnounceLoss([]);
        _file?.Dispose();
        _file = null;
    }

    /// <summary>
    /// How many bytes of whole lines fit before the file must be rotated: 0 for none; a line that never fits goes in alone.
    /// </summary>
    private int FittingLength(ReadOnlySpan<byte> lines)
    {
        long room = Policy.MaxSizeBytes + _extraRoom - _size;
        if (!_isRegular || Policy.MaxSizeBytes <= 0 || lines.Length <= room)
            return lines.Length;
        int last = room <= 0 ? -1 : lines[..(int)room].LastIndexOf((byte)'\n');
        if (last >= 0)
            return last + 1;
        return _size > 0 ? 0 : lines.IndexOf((byte)'\n') + 1;
    }

    private bool TryOpen(ReadOnlySpan<byte> lines)
    {
        // O_NONBLOCK: opening a FIFO without a reader fails instead of waiting; regular files know no such thing.
        int flags = Pump.O_WRONLY | Pump.O_CREAT | Pump.O_APPEND | Pump.O_NONBLOCK | Pump.O_NOFOLLOW;
        _file = PumpCalls.Open(Policy.FilePath, flags, Mode, out Errno error);
        if (_file is null)
        {
            Lose(lines);
            Failed(error);
            return false;
        }
        FileIdentity identity = PumpCalls.Identify(_file.Number) ?? default;
        _isRegular = identity.IsRegularFile;
        _size = identity.SizeBytes;
        return true;
    }

    private bool TryAnnounceLoss(ReadOnlySpan<byte> following)
    {
        if (_lost == 0)
            return true;
        string start = _endsInsideLine ? "\n" : "";
        string text = string.Create(CultureInfo.InvariantCulture, $"{start}launchd-cs: {_lost} {(_lost == 1 ? "line" : "lines")} lost\n");
        if (!TryWrite(Encoding.ASCII.GetBytes(text), out _))
        {
            Lose(following);
            return false;
        }
        _lost = 0;
        return true;
    }

    private bool TryWrite(ReadOnlySpan<byte> bytes, out int written)
    {
        written = 0;
        while (written < bytes.Length)
        {
            int count = PumpCalls.Write(_file!.Number, bytes[written..], out Errno error);
            if (error == Errno.None && count == 0)
                error = Errno.EIO;
            if (error != Errno.None)
            {
                Failed(error);
                return false;
            }
            written += count;
            _size += count;
            _endsInsideLine = bytes[written - 1] != '\n';
        }
        return true;
    }

    /// <summary>Renames the chain and opens a new file. If a name cannot be changed, the file grows on by once its limit.</summary>
    private bool TryRotate(ReadOnlySpan<byte> lines)
    {
        string path = Policy.FilePath;
        Errno error = Errno.None;
        for (int number = Policy.KeepCount - 1; number >= 1 && error == Errno.None; number--)
        {
            error = PumpCalls.Rename(RotatedPath(path, number), RotatedPath(path, number + 1));
            if (error == Errno.ENOENT)
                error = Errno.None;
        }
        if (error == Errno.None)
            error = Policy.KeepCount > 0 ? PumpCalls.Rename(path, RotatedPath(path, 1)) : PumpCalls.Unlink(path);
        if (error != Errno.None && error != Errno.ENOENT)
        {
            _extraRoom = _size;
            _notice(new PumpNotice.RotationFailed(path, error));
            return true;
        }
        _file!.Dispose();
        _file = null;
        _endsInsideLine = false;
        _extraRoom = 0;
        return TryOpen(lines);
    }

    private void Lose(ReadOnlySpan<byte> lines)
    {
        long count = lines.Count((byte)'\n');
        _lost += count;
        LostLines += count;
    }

    private void Failed(Errno error)
    {
        _failedAt = _time.GetTimestamp();
        bool first = _pause == TimeSpan.Zero;
        _pause = first ? FirstPause : TimeSpan.FromTicks(Math.Min(LongestPause.Ticks, _pause.Ticks * 2));
        if (first)
            _notice(new PumpNotice.LogFileFailed(Policy.FilePath, error));

        // After EIO or ESTALE the description may be beyond help, and the next attempt finds the path as it is then.
        if (!_endsInsideLine)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    private void Recovered()
    {
        if (_pause == TimeSpan.Zero)
            return;
        _pause = TimeSpan.Zero;
        _notice(new PumpNotice.LogFileRecovered(Policy.FilePath, LostLines));
    }
}
