using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>How a process ended that is another one's child: waitid(2) tells only its parent.</summary>
internal static class ForeignEnd
{
    /// <summary>
    /// The status of a process that has ended. Null: nobody tells. That is so where its parent has reaped it, and Linux is older than 6.15;
    /// and where it has not, and the process may not be looked into (ptrace(2)).
    /// </summary>
    /// <param name="process">Opened before it ended.</param>
    public static Reaped? Read(ProcessHandle process) => OfReaped(process) ?? OfZombie(process) ?? OfReaped(process);

    private static Reaped? OfReaped(ProcessHandle process)
    {
        Libc.pidfd_info info = new() { mask = Libc.PIDFD_INFO_EXIT };
        bool isTold = process.HasDescriptor && Libc.pidfd_ioctl(process.Descriptor.Number, Libc.PIDFD_GET_INFO, ref info) == 0
            && (info.mask & Libc.PIDFD_INFO_EXIT) != 0;
        return isTold ? Of(process.Pid, info.exit_code) : null;
    }

    private static Reaped? OfZombie(ProcessHandle process)
    {
        // To whom it is not to be told, the kernel says 0 (proc_pid_stat(5), field 52), which must not be taken for an exit code.
        bool isTold = Libc.geteuid() is var user && FileStatus.ReadFollow($"/proc/{process.Pid}", out FileStatus status) == Errno.None
            && (user == 0 || user == status.Uid);
        if (!isTold || ProcessFacts.Read(process.Pid) is not { HasEnded: true } ended)
            return null;
        // The number has meant this process as long as it was not reaped.
        return process.Signal(0) == Errno.None ? Of(process.Pid, ended.ExitCode) : null;
    }

    /// <summary>Understands a status as wait(2) has it.</summary>
    private static Reaped Of(int pid, int status) =>
        (status & 0x7f) == 0 ? new Reaped(pid, status >> 8 & 0xff, 0, false) : new Reaped(pid, 0, status & 0x7f, (status & 0x80) != 0);
}
