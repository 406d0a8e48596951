using System.Runtime.InteropServices;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;
using static Launchd.Interop.SystemCallNumbers;

namespace Launchd.Linux.Spawning;

/// <summary>
/// The birth of one child as data: an array of system calls in native memory with all strings beside it, laid out before the
/// clone, so that the child allocates nothing. The memory is kept and used again for the next plan. A thread that must work
/// without the runtime carries out such a plan as well.
/// </summary>
internal sealed unsafe partial class ExecPlan : IDisposable
{
    private const int PidDigits = 20;
    private const int LeastBytes = 64 << 10;

    /// <summary>Programs that start the supervisor leave no descriptors above this number open by accident.</summary>
    private const int HighestInherited = 4095;

    private byte* _memory;
    private nuint _capacity;
    private nuint _used;
    private readonly int _parent = Libc.getpid();

    public PlanHeader* Header { get; private set; }

    /// <summary>Whether the child stops before the first instruction of its program, ptrace(2), so that a test can look at it.</summary>
    public bool StopsAtExec { get; init; }

    /// <summary>The pidfds of this kernel have inodes that are never used again (pidfs, Linux 6.9).</summary>
    public static bool HasPidfdInodes { get; set; }

    /// <summary>Lays out a plan without effects, which this process itself carries out once so that all code is compiled.</summary>
    public void LayRehearsal()
    {
        Reserve(4096);
        Header = Allocate<PlanHeader>(1);
        *Header = default;
        Header->Steps = Allocate<Step>(2);
        Add(StepKind.Call, SpawnStage.None, getpid);
        Add(StepKind.OwnPid, SpawnStage.None, getpid, (nint)Allocate<byte>(PidDigits + 4));
    }

    /// <summary>
    /// Lays out a plan whose child leaves the shared table, writes its own pid into the memory that is returned, and ends.
    /// </summary>
    public byte* LaySelfTest(int closeAbove)
    {
        Reserve(4096);
        Header = Allocate<PlanHeader>(1);
        *Header = default;
        Header->ExitNumber = exit_group;
        Header->Steps = Allocate<Step>(3);
        byte* digits = Allocate<byte>(PidDigits + 4);
        NativeMemory.Clear(digits, PidDigits + 4);
        Add(StepKind.Call, SpawnStage.Descriptors, close_range, closeAbove, int.MaxValue, Libc.CLOSE_RANGE_UNSHARE);
        Add(StepKind.OwnPid, SpawnStage.Identity, getpid, (nint)digits);
        Add(StepKind.Call, SpawnStage.Exec, exit_group, 0);
        return digits;
    }

    /// <summary>Lays out a plan by which a thread of this process leaves the shared table, with all that is in it.</summary>
    public void LayOwnTable()
    {
        LayForThread(most: 1);
        Add(StepKind.Call, SpawnStage.Descriptors, close_range, int.MaxValue, int.MaxValue, Libc.CLOSE_RANGE_UNSHARE);
    }

    /// <summary>
    /// Lays out a plan by which a thread with a table of its own changes what an epoll set waits for
    /// at an entry, and closes everything else.
    /// </summary>
    /// <param name="set">The set, above the standard descriptors.</param>
    /// <param name="descriptor">What the set waits for, above the standard descriptors.</param>
    /// <param name="entry">As it stands in the set.</param>
    /// <param name="events">What the set waits for from then on.</param>
    public void LayEpollChange(int set, int descriptor, EpollEntry entry, uint events)
    {
        LayForThread(most: 6);
        byte* changed = Allocate<byte>(EventLoop.EventBytes);
        *(uint*)changed = events;
        *(ulong*)(changed + EventLoop.DataOffset) = entry.Data;
        // The set must not be where the descriptor belongs.
        int setAt = entry.Number == 0 ? 1 : 0;
        Add(StepKind.Call, SpawnStage.Descriptors, dup3, set, setAt, Libc.O_CLOEXEC);
        Add(StepKind.Call, SpawnStage.Descriptors, dup3, descriptor, 2, Libc.O_CLOEXEC);
        Add(StepKind.Call, SpawnStage.Descriptors, close_range, 3, int.MaxValue);
        if (entry.Number != 2)
            Add(StepKind.Call, SpawnStage.Descriptors, dup3, 2, entry.Number, Libc.O_CLOEXEC);
        if (entry.IsExclusive)
            Add(StepKind.Call, SpawnStage.Descriptors, epoll_ctl, setAt, Libc.EPOLL_CTL_DEL, entry.Number, (nint)changed);
        int operation = entry.IsExclusive ? Libc.EPOLL_CTL_ADD : Libc.EPOLL_CTL_MOD;
        Add(StepKind.Call, SpawnStage.Descriptors, epoll_ctl, setAt, operation, entry.Number, (nint)changed);
    }

