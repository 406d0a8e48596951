using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>
/// The directory in which a path lies, held open so that nobody can redirect what is done there, and the path's last component. Symbolic
/// links are followed up to the directory, never in the last component; root follows another user's link only to a directory of that user
/// (<see cref="PathWalk"/>). Remembers which directories were made.
/// </summary>
internal sealed class ParentDirectory : IDisposable
{
    private readonly List<(FileDescriptor Parent, string Name)> _made;

    private ParentDirectory(FileDescriptor directoryTaken, string name, List<(FileDescriptor Parent, string Name)> madeTaken)
    {
        Directory = directoryTaken;
        Name = name;
        _made = madeTaken;
    }

    public FileDescriptor Directory { get; }

    /// <summary>The last component.</summary>
    public string Name { get; }

    /// <summary>
    /// For root: whether another user may put entries into the directory, so that the file there may be
    /// that user's. Always false for any other user.
    /// </summary>
    public bool IsOpenToOthers { get; private init; }

    /// <summary>The user whose directory it is then; null: it is root's own, in which others may write.</summary>
    public uint? Decider { get; private init; }

    /// <summary>Opens the directory of an absolute path.</summary>
    /// <param name="path">Absolute, with a name at its end.</param>
    /// <param name="directoryMode">Permission bits of the directories that have to be made; null: a missing one is an error.</param>
    /// <param name="subject">What this is for, for the failure's sentence.</param>
    public static OpenResult<ParentDirectory> Open(string path, int? directoryMode, string subject)
    {
        int slash = path.LastIndexOf('/');
        string name = path[(slash + 1)..];
        if (!path.StartsWith('/') || name is "" or "." or "..")
            return new OpenFailure("open", subject, Errno.EINVAL, $"'{path}' is not an absolute path that ends in a name");
        string parent = slash == 0 ? "/" : path[..slash];
        if (Libc.geteuid() == 0)
            return OpenAsRoot(parent, name, directoryMode, subject);
        FileDescriptor? directory = Files.Open(null, parent, O_PATH | O_DIRECTORY, 0, out Errno refused);
        List<(FileDescriptor, string)> made = [];
        if (directory is null && refused == Errno.ENOENT && directoryMode is { } mode)
        {
            FileDescriptor? root = Files.Open(null, "/", O_PATH | O_DIRECTORY, 0, out refused);
            directory = root is null ? null : Make(root, parent.Split('/', StringSplitOptions.RemoveEmptyEntries), mode, made, out refused);
        }
        if (directory is not null)
            return new ParentDirectory(directory, name, made);
        RemoveMade(made);
        return new OpenFailure("open", subject, refused, Remedy.ForDirectory(parent, refused));
    }

    private static OpenResult<ParentDirectory> OpenAsRoot(string path, string name, int? directoryMode, string subject)
    {
        using PathWalk walk = PathWalk.Along(path, user: null);
        if (walk.Node is not null && walk.NodeStatus.Kind != FileKind.Directory)
            return new OpenFailure("open", subject, Errno.ENOTDIR, Remedy.ForDirectory(path, Errno.ENOTDIR));
        if (walk.Node is not null ? !walk.MayMakeInside : walk.Parent is not null && !walk.MayMake)
            return new OpenFailure("open", subject, Errno.EPERM, walk.Explain());
        if (walk.Node is not null)
        {
            bool isRoots = walk.IsRoots && walk.IsNodeRoots;
            uint? decider = isRoots || walk.NodeStatus.Uid == 0 ? null : walk.NodeStatus.Uid;
            return new ParentDirectory(walk.TakeNode()!, name, []) { IsOpenToOthers = !isRoots, Decider = decider };
        }
        Errno refused = walk.Refused == Errno.None ? Errno.ENOENT : walk.Refused;
        if (refused != Errno.ENOENT || directoryMode is not { } mode || walk.Parent is null)
            return new OpenFailure("open", subject, refused, Remedy.ForDirectory(path, refused));
        List<(FileDescriptor, string)> made = [];
        FileDescriptor? start = Files.Duplicate(walk.Parent, closer: null, out refused);
        FileDescriptor? directory = start is null ? null : Make(start, [walk.Name, .. walk.Missing], mode, made, out refused);
        if (directory is not null)
            return new ParentDirectory(directory, name, made) { IsOpenToOthers = !walk.IsRoots };
        RemoveMade(made);
        return new OpenFailure("open", subject, refused, Remedy.ForDirectory(path, refused));
    }

