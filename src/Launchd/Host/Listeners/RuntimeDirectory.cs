using System.Globalization;
using System.Numerics;
using Launchd.Client;
using Launchd.Config.Loading;
using Launchd.Control;
using Launchd.Host.Instances;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Listeners;

/// <summary>
/// The supervisor's directory: control socket, notify sockets, and the lock that keeps a second supervisor of the same name away. It is
/// held open, and what is made, changed or removed in it is so by descriptors, so that nobody leads that elsewhere by a link.
/// </summary>
internal sealed unsafe class RuntimeDirectory : IDisposable
{
    private const int LOCK_EX_NB = 2 | 4;
    private const int MostLockTurns = 16;
    private const int OwnerOnly = 0b111_000_000, ForAllToPass = 0b111_001_001, ForAllToSee = 0b111_101_101;
    private const int OthersMayWrite = 0b000_010_010, Sticky = 0b001_000_000_000;
    private const string LockName = "lock", NotifyName = "notify", LinksName = "links";

    private readonly FileDescriptor _directory;
    private readonly FileDescriptor _lock;
    private readonly int _keeper;
    private FileDescriptor? _notify;
    private ParentDirectory? _notifyInMemory;

    // What was made in the place of this one.
    private RuntimeDirectory? _successor;

    private RuntimeDirectory(string path, FileDescriptor directoryTaken, FileDescriptor lockTaken, int keeper, string? formerMark)
    {
        _keeper = keeper;
        Path = path;
        _directory = directoryTaken;
        _lock = lockTaken;
        IsOfKilled = formerMark is not null;
        Mark = formerMark ?? InstanceMark.New();
    }

    public string Path { get; }

    public string ControlSocket => System.IO.Path.Combine(Path, "control.sock");

    /// <summary>
    /// What the supervisor's processes have in their environment (<see cref="InstanceMark"/>). It stands in the lock file, which is removed
    /// at an end in order: so a supervisor after one that was killed has the same.
    /// </summary>
    public string Mark { get; }

    /// <summary>The supervisor that had the directory before did not end in order: its processes may run.</summary>
    public bool IsOfKilled { get; }

    /// <summary>Whose it was before.</summary>
    public LockOwner Former { get; private init; }

    /// <summary>Second names of what lies at the paths of listeners; owns its folders.</summary>
    public required SpareLinks Links { get; set; }

    public string NotifyDirectory => System.IO.Path.Combine(Path, NotifyName);

    /// <summary>Makes (or checks) the directory and takes the lock.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="keepsSockets">
    /// The notify sockets of a supervisor before this one stay: their programs run, and somebody has held the sockets.
    /// </param>
    /// <param name="keeper">Pid of the keeper, which holds a copy of <see cref="Lock"/>; 0: there is none.</param>
    /// <param name="held">The lock that a supervisor before this one had, which the keeper has held; borrowed. Null: there is none.</param>
    /// <exception cref="StartRefusedException">With the sentence for the operator and the exit code.</exception>
    public static RuntimeDirectory Enter(string path, bool keepsSockets = false, int keeper = 0, FileDescriptor? held = null) =>
        Enter(path.Length > 1 ? path.TrimEnd('/') : path, held, keepsSockets, keeper, mark: null);