    private void LayForThread(int most)
    {
        Reserve(4096);
        Header = Allocate<PlanHeader>(1);
        *Header = default;
        // A thread ends by coming back: after a failure the rest of the plan fails as well, and harms nobody.
        Header->ExitNumber = getpid;
        Header->Steps = Allocate<Step>(most);
    }

    /// <summary>The memory of the plan, for a helper process that has it at another address.</summary>
    public PlanImage Image =>
        new() { Magic = PlanImage.Version, Base = (nint)_memory, Length = (nint)_used, Header = (nint)((byte*)Header - _memory) };

    /// <summary>Lays a plan out. Its native memory is valid until the next call.</summary>
    /// <param name="request">The child to be born.</param>
    /// <param name="sources">Descriptors of the parent, in the order of the request's mappings: none of them lies where an earlier
    /// one is put.</param>
    /// <param name="closeAbove">
    /// The child first leaves the shared table and takes along only what lies below; 0: its table is its own.
    /// </param>
    /// <param name="report">
    /// A descriptor of the child above all targets that stays open until exec closes it, for its report; 0: none.
    /// </param>
    public void Lay(SpawnRequest request, ReadOnlySpan<int> sources, int closeAbove, int report = 0)
    {
        Reserve(Measure(request));
        Header = Allocate<PlanHeader>(1);
        *Header = default;
        Header->ExitNumber = exit_group;
        Header->Report = report;
        Header->WriteNumber = write;
        Header->Steps = Allocate<Step>(MostSteps(request));
        nint nothing = (nint)Allocate<ulong>(8);
        NativeMemory.Clear((void*)nothing, 64);
        LaySignals(request, nothing);
        Add(StepKind.Call, SpawnStage.Session, setsid);
        LayDescriptors(request, sources, closeAbove, report);
        if (request.TakesTerminal)
            Add(StepKind.Call, SpawnStage.Terminal, ioctl, 0, (nint)Libc.TIOCSCTTY, 0);
        // Before the limits: a pin needs one descriptor more than the program.
        LayPinnedPaths(request, report);
        LayLimits(request);
        LayCredentials(request);
        if (request.ParentDeathSignal != 0)
        {
            Add(StepKind.Call, SpawnStage.ParentDeath, prctl, Libc.PR_SET_PDEATHSIG, request.ParentDeathSignal);
            Add(StepKind.VerifyParent, SpawnStage.ParentDeath, getppid, _parent);
        }
        if (request.NoNewPrivileges)
            Add(StepKind.Call, SpawnStage.NoNewPrivileges, prctl, Libc.PR_SET_NO_NEW_PRIVS, 1);
        byte** environment = LayEnvironment(request);
        if (StopsAtExec)
            Add(StepKind.Call, SpawnStage.Exec, ptrace, Libc.PTRACE_TRACEME);
        ulong* blocked = Allocate<ulong>(1);
        *blocked = request.BlockedSignals;
        Add(StepKind.Call, SpawnStage.Signals, rt_sigprocmask, Libc.SIG_SETMASK, (nint)blocked, 0, 8);
        Add(StepKind.Exec, SpawnStage.Exec, execve, (nint)Texts(request.Candidates), (nint)Texts(request.Arguments), (nint)environment);
    }

    public void Dispose()
    {
        Free();
        _capacity = 0;
    }

    private void LaySignals(SpawnRequest request, nint defaultAction)
    {
        foreach (int signal in SignalDispositions.ToReset)
            Add(StepKind.TryCall, SpawnStage.Signals, rt_sigaction, signal, defaultAction, 0, 8);
        nint pipeAction = defaultAction;
        if (request.IgnoreSigpipe)
        {
            ulong* ignore = Allocate<ulong>(8);
            NativeMemory.Clear(ignore, 64);
            ignore[0] = 1; // SIG_IGN
            pipeAction = (nint)ignore;
        }
        Add(StepKind.Call, SpawnStage.Signals, rt_sigaction, SignalDispositions.Pipe, pipeAction, 0, 8);
    }

