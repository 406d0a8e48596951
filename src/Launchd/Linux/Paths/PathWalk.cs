using Launchd.Client;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>
/// Finds out who decides where a path leads: root alone, or from some place on another user, because a directory belongs to that
/// user or may be written by that user. Symbolic links are followed. The files that were found are held open, so that nobody can
/// exchange them afterwards. Nothing is read, made or changed.
/// </summary>
/// <remarks>
/// For an entry in a directory of root that others may write (<c>/tmp</c>) its owner decides: in a sticky directory nobody else
/// can replace it, and a hard link to another's file shows by the link count. <c>..</c> and links count as any other step.
/// Owners that a user namespace does not know count as root.
/// </remarks>
internal sealed class PathWalk : IDisposable
{
    /// <summary>A value of <see cref="Decider"/>: it cannot be told which user.</summary>
    public const uint Anybody = uint.MaxValue;

    // More than any sensible path needs, and few enough that a user who makes links on purpose gains nothing.
    private const int MostSteps = 256, MostLinks = 40;
    private const int OthersMayWrite = 0b000_010_010, AnybodyMayWrite = 0b000_000_010,
        GroupMayWrite = 0b000_010_000, Sticky = 0b001_000_000_000;
    private const uint ProcMagic = 0x9FA0;

    private static readonly uint? Outside = UidOfOutside();

    private readonly Credentials? _user;
    private readonly Stack<string> _rest = new();
    private FileDescriptor? _current;

    private PathWalk(Credentials? user) => _user = user;

    /// <summary>The user who decides where the path leads; null: root alone.</summary>
    public uint? Decider { get; private set; }

    /// <summary>The directory, link or file from which on that user decides.</summary>
    public string? DecidedAt { get; private set; }

    /// <summary>
    /// The user decides only because an entry is theirs, in a directory of root where all may make entries; the directory is not theirs.
    /// </summary>
    public bool IsEntryOnly { get; private set; }

    /// <summary>The first link on the way that is under the control of another user, and its target. Null: there is none.</summary>
    public (string Path, string Target)? Link { get; private set; }

    /// <summary>
    /// Others than root may make entries in the directory of the last component, which so may appear or be exchanged at any moment.
    /// </summary>
    public bool IsOpenToOthers { get; private set; }

    /// <summary>Root alone decides, so that the path may be used as it is.</summary>
    public bool IsRoots => Decider is null && !IsOpenToOthers;

    /// <summary><see cref="Errno.None"/>: the walk came to the last component, which may be missing; else why it did not.</summary>
    public Errno Refused { get; private set; }

    /// <summary>The directory of the last component, links followed. Null: the path is <c>/</c>, or <see cref="Refused"/>.</summary>
    public FileDescriptor? Parent { get; private set; }
    public FileStatus ParentStatus { get; private set; }

    /// <summary>The last component in <see cref="Parent"/>; if a directory before it is missing, the name of that directory.</summary>
    public string Name { get; private set; } = "";

    /// <summary>The components behind <see cref="Name"/>, if that is missing and not the last.</summary>
    public IEnumerable<string> Missing => _rest;

    /// <summary>The file to which the path leads, O_PATH. Null: it is missing.</summary>
    public FileDescriptor? Node { get; private set; }
    public FileStatus NodeStatus { get; private set; }

    /// <summary>The last component of the path itself was a link.</summary>
    public bool EndsInLink { get; private set; }

    /// <summary>
    /// The directory where another user begins to decide, and the rest of the path from there. Null: no other user decides.
    /// </summary>
    public (FileDescriptor Directory, string Path)? Foreign { get; private set; }

    /// <summary>Whether root may make the last component: no user led root there, or only into a directory of that user.</summary>
    public bool MayMake => Decider is null || IsWithoutLeading(ParentStatus);

    /// <summary>Whether root may make entries in the directory that was found.</summary>
    public bool MayMakeInside => Decider is null || IsWithoutLeading(NodeStatus);

    /// <summary>Whether what was found belongs to root, and nobody else may put entries into it.</summary>
    public bool IsNodeRoots => IsRoot(NodeStatus.Uid) && (NodeStatus.Mode & OthersMayWrite) == 0;

    /// <summary>Whether what was found belongs to the user who decides, so that the path gives away no file of others.</summary>
    public bool IsDecidersOwn => Decider is null || NodeStatus.Uid == Decider;

    /// <summary>Walks an absolute path with this process's own rights.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="user">
    /// The user for whom it is: where a directory of root lets this user write, the user decides. Null: for no user.
    /// </param>
    public static PathWalk Along(string path, Credentials? user)
    {
        PathWalk walk = new(user is { Uid: 0 } ? null : user);
        walk.Go(path);
        return walk;
    }

    /// <summary><see cref="Node"/> becomes the caller's.</summary>
    public FileDescriptor? TakeNode()
    {
        FileDescriptor? taken = Node;
        Node = null;
        return taken;
    }

    /// <summary>Why root may not do what was asked on this path, for the brackets of a failure.</summary>
    public string Explain()
    {
        string who = Decider == Anybody ? "others than root" : $"user {Decider}";
        string rights = _user is null ? $"only what belongs to {who} is opened there"
            : $"what does not belong to {who} is opened there with the service's rights alone";
        return Link is { } link
            ? $"{link.Path}, a link that {who} decides about, leads to {link.Target}: {rights}; "
                + "name the place itself, in directories of root"
            : $"{who} may put anything at {DecidedAt}: {rights}; let root own its directory, or give it to that user";
    }

    public void Dispose()
    {
        _current?.Dispose();
        Parent?.Dispose();
        Node?.Dispose();
        Foreign?.Directory.Dispose();
    }

