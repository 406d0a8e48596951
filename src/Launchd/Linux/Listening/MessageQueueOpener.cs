using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// POSIX message queues, mq_overview(7). A queue that is there already is used as it is and is not removed by the supervisor.
/// </summary>
internal static unsafe class MessageQueueOpener
{
    public static OpenResult<OpenedListener> Open(ListenAddress.MessageQueue endpoint, ListenerRequest request)
    {
        string subject = $"cannot open {endpoint}";
        int flags = O_RDONLY | O_CLOEXEC | (request.Options.NonBlocking ? O_NONBLOCK : 0);
        FileDescriptor? queue = OpenQueue(endpoint.Name, flags | O_CREAT | O_EXCL, request.Mode & 0b110_000_000, out Errno refused);
        bool isMade = queue is not null;
        if (refused == Errno.EEXIST)
            queue = OpenQueue(endpoint.Name, flags, 0, out refused);
        if (queue is null)
            return new OpenFailure("mq_open", subject, refused, RemedyFor(refused));

        string call = "fchownat";
        if (isMade)
        {
            refused = Files.SetOwner(queue, request.Owner);
            if (refused == Errno.None)
            {
                call = "fchmod";
                refused = Files.SetMode(queue, request.Mode);
            }
        }
        FileStatus status = default;
        if (refused == Errno.None)
        {
            call = "statx";
            refused = FileStatus.Read(queue, out status);
        }
        if (refused == Errno.None)
        {
            OwnedPath? path = isMade ? new OwnedPath(PathKind.MessageQueue, endpoint.Name, status.Device, status.Inode) : null;
            return new OpenedListener { Descriptor = queue, Address = endpoint.ToString(), Path = path };
        }
        if (isMade)
            _ = UnlinkQueue(endpoint.Name);
        queue.Dispose();
        return new OpenFailure(call, subject, refused, Remedy.ForOwner(refused));
    }

    internal static RemoveOutcome RemoveIfOurs(OwnedPath owned, out Errno refused)
    {
        using FileDescriptor? queue = OpenQueue(owned.Path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, out refused);
        if (queue is null)
            return refused == Errno.ENOENT ? RemoveOutcome.AlreadyGone : RemoveOutcome.Refused;
        refused = FileStatus.Read(queue, out FileStatus status);
        if (refused != Errno.None)
            return RemoveOutcome.Refused;
        if (status.Device != owned.Device || status.Inode != owned.Inode)
            return RemoveOutcome.NotOurs;
        refused = UnlinkQueue(owned.Path);
        return refused == Errno.None ? RemoveOutcome.Removed : RemoveOutcome.Refused;
    }

    // The kernel wants the name without the slash that mq_open(3) takes off.
    private static FileDescriptor? OpenQueue(string name, int flags, int mode, out Errno refused)
    {
        fixed (byte* text = CString.From(name.TrimStart('/')))
        {
            nint number = Libc.mq_call(Libc.SYS_mq_open, text, flags, mode, null);
            refused = number < 0 ? Errno.Last : Errno.None;
            return number < 0 ? null : new FileDescriptor((int)number);
        }
    }

    private static Errno UnlinkQueue(string name)
    {
        fixed (byte* text = CString.From(name.TrimStart('/')))
            return Libc.mq_call(Libc.SYS_mq_unlink, text, 0, 0, null) < 0 ? Errno.Last : Errno.None;
    }

    private static string? RemedyFor(Errno refused) =>
        refused == Errno.ENOSYS ? "this kernel has no message queues"
        : refused == Errno.EMFILE ? "too many message bytes for the limit msgqueue of this process"
        : refused == Errno.ENOSPC ? "fs.mqueue.queues_max is reached"
        : refused == Errno.EACCES ? "the queue belongs to another user, or its name has a second slash"
        : null;
}