    private void LayDescriptors(SpawnRequest request, ReadOnlySpan<int> sources, int closeAbove, int report)
    {
        if (closeAbove > 0)
            Add(StepKind.Call, SpawnStage.Descriptors, close_range, closeAbove, int.MaxValue, Libc.CLOSE_RANGE_UNSHARE);
        int next = 0;
        for (int i = 0; i < sources.Length; i++)
        {
            int target = request.Descriptors[i].Target;
            Add(StepKind.Call, SpawnStage.Descriptors, dup3, sources[i], target, 0);
        }
        foreach (DescriptorMapping mapping in request.Descriptors)
        {
            if (mapping.Target > next)
                AddCloseRange(next, mapping.Target - 1, sources);
            next = mapping.Target + 1;
        }
        if (report > next)
            AddCloseRange(next, report - 1, sources);
        AddCloseRange(Math.Max(next, report == 0 ? 0 : report + 1), int.MaxValue, sources);
        // The kernel never makes a table smaller.
        if (request.TableRoom > 0)
            Add(StepKind.TryCall, SpawnStage.Descriptors, dup3, request.Descriptors[0].Target, request.TableRoom - 1, Libc.O_CLOEXEC);
    }

    private void AddCloseRange(int first, int last, ReadOnlySpan<int> sources)
    {
        int highest = HighestInherited;
        foreach (int source in sources)
            highest = Math.Max(highest, source);
        Add(StepKind.CloseRange, SpawnStage.Descriptors, close_range, first, last, highest, close);
    }

    private void LayLimits(SpawnRequest request)
    {
        foreach ((int resource, ulong soft, ulong hard) in request.Limits)
        {
            ulong* limit = Allocate<ulong>(2);
            limit[0] = soft;
            limit[1] = hard;
            Add(StepKind.Call, SpawnStage.Limits, prlimit64, 0, resource, (nint)limit, 0);
        }
        if (request.OomScoreAdjust is { } score)
        {
            string digits = score.ToString();
            Add(StepKind.WriteFile, SpawnStage.OomScore, openat,
                (nint)Text("/proc/self/oom_score_adj"), (nint)Text(digits), digits.Length, write, close);
        }
        if (request.Nice is { } nice)
            Add(StepKind.Call, SpawnStage.Nice, setpriority, Libc.PRIO_PROCESS, 0, nice);
        Add(StepKind.Call, SpawnStage.Limits, SystemCallNumbers.umask, request.Umask);
    }

    private void LayCredentials(SpawnRequest request)
    {
        if (request.BoundingSet is { } kept)
        {
            for (int capability = 0; capability < 64; capability++)
            {
                // The kernel refuses numbers of capabilities that it does not know with EINVAL; no process can have those.
                if ((kept >> capability & 1) == 0)
                {
                    Add(capability <= 40 ? StepKind.Call : StepKind.TryCall,
                        SpawnStage.Capabilities, prctl, Libc.PR_CAPBSET_DROP, capability);
                }
            }
        }
        if (request.AmbientSet != 0)
            Add(StepKind.Call, SpawnStage.Capabilities, prctl, Libc.PR_SET_KEEPCAPS, 1);
        if (!request.EntersAsUser)
            Add(StepKind.Call, SpawnStage.WorkingDirectory, chdir, (nint)Text(request.WorkingDirectory));
        if (request.Credentials is { } who)
        {
            uint* groups = Allocate<uint>(Math.Max(1, who.Groups.Count));
            who.Groups.ToArray().CopyTo(new Span<uint>(groups, who.Groups.Count));
            // Raw system calls: libc's functions would change every thread of the parent, whose memory the child shares (nptl(7)).
            Add(StepKind.Call, SpawnStage.Groups, setgroups, who.Groups.Count, (nint)groups);
            Add(StepKind.Call, SpawnStage.Group, setresgid, (nint)who.Gid, (nint)who.Gid, (nint)who.Gid);
            // The directory is entered with the user's rights, so that a link of the user leads only where the user may go; the real user
            // is still root, so that the user cannot stop the child meanwhile (kill(2)).
            Add(StepKind.Call, SpawnStage.User, setresuid, -1, (nint)who.Uid, -1);
            if (request.EntersAsUser)
                Add(StepKind.Call, SpawnStage.WorkingDirectory, chdir, (nint)Text(request.WorkingDirectory));
            Add(StepKind.Call, SpawnStage.User, setresuid, (nint)who.Uid, (nint)who.Uid, (nint)who.Uid);
            Add(StepKind.VerifyIds, SpawnStage.Verify, getresgid, (nint)who.Gid);
            Add(StepKind.VerifyIds, SpawnStage.Verify, getresuid, (nint)who.Uid);
        }
        if (request.AmbientSet != 0)
            LayAmbient(request.AmbientSet);
    }

