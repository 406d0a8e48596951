using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// Finds the processes that are left of instances, and signals them: process groups, orphans, and their descendants. A large tree is
/// gone through piece by piece, one in each turn of the loop.
/// </summary>
internal sealed partial class ProcessTrees
{
    private const int Kill = 9, Cont = 18;

    // Processes that one turn looks at: some milliseconds of reading /proc.
    private const int MostInATurn = 128;

    // Bounds the queue for a tree that forks faster than it is read: processes beyond become our orphans when their parents end.
    private const int MostWaiting = 100_000;

    private static readonly TimeSpan UntoldPatience = TimeSpan.FromSeconds(1);

    // With CAP_SYS_PTRACE every environment can be read. Read once: a supervisor does not get back capabilities that it gave up.
    private static readonly bool CanReadAll = Libc.geteuid() == 0
        && (ProcessFacts.Status(Libc.getpid(), "CapEff", isHexadecimal: true) is not { } held || (held & (1UL << 19)) != 0);

    private readonly Delays _delays;
    private readonly Func<long> _turn;
    private readonly Action _onProgress;
    private readonly Action<int, string, string> _onStray;
    private readonly Queue<Step> _todo = new();
    private readonly List<int> _children = [];
    private readonly object _telling = new();
    private readonly int _self = Libc.getpid();
    private readonly HashSet<RunningInstance> _killed = [];
    private int _signalToAll;
    private long _completeIn = -1;
    // Of a look that is worth while only later; what is to be done in the next turn does not wait for it.
    private readonly object _lookingAgain = new();
    private bool _hasMore;

    /// <param name="delays">Of the loop: for work that is left to another turn.</param>
    /// <param name="turn">Which turn of the loop it is.</param>
    /// <param name="isKnown">Main processes and commands.</param>
    /// <param name="isCloning">As for <see cref="Orphans"/>.</param>
    /// <param name="onProgress">Called, in a turn of its own, when a look has found more.</param>
    /// <param name="onStray">Called with the pid and name of a stray, and why it cannot be told to which instance it belongs.</param>
    public ProcessTrees(
        Delays delays, Func<long> turn, Func<int, bool> isKnown, Func<bool> isCloning, Action onProgress,
        Action<int, string, string> onStray)
    {
        _delays = delays;
        _turn = turn;
        _onProgress = onProgress;
        _onStray = onStray;
        Orphans = new Orphans(isKnown, isCloning, OnFound);
        ProcFile.Reserve();
        Orphans.Begin();
    }

    public Orphans Orphans { get; }

    /// <summary>Whether any process of the instance still lives that <c>kill</c> reaches. Its main process has ended.</summary>
    public bool HasLeftovers(RunningInstance instance)
    {
        KillScope scope = instance.Definition.Stop.Kill;
        if (scope == KillScope.Process)
            return false;
        // The group of an adopted one can be told from a zombie of it only by its processes.
        if (instance.Reaper > 0)
            _ = Find();
        bool isGroupAlive = IsGroupAlive(instance);
        if (scope == KillScope.Group)
            return isGroupAlive;
        bool isComplete = Find();
        return isGroupAlive || !isComplete || instance.Orphans.Count > 0 || (Orphans.IsChasing && _killed.Contains(instance));
    }

    /// <summary>
    /// Sends a signal to as much of an instance as the scope says, to each process once, because
    /// programs take a second signal for "at once".
    /// </summary>
    /// <param name="instance">Whose processes.</param>
    /// <param name="signal">signal(7).</param>
    /// <param name="scope">How far.</param>
    /// <param name="andContinue">Whether SIGCONT follows, so that a stopped process can act on the signal.</param>
    /// <returns>
    /// Why neither the main process nor any of the group has got it; <see cref="Errno.ESRCH"/>: they have ended. Those of the tree outside
    /// of the group may be signalled later, and tell nothing.
    /// </returns>
    public Errno Signal(RunningInstance instance, int signal, KillScope scope, bool andContinue = false)
    {
        ProcessHandle? main = instance.MainEnded ? null : instance.Process;
        instance.IsKilled |= signal == Kill && scope == instance.Definition.Stop.Kill;
        Errno refused = scope != KillScope.Process ? SignalGroup(instance, signal, andContinue) : Errno.ESRCH;
        if (main is not null && (scope == KillScope.Process || !instance.IsInGroup))
        {
            refused = Together(refused, main.Signal(signal));
            if (andContinue)
                _ = main.Signal(Cont);
        }
        if (scope == KillScope.Tree)
            SignalTree(instance, main, signal, andContinue);
        else if (main is not null && instance.Definition.Stop.Kill == KillScope.Tree && !CanReadAll)
            Add(new Step(main.Pid, 0, instance, 0, false));
        Continue();
        return refused;
    }

