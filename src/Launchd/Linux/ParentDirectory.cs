using Launchd.Client;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>
/// The directory in which a path lies, held open so that what is done there cannot be led elsewhere, and the path's last component.
/// Symbolic links are followed up to the directory, never in the last component. Remembers which directories it had to make.
/// </summary>
internal sealed class ParentDirectory : IDisposable
{
    private readonly List<string> _made;

    private ParentDirectory(FileDescriptor directoryTaken, string name, List<string> made)
    {
        Directory = directoryTaken;
        Name = name;
        _made = made;
    }

    public FileDescriptor Directory { get; }

    /// <summary>The last component.</summary>
    public string Name { get; }

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
        FileDescriptor? directory = Files.Open(null, parent, O_PATH | O_DIRECTORY, 0, out Errno refused);
        List<string> made = [];
        if (directory is null && refused == Errno.ENOENT && directoryMode is { } mode)
            directory = Make(parent, mode, made, out refused);
        if (directory is not null)
            return new ParentDirectory(directory, name, made);
        RemoveMade(made);
        return new OpenFailure("open", subject, refused, Remedy.ForDirectory(parent, refused));
    }

    /// <summary>Whether something could be made at a path, its directories included; null: it could.</summary>
    public static unsafe OpenFailure? Look(string path, string subject)
    {
        string parent = DirectoryOf(path), nearest = parent;
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
            // As what this process really may do: with its effective user and capabilities (access(2)).
            if (faccessat(AT_FDCWD, text, W_OK | X_OK, AT_EACCESS) == 0)
                return null;
        }
        Errno denied = Errno.Last;
        return new OpenFailure("faccessat", subject, denied, nearest == parent ? Remedy.ForPath(denied) : Remedy.ForDirectory(parent, denied));
    }

    private static string DirectoryOf(string path) => path.LastIndexOf('/') is > 0 and int slash ? path[..slash] : "/";

    /// <summary>Takes back the directories that were made, as far as they are still empty.</summary>
    public void Undo() => RemoveMade(_made);

    public void Dispose() => Directory.Dispose();

    private static FileDescriptor? Make(string path, int mode, List<string> made, out Errno refused)
    {
        FileDescriptor? current = Files.Open(null, "/", O_PATH | O_DIRECTORY, 0, out refused);
        string walked = "";
        foreach (string component in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (current is null)
                return null;
            walked += "/" + component;
            using FileDescriptor parent = current;
            current = Files.Open(parent, component, O_PATH | O_DIRECTORY, 0, out refused);
            if (current is null && refused == Errno.ENOENT)
                current = MakeOne(parent, component, walked, mode, made, out refused);
        }
        return current;
    }

    // Narrow first and widened afterwards, so that no umask and no moment makes it more open than asked.
    private static FileDescriptor? MakeOne(FileDescriptor parent, string name, string path, int mode, List<string> made, out Errno refused)
    {
        refused = Files.MakeDirectory(parent, name, mode & 0b111_000_000);
        if (refused != Errno.None && refused != Errno.EEXIST)
            return null;
        bool isOurs = refused == Errno.None;
        if (isOurs)
            made.Add(path);
        FileDescriptor? directory = Files.Open(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, out refused);
        if (directory is null || !isOurs)
            return directory;
        refused = Files.SetNodeMode(directory, mode);
        if (refused == Errno.None)
            return directory;
        directory.Dispose();
        return null;
    }

    private static void RemoveMade(List<string> made)
    {
        // Best effort: a directory into which somebody has put something in the meantime stays.
        for (int i = made.Count - 1; i >= 0; i--)
            _ = Files.Unlink(null, made[i], isDirectory: true);
        made.Clear();
    }
}
