using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>What a file is opened for.</summary>
internal enum OpenAccess { Read, Write, Append, ReadWrite }

/// <summary>A file to be opened by an absolute path.</summary>
internal sealed record FileRequest
{
    public required string Path { get; init; }
    public OpenAccess Access { get; init; }

    /// <summary>Permission bits of a file that has to be made, whatever the umask is; null: it must exist.</summary>
    public int? CreateMode { get; init; }
    public bool Truncate { get; init; }

    /// <summary>Owner of a file that has to be made; one that exists keeps its own.</summary>
    public PathOwner Owner { get; init; } = PathOwner.Own;

    /// <summary>
    /// The user for whom it is opened: where others than root decide about the path, root opens the file with this user's
    /// rights alone. Null: for no user in particular.
    /// </summary>
    public Credentials? User { get; init; }

    /// <summary>Whether the descriptor is non-blocking: for files that this process reads itself and must not wait for.</summary>
    public bool IsNonBlocking { get; init; }
}

/// <summary>Changes of anonymous memory that are forbidden to everybody, memfd_create(2).</summary>
[Flags]
internal enum MemorySeals { None = 0, Shrink = 1, Grow = 2, Write = 4 }

/// <summary>
/// Opens files, directories and anonymous memory: close-on-exec, never as controlling terminal, and never waiting (a FIFO without a partner
/// and a terminal without a carrier would stop the caller for good).
/// </summary>
internal static unsafe class FileOpener
{
    private const int OutputMode = 0b110_100_000;
    public const int CreateAttemptCount = 8;

    /// <summary>A regular file, device or FIFO. The descriptor is blocking, as if the program had opened the file itself.</summary>
    public static OpenResult<FileDescriptor> Open(FileRequest request)
    {
        string subject = $"cannot open {request.Path}";
        int flags = FlagsOf(request.Access) | O_NOCTTY | O_NONBLOCK | (request.Truncate ? O_TRUNC : 0);
        if (Libc.geteuid() == 0 && ForeignFile.Open(request, flags, subject) is { } foreign)
            return foreign.TryGet(out FileDescriptor? opened, out OpenFailure? failure) ? Finish(opened, request, subject) : failure;
        FileDescriptor? file = null;
        Errno refused = Errno.ENOENT;
        // First only opens, then only makes the file, because only O_EXCL tells who made it; in between
        // another process may make or remove it.
        for (int attempt = 0; attempt < CreateAttemptCount && file is null && refused == Errno.ENOENT; attempt++)
        {
            if (request.CreateMode is { } mode)
            {
                OpenResult<FileDescriptor> made = Create(request, flags, mode, subject);
                if (made.TryGet(out file, out OpenFailure? notMade))
                    break;
                if (notMade.Errno != Errno.EEXIST)
                    return notMade;
            }
            file = Files.Open(null, request.Path, flags, 0, out refused);
            if (request.CreateMode is null)
                break;
        }
        if (file is null)
            return new OpenFailure("open", subject, refused, Explain(refused, request));
        return Finish(file, request, subject);
    }

    /// <summary>A service's output file: opened for appending, made with mode 0640 and its user for owner if it is missing.</summary>
    public static OpenResult<FileDescriptor> OpenOutput(string path, Credentials? user) => Open(new FileRequest
    {
        Path = path, Access = OpenAccess.Append, CreateMode = OutputMode,
        Owner = user is null ? PathOwner.Own : new PathOwner(user.Uid, user.Gid), User = user,
    });

    /// <summary>A place to open files below, O_PATH: nothing can be read through it.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="user">As in <see cref="FileRequest.User"/>.</param>
    public static OpenResult<FileDescriptor> OpenDirectory(string path, Credentials? user = null)
    {
        if (Libc.geteuid() == 0 && ForeignFile.OpenDirectory(path, user, $"cannot open directory {path}") is { } foreign)
            return foreign;
        FileDescriptor? directory = Files.Open(null, path, O_PATH | O_DIRECTORY, 0, out Errno refused);
        return directory is not null ? directory : new OpenFailure("open", $"cannot open directory {path}", refused,
            Remedy.ForPath(refused));
    }