    private void LayAmbient(ulong set)
    {
        uint* header = Allocate<uint>(2), data = Allocate<uint>(6);
        header[0] = Libc.LINUX_CAPABILITY_VERSION_3;
        header[1] = 0;
        uint low = (uint)(set & uint.MaxValue), high = (uint)(set >> 32);
        for (int i = 0; i < 3; i++)
        {
            data[i] = low;
            data[3 + i] = high;
        }
        Add(StepKind.Call, SpawnStage.Capabilities, capset, (nint)header, (nint)data);
        for (int capability = 0; capability < 64; capability++)
        {
            if ((set >> capability & 1) != 0)
                Add(StepKind.Call, SpawnStage.Capabilities, prctl, Libc.PR_CAP_AMBIENT, Libc.PR_CAP_AMBIENT_RAISE, capability);
        }
    }

    private byte** LayEnvironment(SpawnRequest request)
    {
        bool pidfd = request.PidfdVariable is not null && HasPidfdInodes;
        int count = request.Environment.Count + request.PidVariables.Count + (pidfd ? 1 : 0);
        byte** variables = (byte**)Allocate<nint>(count + 1);
        int at = 0;
        foreach (string variable in request.Environment)
            variables[at++] = Text(variable);
        foreach (string name in request.PidVariables)
        {
            variables[at] = Text(name + "=" + new string('\0', PidDigits));
            Add(StepKind.OwnPid, SpawnStage.Identity, getpid, (nint)(variables[at++] + name.Length + 1));
        }
        if (pidfd)
        {
            variables[at] = Text(request.PidfdVariable + "=" + new string('\0', PidDigits));
            Add(StepKind.OwnPidfd, SpawnStage.Identity, getpid,
                (nint)(variables[at++] + request.PidfdVariable!.Length + 1), pidfd_open, fstat, close);
        }
        variables[at] = null;
        return variables;
    }

    private void Add(StepKind kind, SpawnStage stage, nint number, nint a0 = 0, nint a1 = 0, nint a2 = 0, nint a3 = 0, nint a4 = 0) =>
        Header->Steps[Header->Count++] = new Step
        {
            Kind = kind, Stage = stage, Number = number, A0 = a0, A1 = a1, A2 = a2, A3 = a3, A4 = a4,
        };

    private static int MostSteps(SpawnRequest request) =>
        224 + (2 * request.Descriptors.Count) + request.Limits.Count + request.PidVariables.Count + (5 * request.PinnedPaths.Count);

    private static nuint Measure(SpawnRequest request)
    {
        long bytes = 4096 + (sizeof(Step) * (long)MostSteps(request)) + request.WorkingDirectory.Length * 3L;
        ReadOnlySpan<IReadOnlyList<string>> lists = [request.Arguments, request.Candidates, request.Environment, request.PidVariables];
        foreach (IReadOnlyList<string> texts in lists)
        {
            foreach (string text in texts)
                bytes += (text.Length * 3L) + PidDigits + 32;
        }
        foreach (PinnedPath pinned in request.PinnedPaths)
            bytes += (pinned.Path.Length * 3L) + 32;
        return (nuint)(bytes + (request.Limits.Count * 32L)
            + ((request.Credentials?.Groups.Count ?? 0) * 4L) + (request.PidfdVariable?.Length ?? 0) * 3L);
    }

    private void Reserve(nuint bytes)
    {
        _used = 0;
        if (bytes <= _capacity)
            return;
        Free();
        // Mapped memory, not the heap: all its addresses are greater than any number in a step, so that addresses can be told from numbers.
        nuint rounded = (bytes + LeastBytes - 1) / LeastBytes * LeastBytes;
        byte* memory = (byte*)Libc.mmap(null, rounded, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if ((nint)memory == -1)
            throw new SystemCallException("mmap", "the plan of a new process", Client.Errno.Last);
        _memory = memory;
        _capacity = rounded;
    }

    private void Free()
    {
        if (_memory != null)
            _ = Libc.munmap(_memory, _capacity);
        _memory = null;
    }

    private T* Allocate<T>(int count)
        where T : unmanaged
    {
        nuint start = (_used + 7) & ~(nuint)7;
        _used = start + ((nuint)count * (nuint)sizeof(T));
        if (_used > _capacity)
            throw new InvalidOperationException("a plan outgrew its memory");
        return (T*)(_memory + start);
    }

    private byte* Text(string text)
    {
        int length = KernelText.ByteCount(text);
        byte* start = Allocate<byte>(length + 1);
        _ = KernelText.Encode(text, new Span<byte>(start, length));
        start[length] = 0;
        return start;
    }

    private byte** Texts(IReadOnlyList<string> texts)
    {
        byte** list = (byte**)Allocate<nint>(texts.Count + 1);
        for (int i = 0; i < texts.Count; i++)
            list[i] = Text(texts[i]);
        list[texts.Count] = null;
        return list;
    }
}