    private static RuntimeDirectory Enter(string path, FileDescriptor? former, bool keepsSockets, int keeper, string? mark)
    {
        // sockaddr_un has room for 107 bytes, and "/notify/" with a number of up to 12 digits must fit behind this path (unix(7)).
        if (KernelText.ByteCount(path) > 107 - 20)
        {
            throw new StartRefusedException(
                $"runtime directory {path} is too long for the sockets in it: at most 87 bytes", ExitCode.BadConfiguration);
        }
        // Root's services may run as other users, or become them by themselves, and must reach their notify sockets through the
        // directory. What else is in it has a mode of its own.
        int mode = Libc.geteuid() == 0 ? ForAllToPass : OwnerOnly;
        string above = System.IO.Path.GetDirectoryName(path) ?? "/";
        // In /tmp: whoever made it before us would own what is in it (and is found by the check that follows).
        int modeAbove = IsSticky(System.IO.Path.GetDirectoryName(above)) ? OwnerOnly : ForAllToSee;
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(path, modeAbove, $"cannot use runtime directory {path}");
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            throw new StartRefusedException(failure.ToString(), ExitCode.SystemRefused);
        using ParentDirectory held = parent;
        CheckParent(parent.Directory, above);
        FileDescriptor own = Make(parent.Directory, parent.Name, mode, path);
        FileDescriptor? locked = null;
        SpareLinks? links = null;
        try
        {
            // Copies of one descriptor share the lock (flock(2)).
            locked = former is not null && IsNamed(own, former) ? Files.Duplicate(former, closer: null, out _) : null;
            locked ??= TakeLock(own, path);
            LockOwner owner = LockOwner.Of(path);
            RuntimeDirectory directory = new(path, own, locked, keeper, mark ?? owner.Mark)
            {
                Former = owner,
                Links = links = SpareLinks.Open(own, LinksName, MarkOf(path)), LeavesSockets = keepsSockets,
            };
            directory.Sign();
            directory.MakeNotifyDirectory(mode, keepsSockets);
            return directory;
        }
        catch (StartRefusedException)
        {
            links?.Dispose();
            locked?.Dispose();
            own.Dispose();
            throw;
        }
    }

    /// <summary>Whether all of it is where it was made; the control socket is not its own.</summary>
    public bool IsWhole()
    {
        if (_successor is not null)
            return _successor.IsWhole();
        bool isThere = FileStatus.ReadFollow(Path, out FileStatus now) == Errno.None
            && FileStatus.Read(_directory, out FileStatus made) == Errno.None && now.IsSameFile(made);
        return isThere && IsNamed(_directory, _lock) && Links.IsThere(_directory, LinksName)
            && FileStatus.ReadFollow(NotifyDirectory, out FileStatus notify) == Errno.None
            && FileStatus.Read(_notify!, out FileStatus madeNotify) == Errno.None && notify.IsSameFile(madeNotify);
    }

    /// <summary>
    /// Makes again what somebody has removed: the directory, the lock, the folders in it, which are empty then. May wait for the file
    /// system. This directory goes on as that one, which it disposes with itself; <see cref="Links"/> are new ones.
    /// </summary>
    /// <exception cref="StartRefusedException">It cannot be made; another supervisor may have it by now.</exception>
    public void Restore()
    {
        RuntimeDirectory former = _successor ?? this;
        // It would take away the links of the next ones beside paths.
        former.Links.Dispose();
        _successor = Enter(Path, former._lock, keepsSockets: false, _keeper, Mark);
        Links = _successor.Links;
        if (former != this)
            former.CloseAll();
    }

    /// <summary>
    /// What is in the directory stays at the end, because programs of the supervisor before this one run, and another is to go on with
    /// them.
    /// </summary>
    public bool LeavesSockets { get; set; }

    /// <summary>
    /// Best effort: somebody else may have tidied up first, or have taken the directory away, and nothing of ours is lost with it.
    /// </summary>
    public void Dispose()
    {
        if (_successor is not null)
        {
            _successor.Dispose();
            CloseAll();
            return;
        }
        Links.Dispose();
        if (LeavesSockets)
        {
            CloseAll();
            return;
        }
        State.Remove();
        _ = Files.Unlink(_directory, LinksName, isDirectory: true);
        if (_notify is not null)
            OwnDirectory.Empty(_notify);
        _ = Files.Unlink(_directory, NotifyName, isDirectory: _notifyInMemory is null);
        if (_notifyInMemory is { } inMemory)
            _ = Files.Unlink(inMemory.Directory, inMemory.Name, isDirectory: true);
        // While it is held: whoever opened it meanwhile finds that it has no name any more, and begins anew.
        _ = Files.Unlink(_directory, LockName);
        CloseAll();
    }

    private void CloseAll()
    {
        _lock.Dispose();
        _notify?.Dispose();
        _notifyInMemory?.Dispose();
        _directory.Dispose();
    }

    /// <summary>Removes the notify sockets of a supervisor before this one that nobody has any more.</summary>
    /// <param name="used">The paths of the others.</param>
    public void RemoveSocketsBut(IReadOnlySet<string> used)
    {
        using FileDescriptor? names = _notify is null ? null : Files.OpenDirectory(_notify, ".", out _);
        foreach (string name in names is null ? [] : Files.Names(names).ToArray())
        {
            if (name != StateFile.Name && !used.Contains(System.IO.Path.Combine(NotifyDirectory, name)))
                _ = Files.Unlink(_notify!, name);
        }
    }

