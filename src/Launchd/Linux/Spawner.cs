using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux;

/// <summary>A child that never came to run its program: where it failed, and why.</summary>
internal readonly record struct SpawnFailure(SpawnStage Stage, Errno Errno);

/// <summary>
/// Gives birth to children: clone(2) with shared memory and a still parent (as vfork), further down the parent's stack, into one small
/// method that carries out an <see cref="ExecPlan"/>. Only on the main thread: a parent-death signal belongs to the thread that
/// made the child (prctl(2)).
/// </summary>
internal sealed unsafe class Spawner : IDisposable
{
    /// <summary>Left free between the parent's frames and the child's: what the parent calls before it has left <see cref="CloneOnce"/>.</summary>
    private const int StackGapBytes = 64 << 10;

    private const int F_DUPFD_CLOEXEC = 1030;
    private const int O_CLOEXEC = 0x80000;
    private const int SIGCHLD = 17;

    private readonly ExecPlan _plan;
    private readonly SpawnStaging _staging;
    private readonly HelperCarrier? _helper;
    private readonly BirthAudit? _audit;

    /// <param name="placeholderTaken">A harmless descriptor (/dev/null): keeps the numbers of the staging range taken.</param>
    /// <param name="carrier">Null: <see cref="SpawnCarrier.Clone"/> if a test of it succeeds, else the other.</param>
    /// <param name="audit">Looks at each child before its program begins; for tests. Null: none does.</param>
    public Spawner(FileDescriptor placeholderTaken, SpawnCarrier? carrier = null, BirthAudit? audit = null)
    {
        _audit = audit;
        _plan = new ExecPlan { StopsAtExec = audit is not null };
        _staging = new SpawnStaging(placeholderTaken);
        // Compiled before the first birth: a child must never need the compiler.
        Rehearse();
        ExecPlan.HasPidfdInodes = KernelHasPidfdInodes();
        Carrier = carrier ?? (CloneWorks() ? SpawnCarrier.Clone : SpawnCarrier.Exec);
        if (Carrier == SpawnCarrier.Exec)
            _helper = new HelperCarrier(_plan);
    }

    public SpawnCarrier Carrier { get; }

    /// <summary>Starts a child. Blocks until it runs its program or has failed.</summary>
    /// <param name="request">Descriptors are borrowed.</param>
    /// <param name="child">Owned by the caller; null on failure.</param>
    /// <returns>Null: the program runs.</returns>
    public SpawnFailure? Start(SpawnRequest request, out PidFd? child)
    {
        SpawnFailure? failure = _helper is null ? StartByClone(request, out child) : _helper.Start(request, out child);
        if (failure is null)
            _audit?.Look(child!, request);
        return failure;
    }

    /// <summary>Copies every descriptor to a number above all targets, close-on-exec; -1 stands for those that were not reached.</summary>
    public static Errno LiftAbove(IReadOnlyList<DescriptorMapping> descriptors, Span<int> sources)
    {
        sources.Fill(-1);
        int above = LeastLifted(descriptors);
        for (int i = 0; i < descriptors.Count; i++)
        {
            sources[i] = SpawnLibc.fcntl(descriptors[i].Source, F_DUPFD_CLOEXEC, above);
            if (sources[i] < 0)
                return Errno.Last;
        }
        return Errno.None;
    }

    /// <summary>The first number above all targets, and above the standard ones.</summary>
    public static int LeastLifted(IReadOnlyList<DescriptorMapping> descriptors) => descriptors.Count == 0 ? 3 : Math.Max(3, descriptors[^1].Target + 1);

    private SpawnFailure? StartByClone(SpawnRequest request, out PidFd? child)
    {
        child = null;
        int count = request.Descriptors.Count;
        Span<int> sources = count <= 256 ? stackalloc int[count] : new int[count];
        bool staged = IsStageable(request.Descriptors);
        Errno refused = staged ? Stage(request.Descriptors, sources) : LiftAbove(request.Descriptors, sources);
        try
        {
            if (refused != Errno.None)
                return new SpawnFailure(SpawnStage.Descriptors, refused);
            _plan.Lay(request, sources, staged ? _staging.Start + count : 0);
            return Clone(staged ? Libc.CLONE_FILES : 0, out child);
        }
        finally
        {
            if (staged)
                _staging.Clear(count);
            else
                CloseAll(sources);
        }
    }

    public void Dispose()
    {
        _plan.Dispose();
        _staging.Dispose();
    }

    /// <summary>
    /// Runs the plan on this thread: a helper does that was started for nothing else. Comes back if the plan does not exec, and its exit is none.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void CarryOut(PlanHeader* plan)
    {
        delegate* unmanaged<void*, int> child = &Child;
        _ = child(plan);
    }

    /// <summary>Waits for a child that has ended, or is about to, and reaps it: nobody else may take it for one of the services. Its status.</summary>
    public static int Reap(PidFd child)
    {
        byte* info = stackalloc byte[128];
        new Span<byte>(info, 128).Clear();
        int by = Libc.P_PIDFD, which = child.Descriptor.Number;
        while (Libc.waitid(by, which, info, Libc.WEXITED) < 0)
        {
            if (Errno.Last == Errno.EINTR)
                continue;
            if (by == Libc.P_PID)
                break;
            // Refused by a filter, or by a kernel before 5.4. It is our child and not reaped, so the number is its own still.
            (by, which) = (Libc.P_PID, child.Pid);
        }
        return *(int*)(info + 24);
    }

