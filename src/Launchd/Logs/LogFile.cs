using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Logs;

/// <summary>
/// A service's own log file: appended to in whole lines, rotated by size (<c>web.log</c>, <c>web.log.1</c> … <c>web.log.N</c>, the
/// highest the oldest). A file that is made has the owner and mode that its policy names; else those of the one before it, which somebody
/// may have changed, or mode 0640. Directories that are missing are made, mode 0755. When the disk refuses, lines are dropped and counted;
/// the next write after a growing pause tries again, and a line "N lines lost" stands where they are missing. Only regular files are
/// rotated; a symbolic link as last component is not followed.
/// Belongs to the lanes, which may hang in any of its calls.
/// </summary>
/// <remarks>
/// Others shorten, rename and remove log files. With a write, but at most once a second, the file is looked at: the size that others have
/// given it is taken over, and a path that leads to no file or to another one is opened anew.
/// </remarks>
internal sealed class LogFile : ILineTarget
{
    private const int Mode = 0b110_100_000, DirectoryMode = 0b111_101_101, Permissions = 0b111_111_111;

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private Settings _settings;
    private readonly TimeProvider _time;
    private readonly Action<PumpNotice> _notice;
    private FileDescriptor? _file;
    private long _size;
    private bool _isRegular;
    private bool _endsInsideLine;
    private long _lost;
    private TimeSpan _pause;
    private long _failedAt;
    private long _lookedAt;

    // The last look found nothing at the path, but the file has not been removed: whoever renamed it may be about to make another.
    private bool _isAway;
    // How far a file that could not be renamed may grow beyond its limit before the next attempt.
    private long _extraRoom;

    public LogFile(LogPolicy policy, TimeProvider time, Action<PumpNotice> notice)
    {
        _settings = new Settings(policy, LogFileOwner.Own);
        _time = time;
        _notice = notice;
    }

    /// <summary>The limits of the file.</summary>
    public LogPolicy Policy => Volatile.Read(ref _settings).Policy;

    /// <summary>Other limits, and another owner for the next file that is made; the path is the same. From any thread.</summary>
    public void Use(LogPolicy policy, LogFileOwner owner)
    {
        Settings former = Volatile.Read(ref _settings);
        if (former.Policy != policy || former.Owner != owner)
            Volatile.Write(ref _settings, new Settings(policy, owner));
    }

    /// <summary>Lines dropped since the start.</summary>
    public long LostLines { get; private set; }

    /// <summary><c>web.log.3</c>.</summary>
    public static string RotatedPath(string path, int number) => path + "." + number.ToString(CultureInfo.InvariantCulture);

    public bool IsWaiting => false;

    // Between two calls the file may be rotated.
    public bool TakesPieces => false;

    public long Write(ReadOnlySpan<byte> lines, long lostBefore)
    {
        _lost += lostBefore;
        LostLines += lostBefore;
        long before = LostLines;
        Append(lines);
        return LostLines - before;
    }