    /// <summary>
    /// The outcome of one signal to two processes or more: sent, if any of them has got it; else why one that lives has not.
    /// </summary>
    public static Errno Together(Errno one, Errno other) =>
        one == Errno.None || other == Errno.None ? Errno.None : one == Errno.ESRCH ? other : one;

    /// <summary>
    /// The main process has ended, but its tracer keeps it from being reaped: if the tracer belongs to the instance, it must end as well.
    /// </summary>
    public void EndTracer(RunningInstance instance)
    {
        instance.IsEndKept = true;
        _ = Find();
        if (_killed.Contains(instance))
            Claim(Orphans.Strays(), [instance]);
        Continue();
    }

    /// <summary>Nobody waits for the processes of the instance any more.</summary>
    public void Remove(RunningInstance instance)
    {
        _ = _killed.Remove(instance);
        Orphans.Remove(instance);
    }

    /// <summary>Sends this signal to all orphans of whichever instance, and from now on to each that is found.</summary>
    public void SignalAll(int signal)
    {
        _ = Find();
        _signalToAll = signal;
        foreach (int pid in Orphans.All())
            Add(new Step(pid, _self, null, signal, AndContinue: signal != Kill));
        Continue();
    }

    /// <summary>
    /// Looks for orphans that came since the last look. False: there may be more to find in another turn. A complete
    /// look counts for the whole turn, because the list of children is as long as that of services, and thousands of
    /// them may be told to end, or have ended, together.
    /// </summary>
    public bool Find()
    {
        if (_completeIn == _turn())
            return true;
        _hasMore = !Orphans.Find();
        _completeIn = _hasMore ? -1 : _turn();
        if (_hasMore || IsChasing)
        {
            TimeSpan pause = IsChasing ? TimeSpan.Zero : Orphans.Pause;
            _delays.After(pause, pause > TimeSpan.Zero ? _lookingAgain : this, Progress);
        }
        List<int> strays = Orphans.TakeNewStrays();
        if (strays.Count > 0)
        {
            _delays.After(UntoldPatience, _telling, TellStrays);
            // A killed instance may have claimed its strays before these were known.
            if (_killed.Count > 0)
                Claim(strays, _killed);
        }
        return !_hasMore;
    }

    /// <summary>
    /// Whether an instance is to end and a program that keeps starting another and ending may belong to it: such a program is chased
    /// until it is caught, or nobody waits for its end any more.
    /// </summary>
    public bool IsChasing => Orphans.IsChasing && (_killed.Count > 0 || _signalToAll == Kill);

    /// <summary>Goes on with a look that was not complete.</summary>
    public void FindMore()
    {
        if (_hasMore || IsChasing)
            _ = Find();
    }

    /// <summary>A process has ended: its children have become ours by now, so the next look must be a new one.</summary>
    public void LookAnew() => _completeIn = -1;

    private bool IsGroupAlive(RunningInstance instance)
    {
        Errno refused = instance.SignalGroup(instance.IsKilled ? Kill : 0);
        if (refused == Errno.ESRCH)
            return false;
        // The group also counts zombies, and some of the killed processes may never be reaped by their parents.
        bool isExact = refused == Errno.EINVAL || instance.Reaper > 0 || (instance.IsKilled && ProcFile.IsOwn);
        return !isExact || Members(instance).Any(m => !m.Facts.HasEnded);
    }

    private Errno SignalGroup(RunningInstance instance, int signal, bool andContinue)
    {
        Errno refused = instance.SignalGroup(signal);
        if (refused != Errno.EINVAL)
        {
            if (andContinue)
                _ = instance.SignalGroup(Cont);
            return refused;
        }
        refused = Errno.ESRCH;
        foreach ((int pid, _) in Members(instance))
        {
            using ProcessHandle? process = ProcessHandle.TryOpen(pid);
            if (process is null || ProcessFacts.Read(pid)?.Group != instance.Group)
                continue;
            refused = Together(refused, process.Signal(signal));
            if (andContinue)
                _ = process.Signal(Cont);
        }
        return refused;
    }

    private void SignalTree(RunningInstance instance, ProcessHandle? main, int signal, bool andContinue)
    {
        _ = Find();
        instance.TreeSignal = signal;
        if (main is not null)
            Add(new Step(main.Pid, 0, instance, signal, andContinue));
        foreach (int pid in instance.Orphans)
            Add(new Step(pid, _self, instance, signal, andContinue));
        if (signal != Kill)
            return;
        _ = _killed.Add(instance);
        Claim(Orphans.Strays(), [instance]);
    }

