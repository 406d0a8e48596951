using System.Globalization;
using System.Text;
using Launchd.Client;
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

    private readonly FileDescriptor _lock;

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
    /// <param name="servesOtherUsers">Services of other users must be able to reach their notify sockets through it.</param>
    /// <exception cref="StartRefusedException">With the sentence for the operator and the exit code.</exception>
    public static RuntimeDirectory Enter(string path, bool servesOtherUsers)
    {
        // sockaddr_un has room for 107 bytes, and "/notify/" with a number of up to 12 digits must fit behind this path (unix(7)).
        if (Encoding.UTF8.GetByteCount(path) > 107 - 20)
            throw new StartRefusedException($"runtime directory {path} is too long for the sockets in it: at most 87 bytes", Cli.ExitCode.BadConfiguration);
        UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        if (servesOtherUsers)
            mode |= UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        try
        {
            MakeParents(System.IO.Path.GetDirectoryName(path)!);
            Make(path, mode);
            Check(path);
            FileDescriptor held = TakeLock(System.IO.Path.Combine(path, "lock"), path);
            RuntimeDirectory directory = new(path, held);
            Make(directory.NotifyDirectory, mode);
            foreach (string stale in Directory.GetFiles(directory.NotifyDirectory))
                File.Delete(stale);
            return directory;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"cannot use runtime directory {path}: {refused.Message}", Cli.ExitCode.SystemRefused);
        }
    }

    public void Dispose() => _lock.Dispose();

    private static void MakeParents(string path)
    {
        UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;
        if (!Directory.Exists(path))
            Directory.CreateDirectory(path, mode);
    }

    private static void Make(string path, UnixFileMode mode)
    {
        Directory.CreateDirectory(path, mode);
        File.SetUnixFileMode(path, mode);
    }

    private static void Check(string path)
    {
        if (new FileInfo(path).LinkTarget is not null || FileStatus.ReadFollow(path, out FileStatus status) != Errno.None)
            throw new StartRefusedException($"runtime directory {path} is a symbolic link: name the directory itself", Cli.ExitCode.SystemRefused);
        if (status.Uid != Libc.geteuid())
            throw new StartRefusedException($"runtime directory {path} belongs to user {status.Uid}: remove it, or choose another with supervisor.runtime_directory", Cli.ExitCode.NotPermitted);
    }

    private static FileDescriptor TakeLock(string file, string path)
    {
        FileDescriptor held = Files.Open(null, file, O_RDWR_CREAT_CLOEXEC, 0b110_000_000, out Errno refused)
            ?? throw new StartRefusedException($"cannot open {file}: {refused.Text}", Cli.ExitCode.SystemRefused);
        if (HostLibc.flock(held.Number, LOCK_EX_NB) != 0)
        {
            string holder = Files.ReadText(file)?.Trim() ?? "";
            held.Dispose();
            throw new StartRefusedException($"another supervisor (pid {holder}) runs in {path}: stop it with 'launchd-cs shutdown', or give this one another name", Cli.ExitCode.TimedOut);
        }
        byte[] pid = Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
        _ = HostLibc.ftruncate(held.Number, 0);
        fixed (byte* text = pid)
            _ = Libc.write(held.Number, text, (nuint)pid.Length);
        return held;
    }
}