    /// <summary>Looks whether a file could be made at a path, with its missing directories; null: it could.</summary>
    public static unsafe OpenFailure? Look(string path, string subject)
    {
        string parent = DirectoryOf(path), nearest = parent;
        if (Libc.geteuid() == 0)
        {
            using PathWalk walk = PathWalk.Along(parent, user: null);
            if (walk.Node is not null ? !walk.MayMakeInside : walk.Parent is not null && !walk.MayMake)
                return new OpenFailure("open", subject, Errno.EPERM, walk.Explain());
        }
        while (true)
        {
            using FileDescriptor? directory = Files.Open(null, nearest, O_PATH | O_DIRECTORY, 0, out Errno refused);
            if (directory is not null)
                break;
            if (refused != Errno.ENOENT || nearest == "/")
                return new OpenFailure("open", subject, refused, Remedy.ForDirectory(parent, refused));
            nearest = DirectoryOf(nearest);
        }
        fixed (byte* text = CString.From(nearest))
        {
            // Asks for what this process may really do, with its effective user and capabilities (access(2)).
            if (faccessat(AT_FDCWD, text, W_OK | X_OK, AT_EACCESS) == 0)
                return null;
        }
        Errno denied = Errno.Last;
        return new OpenFailure(
            "faccessat", subject, denied, nearest == parent ? Remedy.ForPath(denied) : Remedy.ForDirectory(parent, denied));
    }

    private static string DirectoryOf(string path) => path.LastIndexOf('/') is > 0 and int slash ? path[..slash] : "/";

    /// <summary>The same directory for another name in it. Ends with this one, which keeps the descriptor.</summary>
    public ParentDirectory Named(string name) => new(Directory, name, []) { IsOpenToOthers = IsOpenToOthers, Decider = Decider };

    /// <summary>Takes back the directories that were made, as far as they are still empty.</summary>
    public void Undo() => RemoveMade(_made);

    public void Dispose()
    {
        Directory.Dispose();
        foreach ((FileDescriptor parent, _) in _made)
            parent.Dispose();
    }

    private static FileDescriptor? Make(
        FileDescriptor startTaken, IEnumerable<string> components, int mode, List<(FileDescriptor, string)> made, out Errno refused)
    {
        FileDescriptor? current = startTaken;
        refused = Errno.None;
        foreach (string component in components)
        {
            FileDescriptor parent = current;
            bool isMade = false;
            // Root has walked the path already: a link that is there now was put there since, and is not followed.
            bool isRoot = Libc.geteuid() == 0;
            current = isRoot ? null : Files.Open(parent, component, O_PATH | O_DIRECTORY, 0, out refused);
            if (current is null && (isRoot || refused == Errno.ENOENT))
                current = MakeOne(parent, component, mode, out isMade, out refused);
            if (isMade)
                made.Add((parent, component));
            else
                parent.Dispose();
            if (current is null)
                return null;
        }
        return current;
    }

    // The directory is made with narrow permissions that are widened afterwards: so the umask does not
    // matter, and it is never more open than asked.
    private static FileDescriptor? MakeOne(FileDescriptor parent, string name, int mode, out bool isMade, out Errno refused)
    {
        refused = Files.MakeDirectory(parent, name, mode & 0b111_000_000);
        isMade = refused == Errno.None;
        if (!isMade && refused != Errno.EEXIST)
            return null;
        FileDescriptor? directory = Files.Open(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, out refused);
        if (directory is null)
            return null;
        // Another process may have made it first, or may have put another directory in its place.
        refused = FileStatus.Read(directory, out FileStatus status);
        if (refused == Errno.None && status.Uid != Libc.geteuid())
            refused = Errno.EPERM;
        if (refused == Errno.None && isMade)
            refused = Files.SetNodeMode(directory, mode);
        if (refused == Errno.None)
            return directory;
        directory.Dispose();
        return null;
    }

    private static void RemoveMade(List<(FileDescriptor Parent, string Name)> made)
    {
        // Best effort: a directory into which somebody has put something in the meantime stays.
        for (int i = made.Count - 1; i >= 0; i--)
        {
            _ = Files.Unlink(made[i].Parent, made[i].Name, isDirectory: true);
            made[i].Parent.Dispose();
        }
        made.Clear();
    }
}
