using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// The ends of the keeper's children: the supervisor, and orphans of former supervisors or, as PID 1, of anybody. The kernel's zombies are
/// the table of exit statuses: they cost no memory of the keeper's, and a number stays taken until somebody has seen to it.
/// </summary>
internal static unsafe class KeeperChildren
{
    /// <summary>
    /// Which child other than the supervisor has ended and was not reaped (waitid(2), WNOWAIT). False: none.
    /// </summary>
    /// <param name="supervisor">Its pid; 0: there is none. When it has ended itself, false may be wrong until it was reaped.</param>
    /// <param name="ended">How the child has ended.</param>
    public static bool TryPeek(int supervisor, out Reaped ended)
    {
        while (TryWait(Libc.P_ALL, 0, Libc.WEXITED | Libc.WNOHANG | Libc.WNOWAIT, out ended, out int stop))
        {
            if (stop == 0)
                return ended.Pid != supervisor;
            // A child that made its parent its tracer, which an orphan may have asked of the keeper. It must not stay stopped.
            if (!Reaper.LetGo(ended.Pid, stop, ended.Signal))
                return false;
        }
        return false;
    }

    /// <summary>Reaps a child that has ended. False: it has not, or is none.</summary>
    public static bool TryReap(int pid, out Reaped ended) =>
        TryWait(Libc.P_PID, pid, Libc.WEXITED | Libc.WNOHANG, out ended, out int stop) && stop == 0;

    /// <summary>Reaps all children that have ended.</summary>
    /// <returns>Whether there are children that have not.</returns>
    public static bool ReapAll()
    {
        while (TryPeek(supervisor: 0, out Reaped ended))
            _ = TryReap(ended.Pid, out _);
        return HasAny;
    }

    /// <summary>Whether there is any child, ended or not.</summary>
    public static bool HasAny
    {
        get
        {
            byte* info = stackalloc byte[Libc.SignalInfoBytes];
            return Libc.waitid(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOHANG | Libc.WNOWAIT) == 0;
        }
    }

    /// <param name="by">P_ALL or P_PID.</param>
    /// <param name="which">The pid.</param>
    /// <param name="options">Of waitid(2).</param>
    /// <param name="ended">The child; of one that has only stopped, the pid and the signal.</param>
    /// <param name="stop">How it stopped; 0: it has ended.</param>
    private static bool TryWait(int by, int which, int options, out Reaped ended, out int stop)
    {
        byte* info = stackalloc byte[Libc.SignalInfoBytes];
        ended = default;
        stop = 0;
        do
            NativeMemory.Clear(info, Libc.SignalInfoBytes);
        while (Libc.waitid(by, which, info, options) < 0 && Errno.Last == Errno.EINTR);
        // siginfo_t on 64-bit: si_code at 8, then (aligned to 8) si_pid at 16, si_uid at 20, si_status at 24.
        int how = *(int*)(info + 8), pid = *(int*)(info + 16), status = *(int*)(info + 24);
        if (pid == 0)
            return false;
        bool isExit = how == Libc.CLD_EXITED;
        ended = new Reaped(pid, isExit ? status : 0, isExit ? 0 : status, how == Libc.CLD_DUMPED);
        stop = how is Libc.CLD_EXITED or Libc.CLD_KILLED or Libc.CLD_DUMPED ? 0 : how;
        return true;
    }
}