    /// <summary>
    /// The place of the supervisor's state: in memory, because what tells of processes is not to outlive them, as a file on a disk would.
    /// </summary>
    public StateFile State => _successor?.State
        ?? new StateFile(FileSystems.IsInMemory(_directory) ? _directory : _notifyInMemory is not null ? _notify : null);

    /// <summary>
    /// Each instance binds a socket of its own below this directory, and a file system on disk takes up to 0.3 ms for the inode (ext4
    /// keeps away from those deleted within the last seconds): a quarter of a start. So where the runtime directory is on disk, the
    /// directory of these sockets is a link into one in memory.
    /// </summary>
    private void MakeNotifyDirectory(int mode, bool keepsSockets)
    {
        if (!FileSystems.IsInMemory(_directory) && OpenInMemory(mode) is { } inMemory)
        {
            if (keepsSockets && Files.ReadLink(_directory, NotifyName) == inMemory)
                return;
            RemoveNotify();
            if (Files.MakeSymlink(inMemory, _directory, NotifyName) is { Value: not 0 } refused)
                throw new StartRefusedException($"cannot make {NotifyDirectory}: {refused.Text}", ExitCode.SystemRefused);
        }
        else
        {
            if (Files.ReadLink(_directory, NotifyName) is not null)
                RemoveNotify();
            _notify = Make(_directory, NotifyName, mode, NotifyDirectory);
            if (keepsSockets)
                return;
        }
        OwnDirectory.Empty(_notify!, but: StateFile.Name);
    }

    /// <summary>What a supervisor before this one has left: the link, or a directory with its sockets.</summary>
    private void RemoveNotify()
    {
        using FileDescriptor? former = Files.OpenDirectory(_directory, NotifyName, out _);
        if (former is not null)
            OwnDirectory.Empty(former);
        _ = Files.Unlink(_directory, NotifyName, isDirectory: former is not null);
    }

    // The name says whose it is, so that a supervisor that was killed leaves nothing that the next one would not find again. Where anybody
    // may write, somebody else may have taken the name: then the sockets stay on disk.
    private string? OpenInMemory(int mode)
    {
        if (FileStatus.Read(_directory, out FileStatus status) != Errno.None)
            return null;
        string? own = Libc.geteuid() == 0 ? "/run" : UserRuntimeDirectory.Own;
        foreach (string? place in (ReadOnlySpan<string?>)[own, "/dev/shm"])
        {
            if (place is not { Length: > 0 and < 60 } || place[0] != '/')
                continue;
            string path = System.IO.Path.Combine(place, $"launchd-cs-notify-{status.Device}-{status.Inode}");
            if (!ParentDirectory.Open(path, directoryMode: null, path).TryGet(out ParentDirectory? parent, out _))
                continue;
            _notify = FileSystems.IsInMemory(parent.Directory)
                ? OwnDirectory.TryMake(parent.Directory, parent.Name, mode, out _, out _) : null;
            if (_notify is not null)
            {
                _notifyInMemory = parent;
                return path;
            }
            parent.Dispose();
        }
        return null;
    }

    /// <summary>
    /// Who may write there could put a directory of his own in the place of ours, and with it our sockets. A user whose folder the
    /// configuration names is trusted with that; one who was first to make the folder that we would have made in /tmp is not.
    /// </summary>
    private static void CheckParent(FileDescriptor parent, string path)
    {
        if (FileStatus.Read(parent, out FileStatus status) != Errno.None)
            return; // making the directory says why
        bool othersMayReplace = (status.Mode & OthersMayWrite) != 0 && (status.Mode & Sticky) == 0;
        uint own = Libc.geteuid();
        bool isForeign = path == ConfigReader.SharedDirectory(own) && status.Uid != own && status.Uid != 0;
        if (!othersMayReplace && !isForeign)
            return;
        string why = isForeign ? $"belongs to user {status.Uid}" : "may be written by others";
        throw new StartRefusedException(
            $"runtime directory: {path} {why}, who could take its sockets away: remove it, "
            + "or choose another with supervisor.runtime_directory",
            ExitCode.NotPermitted);
    }

