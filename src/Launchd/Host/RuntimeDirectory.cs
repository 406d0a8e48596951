using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Config;
using Launchd.Control;
using Launchd.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// The supervisor's directory: control socket, notify sockets, and the lock that keeps a second supervisor of the same name away.
/// </summary>
internal sealed unsafe class RuntimeDirectory : IDisposable
{
    private const int O_RDWR_CREAT_CLOEXEC = 2 | 0x40 | 0x80000;
    private const int LOCK_EX_NB = 2 | 4;
    private const int MostLockTurns = 16;

    private readonly FileDescriptor _lock;
    private string? _notifyInMemory;

    private RuntimeDirectory(string path, FileDescriptor lockTaken)
    {
        Path = path;
        _lock = lockTaken;
    }

    public string Path { get; }

    public string ControlSocket => System.IO.Path.Combine(Path, "control.sock");

    public string NotifyDirectory => System.IO.Path.Combine(Path, "notify");

    /// <summary>Makes (or checks) the directory and takes the lock.</summary>
    /// <param name="path">Absolute.</param>
    /// <exception cref="StartRefusedException">With the sentence for the operator and the exit code.</exception>
    public static RuntimeDirectory Enter(string path)
    {
        // sockaddr_un has room for 107 bytes, and "/notify/" with a number of up to 12 digits must fit behind this path (unix(7)).
        if (Encoding.UTF8.GetByteCount(path) > 107 - 20)
            throw new StartRefusedException($"runtime directory {path} is too long for the sockets in it: at most 87 bytes", ExitCode.BadConfiguration);
        UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        // Root's services may run as other users, or become them by themselves, and must reach their notify sockets through it. What else is
        // in it has a mode of its own.
        if (Libc.geteuid() == 0)
            mode |= UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        try
        {
            MakeParents(System.IO.Path.GetDirectoryName(path)!);
            CheckParent(System.IO.Path.GetDirectoryName(path)!);
            Make(path, mode);
            Check(path);
            FileDescriptor held = TakeLock(LockOf(path), path);
            RuntimeDirectory directory = new(path, held);
            directory.MakeNotifyDirectory(mode);
            return directory;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"cannot use runtime directory {path}: {WhyNot(path, refused)}", ExitCode.SystemRefused);
        }
    }

    // The framework tells a file in the place of a directory like a directory that is missing.
    private static string WhyNot(string path, Exception refused) =>
        FileStatus.ReadFollow(path, out _) is { Value: not 0 } seen && seen != Errno.ENOENT ? seen.Text : FileFault.Text(refused);

    public void Dispose()
    {
        if (_notifyInMemory is { } inMemory)
        {
            Discard(() => File.Delete(NotifyDirectory));
            Discard(() => Directory.Delete(inMemory, recursive: true));
        }
        else
        {
            Discard(() => Directory.Delete(NotifyDirectory));
        }
        // While it is held: whoever opened it meanwhile finds that it has no name any more, and begins anew.
        Discard(() => File.Delete(LockOf(Path)));
        _lock.Dispose();
    }

    /// <summary>
    /// Each instance binds a socket of its own below this directory, and a file system on disk takes up to 0.3 ms for the inode (ext4 keeps away
    /// from those deleted within the last seconds): a quarter of a start. So where the runtime directory is on disk, the
    /// directory of these sockets is a link into one in memory.
    /// </summary>
    private void MakeNotifyDirectory(UnixFileMode mode)
    {
        _notifyInMemory = IsInMemory(Path) ? null : MemoryDirectory(mode);
        if (_notifyInMemory is { } inMemory)
        {
            if (Directory.Exists(NotifyDirectory) && new FileInfo(NotifyDirectory).LinkTarget is null)
                Directory.Delete(NotifyDirectory, recursive: true);
            File.Delete(NotifyDirectory);
            File.CreateSymbolicLink(NotifyDirectory, inMemory);
        }
        else
        {
            Make(NotifyDirectory, mode);
        }
        foreach (string stale in Directory.GetFiles(_notifyInMemory ?? NotifyDirectory))
            File.Delete(stale);
    }

    // The name says whose it is, so that a supervisor that was killed leaves nothing that the next one would not find again. Where anybody
    // may write, somebody else may have taken the name: then the sockets stay on disk.
    private string? MemoryDirectory(UnixFileMode mode)
    {
        if (FileStatus.ReadFollow(Path, out FileStatus status) != Errno.None)
            return null;
        string? own = Libc.geteuid() == 0 ? "/run" : Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR");
        foreach (string? place in (ReadOnlySpan<string?>)[own, "/dev/shm"])
        {
            if (place is not { Length: > 0 and < 60 } || !IsInMemory(place))
                continue;
            string path = System.IO.Path.Combine(place, $"launchd-cs-notify-{status.Device}-{status.Inode}");
            bool isMade = true;
            Discard(() =>
            {
                isMade = false;
                Make(path, mode);
                isMade = true;
            });
            if (isMade && new FileInfo(path).LinkTarget is null && FileStatus.ReadFollow(path, out FileStatus made) == Errno.None && made.Uid == Libc.geteuid())
                return path;
        }
        return null;
    }

    private static bool IsInMemory(string path)
    {
        using FileDescriptor? directory = Files.Open(null, path, 0x80000, 0, out _);
        ulong* facts = stackalloc ulong[16];
        // statfs(2): f_type is the first word; tmpfs and ramfs.
        return directory is not null && SpawnLibc.fstatfs(directory.Number, facts) == 0 && facts[0] is 0x01021994 or 0x858458f6;
    }

    private static void Discard(Action removal)
    {
        try
        {
            removal();
        }
        catch (Exception left) when (left is IOException or UnauthorizedAccessException)
        {
            // Somebody else tidied up first, or took the directory away: nothing of ours is lost with it.
        }
    }

    private static void MakeParents(string path)
    {
        // In /tmp: whoever made it before us would own what is in it (and is found by the check that follows).
        if (!Directory.Exists(path) && IsSticky(System.IO.Path.GetDirectoryName(path)))
        {
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return;
        }
        UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;
        if (!Directory.Exists(path))
            Directory.CreateDirectory(path, mode);
    }

    /// <summary>
    /// Who may write there could put a directory of his own in the place of ours, and with it our sockets. A user whose folder the
    /// configuration names is trusted with that; one who was first to make the folder that we would have made in /tmp is not.
    /// </summary>
    private static void CheckParent(string parent)
    {
        if (FileStatus.ReadFollow(parent, out FileStatus status) != Errno.None)
            return; // making the directory says why
        UnixFileMode mode = File.GetUnixFileMode(parent);
        bool othersMayReplace = (mode & (UnixFileMode.GroupWrite | UnixFileMode.OtherWrite)) != 0 && (mode & UnixFileMode.StickyBit) == 0;
        uint own = Libc.geteuid();
        bool isForeign = parent == ConfigReader.SharedDirectory(own) && status.Uid != own && status.Uid != 0;
        if (!othersMayReplace && !isForeign)
            return;
        string why = isForeign ? $"belongs to user {status.Uid}" : "may be written by others";
        throw new StartRefusedException(
            $"runtime directory: {parent} {why}, who could take its sockets away: remove it, or choose another with supervisor.runtime_directory",
            ExitCode.NotPermitted);
    }

    private static bool IsSticky(string? path) => path is not null && Directory.Exists(path) && (File.GetUnixFileMode(path) & UnixFileMode.StickyBit) != 0;

    private static void Make(string path, UnixFileMode mode)
    {
        Directory.CreateDirectory(path, mode);
        File.SetUnixFileMode(path, mode);
    }

    private static void Check(string path)
    {
        if (new FileInfo(path).LinkTarget is not null || FileStatus.ReadFollow(path, out FileStatus status) != Errno.None)
            throw new StartRefusedException($"runtime directory {path} is a symbolic link: name the directory itself", ExitCode.SystemRefused);
        if (status.Uid != Libc.geteuid())
        {
            string remedy = "remove it, or choose another with supervisor.runtime_directory";
            throw new StartRefusedException($"runtime directory {path} belongs to user {status.Uid}: {remedy}", ExitCode.NotPermitted);
        }
    }

    /// <summary>Holds the pid of the supervisor whose directory it is.</summary>
    public static string LockOf(string path) => System.IO.Path.Combine(path, "lock");

    private static FileDescriptor TakeLock(string file, string path)
    {
        FileDescriptor? held = null;
        // Each turn but the last means that a supervisor that was ending removed the file between our open and our lock.
        for (int turn = 0; turn < MostLockTurns && held is null; turn++)
            held = TryTakeLock(file, path);
        if (held is null)
            throw new StartRefusedException($"{file} is removed again and again by somebody else", ExitCode.SystemRefused);
        byte[] pid = Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
        _ = HostLibc.ftruncate(held.Number, 0);
        fixed (byte* text = pid)
            _ = Libc.write(held.Number, text, (nuint)pid.Length);
        return held;
    }

    /// <summary>Null: the file that was locked has no name any more.</summary>
    private static FileDescriptor? TryTakeLock(string file, string path)
    {
        FileDescriptor held = Files.Open(null, file, O_RDWR_CREAT_CLOEXEC, 0b110_000_000, out Errno refused)
            ?? throw new StartRefusedException($"cannot open {file}: {refused.Text}", ExitCode.SystemRefused);
        if (HostLibc.flock(held.Number, LOCK_EX_NB) != 0)
        {
            string holder = Files.ReadText(file)?.Trim() ?? "";
            held.Dispose();
            string remedy = "stop it with 'launchd-cs shutdown', or give this one another name";
            throw new StartRefusedException($"another supervisor (pid {holder}) runs in {path}: {remedy}", ExitCode.TimedOut);
        }
        bool isNamed = FileStatus.ReadFollow(file, out FileStatus named) == Errno.None
            && FileStatus.ReadFollow(Files.ProcPath(held), out FileStatus locked) == Errno.None
            && named.Inode == locked.Inode && named.Device == locked.Device;
        if (isNamed)
            return held;
        held.Dispose();
        return null;
    }
}