    /// <summary>
    /// Gives a killed instance the strays that belong to it: those with a process of its session below
    /// them, and the tracer of its main process.
    /// </summary>
    private void Claim(List<int> strays, IReadOnlyCollection<RunningInstance> killed)
    {
        if (strays.Count == 0)
            return;
        Dictionary<int, RunningInstance> sessions = [], tracers = [];
        foreach (RunningInstance instance in killed)
        {
            if (instance.Group > 1)
                sessions[instance.Group] = instance;
            if (instance is { IsEndKept: true, MainEnded: false }
                && ProcessFacts.Status(instance.Process!.Pid, "TracerPid") is > 0 and { } tracer)
            {
                tracers[(int)tracer] = instance;
            }
        }
        foreach (int stray in strays)
        {
            RunningInstance? owner = Below([stray])
                .Select(p => sessions.GetValueOrDefault(p.Facts.Session) ?? tracers.GetValueOrDefault(p.Pid))
                .FirstOrDefault(o => o is not null);
            if (owner is null)
                continue;
            Orphans.Claim(stray, owner);
            Add(new Step(stray, _self, owner, Kill, false));
            _delays.After(TimeSpan.Zero, this, Progress);
        }
    }

    private void OnFound(int pid, RunningInstance? owner, ProcessFacts facts)
    {
        int signal = _signalToAll != 0 ? _signalToAll : owner?.TreeSignal ?? 0;
        if (signal == 0)
            return;
        // At once, because it may be a program that keeps starting another and ending. The number of
        // our own child means it until we reap it.
        bool hasGot = owner is not null && signal != Kill && facts.Group == owner.Group;
        if (!hasGot)
            SignalOrphan(pid, signal);
        Add(new Step(pid, 0, owner, signal, false));
    }

    private void Add(Step step)
    {
        if (_todo.Count < MostWaiting)
            _todo.Enqueue(step);
    }

    private void Continue()
    {
        for (int i = 0; i < MostInATurn && _todo.TryDequeue(out Step? step); i++)
            Do(step);
        if (_todo.Count > 0)
            _delays.After(TimeSpan.Zero, this, Progress);
    }

    private void Progress()
    {
        Continue();
        _onProgress();
    }

    private void Do(Step step)
    {
        bool isOrphan = step.Parent == _self;
        if (isOrphan && !Orphans.Contains(step.Pid))
            return;
        // From here on the number means this process, or the process has ended.
        using ProcessHandle? process = isOrphan || step.Parent == 0 ? null : ProcessHandle.TryOpen(step.Pid);
        if (ProcessFacts.Read(step.Pid) is not { HasEnded: false } facts)
            return;
        bool isOurs = isOrphan || facts.Parent == _self || facts.Parent == ChildList.FosterParent;
        if (step.Parent != 0 && facts.Parent != step.Parent && !isOurs)
            return;
        if (step.Instance is { } owner && step.Parent != 0 && !isOrphan)
            Orphans.Learn(step.Pid, facts.StartTime, owner);
        _children.Clear();
        ChildList.AddOf(step.Pid, facts.ThreadCount, _children);
        if (isOrphan && Orphans.Foreign?.Find(step.Pid) is { } foreign && foreign.Signal(0) == Errno.ESRCH)
            return;
        foreach (int child in _children)
            Add(step with { Pid = child, Parent = step.Pid });
        bool hasGot = step.Instance is { Group: > 1 } instance && facts.Group == instance.Group;
        if (step.Signal == 0 || step.Parent == 0 || hasGot)
            return;
        if (isOrphan)
            SignalOrphan(step.Pid, step.Signal);
        else
            _ = process?.Signal(step.Signal);
        if (!step.AndContinue)
            return;
        if (isOrphan)
            SignalOrphan(step.Pid, Cont);
        else
            _ = process?.Signal(Cont);
    }

    // The number of a child of ours means it until we reap it; that of another's child does not.
    private void SignalOrphan(int pid, int signal) =>
        _ = Orphans.Foreign?.Find(pid) is { } foreign ? foreign.Signal(signal) : Libc.kill(pid, signal) == 0 ? Errno.None : Errno.Last;

    private void TellStrays()
    {
        foreach ((int pid, string why) in Orphans.TakeUntold())
            _onStray(pid, ProcessFacts.NameOf(pid), why);
    }

    /// <summary>A process whose children are to be gone through.</summary>
    /// <param name="Pid">Its number.</param>
    /// <param name="Parent">
    /// Its parent, which confirms that the number still means this process. 0: that is sure, and the process gets no signal.
    /// </param>
    /// <param name="Instance">The instance to which it belongs; null: whichever.</param>
    /// <param name="Signal">The signal to send. 0: none; its descendants are only noted.</param>
    /// <param name="AndContinue">SIGCONT follows.</param>
    private sealed record Step(int Pid, int Parent, RunningInstance? Instance, int Signal, bool AndContinue);
}
