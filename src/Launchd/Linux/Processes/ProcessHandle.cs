using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// A process by its descriptor, which never means another process after this one was reaped (pidfd_open(2)). Owns the descriptor.
/// </summary>
/// <remarks>
/// Where a filter of system calls forbids these calls, a process is known by its number and the moment of its start, which
/// are compared before each signal. Between the comparison and the signal another process could get the number, if this one
/// is no child of the supervisor and ends just then.
/// </remarks>
/// <param name="pid">Its number.</param>
/// <param name="descriptorTaken">Invalid if the process is known by its start.</param>
/// <param name="start">As <see cref="ProcessFacts.StartTime"/> tells; null: known by the descriptor.</param>
internal sealed unsafe class ProcessHandle(int pid, FileDescriptor descriptorTaken, ulong? start = null) : IDisposable
{
    /// <summary>The number, for people and for process groups; signals to the process go by the descriptor.</summary>
    public int Pid => pid;

    /// <summary>Invalid if <see cref="HasDescriptor"/> is false: then nothing tells of its end but SIGCHLD, if it is our child.</summary>
    public FileDescriptor Descriptor => descriptorTaken;
    public bool HasDescriptor => start is null;

    /// <summary>Opens any process that can be seen. Null: no process has this number, or no descriptor is left.</summary>
    public static ProcessHandle? TryOpen(int pid)
    {
        int number = Libc.pidfd_open(pid, 0);
        if (number >= 0)
            return new ProcessHandle(pid, new FileDescriptor(number));
        return IsFilter(Errno.Last) && ProcessFacts.Read(pid)?.StartTime is { } start
            ? new ProcessHandle(pid, new FileDescriptor(-1), start)
            : null;
    }

    /// <summary>
    /// Whether a descriptor from another process is a pidfd, or at most a directory of /proc. The calls take no lock that others could
    /// hold, and ask no file system (as fstatfs(2) would).
    /// </summary>
    public static bool Is(FileDescriptor descriptor)
    {
        Errno refused = Libc.pidfd_send_signal(descriptor.Number, 0, null, 0) == 0 ? Errno.None : Errno.Last;
        // EBADF: it is no pidfd. EPERM may come from a filter of system calls; then the link in /proc tells, whose
        // text is the kernel's for files without a path.
        return refused == Errno.None || refused == Errno.ESRCH
            || (refused == Errno.EPERM && Files.ReadLink(null, Files.ProcPath(descriptor)) is { } link && !link.StartsWith('/')
                && link.Contains("pidfd", StringComparison.Ordinal));
    }

    /// <summary>Sends a signal to the process. <see cref="Errno.ESRCH"/>: it was reaped already.</summary>
    public Errno Signal(int signal)
    {
        if (HasDescriptor)
        {
            if (Libc.pidfd_send_signal(descriptorTaken.Number, signal, null, 0) == 0)
                return Errno.None;
            // EPERM may come from a filter, or mean that the process must not be signalled; then kill(2) below says so too.
            if (Errno.Last is var refused && !IsFilter(refused))
                return refused;
        }
        if (!IsStillIt)
            return Errno.ESRCH;
        return Libc.kill(pid, signal) == 0 ? Errno.None : Errno.Last;
    }

    /// <summary>
    /// Signals the process group that has this process's number, and never one that got the number later: the
    /// descriptor holds on to the group as well, even after the process was reaped (PIDFD_SIGNAL_PROCESS_GROUP, Linux
    /// 6.9). 0 sends nothing and tells whether there is one.
    /// </summary>
    /// <returns>
    /// <see cref="Errno.ESRCH"/>: no process is in the group, not even a zombie. <see cref="Errno.EINVAL"/>: the
    /// kernel is older, or the call is filtered away.
    /// </returns>
    public Errno SignalGroup(int signal)
    {
        if (!HasDescriptor)
            return Errno.EINVAL;
        if (Libc.pidfd_send_signal(descriptorTaken.Number, signal, null, Libc.PIDFD_SIGNAL_PROCESS_GROUP) == 0)
            return Errno.None;
        // EPERM may also mean that no process of the group may be signalled; a caller that tries another way is then told so again.
        return IsFilter(Errno.Last) ? Errno.EINVAL : Errno.Last;
    }

    /// <summary>Whether the process of a pidfd still exists, at least as a zombie.</summary>
    public static bool IsThere(FileDescriptor pidfd) => Libc.pidfd_send_signal(pidfd.Number, 0, null, 0) == 0 || Errno.Last != Errno.ESRCH;

    public void Dispose() => descriptorTaken.Dispose();

    private bool IsStillIt
    {
        get
        {
            if (start is not null)
                return ProcessFacts.Read(pid)?.StartTime == start;
            // A pidfd is readable when its process has ended.
            Libc.poll_entry end = new() { fd = descriptorTaken.Number, events = Libc.POLLIN };
            return Libc.poll(ref end, 1, 0) == 0;
        }
    }

    // Errors by which a filter refuses. The calls have no other reason for them, except EPERM of pidfd_send_signal(2).
    private static bool IsFilter(Errno refused) => refused == Errno.EPERM || refused == Errno.ENOSYS;
}
