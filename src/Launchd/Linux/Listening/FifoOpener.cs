using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// FIFOs, fifo(7), opened for reading and writing at once: our own writing end keeps readers from ever seeing end-of-file. A FIFO that is
/// there already must have the asked mode and owner, and is not removed by the supervisor.
/// </summary>
internal static class FifoOpener
{
    public static OpenResult<OpenedListener> Open(ListenAddress.Fifo endpoint, ListenerRequest request)
    {
        string subject = $"cannot open {endpoint}";
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(endpoint.Path, request.DirectoryMode, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;

        // Made with narrow permissions until owner and mode are set.
        Errno refused = Files.MakeFifo(parent.Directory, parent.Name, request.Mode & 0b110_000_000);
        bool isMade = refused == Errno.None;
        if (!isMade && refused != Errno.EEXIST)
        {
            parent.Undo();
            return new OpenFailure("mkfifo", subject, refused, Remedy.ForPath(refused));
        }
        OpenResult<OpenedListener> result = OpenExisting(parent, endpoint, request, isMade, subject);
        if (result.Failure is null || !isMade)
            return result;
        _ = Files.Unlink(parent.Directory, parent.Name);
        parent.Undo();
        return result;
    }

    /// <summary>Whether a FIFO could be opened, as far as that can be told without making or opening one; null: it could.</summary>
    public static OpenFailure? Look(ListenAddress.Fifo endpoint, ListenerRequest request)
    {
        string subject = $"cannot open {endpoint}";
        if (FileStatus.ReadNoFollow(AT_FDCWD, endpoint.Path, out FileStatus status) != Errno.None)
            return ParentDirectory.Look(endpoint.Path, subject);
        if (status.Kind != FileKind.Fifo)
            return new OpenFailure("open", subject, Errno.EEXIST, $"{status.KindText} is in the way");
        return Difference(status, request) is { } difference ? new OpenFailure("open", subject, Errno.EEXIST, difference) : null;
    }

    private static OpenResult<OpenedListener> OpenExisting(
        ParentDirectory parent, ListenAddress.Fifo endpoint, ListenerRequest request, bool isMade, string subject)
    {
        // The node is looked at first: opening a file that is not a FIFO may have effects of its own.
        using FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null)
            return new OpenFailure("open", subject, refused, Remedy.ForPath(refused));
        refused = FileStatus.Read(node, out FileStatus status);
        if (refused != Errno.None)
            return new OpenFailure("statx", subject, refused);
        if (status.Kind != FileKind.Fifo)
            return new OpenFailure("open", subject, Errno.EEXIST, $"{status.KindText} is in the way");
        if (isMade && parent.IsOpenToOthers && (status.Uid != Libc.geteuid() || status.LinkCount != 1))
            return new OpenFailure("statx", subject, Errno.EEXIST, "somebody replaced the FIFO while it was made");
        if (isMade)
        {
            // inode(7): the mode last, because a change of owner takes bits away.
            refused = Files.SetOwner(node, request.Owner);
            if (refused != Errno.None)
                return new OpenFailure("fchownat", subject, refused, Remedy.ForOwner(refused));
            refused = Files.SetNodeMode(node, request.Mode);
            if (refused != Errno.None)
                return new OpenFailure("fchmodat", subject, refused);
        }
        else if (Difference(status, request) is { } difference)
        {
            return new OpenFailure("open", subject, Errno.EEXIST, difference);
        }

        FileDescriptor? fifo = Files.Open(null, Files.ProcPath(node), O_RDWR | O_NONBLOCK | O_NOCTTY, 0, out refused);
        if (fifo is null)
            return new OpenFailure("open", subject, refused, Remedy.ForPath(refused));
        if (!request.Options.NonBlocking)
            refused = Files.SetNonBlocking(fifo, isNonBlocking: false);
        if (refused != Errno.None)
        {
            fifo.Dispose();
            return new OpenFailure("fcntl", subject, refused);
        }
        OwnedPath? path = isMade ? new OwnedPath(PathKind.Fifo, endpoint.Path, status.Device, status.Inode) : null;
        return new OpenedListener { Descriptor = fifo, Address = endpoint.ToString(), Path = path };
    }

    private static string? Difference(FileStatus status, ListenerRequest request)
    {
        if (status.Mode != request.Mode)
            return $"the FIFO there has mode 0{Octal(status.Mode)} instead of 0{Octal(request.Mode)}";
        if (request.Owner.Uid is { } uid && status.Uid != uid)
            return $"the FIFO there belongs to uid {status.Uid} instead of {uid}";
        if (request.Owner.Gid is { } gid && status.Gid != gid)
            return $"the FIFO there belongs to gid {status.Gid} instead of {gid}";
        return null;
    }

    private static string Octal(int mode) => Convert.ToString(mode, 8);
}
