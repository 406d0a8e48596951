using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux;

/// <summary>
/// A process by its descriptor, which never means another process after this one was reaped (pidfd_open(2)). Owns the descriptor.
/// </summary>
internal sealed unsafe class PidFd(int pid, FileDescriptor descriptorTaken) : IDisposable
{
    /// <summary>The number, for people and for process groups; signals to the process go by the descriptor.</summary>
    public int Pid => pid;

    public FileDescriptor Descriptor => descriptorTaken;

    /// <summary>A process that is not our child, or is no more.</summary>
    public static PidFd? TryOpen(int pid)
    {
        int number = Libc.pidfd_open(pid, 0);
        return number < 0 ? null : new PidFd(pid, new FileDescriptor(number));
    }

    /// <summary><see cref="Errno.ESRCH"/>: it was reaped already.</summary>
    public Errno Signal(int signal) =>
        Libc.pidfd_send_signal(descriptorTaken.Number, signal, null, 0) == 0 ? Errno.None : Errno.Last;

    /// <summary>
    /// Signals the process group that has this process's number, and never one that got the number later: the descriptor holds on to the group
    /// as well, even after the process was reaped (PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9). 0 sends nothing and tells whether there is one.
    /// </summary>
    /// <returns><see cref="Errno.ESRCH"/>: nobody is in it, not even a zombie. <see cref="Errno.EINVAL"/>: the kernel is older.</returns>
    public Errno SignalGroup(int signal) =>
        Libc.pidfd_send_signal(descriptorTaken.Number, signal, null, Libc.PIDFD_SIGNAL_PROCESS_GROUP) == 0 ? Errno.None : Errno.Last;

    public void Dispose() => descriptorTaken.Dispose();
}
