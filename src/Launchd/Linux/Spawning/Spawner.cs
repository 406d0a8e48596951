using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Processes;

namespace Launchd.Linux.Spawning;

/// <summary>A child that never came to run its program: where it failed, and why.</summary>
internal readonly record struct SpawnFailure(SpawnStage Stage, Errno Errno);

/// <summary>
/// Gives birth to children: clone(2) with shared memory and a still parent (as vfork), further down the parent's stack, into one small
/// method that carries out an <see cref="ExecPlan"/>. A spawner belongs to one thread at a time. A child's parent-death signal comes when
/// the thread ends that made the child (prctl(2)): so a thread that gives birth must live as long as its children.
/// </summary>
internal sealed unsafe partial class Spawner : IDisposable
{
    /// <summary>
    /// Space between the parent's frames and the child's, for what the parent still calls before it has left <see cref="CloneOnce"/>.
    /// </summary>
    private const int StackGapBytes = 64 << 10;

    private const int F_DUPFD_CLOEXEC = 1030;
    private const int SIGCHLD = 17;

    private readonly ExecPlan _plan;
    private readonly SpawnStaging? _staging;
    private readonly HelperCarrier? _helper;
    private readonly BirthAudit? _audit;

    /// <param name="placeholderTaken">
    /// A harmless descriptor (/dev/null): keeps the numbers of the staging range taken. Null: there is no such range, and a birth costs the
    /// more the more descriptors are open.
    /// </param>
    /// <param name="carrier">Null: <see cref="SpawnCarrier.Clone"/> if a test of it succeeds, else the other.</param>
    /// <param name="audit">Looks at each child before its program begins, for tests. Null: no child is looked at.</param>
    public Spawner(FileDescriptor? placeholderTaken, SpawnCarrier? carrier = null, BirthAudit? audit = null)
    {
        _audit = audit;
        _plan = new ExecPlan { StopsAtExec = audit is not null };
        _staging = placeholderTaken is null ? null : new SpawnStaging(placeholderTaken);
        // Compiled before the first birth: a child must never need the compiler.
        Rehearse();
        ExecPlan.HasPidfdInodes = ProcessIdentity.HasInodes = KernelHasPidfdInodes();
        Carrier = carrier ?? (CloneWorks() ? SpawnCarrier.Clone : SpawnCarrier.Exec);
        if (Carrier == SpawnCarrier.Exec)
            _helper = new HelperCarrier(_plan);
    }

    private Spawner(SpawnCarrier carrier, BirthAudit? audit, SpawnStaging? staging)
    {
        _audit = audit;
        _plan = new ExecPlan { StopsAtExec = audit is not null };
        _staging = staging;
        Carrier = carrier;
        if (Carrier == SpawnCarrier.Exec)
            _helper = new HelperCarrier(_plan);
    }

    /// <summary>Makes a spawner for another thread, with the same carrier.</summary>
    /// <param name="placeholderTaken">
    /// As for the first one, and made before there are many descriptors. Null: it has no staging range, and a birth
    /// costs the more the more descriptors are open.
    /// </param>
    /// <exception cref="SystemCallException">EMFILE: there are not enough numbers for the range.</exception>
    public Spawner Another(FileDescriptor? placeholderTaken) =>
        new(Carrier, _audit,
            placeholderTaken is null || Carrier == SpawnCarrier.Exec ? Without(placeholderTaken) : new SpawnStaging(placeholderTaken));

    private static SpawnStaging? Without(FileDescriptor? placeholderTaken)
    {
        placeholderTaken?.Dispose();
        return null;
    }

    public SpawnCarrier Carrier { get; }

    /// <summary>Each child stops before its program, to be looked at.</summary>
    public bool IsAudited => _audit is not null;

