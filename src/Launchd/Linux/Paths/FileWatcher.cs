using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Paths;

/// <summary>
/// Tells of changes to files and to everything below directories, also what is made there later: inotify(7). Temporary files of editors and
/// files that compilers write are ignored. Borrows nothing; owns its descriptor.
/// </summary>
internal sealed class FileWatcher : IDisposable
{
    private const uint Interesting = Libc.IN_CLOSE_WRITE | Libc.IN_MOVED_FROM | Libc.IN_MOVED_TO | Libc.IN_CREATE | Libc.IN_DELETE
        | Libc.IN_DELETE_SELF | Libc.IN_MOVE_SELF | Libc.IN_ONLYDIR | Libc.IN_EXCL_UNLINK;

    // Files that are written while a program is built or started would restart it again and again.
    private static readonly string[] BuiltDirectories = ["node_modules", "__pycache__", "obj", "target"];

    private readonly Dictionary<int, Watched> _watched = [];
    private readonly Inotify _inotify;
    private readonly string[] _roots;

    private FileWatcher(Inotify inotifyTaken, string[] roots)
    {
        _inotify = inotifyTaken;
        _roots = roots;
    }

    /// <summary>Readable when something happened.</summary>
    public FileDescriptor Descriptor => _inotify.Descriptor;

    /// <summary>How many directories are watched.</summary>
    public int DirectoryCount => _watched.Count;

    /// <summary>Begins to watch files and directories that exist.</summary>
    /// <param name="paths">Absolute.</param>
    /// <param name="problem">A sentence with the remedy, when the result is null.</param>
    public static FileWatcher? Open(IEnumerable<string> paths, out string? problem)
    {
        if (Inotify.Open(out Errno refused) is not { } inotify)
        {
            problem = $"cannot watch files: {refused.Text}; raise fs.inotify.max_user_instances";
            return null;
        }
        FileWatcher watcher = new(inotify, [.. paths]);
        problem = watcher._roots.Select(watcher.AddRoot).FirstOrDefault(p => p is not null);
        if (problem is null)
            return watcher;
        watcher.Dispose();
        return null;
    }

    /// <summary>
    /// Reads the events that came. Returns the last changed path that counts (editors write another
    /// file and rename it), or null. Never waits.
    /// </summary>
    public string? Read()
    {
        string? changed = null;
        _inotify.Read((watch, events, name) => changed = Take(watch, events, name) ?? changed);
        return changed;
    }

    public void Dispose() => _inotify.Dispose();

    /// <summary>Whether a name is one that editors use while they save.</summary>
    public static bool IsPassing(string name) =>
        name.EndsWith('~') || name.StartsWith(".#", StringComparison.Ordinal) || (name.StartsWith('#') && name.EndsWith('#'))
        || name is "4913" || name.EndsWith(".tmp", StringComparison.Ordinal) || name.EndsWith(".pyc", StringComparison.Ordinal)
        || name.StartsWith(".goutputstream-", StringComparison.Ordinal) || name.Contains("___jb_", StringComparison.Ordinal)
        || (name.StartsWith('.') && Path.GetExtension(name) is ".swp" or ".swo" or ".swx" or ".kate-swp");

    private static bool IsPassedOver(string directory)
    {
        string name = Path.GetFileName(directory);
        // "bin" is a place for programs too; beside "obj" it is what a compiler makes.
        return name.StartsWith('.') || BuiltDirectories.Contains(name)
            || (name == "bin" && IsDirectory(Path.Combine(Path.GetDirectoryName(directory)!, "obj")));
    }

    private string? AddRoot(string path)
    {
        if (IsDirectory(path))
            return AddTree(path);
        if (FileStatus.ReadFollow(path, out _) != Errno.None)
            return $"cannot watch {path}: there is no such file or directory";
        // Editors put another file in the place of a watched one, so the directory is watched.
        string directory = Path.GetDirectoryName(path)!;
        return Add(directory, Path.GetFileName(path));
    }

    private string? AddTree(string directory)
    {
        Stack<string> open = new([directory]);
        while (open.TryPop(out string? next))
        {
            if (Add(next, onlyName: null) is { } problem)
                return problem;
            foreach ((string path, FileKind kind) in EntriesOf(next))
            {
                if (kind == FileKind.Directory && !IsPassedOver(path))
                    open.Push(path);
            }
        }
        return null;
    }