    /// <summary>Anonymous memory of a size, with exactly these seals: nobody can add one later.</summary>
    /// <param name="name">Shown in /proc; at most 249 bytes.</param>
    /// <param name="sizeBytes">The memory is taken as it is touched.</param>
    /// <param name="seals">Set after the size.</param>
    public static OpenResult<FileDescriptor> OpenMemory(string name, long sizeBytes, MemorySeals seals)
    {
        string subject = $"cannot make memory '{name}' of {sizeBytes} bytes";
        FileDescriptor? memory = CreateMemory(name, out Errno refused);
        if (memory is null)
            return new OpenFailure("memfd_create", subject, refused);
        string call = "ftruncate";
        refused = ftruncate(memory.Number, sizeBytes) < 0 ? Errno.Last : Errno.None;
        if (refused == Errno.None)
        {
            call = "fcntl";
            refused = fcntl(memory.Number, F_ADD_SEALS, F_SEAL_SEAL | SealBits(seals)) < 0 ? Errno.Last : Errno.None;
        }
        if (refused == Errno.None)
            return memory;
        memory.Dispose();
        return new OpenFailure(call, subject, refused);
    }

    private static OpenResult<FileDescriptor> Create(FileRequest request, int flags, int mode, string subject)
    {
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(request.Path, directoryMode: null, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;
        return CreateIn(parent.Directory, parent.Name, request, flags, mode, subject);
    }

    // The file is made with narrow permissions, given to its owner, and then gets the asked mode: so the umask does not
    // matter, and the file is never more open than asked.
    internal static OpenResult<FileDescriptor> CreateIn(
        FileDescriptor directory, string name, FileRequest request, int flags, int mode, string subject)
    {
        FileDescriptor? file = Files.Open(directory, name, flags | O_CREAT | O_EXCL, mode & 0b110_000_000, out Errno refused);
        if (file is null)
            return new OpenFailure("open", subject, refused, Explain(refused, request));
        string call = "fchown";
        refused = Files.SetOwner(file, request.Owner);
        if (refused == Errno.None)
        {
            call = "fchmod";
            refused = Files.SetMode(file, mode);
        }
        if (refused == Errno.None)
            return file;
        _ = Files.Unlink(directory, name);
        file.Dispose();
        return new OpenFailure(call, subject, refused, Remedy.ForOwner(refused));
    }

    private static OpenResult<FileDescriptor> Finish(FileDescriptor fileTaken, FileRequest request, string subject)
    {
        Errno refused = request.IsNonBlocking ? Errno.None : Files.SetNonBlocking(fileTaken, isNonBlocking: false);
        if (refused == Errno.None)
            return fileTaken;
        fileTaken.Dispose();
        return new OpenFailure("fcntl", subject, refused);
    }

    /// <summary>Empty memory that can be sealed, close-on-exec. Null with the reason.</summary>
    public static FileDescriptor? CreateMemory(string name, out Errno refused)
    {
        fixed (byte* text = CString.From(name))
        {
            int number = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING | Libc.MFD_NOEXEC_SEAL);
            // EINVAL: the kernel is older than Linux 6.3.
            if (number < 0 && Errno.Last == Errno.EINVAL)
                number = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING);
            refused = number < 0 ? Errno.Last : Errno.None;
            return number < 0 ? null : new FileDescriptor(number);
        }
    }

    private static int SealBits(MemorySeals seals) =>
        (seals.HasFlag(MemorySeals.Shrink) ? F_SEAL_SHRINK : 0) | (seals.HasFlag(MemorySeals.Grow) ? F_SEAL_GROW : 0)
        | (seals.HasFlag(MemorySeals.Write) ? F_SEAL_WRITE : 0);

    private static int FlagsOf(OpenAccess access) => access switch
    {
        OpenAccess.Read => O_RDONLY,
        OpenAccess.Write => O_WRONLY,
        OpenAccess.Append => O_WRONLY | O_APPEND,
        _ => O_RDWR,
    };

    internal static string? Explain(Errno refused, FileRequest request)
    {
        if (refused == Errno.ENXIO)
        {
            _ = FileStatus.ReadFollow(request.Path, out FileStatus status);
            return status.Kind switch
            {
                FileKind.Fifo => "the FIFO has no reader; open it as read-write",
                FileKind.Socket => "it is a socket; use connect",
                _ => "no driver serves the device",
            };
        }
        if (refused == Errno.ENOENT)
            return request.CreateMode is null ? "create = \"0640\" would make it" : "it is a symbolic link that leads nowhere";
        if (refused == Errno.EACCES)
            return "this user may not open it so";
        return Remedy.ForPath(refused);
    }
}
