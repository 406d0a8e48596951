using System.Collections.Concurrent;
using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Listening;

/// <summary>
/// A second name of the socket or FIFO at a listener's path. Whoever removes the path leaves this one, and from it the path is made again:
/// with the same inode, so that clients reach the same open socket.
/// </summary>
/// <param name="Folder">Borrowed.</param>
/// <param name="Number">Its name in it.</param>
internal sealed record SpareLink(FileDescriptor Folder, long Number)
{
    public string Name => Number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>
/// Makes spare links, in folders that nobody but this process's user may enter: one in the runtime directory, and where a path lies in
/// another mount (link(2): EXDEV) a hidden one beside it. May be used from any thread; owns the folders.
/// </summary>
internal sealed class SpareLinks : IDisposable
{
    private const int OwnerOnly = 0b111_000_000;

    private readonly FileDescriptor? _own;
    private readonly string _besideName;
    private long _count;
    private readonly ConcurrentDictionary<(ulong Device, ulong Inode), Beside> _beside = [];

    private SpareLinks(FileDescriptor? ownTaken, string besideName)
    {
        _own = ownTaken;
        _besideName = besideName;
    }

    /// <param name="directory">The runtime directory, borrowed.</param>
    /// <param name="name">Of the folder in it; what is in it was left by a supervisor before this one and is removed.</param>
    /// <param name="mark">
    /// Tells supervisors apart that have sockets in one directory, and is the same for the next one of the same name.
    /// </param>
    public static SpareLinks Open(FileDescriptor directory, string name, string mark)
    {
        FileDescriptor? own = OwnDirectory.TryMake(directory, name, OwnerOnly, out _, out _);
        if (own is not null)
            OwnDirectory.Empty(own);
        return new SpareLinks(own, ".launchd-cs-" + mark);
    }

    /// <summary>Gives what lies at a path a second name. Null: that cannot be, or must not.</summary>
    /// <param name="parent">Directory of the path.</param>
    /// <param name="path">What was made there; if something else is there by now, there is no link.</param>
    public SpareLink? Make(ParentDirectory parent, OwnedPath path)
    {
        // In a directory of root's where others may make entries, a second link is how a stranger's doing is told from ours (PathWalk).
        if (parent is { IsOpenToOthers: true, Decider: null })
            return null;
        // Never a name again that somebody may still be about to remove.
        long number = Interlocked.Increment(ref _count);
        if (_own is not null && TryLink(parent, path, new SpareLink(_own, number)) is { } link)
            return link;
        return FolderBeside(parent) is { } folder ? TryLink(parent, path, new SpareLink(folder, number)) : null;
    }

    /// <summary>Whether the folder in the runtime directory is still the one that was made there.</summary>
    /// <param name="directory">The runtime directory, borrowed.</param>
    /// <param name="name">Of the folder in it.</param>
    public bool IsThere(FileDescriptor directory, string name) => _own is not null
        && FileStatus.ReadNoFollow(directory.Number, name, out FileStatus now) == Errno.None
        && FileStatus.Read(_own, out FileStatus made) == Errno.None && now.IsSameFile(made);

    public static void Remove(SpareLink link) => _ = Files.Unlink(link.Folder, link.Name);

    /// <summary>Removes all links, and the folders beside paths.</summary>
    public void Dispose()
    {
        foreach (Beside beside in _beside.Values)
        {
            if (beside.Folder is not null)
            {
                OwnDirectory.Empty(beside.Folder);
                beside.Folder.Dispose();
                _ = Files.Unlink(beside.Parent!, _besideName, isDirectory: true);
            }
            beside.Parent?.Dispose();
        }
        if (_own is null)
            return;
        OwnDirectory.Empty(_own);
        _own.Dispose();
    }

    private static SpareLink? TryLink(ParentDirectory parent, OwnedPath path, SpareLink link)
    {
        string name = link.Name;
        if (Files.Link(parent.Directory, parent.Name, link.Folder, name) != Errno.None)
            return null;
        // Somebody may have put another thing at the path, which is nothing to come back to.
        bool isRead = FileStatus.ReadNoFollow(link.Folder.Number, name, out FileStatus linked) == Errno.None;
        if (isRead && linked.Device == path.Device && linked.Inode == path.Inode)
            return link;
        _ = Files.Unlink(link.Folder, name);
        return null;
    }

    private FileDescriptor? FolderBeside(ParentDirectory parent)
    {
        if (FileStatus.Read(parent.Directory, out FileStatus status) != Errno.None)
            return null;
        // In somebody else's directory he could not remove what we leave there when we are killed.
        return _beside.GetOrAdd((status.Device, status.Inode),
            _ => status.Uid == Libc.geteuid() ? OpenBeside(parent) : new Beside(null, null)).Folder;
    }

    private Beside OpenBeside(ParentDirectory parent)
    {
        FileDescriptor? folder = OwnDirectory.TryMake(parent.Directory, _besideName, OwnerOnly, out _, out _);
        if (folder is null)
            return new Beside(null, null);
        OwnDirectory.Empty(folder);
        return new Beside(Files.Duplicate(parent.Directory, closer: null, out _), folder);
    }

    /// <summary>A folder beside paths, and the directory in which it lies. Null: there can be none.</summary>
    private sealed record Beside(FileDescriptor? Parent, FileDescriptor? Folder);
}
