using Launchd.Client;
using Launchd.Linux.Calls;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>
/// Opens files for root where another user decides about the path (<see cref="PathWalk"/>). A file that belongs to that user is opened; any
/// other only with the rights of the service, as if its program had opened it, or not at all. Devices and the kernel's own files, whose
/// content depends on the process that opens them, are not opened on such paths.
/// </summary>
internal static class ForeignFile
{
    /// <summary>Opens a file; it does not block. Null: root alone decides about the path, which may be used as it is.</summary>
    public static OpenResult<FileDescriptor>? Open(FileRequest request, int flags, string subject)
    {
        OpenFailure? failure = null;
        for (int attempt = 0; attempt < FileOpener.CreateAttemptCount; attempt++)
        {
            using PathWalk walk = PathWalk.Along(request.Path, request.User);
            if (walk.IsRoots)
                return null;
            OpenResult<FileDescriptor> result = walk.Node is { } node ? OpenNode(walk, node, request, flags, subject)
                : Make(walk, request, flags, subject);
            if (result.TryGet(out FileDescriptor? file, out failure))
                return file;
            // Between the two attempts another process may have made or removed the file.
            if (request.CreateMode is null || (failure.Errno != Errno.EEXIST && failure.Errno != Errno.ENOENT))
                break;
        }
        return failure!;
    }

    /// <summary>Opens a directory, O_PATH. Null as with <see cref="Open"/>.</summary>
    public static OpenResult<FileDescriptor>? OpenDirectory(string path, Credentials? user, string subject)
    {
        using PathWalk walk = PathWalk.Along(path, user);
        if (walk.IsRoots)
            return null;
        if (walk.Node is null)
            return new OpenFailure("open", subject, walk.Refused == Errno.None ? Errno.ENOENT : walk.Refused);
        if (walk.NodeStatus.Kind != FileKind.Directory)
            return new OpenFailure("open", subject, Errno.ENOTDIR, Remedy.ForPath(Errno.ENOTDIR));
        if (walk.IsDecidersOwn)
            return walk.TakeNode()!;
        if (!BorrowedRights.AreLess(user) || walk.Foreign is not { } start)
            return Refuse(walk, subject);
        FileDescriptor? directory = BorrowedRights.Open(
            user!, start.Directory, start.Path, O_PATH | O_DIRECTORY, 0, BorrowedRights.RESOLVE_NO_MAGICLINKS, out Errno refused);
        if (directory is null || FileSystems.IsStorage(directory))
            return directory is not null ? directory : new OpenFailure("open", subject, refused, walk.Explain());
        directory.Dispose();
        return Refuse(walk, subject);
    }

    private static OpenResult<FileDescriptor> OpenNode(PathWalk walk, FileDescriptor node, FileRequest request, int flags, string subject)
    {
        // A file that another user made in a directory for all is not one of the service, though it belongs to the user who decides.
        bool isStrangers = walk.IsEntryOnly && BorrowedRights.AreLess(request.User) && request.User!.Uid != walk.Decider;
        bool mayOpen = walk.Decider is null || (walk.IsDecidersOwn && !isStrangers && WhyNot(node, walk.NodeStatus) is null);
        if (!mayOpen)
            return OpenAsUser(walk, request, flags, subject);
        FileDescriptor? file = Files.Open(null, Files.ProcPath(node), flags, 0, out Errno refused);
        return file is not null ? file : new OpenFailure("open", subject, refused, FileOpener.Explain(refused, request));
    }

    private static OpenResult<FileDescriptor> Make(PathWalk walk, FileRequest request, int flags, string subject)
    {
        if (request.CreateMode is not { } mode || walk.Refused != Errno.None || walk.Parent is null || walk.EndsInLink)
        {
            Errno refused = walk.Refused == Errno.None ? Errno.ENOENT : walk.Refused;
            return new OpenFailure("open", subject, refused, FileOpener.Explain(refused, request));
        }
        return walk.MayMake
            ? FileOpener.CreateIn(walk.Parent, walk.Name, request, flags, mode, subject)
            : OpenAsUser(walk, request, flags, subject);
    }

    /// <summary>Opens the rest of the path, from where another user begins to decide, as the service's program would open it.</summary>
    private static OpenResult<FileDescriptor> OpenAsUser(PathWalk walk, FileRequest request, int flags, string subject)
    {
        if (!BorrowedRights.AreLess(request.User) || walk.Foreign is not { } start)
            return Refuse(walk, subject);
        Credentials user = request.User!;
        // The file is looked at before it is opened: opening can have effects of its own, which would
        // concern the supervisor's process and terminal.
        const ulong resolve = BorrowedRights.RESOLVE_NO_MAGICLINKS;
        using FileDescriptor? node = BorrowedRights.Open(user, start.Directory, start.Path, O_PATH, 0, resolve, out Errno refused);
        FileDescriptor? file = null;
        if (node is not null)
        {
            refused = FileStatus.Read(node, out FileStatus status);
            if (WhyNot(node, status) is { } kind)
                return new OpenFailure("open", subject, Errno.EPERM, $"it is {kind}, and {walk.Explain()}");
            if (refused == Errno.None)
                file = BorrowedRights.Open(user, null, Files.ProcPath(node), flags, 0, 0, out refused);
        }
        else if (refused == Errno.ENOENT && request.CreateMode is { } mode)
        {
            file = BorrowedRights.Open(user, start.Directory, start.Path, flags | O_CREAT | O_EXCL, mode, resolve, out refused);
        }
        if (file is not null)
            return file;
        bool isDenied = refused == Errno.EACCES || refused == Errno.EPERM || refused == Errno.ELOOP;
        return new OpenFailure("open", subject, refused, isDenied ? walk.Explain() : FileOpener.Explain(refused, request));
    }

    private static OpenFailure Refuse(PathWalk walk, string subject) => new("open", subject, Errno.EPERM, walk.Explain());

    /// <summary>Why root must not open the file for a service. Null: it is the same file for every process that opens it.</summary>
    private static string? WhyNot(FileDescriptor node, FileStatus status)
    {
        // null, zero, full, random, urandom (null(4), random(4)); not mem, kmem, port, kmsg.
        if (status.Kind == FileKind.CharacterDevice
            && (status.DeviceNumber >> 32, status.DeviceNumber & uint.MaxValue) is (1, 3 or 5 or 7 or 8 or 9))
        {
            return null;
        }
        if (status.Kind is not (FileKind.Regular or FileKind.Fifo))
            return status.KindText;
        return FileSystems.IsStorage(node) ? null : "a file of the kernel's own";
    }
}