    /// <summary>Starts a child. Blocks until it runs its program or has failed.</summary>
    /// <param name="request">Descriptors are borrowed.</param>
    /// <param name="child">Owned by the caller; null on failure.</param>
    /// <param name="seen">
    /// Gets the child's pid before the child does anything, for a thread that may hear of the child's end before this
    /// call returns. Null: there is no such thread.
    /// </param>
    /// <param name="awaitStop">As for <see cref="BirthAudit.Look"/>.</param>
    /// <returns>Null: the program runs, or has already ended.</returns>
    public SpawnFailure? Start(SpawnRequest request, out ProcessHandle? child, int* seen = null, Func<bool>? awaitStop = null)
    {
        SpawnFailure? failure = _helper is null ? StartByClone(request, seen, out child) : _helper.Start(request, seen, out child);
        if (failure is null)
            _audit?.Look(child!, request, awaitStop);
        return failure;
    }

    /// <summary>
    /// Copies every descriptor to a number above all targets, close-on-exec; -1 stands for descriptors that were not reached.
    /// </summary>
    public static Errno LiftAbove(IReadOnlyList<DescriptorMapping> descriptors, Span<int> sources)
    {
        sources.Fill(-1);
        int above = LeastLifted(descriptors);
        for (int i = 0; i < descriptors.Count; i++)
        {
            sources[i] = Libc.fcntl(descriptors[i].Source, F_DUPFD_CLOEXEC, above);
            if (sources[i] < 0)
                return Errno.Last;
        }
        return Errno.None;
    }

    /// <summary>The first number above all targets, and above the standard ones.</summary>
    public static int LeastLifted(IReadOnlyList<DescriptorMapping> descriptors) =>
        descriptors.Count == 0 ? 3 : Math.Max(3, descriptors[^1].Target + 1);

    private SpawnFailure? StartByClone(SpawnRequest request, int* seen, out ProcessHandle? child)
    {
        child = null;
        int count = request.Descriptors.Count;
        Span<int> sources = count <= 256 ? stackalloc int[count] : new int[count];
        SpawnStaging? staging = IsStageable(request.Descriptors) ? _staging : null;
        Errno refused = staging is not null ? Stage(staging, request.Descriptors, sources) : LiftAbove(request.Descriptors, sources);
        try
        {
            if (refused != Errno.None)
                return new SpawnFailure(SpawnStage.Descriptors, refused);
            _plan.Lay(request, sources, staging is not null ? staging.Start + count : 0);
            // Until it executes its program the child has our memory, and is another user's by then.
            if (request.Credentials is not null)
                Visibility.Hide();
            try
            {
                return Clone(staging is not null ? Libc.CLONE_FILES : 0, seen, out child);
            }
            finally
            {
                if (request.Credentials is not null)
                    Visibility.Show();
            }
        }
        finally
        {
            if (staging is not null)
                staging.Clear(count);
            else
                CloseAll(sources);
        }
    }

    public void Dispose()
    {
        _plan.Dispose();
        _staging?.Dispose();
    }

    /// <summary>
    /// Carries out the plan on this thread, in a helper that was started only for that. Comes back only if the
    /// plan neither executes a program nor exits.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void CarryOut(PlanHeader* plan)
    {
        delegate* unmanaged<void*, int> child = &Child;
        _ = child(plan);
    }

