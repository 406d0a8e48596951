using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>What somebody has done to the path of a listener.</summary>
internal enum PathFault
{
    None,

    /// <summary>It was removed, or renamed.</summary>
    Removed,

    /// <summary>A socket lies there to which nobody listens any more.</summary>
    Replaced,

    /// <summary>Another mode or owner.</summary>
    Changed,

    /// <summary>Something of somebody else's lies there, which is not ours to remove.</summary>
    Taken,

    /// <summary>Its directory cannot be opened.</summary>
    Unreachable,
}

/// <summary>What was found at a path, and whether it is as it was made now.</summary>
/// <param name="Fault">The worst that was found.</param>
/// <param name="IsMended">True also if nothing was wrong.</param>
/// <param name="Words">For people: what was wrong, with both values, or who has the path. Null: nothing was wrong.</param>
/// <param name="Failure">Why it could not be mended, where there is more to say.</param>
internal sealed record PathFinding(PathFault Fault, bool IsMended, string? Words = null, OpenFailure? Failure = null)
{
    /// <summary>Only a new socket can be reached there.</summary>
    public bool NeedsNew => !IsMended && Fault is (PathFault.Removed or PathFault.Replaced);

    public static PathFinding Well { get; } = new(PathFault.None, IsMended: true);
}

/// <summary>
/// Puts back what a holder or a stranger has done to the path of a listener, without a new listener: the same inode gets its name again.
/// What somebody else put there stays. May wait for the file system; nothing that is passed is kept.
/// </summary>
internal static class PathRepair
{
    /// <summary>Somebody may change the path again and again while it is mended.</summary>
    private const int MostTurns = 4;

    /// <param name="owned">As it was made.</param>
    /// <param name="spare">Its second name; null: it has none, and a removed path is only told.</param>
    /// <param name="request">Mode, owner, and the mode of directories that have to be made again.</param>
    public static PathFinding Mend(OwnedPath owned, SpareLink? spare, ListenerRequest request)
    {
        string subject = $"cannot put {owned.Path} back";
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(owned.Path, request.DirectoryMode, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return new PathFinding(PathFault.Unreachable, IsMended: false, "its directory cannot be opened", failure);
        using ParentDirectory held = parent;
        PathFinding found = PathFinding.Well;
        for (int turn = 0; turn < MostTurns; turn++)
        {
            Errno refused = FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus status);
            if (refused == Errno.None && status.Device == owned.Device && status.Inode == owned.Inode)
                return Worse(found, MendNode(parent, owned, request));
            if (refused != Errno.None && refused != Errno.ENOENT)
            {
                return new PathFinding(
                    PathFault.Unreachable, IsMended: false, "it cannot be looked at", new OpenFailure("statx", subject, refused));
            }
            found = refused == Errno.ENOENT ? new PathFinding(PathFault.Removed, IsMended: true, "its path was removed")
                : new PathFinding(PathFault.Replaced, IsMended: true, "its path was taken by a socket to which nobody listens");
            if (refused == Errno.None && WhoHas(parent, owned, status) is { } other)
                return new PathFinding(PathFault.Taken, IsMended: false, other);
            if (spare is null)
                return found with { IsMended = false };
            refused = refused == Errno.ENOENT
                ? Files.Link(spare.Folder, spare.Name, parent.Directory, parent.Name)
                : PutOver(parent, spare);
            if (refused != Errno.None && refused != Errno.EEXIST)
                return found with { IsMended = false, Failure = new OpenFailure("linkat", subject, refused, Remedy.ForPath(refused)) };
        }
        // It was put back each time, and whoever takes it away again is heard of again.
        return found;
    }

