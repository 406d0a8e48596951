using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Loop;

namespace Launchd.Linux.Processes;

/// <summary>A child that ended, as waitid(2) tells. Signal is 0 if it ended by itself.</summary>
internal readonly record struct Reaped(int Pid, int Code, int Signal, bool DumpedCore);

/// <summary>
/// Reaps every child of this process: services, their orphaned descendants (we are their subreaper, or PID 1), commands. Needs
/// SIGCHLD to be blocked in all threads since before exec, or the runtime may reap first (<see cref="SignalMask"/>).
/// </summary>
internal static unsafe class Reaper
{
    private const int SIGTRAP = 5, WSTOPPED = 2;

    /// <summary>Reaps the next child that has ended, of whichever thread; false: no child has ended.</summary>
    /// <param name="reaped">Which child ended, and how.</param>
    /// <param name="onStop">Told of a traced child that has stopped: its pid, how, and the signal.</param>
    public static bool TryReap(out Reaped reaped, Action<int, int, int> onStop) => TryTake(out reaped, onStop, 0);

    /// <summary>Tells the next child that has ended and leaves it a zombie, until <see cref="Reap"/>.</summary>
    public static bool TryPeek(out Reaped ended, Action<int, int, int> onStop) => TryTake(out ended, onStop, Libc.WNOWAIT);

    /// <summary>Reaps a child of which <see cref="TryPeek"/> has told.</summary>
    public static void Reap(int pid)
    {
        byte* info = stackalloc byte[Libc.SignalInfoBytes];
        while (Libc.waitid(Libc.P_PID, pid, info, Libc.WEXITED | Libc.WNOHANG) < 0 && Errno.Last == Errno.EINTR)
        {
        }
    }

    private static bool TryTake(out Reaped reaped, Action<int, int, int> onStop, int leaves)
    {
        byte* info = stackalloc byte[Libc.SignalInfoBytes];
        while (true)
        {
            NativeMemory.Clear(info, Libc.SignalInfoBytes);
            reaped = default;
            if (Libc.waitid(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOHANG | leaves) < 0)
            {
                if (Errno.Last == Errno.EINTR)
                    continue;
                return false; // ECHILD: no children at all
            }
            // siginfo_t on 64-bit: si_code at 8, then (aligned to 8) si_pid at 16, si_uid at 20, si_status at 24.
            int how = *(int*)(info + 8), pid = *(int*)(info + 16), status = *(int*)(info + 24);
            if (pid == 0)
                return false;
            switch (how)
            {
                case Libc.CLD_EXITED:
                    reaped = new Reaped(pid, status, 0, false);
                    return true;
                case Libc.CLD_KILLED or Libc.CLD_DUMPED:
                    reaped = new Reaped(pid, 0, status, how == Libc.CLD_DUMPED);
                    return true;
                default:
                    // A stop that is left would be told again and again.
                    if (leaves != 0)
                        _ = Libc.waitid(Libc.P_PID, pid, info, WSTOPPED | Libc.WNOHANG);
                    onStop(pid, how, status);
                    break;
            }
        }
    }

    /// <summary>
    /// Lets a traced child go on that has stopped. A child that made its parent its tracer (PTRACE_TRACEME, as programs do that
    /// want no debugger) stops at each signal until the tracer lets it go. It goes on as if it had no tracer, and gets the
    /// signal. The tracer is the thread whose child it is.
    /// </summary>
    /// <returns>False: the child is not traced by this thread.</returns>
    public static bool LetGo(int pid, int how, int signal)
    {
        byte* stopped = stackalloc byte[Libc.SignalInfoBytes];
        // The signal of a group stop has taken effect already and must not be sent again. The SIGTRAP that execve(2) raises exists only for
        // traced processes and is dropped; it is told by its sender, the process itself.
        bool isOfExec = signal == SIGTRAP && Libc.ptrace(Libc.PTRACE_GETSIGINFO, pid, 0, (nint)stopped) == 0
            && *(int*)(stopped + 8) == 0 && *(int*)(stopped + 16) == pid;
        bool isSignal = how == Libc.CLD_TRAPPED && signal is > 0 and <= 64 && !isOfExec;
        return Libc.ptrace(Libc.PTRACE_DETACH, pid, 0, isSignal ? signal : 0) == 0;
    }
}
