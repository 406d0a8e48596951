using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>What a listener has made in the file system or among the message queues.</summary>
internal enum PathKind { Socket, Fifo, MessageQueue, Alias }

/// <summary>
/// A path that the supervisor made, with the inode by which it is known to be still the same. Plain data. While the socket is open its
/// inode number cannot be used again, so remove the path before closing the descriptor.
/// </summary>
internal sealed record OwnedPath(PathKind Kind, string Path, ulong Device, ulong Inode);

/// <summary>What became of a removal.</summary>
internal enum RemoveOutcome { Removed, AlreadyGone, NotOurs, Refused }

/// <summary>Paths of Unix sockets: made without a moment of wrong permissions, replaced only when dead, removed only when ours.</summary>
internal static class UnixPath
{
    /// <summary>
    /// Binds a fresh socket to an absolute path. A socket at the path on which no process listens any more is replaced; anything
    /// else is refused. On failure nothing is left behind.
    /// </summary>
    public static OpenResult<OwnedPath> Bind(FileDescriptor socket, UnixSocketKind kind, string path, ListenerRequest request,
        string subject)
    {
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(path, request.DirectoryMode, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;
        OpenResult<OwnedPath> bound = BindIn(parent, socket, kind, path, request, subject);
        if (bound.Failure is not null)
            parent.Undo();
        return bound;
    }

    /// <summary>Gives a path of the supervisor another mode and owner; refused when it is not the same file any more.</summary>
    public static OpenFailure? Change(OwnedPath owned, int mode, PathOwner owner)
    {
        string subject = $"cannot change mode and owner of {owned.Path}";
        if (!ParentDirectory.Open(owned.Path, directoryMode: null, subject).TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null)
            return new OpenFailure("open", subject, refused, Remedy.ForPath(refused));
        refused = FileStatus.Read(node, out FileStatus status);
        if (refused != Errno.None || status.Device != owned.Device || status.Inode != owned.Inode)
            return new OpenFailure("statx", subject, refused, "it is not the one that was made here any more");
        PathOwner wanted = new(owner.Uid ?? Libc.geteuid(), owner.Gid ?? Libc.getegid());
        if (status.Uid != wanted.Uid || status.Gid != wanted.Gid)
            refused = Files.SetOwner(node, wanted);
        // inode(7): the mode last, because a change of owner takes bits away.
        if (refused == Errno.None && (status.Mode != mode || status.Uid != wanted.Uid))
            refused = Files.SetNodeMode(node, mode);
        return refused == Errno.None ? null : new OpenFailure("fchownat", subject, refused, Remedy.ForOwner(refused));
    }

    /// <summary>Unlinks a path if it still is the file that the supervisor made.</summary>
    public static RemoveOutcome RemoveIfOurs(OwnedPath owned, out Errno refused)
    {
        if (owned.Kind == PathKind.MessageQueue)
            return MessageQueueOpener.RemoveIfOurs(owned, out refused);
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(owned.Path, directoryMode: null, owned.Path);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return Refused(refused = failure.Errno);
        using ParentDirectory held = parent;
        refused = FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus status);
        if (refused != Errno.None)
            return Refused(refused);
        if (status.Device != owned.Device || status.Inode != owned.Inode || status.Kind != FileKindOf(owned.Kind))
            return RemoveOutcome.NotOurs;
        refused = Files.Unlink(parent.Directory, parent.Name);
        return refused == Errno.None ? RemoveOutcome.Removed : Refused(refused);
    }

