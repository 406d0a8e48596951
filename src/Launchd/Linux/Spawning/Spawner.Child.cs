using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux.Spawning;

/// <summary>What runs in the child.</summary>
internal sealed unsafe partial class Spawner
{
    // Rules for everything below that runs in the child: it shares the parent's memory while the parent stands still. No allocation, no
    // exception, no lock, no generic or virtual call, no static that needs a class constructor; raw system calls only. A garbage collection
    // in another thread can go on meanwhile, because each call is an ordinary transition to native code.
    [UnmanagedCallersOnly]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Child(void* shared)
    {
        unchecked
        {
            PlanHeader* plan = (PlanHeader*)shared;
            nint* ids = stackalloc nint[20];
            for (int i = 0; i < plan->Count; i++)
            {
                Step* step = plan->Steps + i;
                nint result = 0;
                switch (step->Kind)
                {
                    case StepKind.Call:
                        result = Libc.syscall(step->Number, step->A0, step->A1, step->A2, step->A3, step->A4, 0);
                        break;
                    case StepKind.TryCall:
                        Libc.syscall(step->Number, step->A0, step->A1, step->A2, step->A3, step->A4, 0);
                        break;
                    case StepKind.CallKeeping:
                        nint kept = Libc.syscall(step->Number, step->A0, step->A1, step->A2, step->A3, 0, 0);
                        *(nint*)step->A4 = kept < 0 ? -*Libc.__errno_location() : kept;
                        break;
                    case StepKind.Repeat:
                        i = (int)step->A0 - 1;
                        break;
                    case StepKind.CloseRange:
                        if (Libc.syscall(step->Number, step->A0, step->A1, 0, 0, 0, 0) < 0)
                        {
                            for (nint at = step->A0; at <= step->A1 && at <= step->A2; at++)
                                Libc.syscall(step->A3, at, 0, 0, 0, 0, 0);
                        }
                        break;
                    case StepKind.WriteFile:
                        result = Libc.syscall(step->Number, -100, step->A0, 1 | Libc.O_CLOEXEC, 0, 0, 0);
                        if (result >= 0)
                        {
                            nint opened = result;
                            result = Libc.syscall(step->A3, opened, step->A1, step->A2, 0, 0, 0);
                            if (result >= 0)
                                result = Libc.syscall(step->A4, opened, 0, 0, 0, 0, 0);
                        }
                        break;
                    case StepKind.VerifyIds:
                        uint* read = (uint*)ids;
                        result = Libc.syscall(step->Number, (nint)read, (nint)(read + 1), (nint)(read + 2), 0, 0, 0);
                        if (result >= 0 && (read[0] != (uint)step->A0 || read[1] != (uint)step->A0 || read[2] != (uint)step->A0))
                        {
                            *Libc.__errno_location() = 1;
                            result = -1;
                        }
                        break;
                    case StepKind.VerifyParent:
                        if (Libc.syscall(step->Number, 0, 0, 0, 0, 0, 0) != step->A0)
                        {
                            *Libc.__errno_location() = 3;
                            result = -1;
                        }
                        break;
                    case StepKind.VerifyFile:
                        // struct statx: stx_ino is the fifth word, stx_dev_major and stx_dev_minor are the halves of the eighteenth.
                        ulong* status = (ulong*)step->A0;
                        uint* device = (uint*)(status + 17);
                        ulong* expected = (ulong*)step->A1;
                        if (status[4] != expected[0] || ((ulong)device[0] << 32 | device[1]) != expected[1])
                        {
                            *Libc.__errno_location() = 116;
                            result = -1;
                        }
                        break;
                    case StepKind.OwnPid:
                        WriteDigits((byte*)step->A0, (ulong)Libc.syscall(step->Number, 0, 0, 0, 0, 0, 0));
                        break;
                    case StepKind.OwnPidfd:
                        result = Libc.syscall(step->A1, Libc.syscall(step->Number, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0);
                        if (result >= 0)
                        {
                            nint pidfd = result;
                            result = Libc.syscall(step->A2, pidfd, (nint)ids, 0, 0, 0, 0);
                            WriteDigits((byte*)step->A0, (ulong)ids[1]); // struct stat: st_ino is the second word on both architectures
                            Libc.syscall(step->A3, pidfd, 0, 0, 0, 0, 0);
                        }
                        break;
                    case StepKind.Exec:
                        result = Execute(step);
                        break;
                }
                if (result < 0)
                {
                    plan->Stage = step->Stage;
                    plan->Errno = *Libc.__errno_location();
                    if (plan->Report != 0)
                        Libc.syscall(plan->WriteNumber, plan->Report, (nint)(&plan->Stage), sizeof(int) * 2, 0, 0, 0);
                    Libc.syscall(plan->ExitNumber, 127, 0, 0, 0, 0, 0);
                }
            }
            return 0;
        }
    }

    // As execvp(3): a candidate that is missing or forbidden is not the end of the list, and EACCES is remembered. For a single candidate
    // its error is reported; in a search through several directories ENOTDIR of one of them means nothing.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nint Execute(Step* step)
    {
        unchecked
        {
            int kept = 0;
            for (byte** path = (byte**)step->A0; *path != null; path++)
            {
                Libc.syscall(step->Number, (nint)(*path), step->A1, step->A2, 0, 0, 0);
                int errno = *Libc.__errno_location();
                if (errno == 13)
                {
                    kept = 13;
                }
                else if (errno is not (2 or 20))
                {
                    kept = errno;
                    break;
                }
                else if (kept != 13)
                {
                    kept = kept == 0 ? errno : 2;
                }
            }
            *Libc.__errno_location() = kept == 0 ? 2 : kept;
            return -1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteDigits(byte* at, ulong value)
    {
        unchecked
        {
            int count = 1;
            for (ulong rest = value; rest >= 10; rest /= 10)
                count++;
            at[count] = 0;
            for (ulong rest = value; count > 0; rest /= 10)
                at[--count] = (byte)('0' + (rest % 10));
        }
    }
}