    private SpawnFailure? Clone(int flags, out PidFd? child)
    {
        child = null;
        // 128 KiB on 64 bits: the gap, and as much again for the child.
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            return new SpawnFailure(SpawnStage.Clone, Errno.ENOMEM);
        PlanHeader* plan = _plan.Header;
        int pid = CloneOnce(flags | SIGCHLD, plan, out int pidfd, out Errno errno);
        if (pid < 0)
            return new SpawnFailure(SpawnStage.Clone, errno);
        PidFd born = new(pid, new FileDescriptor(pidfd));
        if (plan->Errno == 0)
        {
            child = born;
            return null;
        }
        _ = Reap(born);
        born.Dispose();
        return new SpawnFailure(plan->Stage, new Errno(plan->Errno));
    }

    // To the runtime, parent and child are one thread, and the child's calls stand in that thread's chain of frames until this method has returned.
    // A collection in another thread walks along that chain, which leads from lower to higher addresses: so the child's frames lie below
    // ours, and nothing may be called here that could reach down to them. With frames in a wrong order it misses what this thread
    // holds, under the JIT, and frees it.
    /// <summary>Has a child of this thread, whichever it is, carry out a plan: -1 with the reason, or its pid and, close-on-exec, its pidfd.</summary>
    /// <param name="flags">Of clone(2), with the signal that its end sends; 0 in the signal's place: none, and only <c>__WALL</c> reaps it.</param>
    /// <param name="plan">Ends in an exec or an exit, and asks for no parent-death signal but on the main thread.</param>
    /// <param name="pidfd">-1: there is no child.</param>
    /// <param name="errno">Why not.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static int CloneOnce(int flags, PlanHeader* plan, out int pidfd, out Errno errno)
    {
        ulong* all = stackalloc ulong[2], old = all + 1;
        *all = ulong.MaxValue;
        int born = -1;
        byte* top = (byte*)((nint)all & ~(nint)15) - StackGapBytes;
        // No signal may reach the child while it still has the parent's handlers. By number: libc would lift the signals that it keeps for itself.
        _ = Libc.syscall(SystemCallNumbers.rt_sigprocmask, Libc.SIG_SETMASK, (nint)all, (nint)old, sizeof(ulong), 0, 0);
        int pid = Libc.clone(&Child, top, Libc.CLONE_VM | Libc.CLONE_VFORK | Libc.CLONE_PIDFD | flags, plan, &born, null, null);
        errno = pid < 0 ? new Errno(*Libc.__errno_location()) : Errno.None;
        _ = Libc.syscall(SystemCallNumbers.rt_sigprocmask, Libc.SIG_SETMASK, (nint)old, 0, sizeof(ulong), 0, 0);
        pidfd = born;
        return pid;
    }

    // Rules for everything below that runs in the child: it shares the parent's memory while the parent stands still. No allocation, no
    // exception, no lock, no generic or virtual call, no static that needs a class constructor; raw system calls only. A collection
    // in another thread goes on meanwhile, because each call is an ordinary transition.
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
                    case StepKind.CloseRange:
                        if (Libc.syscall(step->Number, step->A0, step->A1, 0, 0, 0, 0) < 0)
                        {
                            for (nint at = step->A0; at <= step->A1 && at <= step->A2; at++)
                                Libc.syscall(step->A3, at, 0, 0, 0, 0, 0);
                        }
                        break;
                    case StepKind.WriteFile:
                        result = Libc.syscall(step->Number, -100, step->A0, 1 | O_CLOEXEC, 0, 0, 0);
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

    // As execvp(3): a candidate that is missing or forbidden is not the end of the list, and EACCES is remembered. Of a single one the
    // reason is told as it is; of a search through several directories that one of them was none says nothing.
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

    private void Rehearse()
    {
        _ = *Libc.__errno_location();
        _plan.LayRehearsal();
        CarryOut(_plan.Header);
    }

    // A filter of system calls, or a kernel that is not one, may refuse these flags, or not do what they mean.
    private bool CloneWorks()
    {
        byte* digits = _plan.LaySelfTest(_staging.Start + SpawnStaging.Count);
        if (Clone(Libc.CLONE_FILES, out PidFd? child) is not null)
            return false;
        using (child)
        {
            int status = Reap(child!);
            return status == 0 && Marshal.PtrToStringUTF8((nint)digits) == child!.Pid.ToString();
        }
    }

    // The fast way: the child shares the parent's table until its first call, which copies only what lies below the end of what is
    // staged. So a birth costs the same whether the supervisor holds ten descriptors or ten thousand.
    private static bool IsStageable(IReadOnlyList<DescriptorMapping> descriptors)
    {
        if (descriptors.Count > SpawnStaging.Count)
            return false;
        for (int i = 0; i < descriptors.Count; i++)
        {
            if (descriptors[i].Target != i)
                return false;
        }
        return true;
    }

    private Errno Stage(IReadOnlyList<DescriptorMapping> descriptors, Span<int> sources)
    {
        for (int i = 0; i < descriptors.Count; i++)
        {
            sources[i] = _staging.Start + i;
            if (_staging.Put(descriptors[i].Source, i) is { Value: not 0 } refused)
                return refused;
        }
        return Errno.None;
    }

    private static void CloseAll(ReadOnlySpan<int> sources)
    {
        foreach (int source in sources)
        {
            if (source >= 0)
                _ = Client.Interop.ClientLibc.close(source);
        }
    }

    private static bool KernelHasPidfdInodes()
    {
        using PidFd? self = PidFd.TryOpen(Libc.getpid());
        if (self is null)
            return false;
        // statfs(2): f_type is the first word; pidfds of Linux 6.9 live in a file system of their own.
        ulong* facts = stackalloc ulong[16];
        return SpawnLibc.fstatfs(self.Descriptor.Number, facts) == 0 && facts[0] == 0x50494446;
    }
}