    /// <summary>Whether what we made still lies at its path.</summary>
    public static bool IsOurs(ParentDirectory parent, OwnedPath owned) =>
        FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus status) == Errno.None
        && status.Device == owned.Device && status.Inode == owned.Inode;

    /// <summary>The same by the path alone.</summary>
    public static bool LooksOurs(OwnedPath owned) =>
        FileStatus.ReadNoFollow(AT_FDCWD, owned.Path, out FileStatus status) == Errno.None
        && status.Device == owned.Device && status.Inode == owned.Inode;

    /// <summary>
    /// Whether what is at a path now belongs to somebody else and is in use. Null: it is ours, nothing, or a dead socket.
    /// </summary>
    public static OpenFailure? LookForOthers(OwnedPath owned)
    {
        string subject = $"cannot put another socket at {owned.Path}";
        if (LooksOurs(owned) || !ParentDirectory.Open(owned.Path, directoryMode: null, subject).TryGet(out ParentDirectory? parent, out _))
            return null;
        using ParentDirectory held = parent;
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out _);
        if (node is null || FileStatus.Read(node, out FileStatus status) != Errno.None)
            return null;
        if (status.Kind != FileKind.Socket)
            return InTheWay(status, subject);
        return Probe(node, UnixSocketKind.Stream, out PortHolder? holder) == Errno.ECONNREFUSED ? null
            : new OpenFailure("bind", subject, Errno.EADDRINUSE, holder?.ToString() ?? "another program listens there");
    }

    /// <summary>
    /// Gives the path another name in its directory, if it still is the supervisor's and the name is free. Null: it was not renamed.
    /// </summary>
    public static OwnedPath? Rename(OwnedPath owned, string name)
    {
        if (!ParentDirectory.Open(owned.Path, directoryMode: null, owned.Path).TryGet(out ParentDirectory? parent, out _))
            return null;
        using ParentDirectory held = parent;
        bool isOurs = FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus status) == Errno.None
            && status.Device == owned.Device && status.Inode == owned.Inode;
        if (!isOurs || Files.Rename(parent.Directory, parent.Name, name, Libc.RENAME_NOREPLACE) != Errno.None)
            return null;
        return owned with { Path = owned.Path[..^parent.Name.Length] + name };
    }

    /// <summary>
    /// Makes a symbolic link. A link with the same target is kept and counts as made here, a link that leads
    /// nowhere is replaced; anything else is refused.
    /// </summary>
    public static OpenResult<OwnedPath> MakeAlias(string alias, string target, int directoryMode)
    {
        string subject = $"cannot link {alias} to {target}";
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(alias, directoryMode, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;
        failure = Link(parent, alias, target, subject);
        if (failure is null)
        {
            Errno refused = FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus made);
            if (refused == Errno.None)
                return new OwnedPath(PathKind.Alias, alias, made.Device, made.Inode);
            failure = new OpenFailure("statx", subject, refused);
        }
        parent.Undo();
        return failure;
    }

    /// <summary>Whether a socket could be bound to a path, as far as that can be told without making anything; null: it could.</summary>
    public static OpenFailure? Look(string path, string subject)
    {
        if (ParentDirectory.Look(path, subject) is { } noParent)
            return noParent;
        // A path that is too long for an address is given relative to the open directory, whose own name takes up to 18 bytes.
        if (SocketAddress.UnixPath(path) is null && CString.ByteCount(Path.GetFileName(path)) > SocketAddress.LongestUnixPathBytes - 18)
            return new OpenFailure("bind", subject, Errno.ENAMETOOLONG, "the last component is limited to about 85 bytes here");
        Errno refused = FileStatus.ReadNoFollow(AT_FDCWD, path, out FileStatus status);
        return refused == Errno.None && status.Kind != FileKind.Socket ? InTheWay(status, subject) : null;
    }

    /// <summary>Whether a symbolic link could be made there.</summary>
    public static OpenFailure? LookAtAlias(string alias, string? target)
    {
        string subject = $"cannot link {alias} to {target}";
        if (ParentDirectory.Look(alias, subject) is { } noParent)
            return noParent;
        if (FileStatus.ReadNoFollow(AT_FDCWD, alias, out _) != Errno.None)
            return null;
        string? existing = Files.ReadLink(null, alias);
        if (existing is null)
            return new OpenFailure("symlink", subject, Errno.EEXIST, NoLink);
        return existing == target || FileStatus.ReadFollow(alias, out _) == Errno.ENOENT ? null
            : new OpenFailure("symlink", subject, Errno.EEXIST, LeadsTo(existing));
    }

    private const string NoLink = "what is there is not a symbolic link; it is not replaced";

    private static string LeadsTo(string existing) => $"it already leads to {existing}; it is not replaced";

    private static OpenFailure InTheWay(FileStatus status, string subject) =>
        new("bind", subject, Errno.EADDRINUSE, $"{status.KindText} is in the way; only a dead socket is replaced");

    private static OpenFailure? Link(ParentDirectory parent, string alias, string target, string subject)
    {
        // At most twice: the first round may remove a stale socket, the second then takes its place.
        for (bool isCleared = false; ; isCleared = true)
        {
            Errno refused = Files.MakeSymlink(target, parent.Directory, parent.Name);
            if (refused == Errno.None)
                return null;
            if (refused != Errno.EEXIST)
                return new OpenFailure("symlink", subject, refused, Remedy.ForPath(refused));
            string? existing = Files.ReadLink(parent.Directory, parent.Name);
            if (existing == target)
                return null;
            if (existing is null)
                return new OpenFailure("symlink", subject, refused, NoLink);
            if (isCleared || FileStatus.ReadFollow(alias, out _) != Errno.ENOENT)
                return new OpenFailure("symlink", subject, refused, LeadsTo(existing));
            refused = Files.Unlink(parent.Directory, parent.Name);
            if (refused != Errno.None && refused != Errno.ENOENT)
                return new OpenFailure("unlink", subject, refused, Remedy.ForPath(refused));
        }
    }

    private static OpenResult<OwnedPath> BindIn(
        ParentDirectory parent, FileDescriptor socket, UnixSocketKind kind, string path, ListenerRequest request, string subject)
    {
        // unix(7), inode(7): the path gets the mode that the unbound socket has, less the umask. So the path is never more open than
        // asked; the bits that the umask took are set below.
        Errno refused = Files.SetMode(socket, request.Mode);
        if (refused != Errno.None)
            return new OpenFailure("fchmod", subject, refused);

        // Past 107 bytes the name is given relative to the open directory, which is short.
        SocketAddress? address = SocketAddress.UnixPath(path)
            ?? SocketAddress.UnixPath($"{Files.ProcPath(parent.Directory)}/{parent.Name}");
        if (address is null)
            return new OpenFailure("bind", subject, Errno.ENAMETOOLONG, "the last component is limited to about 85 bytes here");
        refused = address.Bind(socket);
        if (refused == Errno.EADDRINUSE)
        {
            if (RemoveStale(parent, kind, path, subject) is { } inTheWay)
                return inTheWay;
            refused = address.Bind(socket);
        }
        if (refused != Errno.None)
            return new OpenFailure("bind", subject, refused, Remedy.ForPath(refused));
        return Finish(parent, path, request, subject);
    }

    private static OpenResult<OwnedPath> Finish(ParentDirectory parent, string path, ListenerRequest request, string subject)
    {
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null)
            return new OpenFailure("open", subject, refused, "the path vanished after it was bound");
        refused = FileStatus.Read(node, out FileStatus status);
        // In a directory that others may write to, the path may be a link to a socket of somebody else.
        bool isForeign = parent.IsOpenToOthers && (status.Uid != Libc.geteuid() || status.LinkCount != 1);
        if (refused != Errno.None || status.Kind != FileKind.Socket || isForeign)
        {
            return new OpenFailure(
                "statx", subject, refused == Errno.None ? Errno.EEXIST : refused, "somebody replaced the path while it was bound");
        }
        string call = "fchownat";
        refused = Files.SetOwner(node, request.Owner);
        if (refused == Errno.None && status.Mode != request.Mode)
        {
            call = "fchmodat";
            refused = Files.SetNodeMode(node, request.Mode);
        }
        if (refused == Errno.None)
            return new OwnedPath(PathKind.Socket, path, status.Device, status.Inode);
        _ = Files.Unlink(parent.Directory, parent.Name);
        return new OpenFailure(call, subject, refused, Remedy.ForOwner(refused));
    }

    // Removes a stale socket at the path. Null: the path is free now.
    private static OpenFailure? RemoveStale(ParentDirectory parent, UnixSocketKind kind, string path, string subject)
    {
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null)
            return refused == Errno.ENOENT ? null : new OpenFailure("open", subject, refused, Remedy.ForPath(refused));
        refused = FileStatus.Read(node, out FileStatus probed);
        if (refused != Errno.None)
            return new OpenFailure("statx", subject, refused);
        if (probed.Kind != FileKind.Socket)
            return InTheWay(probed, subject);

        refused = Probe(node, kind, out _);
        if (refused == Errno.EACCES)
        {
            return new OpenFailure("connect", subject, Errno.EADDRINUSE,
                "whether the socket there is alive cannot be asked: permission denied");
        }
        if (refused != Errno.ECONNREFUSED)
        {
            return new OpenFailure("bind", subject, Errno.EADDRINUSE)
            {
                Look = () => PortHolder.FindUnix(path)?.ToString() ?? "another program listens there",
            };
        }

        refused = FileStatus.ReadNoFollow(parent.Directory.Number, parent.Name, out FileStatus now);
        if (refused == Errno.ENOENT)
            return null;
        if (refused == Errno.None && !now.IsSameFile(probed))
            return new OpenFailure("bind", subject, Errno.EADDRINUSE, "another program took the path at the same moment");
        refused = Files.Unlink(parent.Directory, parent.Name);
        return refused == Errno.None || refused == Errno.ENOENT ? null
            : new OpenFailure("unlink", subject, refused, Remedy.ForPath(refused));
    }

    /// <summary>
    /// connect(2) to exactly that inode: ECONNREFUSED is the one answer that means nobody is there. EAGAIN is a full queue, EPROTOTYPE
    /// a socket of another kind, EPERM a datagram socket with a peer: all of them alive.
    /// </summary>
    /// <param name="node">The socket's node, borrowed.</param>
    /// <param name="kind">Of the socket to ask with.</param>
    /// <param name="holder">Who listens there; null: nobody, or the kernel does not tell.</param>
    public static Errno Probe(FileDescriptor node, UnixSocketKind kind, out PortHolder? holder)
    {
        int number = socket(Libc.AF_UNIX, UnixSocket.TypeOf(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (number < 0)
            throw new SystemCallException("socket", "AF_UNIX", Errno.Last);
        using var probe = new FileDescriptor(number);
        Errno refused = SocketAddress.UnixPath(Files.ProcPath(node))!.Connect(probe);
        holder = refused == Errno.None ? PortHolder.OfPeer(probe) : null;
        return refused;
    }

    private static RemoveOutcome Refused(Errno refused) =>
        refused == Errno.ENOENT || refused == Errno.ENOTDIR ? RemoveOutcome.AlreadyGone : RemoveOutcome.Refused;

    private static FileKind FileKindOf(PathKind kind) => kind switch
    {
        PathKind.Socket => FileKind.Socket,
        PathKind.Fifo => FileKind.Fifo,
        _ => FileKind.Symlink,
    };
}