    /// <summary>The same for a symbolic link that leads to the path.</summary>
    /// <param name="alias">As it was made.</param>
    /// <param name="target">Where it leads.</param>
    /// <param name="directoryMode">Of directories that have to be made again.</param>
    /// <param name="next">The link that is there now; the same as <paramref name="alias"/> if nothing was wrong.</param>
    public static PathFinding MendAlias(OwnedPath alias, string target, int directoryMode, out OwnedPath next)
    {
        next = alias;
        Errno refused = FileStatus.ReadNoFollow(AT_FDCWD, alias.Path, out FileStatus status);
        if (refused == Errno.None && status.Device == alias.Device && status.Inode == alias.Inode)
            return PathFinding.Well;
        if (!UnixPath.MakeAlias(alias.Path, target, directoryMode).TryGet(out OwnedPath? made, out OpenFailure? failure))
        {
            return failure.Errno == Errno.EEXIST ? new PathFinding(PathFault.Taken, IsMended: false, failure.Explanation)
                : new PathFinding(PathFault.Unreachable, IsMended: false, "its link cannot be made", failure);
        }
        next = made;
        return new PathFinding(PathFault.Removed, IsMended: true, $"its link {alias.Path} was removed");
    }

    // Of two that are mended the first is told, which is the one that clients noticed.
    private static PathFinding Worse(PathFinding first, PathFinding second) =>
        second.Fault == PathFault.None || (first.Fault != PathFault.None && second.IsMended) ? first : second;

    private static PathFinding MendNode(ParentDirectory parent, OwnedPath owned, ListenerRequest request)
    {
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null || FileStatus.Read(node, out FileStatus status) != Errno.None
            || status.Inode != owned.Inode || status.Device != owned.Device)
        {
            return PathFinding.Well; // removed at this moment: that is told, and looked at, by itself
        }
        // Without one in the request the group is the kernel's choice: of the directory, if that has the bit for it (inode(7)).
        PathOwner wanted = new(request.Owner.Uid ?? Libc.geteuid(), request.Owner.Gid ?? status.Gid);
        bool isOwned = status.Uid == wanted.Uid && status.Gid == wanted.Gid;
        if (isOwned && status.Mode == request.Mode)
            return PathFinding.Well;
        string words = isOwned ? $"its mode was changed from 0{Octal(request.Mode)} to 0{Octal(status.Mode)}"
            : status.Uid != wanted.Uid ? $"its owner was changed from user {wanted.Uid} to user {status.Uid}"
            : $"its owner was changed from group {wanted.Gid} to group {status.Gid}";
        if (!isOwned)
            refused = Files.SetOwner(node, wanted);
        // inode(7): the mode last, because a change of owner takes bits away.
        if (refused == Errno.None)
            refused = Files.SetNodeMode(node, request.Mode);
        return refused == Errno.None ? new PathFinding(PathFault.Changed, IsMended: true, words)
            : new PathFinding(PathFault.Changed, IsMended: false, words,
                new OpenFailure("fchmodat", $"cannot put mode and owner of {owned.Path} back", refused, Remedy.ForOwner(refused)));
    }

    /// <summary>
    /// What lies at the path, and whose it is, in words. Null: a socket that a program made there and left when it
    /// ended, as dead as one that is found at the start.
    /// </summary>
    private static string? WhoHas(ParentDirectory parent, OwnedPath owned, FileStatus status)
    {
        if (owned.Kind != PathKind.Socket || status.Kind != FileKind.Socket)
            return $"{status.KindText} lies there";
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out _);
        if (node is null || FileStatus.Read(node, out FileStatus opened) != Errno.None || !opened.IsSameFile(status))
            return "it changes all the time";
        return UnixPath.Probe(node, UnixSocketKind.Stream, out PortHolder? holder) == Errno.ECONNREFUSED ? null
            : holder?.ToString() ?? "another program listens there";
    }

    // By a rename, so that there is no moment without anything at the path.
    private static Errno PutOver(ParentDirectory parent, SpareLink spare)
    {
        string beside = $".new-{spare.Name}";
        _ = Files.Unlink(parent.Directory, beside);
        Errno refused = Files.Link(spare.Folder, spare.Name, parent.Directory, beside);
        if (refused == Errno.None)
            refused = Files.Rename(parent.Directory, beside, parent.Name, 0);
        // rename(2): two names of one inode are left as they are, and the one that was to go stays.
        if (refused == Errno.None)
            _ = Files.Unlink(parent.Directory, beside);
        return refused;
    }

    private static string Octal(int mode) => Convert.ToString(mode, 8);
}