    private void Go(string path)
    {
        Push(path);
        string walked = "";
        int steps = 0, links = 0;
        if (!Enter("/"))
            return;
        while (_rest.TryPop(out string? name))
        {
            if (++steps > MostSteps)
            {
                Refused = Errno.ELOOP;
                return;
            }
            bool isLast = _rest.Count == 0;
            FileDescriptor? node = Files.Open(_current, name, O_PATH | O_NOFOLLOW, 0, out Errno refused);
            if (node is null)
            {
                Judge(null, walked, name);
                Refused = refused == Errno.ENOENT && isLast ? Errno.None : refused;
                (Name, Parent, _current) = (name, _current, null);
                return;
            }
            Errno unknown = FileStatus.Read(node, out FileStatus status);
            if (unknown != Errno.None)
            {
                node.Dispose();
                Refused = unknown;
                return;
            }
            if (name != "..")
                Judge(status, walked, name);
            if (status.Kind == FileKind.Symlink)
            {
                EndsInLink |= isLast;
                if (!Follow(ref node, ref status, ref walked, name, ++links))
                    return;
                if (node is null)
                    continue;
            }
            walked = name == ".." ? walked[..Math.Max(0, walked.LastIndexOf('/'))] : $"{walked}/{name}";
            if (isLast)
            {
                (Name, Parent, _current, Node, NodeStatus) = (name, _current, null, node, status);
                return;
            }
            _current!.Dispose();
            (_current, ParentStatus) = (node, status);
            if (status.Kind != FileKind.Directory)
            {
                Refused = Errno.ENOTDIR;
                return;
            }
        }
        // The root directory itself.
        (Node, NodeStatus, _current) = (_current, ParentStatus, null);
    }

    /// <summary>
    /// Follows a link. False: it cannot be followed. A link with a text leaves no node; the components of the text come next.
    /// </summary>
    private bool Follow(ref FileDescriptor? node, ref FileStatus status, ref string walked, string name, int count)
    {
        string? target = count > MostLinks ? null : Files.ReadLink(node, "");
        // The text of a link in /proc is no path, proc_pid_fd(5): only the kernel knows where it leads.
        bool isMagic = target is not null && FileSystems.TypeOf(node!) == ProcMagic;
        node!.Dispose();
        node = null;
        if (Decider is not null)
            Link ??= ($"{walked}/{name}", target ?? "?");
        if (isMagic)
        {
            node = Files.Open(_current, name, O_PATH, 0, out Errno broken);
            Refused = node is null ? broken : FileStatus.Read(node, out status);
            return Refused == Errno.None;
        }
        if (target is null)
        {
            Refused = Errno.ELOOP;
            return false;
        }
        Push(target);
        if (!target.StartsWith('/'))
            return true;
        walked = "";
        return Enter("/");
    }

    private void Push(string path)
    {
        foreach (string component in path.Split('/', StringSplitOptions.RemoveEmptyEntries).Reverse())
        {
            if (component != ".")
                _rest.Push(component);
        }
    }

    private bool Enter(string path)
    {
        _current?.Dispose();
        _current = Files.Open(null, path, O_PATH | O_DIRECTORY, 0, out Errno refused);
        Refused = refused;
        if (_current is null)
            return false;
        Refused = FileStatus.Read(_current, out FileStatus status);
        ParentStatus = status;
        return Refused == Errno.None;
    }

    /// <summary>Judges who decides about an entry of the present directory.</summary>
    private void Judge(FileStatus? entry, string walked, string name)
    {
        FileStatus directory = ParentStatus;
        if (Decider is not null)
            return;
        if (!IsRoot(directory.Uid))
        {
            Decide(directory.Uid, walked, name);
            return;
        }
        if ((directory.Mode & OthersMayWrite) == 0)
            return;
        bool isSticky = (directory.Mode & Sticky) != 0;
        IsOpenToOthers |= !isSticky || entry is null;
        if (!isSticky && _user is { } user && MayWrite(user, directory))
        {
            Decide(user.Uid, walked, name);
        }
        else if (entry is { } there && (!IsRoot(there.Uid) || there is { LinkCount: > 1, Kind: not FileKind.Directory }))
        {
            Decide(IsRoot(there.Uid) ? Anybody : there.Uid, $"{walked}/{name}", name);
            IsEntryOnly = true;
        }
    }

    private void Decide(uint who, string at, string name)
    {
        Decider = who;
        DecidedAt = at.Length == 0 ? "/" : at;
        FileDescriptor? here = Files.Duplicate(_current!, closer: null, out _);
        if (here is not null)
            Foreign = (here, string.Join('/', _rest.Prepend(name)));
    }

    // Without a link the path stays in the user's own tree, in which root itself may have made a directory.
    private bool IsWithoutLeading(FileStatus directory) => directory.Uid == Decider || (Link is null && IsRoot(directory.Uid));

    private static bool MayWrite(Credentials user, FileStatus directory) => (directory.Mode & AnybodyMayWrite) != 0
        || ((directory.Mode & GroupMayWrite) != 0 && (user.Gid == directory.Gid || user.Groups.Contains(directory.Gid)));

    private static bool IsRoot(uint uid) => uid == 0 || uid == Outside;

    // user_namespaces(7): users who are not in the map of this namespace are all shown by one number,
    // which may be a user of the namespace as well.
    private static uint? UidOfOutside()
    {
        string? shown = Files.ReadText("/proc/sys/kernel/overflowuid", 64);
        return UserMap.OfThisProcess() is { } map && uint.TryParse(shown?.Trim(), out uint uid) && !map.Knows(uid) ? uid : null;
    }
}