    /// <summary>
    /// Waits for a child that has ended, or is about to, and reaps it: nobody else may take it for one of the services. Returns its status.
    /// </summary>
    public static int Reap(ProcessHandle child)
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
            // Refused by a filter, or by a kernel before 5.4. The child was not reaped, so the number is still its own.
            (by, which) = (Libc.P_PID, child.Pid);
        }
        return *(int*)(info + 24);
    }

    private SpawnFailure? Clone(int flags, int* seen, out ProcessHandle? child)
    {
        child = null;
        // 128 KiB on 64 bits: the gap, and as much again for the child.
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            return new SpawnFailure(SpawnStage.Clone, Errno.ENOMEM);
        PlanHeader* plan = _plan.Header;
        int pid = CloneOnce(flags | SIGCHLD, plan, out int pidfd, out Errno errno, seen);
        if (pid < 0)
            return new SpawnFailure(SpawnStage.Clone, errno);
        ProcessHandle born = new(pid, new FileDescriptor(pidfd));
        if (plan->Errno == 0)
        {
            child = born;
            return null;
        }
        _ = Reap(born);
        born.Dispose();
        return new SpawnFailure(plan->Stage, new Errno(plan->Errno));
    }

    // To the runtime, parent and child are one thread, and the child's calls stand in that thread's chain of frames until this method has
    // returned. A collection in another thread walks along that chain, which leads from lower to higher addresses: so the child's frames
    // lie below ours, and nothing may be called here that could reach down to them. With frames in the wrong order the collection misses
    // objects that this thread holds, and frees them (under the JIT).
    /// <summary>
    /// Makes a child of this thread that carries out a plan. Returns -1 with the reason, or the child's pid and, close-on-exec, its pidfd.
    /// </summary>
    /// <param name="flags">
    /// Flags of clone(2) with the signal that is sent at the child's end; without a signal only <c>__WALL</c> reaps the child.
    /// </param>
    /// <param name="plan">Ends in an exec or an exit, and asks for a parent-death signal only on a thread that never ends.</param>
    /// <param name="pidfd">-1: there is no child.</param>
    /// <param name="errno">Why there is no child.</param>
    /// <param name="seen">Gets the pid before the child does anything. Null: not needed.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static int CloneOnce(int flags, PlanHeader* plan, out int pidfd, out Errno errno, int* seen = null)
    {
        ulong* all = stackalloc ulong[2], old = all + 1;
        *all = ulong.MaxValue;
        int born = -1;
        byte* top = (byte*)((nint)all & ~(nint)15) - StackGapBytes;
        // No signal may reach the child while it still has the parent's handlers. Called by number: libc's function would leave
        // the signals unblocked that libc keeps for itself.
        _ = Libc.syscall(SystemCallNumbers.rt_sigprocmask, Libc.SIG_SETMASK, (nint)all, (nint)old, sizeof(ulong), 0, 0);
        // The pid is written by the child into the shared memory before it runs: the parent's flag would
        // write it to where the pidfd goes (clone(2)).
        int tells = seen == null ? 0 : Libc.CLONE_CHILD_SETTID;
        int pid = Libc.clone(&Child, top, Libc.CLONE_VM | Libc.CLONE_VFORK | Libc.CLONE_PIDFD | tells | flags, plan, &born, null, seen);
        errno = pid < 0 ? new Errno(*Libc.__errno_location()) : Errno.None;
        _ = Libc.syscall(SystemCallNumbers.rt_sigprocmask, Libc.SIG_SETMASK, (nint)old, 0, sizeof(ulong), 0, 0);
        pidfd = born;
        return pid;
    }

    private void Rehearse()
    {
        _ = *Libc.__errno_location();
        _plan.LayRehearsal();
        CarryOut(_plan.Header);
    }

    // A filter of system calls, or an emulated kernel, may refuse these flags, or not do what they mean.
    private bool CloneWorks()
    {
        byte* digits = _plan.LaySelfTest(_staging is null ? LeastLifted([]) : _staging.Start + SpawnStaging.Count);
        int seen = 0;
        if (Clone(Libc.CLONE_FILES, &seen, out ProcessHandle? child) is not null)
            return false;
        using (child)
        {
            int status = Reap(child!);
            return status == 0 && seen == child!.Pid && Marshal.PtrToStringUTF8((nint)digits) == child!.Pid.ToString();
        }
    }

    // The fast way: the child shares the parent's descriptor table until its first call, which copies only the part up to the end of the
    // staged descriptors. So a birth costs the same whether the supervisor holds ten descriptors or ten thousand.
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

    private static Errno Stage(SpawnStaging staging, IReadOnlyList<DescriptorMapping> descriptors, Span<int> sources)
    {
        for (int i = 0; i < descriptors.Count; i++)
        {
            sources[i] = staging.Start + i;
            if (staging.Put(descriptors[i].Source, i) is { Value: not 0 } refused)
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
        using ProcessHandle? self = ProcessHandle.TryOpen(Libc.getpid());
        if (self is null)
            return false;
        // statfs(2): f_type is the first word; pidfds of Linux 6.9 live in a file system of their own.
        ulong* facts = stackalloc ulong[16];
        return Libc.fstatfs(self.Descriptor.Number, facts) == 0 && facts[0] == 0x50494446;
    }
}