    /// <summary>Appends complete lines, each with its newline. Lines that the disk does not take are dropped and counted.</summary>
    public void Append(ReadOnlySpan<byte> lines)
    {
        if (_pause > TimeSpan.Zero && _time.GetElapsedTime(_failedAt) < _pause)
        {
            Lose(lines);
            return;
        }
        if (_file is not null && _time.GetElapsedTime(_lookedAt) >= BetweenLooks)
            Look();
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

    /// <summary>
    /// Opens the path anew with the next line: another program has renamed the file (logrotate, which then sends SIGUSR1).
    /// </summary>
    public void Reopen()
    {
        Leave();
        _pause = TimeSpan.Zero;
    }

    private void Leave()
    {
        _file?.Dispose();
        _file = null;
        _isAway = false;
        _endsInsideLine = false;
        _extraRoom = 0;
    }

    /// <summary>What others have done to the file, or to its path, since the last look.</summary>
    private void Look()
    {
        _lookedAt = _time.GetTimestamp();
        if (!_isRegular || FileStatus.Read(_file!, out FileStatus open) != Errno.None)
            return;
        Errno missing = FileStatus.ReadNoFollow(Policy.FilePath, out FileStatus there);
        bool wasAway = _isAway;
        _isAway = missing == Errno.ENOENT;
        if (open.LinkCount == 0 || (missing == Errno.None && !there.IsSameFile(open)) || (_isAway && wasAway))
        {
            Leave();
        }
        else
        {
            _size = open.SizeBytes;
            _endsInsideLine &= _size > 0;
        }
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

    private bool TryOpen(ReadOnlySpan<byte> lines, FileStatus former = default)
    {
        _file = Open(former, out Errno error, out string? explanation);
        if (_file is null)
        {
            Lose(lines);
            Failed(error, explanation);
            return false;
        }
        _lookedAt = _time.GetTimestamp();
        FileIdentity identity = PumpCalls.Identify(_file.Number) ?? default;
        _isRegular = identity.IsRegularFile;
        _size = identity.SizeBytes;
        return true;
    }

    private FileDescriptor? Open(FileStatus former, out Errno error, out string? explanation)
    {
        explanation = null;
        if (!FindPlace().TryGet(out ParentDirectory? place, out OpenFailure? failure))
        {
            error = failure.Errno;
            explanation = error == Errno.EPERM ? failure.Explanation : null;
            return null;
        }
        using ParentDirectory held = place;
        Settings settings = Volatile.Read(ref _settings);
        int narrow = Mode & (settings.Policy.Mode ?? Mode);
        FileDescriptor? file = Files.OpenToAppend(place.Directory, place.Name, narrow, out bool isMade, out error);
        if (file is not null && isMade)
            Dress(file, former, settings);
        if (file is null || isMade || !place.IsOpenToOthers || IsHarmless(file, place, settings.Owner.Owner.Uid))
            return file;
        file.Dispose();
        error = Errno.EPERM;
        explanation = "others may put files there, and this one is not root's or theirs alone: remove it, or choose a directory of root";
        return null;
    }

    private OpenResult<ParentDirectory> FindPlace() => ParentDirectory.Open(Policy.FilePath, DirectoryMode, "cannot open the log");

    // A user who may write to the directory may have made a hard link to another's file there, into which the supervisor must not write.
    // One who may move another's file there may write to the directory where it was, and could have put anything in its place.
    private static bool IsHarmless(FileDescriptor file, ParentDirectory place, uint? owner) =>
        FileStatus.Read(file, out FileStatus status) == Errno.None && status is { Kind: FileKind.Regular or FileKind.Fifo, LinkCount: 1 }
        && (status.Uid == 0 || status.Uid == place.Decider || status.Uid == owner);

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

    /// <summary>
    /// Renames the chain and opens a new file. If a file cannot be renamed, the present one may grow by its limit once more.
    /// </summary>
    private bool TryRotate(ReadOnlySpan<byte> lines)
    {
        Errno error = FindPlace().TryGet(out ParentDirectory? place, out OpenFailure? failure) ? Rotate(place) : failure.Errno;
        if (error != Errno.None && error != Errno.ENOENT)
        {
            _extraRoom = _size;
            _notice(new PumpNotice.RotationFailed(Policy.FilePath, error));
            return true;
        }
        _ = FileStatus.Read(_file!, out FileStatus former);
        Leave();
        return TryOpen(lines, former);
    }

    /// <summary>Gives a file that was made just now its owner and mode. Who may not give it to its owner does not open it wider.</summary>
    private void Dress(FileDescriptor made, FileStatus former, Settings settings)
    {
        bool inherits = former.Kind == FileKind.Regular;
        (LogPolicy policy, (PathOwner owner, string? problem)) = settings;
        if (FileStatus.Read(made, out FileStatus status) != Errno.None)
            return;
        uint uid = owner.Uid ?? (inherits ? former.Uid : status.Uid), gid = owner.Gid ?? (inherits ? former.Gid : status.Gid);
        Errno refused = (uid, gid) == (status.Uid, status.Gid) ? Errno.None : Files.SetOwner(made, new PathOwner(uid, gid));
        if (refused == Errno.None && problem is null && (policy.Mode ?? (inherits ? former.Mode & Permissions : null)) is { } mode)
            refused = Files.SetMode(made, mode);
        bool isNamed = policy.User is not null || policy.Group is not null || policy.Mode is not null;
        if ((refused == Errno.None && problem is null) || !isNamed || settings.IsRefusalSaid)
            return;
        settings.IsRefusalSaid = true;
        _notice(new PumpNotice.OwnerRefused(policy.FilePath, problem ?? refused.Text));
    }

    private Errno Rotate(ParentDirectory placeTaken)
    {
        using ParentDirectory place = placeTaken;
        string name = place.Name;
        for (int number = Policy.KeepCount - 1; number >= 1; number--)
        {
            Errno error = Files.Rename(place.Directory, RotatedPath(name, number), RotatedPath(name, number + 1), flags: 0);
            if (error != Errno.None && error != Errno.ENOENT)
                return error;
        }
        return Policy.KeepCount > 0
            ? Files.Rename(place.Directory, name, RotatedPath(name, 1), flags: 0)
            : Files.Unlink(place.Directory, name);
    }

    private void Lose(ReadOnlySpan<byte> lines)
    {
        long count = lines.Count((byte)'\n');
        _lost += count;
        LostLines += count;
    }

    private void Failed(Errno error, string? explanation = null)
    {
        _failedAt = _time.GetTimestamp();
        bool first = _pause == TimeSpan.Zero;
        _pause = first ? FirstPause : TimeSpan.FromTicks(Math.Min(LongestPause.Ticks, _pause.Ticks * 2));
        if (first)
            _notice(new PumpNotice.LogFileFailed(Policy.FilePath, error, explanation));

        // After EIO or ESTALE the open file may be of no more use; the next attempt opens the path anew.
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

    private sealed record Settings(LogPolicy Policy, LogFileOwner Owner)
    {
        /// <summary>It was said once that the files do not get this owner or mode.</summary>
        public bool IsRefusalSaid { get; set; }
    }
}