    private string? Add(string directory, string? onlyName)
    {
        int watch = _inotify.Add(directory, Interesting, out Errno refused);
        if (watch < 0)
        {
            if (refused == Errno.ENOENT || refused == Errno.ENOTDIR || refused == Errno.EACCES)
                return null;
            string reason = refused == Errno.ENOSPC
                ? $"{_watched.Count} directories are all that fs.inotify.max_user_watches allows; raise it or watch less"
                : refused.Text;
            return $"cannot watch {directory}: {reason}";
        }
        if (!_watched.TryGetValue(watch, out Watched? known) || known.Directory != directory)
            _watched[watch] = known = new Watched(directory, onlyName is null ? null : []);
        if (onlyName is null)
            known.Names = null;
        else
            known.Names?.Add(onlyName);
        return null;
    }

    private string? Take(int watch, uint mask, string name)
    {
        if ((mask & Libc.IN_Q_OVERFLOW) != 0)
            return Rescan();
        if (!_watched.TryGetValue(watch, out Watched? of))
            return null;
        if ((mask & Libc.IN_IGNORED) != 0)
        {
            _watched.Remove(watch);
            return null;
        }
        if ((mask & (Libc.IN_DELETE_SELF | Libc.IN_MOVE_SELF)) != 0)
            return _roots.Contains(of.Directory) ? of.Directory : null;
        string path = Path.Combine(of.Directory, name);
        if (of.Names is { } names && !names.Contains(name))
            return null;
        if ((mask & Libc.IN_ISDIR) != 0)
            return of.Names is null ? TakeDirectory(path, mask) : null;
        if (IsPassing(name))
            return null;
        // A new file is still empty, and an event for the end of writing follows; for a new link no other event follows.
        return mask == Libc.IN_CREATE && Files.ReadLink(null, path) is null ? null : path;
    }

    private string? TakeDirectory(string path, uint mask)
    {
        if (IsPassedOver(path))
            return null;
        if ((mask & (Libc.IN_MOVED_FROM | Libc.IN_DELETE)) != 0)
        {
            Forget(path);
            return path;
        }
        _ = AddTree(path);
        // Files may have been made in the directory before it was watched.
        return HasFiles(path) ? path : null;
    }

    private static bool HasFiles(string directory)
    {
        Stack<string> open = new([directory]);
        while (open.TryPop(out string? next))
        {
            foreach ((string path, FileKind kind) in EntriesOf(next))
            {
                if (kind == FileKind.Directory)
                    open.Push(path);
                else if (!IsPassing(Path.GetFileName(path)))
                    return true;
            }
        }
        return false;
    }

    // A directory that was removed meanwhile, or must not be read, has none: the watch on its parent has to do.
    private static IEnumerable<(string Path, FileKind Kind)> EntriesOf(string directory)
    {
        using FileDescriptor? opened = Files.OpenDirectory(directory);
        if (opened is null)
            yield break;
        foreach (string name in Files.Names(opened))
        {
            if (FileStatus.ReadNoFollow(opened.Number, name, out FileStatus status) == Errno.None)
                yield return (Path.Join(directory, name), status.Kind);
        }
    }

    private static bool IsDirectory(string path) =>
        FileStatus.ReadFollow(path, out FileStatus status) == Errno.None && status.Kind == FileKind.Directory;

    /// <summary>The kernel lost events: watches everything that is there now, and reports a change.</summary>
    private string Rescan()
    {
        foreach (string root in _roots)
            _ = AddRoot(root);
        return _roots[0];
    }

    /// <summary>Ends the watches below a directory that was moved away: they would go on under a name that is wrong now.</summary>
    private void Forget(string directory)
    {
        foreach ((int watch, Watched of) in _watched.ToArray())
        {
            if (of.Directory != directory && !of.Directory.StartsWith(directory + "/", StringComparison.Ordinal))
                continue;
            _inotify.Remove(watch);
            _watched.Remove(watch);
        }
    }

    /// <param name="directory">Absolute.</param>
    /// <param name="names">Which names in it count; null: all.</param>
    private sealed class Watched(string directory, HashSet<string>? names)
    {
        public string Directory => directory;
        public HashSet<string>? Names { get; set; } = names;
    }
}
