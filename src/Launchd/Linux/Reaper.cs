using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux;

/// <summary>A child that ended, as waitid(2) tells. Signal is 0 if it ended by itself.</summary>
internal readonly record struct Reaped(int Pid, int Code, int Signal, bool DumpedCore);

/// <summary>
/// Reaps every child of this process: services, their orphaned descendants (we are their subreaper, or PID 1), commands. Needs
/// SIGCHLD to be blocked in all threads since before exec, or the runtime may reap first (<see cref="SignalMask"/>).
/// </summary>
internal static unsafe class Reaper
{
    /// <summary>The next child that has ended; false: none has.</summary>
    public static bool TryReap(out Reaped reaped)
    {
        byte* info = stackalloc byte[128];
        NativeMemory.Clear(info, 128);
        reaped = default;
        while (Libc.waitid(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOHANG) < 0)
        {
            if (Marshal.GetLastPInvokeError() != Client.Errno.EINTR.Value)
                return false; // ECHILD: no children at all
        }
        // siginfo_t on 64-bit: si_code at 8, then (aligned to 8) si_pid at 16, si_uid at 20, si_status at 24.
        int pid = *(int*)(info + 16);
        if (pid == 0)
            return false;
        int how = *(int*)(info + 8), status = *(int*)(info + 24);
        reaped = how == Libc.CLD_EXITED ? new Reaped(pid, status, 0, false) : new Reaped(pid, 0, status, how == Libc.CLD_DUMPED);
        return true;
    }
}