    /// <summary>A short name for a runtime directory, the same each time.</summary>
    private static string MarkOf(string path)
    {
        uint mark = 0;
        foreach (byte one in CString.From(path).AsSpan()[..^1])
            mark = BitOperations.Crc32C(mark, one);
        return mark.ToString("x8", CultureInfo.InvariantCulture);
    }

    private static bool IsSticky(string? path) =>
        path is not null && FileStatus.ReadFollow(path, out FileStatus status) == Errno.None && (status.Mode & Sticky) != 0;

    private static FileDescriptor Make(FileDescriptor parent, string name, int mode, string path)
    {
        if (OwnDirectory.TryMake(parent, name, mode, out Errno refused, out uint? owner) is { } directory)
            return directory;
        if (owner is { } foreign)
        {
            string remedy = "remove it, or choose another with supervisor.runtime_directory";
            throw new StartRefusedException($"runtime directory {path} belongs to user {foreign}: {remedy}", ExitCode.NotPermitted);
        }
        bool isLink = Files.ReadLink(parent, name) is not null;
        throw new StartRefusedException(
            isLink
                ? $"runtime directory {path} is a symbolic link: name the directory itself"
                : $"cannot use runtime directory {path}: {refused.Text}",
            ExitCode.SystemRefused);
    }

    /// <summary>The name by which the keeper holds the lock.</summary>
    public const string HeldLock = "lock";

    /// <summary>As long as anybody has it open, nobody else gets the directory. Owned by this object.</summary>
    public FileDescriptor Lock => _successor?.Lock ?? _lock;

    /// <summary>Says whose the directory is: <see cref="LockOwner"/>.</summary>
    public static string LockOf(string path) => System.IO.Path.Combine(path, LockName);

    private static FileDescriptor TakeLock(FileDescriptor directory, string path)
    {
        FileDescriptor? held = null;
        // Each turn but the last means that a supervisor was ending, and that we came between two of its last steps.
        for (int turn = 0; turn < MostLockTurns && held is null; turn++)
            held = TryTakeLock(directory, path);
        if (held is null)
            throw new StartRefusedException($"{LockOf(path)} is removed again and again by somebody else", ExitCode.SystemRefused);
        return held;
    }

    private void Sign()
    {
        byte[] owner = new LockOwner(Environment.ProcessId, _keeper) { Mark = Mark }.Text;
        // Whoever had it before has written through the same open file. In this order, so that a death in between loses no mark.
        fixed (byte* text = owner)
            _ = Libc.pwrite(_lock.Number, text, (nuint)owner.Length, 0);
        _ = Libc.ftruncate(_lock.Number, owner.Length);
    }

    /// <summary>Null: the file that was locked has no name any more, or whoever had the lock has just ended.</summary>
    private static FileDescriptor? TryTakeLock(FileDescriptor directory, string path)
    {
        FileDescriptor held = Files.OpenOrMake(directory, LockName, 0b110_000_000, out Errno refused)
            ?? throw new StartRefusedException($"cannot open {LockOf(path)}: {refused.Text}", ExitCode.SystemRefused);
        if (Libc.flock(held.Number, LOCK_EX_NB) != 0)
        {
            LockOwner owner = LockOwner.Read(held);
            bool isOver = EndingProcess.Await(owner.Supervisor) || EndingProcess.Await(owner.Keeper);
            if (isOver || (owner.IsDead && UnbornHolders.End(held)))
            {
                held.Dispose();
                return null;
            }
            held.Dispose();
            const string remedy = "stop it with 'launchd-cs shutdown', or give this one another name";
            throw new StartRefusedException(owner.IsForsaken ? $"{path} is in use: {owner.Remedy}"
                : $"another supervisor (pid {owner.Supervisor}) runs in {path}: {remedy}", ExitCode.TimedOut);
        }
        if (IsNamed(directory, held))
            return held;
        held.Dispose();
        return null;
    }

    /// <summary>Whether it is this lock that lies in the directory.</summary>
    private static bool IsNamed(FileDescriptor directory, FileDescriptor held) =>
        FileStatus.ReadNoFollow(directory.Number, LockName, out FileStatus named) == Errno.None
        && FileStatus.Read(held, out FileStatus locked) == Errno.None && named.IsSameFile(locked);
}
