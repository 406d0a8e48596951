using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// The processes that became children of the supervisor when their parents ended, because it is their subreaper, or the first
/// process. Each is looked at once and known until it is reaped; while no instance ends, nobody looks. To which instance an orphan
/// belongs is told first by what the orphan cannot choose (it was seen below the instance, or is in its session), then by the secret
/// mark in its environment (<see cref="InstanceMark"/>).
/// </summary>
/// <param name="isKnown">Tells main processes and commands, which are no orphans.</param>
/// <param name="isCloning">Whether a child that is not known yet may be about to become a main process or a command.</param>
/// <param name="onFound">Called once for each orphan that was not known, after it was noted.</param>
internal sealed partial class Orphans(Func<int, bool> isKnown, Func<bool> isCloning, Action<int, RunningInstance?, ProcessFacts> onFound)
{
    // Processes that one call looks at, which takes some milliseconds. The others are left for the next turn of the loop.
    private const int MostLooks = 128;

    // A program that starts another and ends, over and over, is chased through so many rounds before the loop goes on with other work.
    private const int MostRounds = 64;

    // Entries of the list of children that are gone through for that: with thousands of children the list is read twice only.
    private const int MostEntries = 4096;

    // How often a process is looked at whose environment cannot be read: between two programs (execve(2)) it has none for a moment, which
    // lasts as long as it waits for a processor. The pauses between the looks are doubled: half a second in all.
    private const int MostTries = 10;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(1);

    // Marks that are kept of instances that left processes behind; forgetting one costs a needless line in the log.
    private const int MostFormerMarks = 4096;

    private readonly Dictionary<int, Orphan> _known = [];
    private readonly Dictionary<int, (ulong StartTime, RunningInstance Owner)> _learnt = [];
    private readonly Dictionary<RunningInstance, HashSet<int>> _learntOf = [];
    private readonly Dictionary<string, RunningInstance> _marks = new(StringComparer.Ordinal);
    private readonly Dictionary<int, RunningInstance> _groups = [];
    private readonly List<int> _children = [];

    // Marks of instances that were over before all of their processes had ended.
    private readonly HashSet<string> _formerMarks = new(StringComparer.Ordinal);
    private List<int> _newStrays = [];
    private readonly HashSet<int> _untold = [];
    private bool _mayHaveLeft;

    /// <summary>Those of adopted instances, which another process gets; null: there are none.</summary>
    public ForeignOrphans? Foreign { get; set; }

    /// <summary>About how many orphans there are.</summary>
    public int Count => _known.Count;

    /// <summary>Notes the children that this process had before it was a supervisor (before an exec): they are nobody's orphans.</summary>
    public void Begin()
    {
        _ = ChildList.AddOwn(_children);
        foreach (int child in _children)
            _known[child] = new Orphan { Kind = Kind.Elder };
    }

    public void Add(RunningInstance instance)
    {
        // The instance may have left an orphan before it was known itself: strays are looked at once more.
        foreach (int pid in _untold)
            _ = _known.Remove(pid);
        _untold.Clear();
        _marks[instance.Mark] = instance;
        if (instance.Group > 1)
            _groups[instance.Group] = instance;
        Foreign?.Expect(instance);
    }

    /// <summary>Nobody waits for the orphans of the instance any more. Those that live stay known.</summary>
    public void Remove(RunningInstance instance)
    {
        _ = _marks.Remove(instance.Mark);
        foreach (int group in (ReadOnlySpan<int>)[instance.FirstGroup, instance.Group])
        {
            if (_groups.GetValueOrDefault(group) == instance)
                _ = _groups.Remove(group);
        }
        if (_learntOf.Remove(instance, out HashSet<int>? learnt))
        {
            foreach (int pid in learnt)
                _ = _learnt.Remove(pid);
        }
        if (instance.Definition.Stop.Kill != KillScope.Tree || instance.Orphans.Count > 0)
        {
            _mayHaveLeft = true;
            if (_formerMarks.Count == MostFormerMarks)
                _formerMarks.Clear();
            _ = _formerMarks.Add(instance.Mark);
        }
        foreach (int pid in instance.Orphans)
            _known[pid] = new Orphan { Kind = Kind.Former };
        instance.Orphans.Clear();
    }

    /// <summary>The process was reaped: its number may mean another process from now on.</summary>
    public void Forget(int pid)
    {
        Unlearn(pid);
        _ = _untold.Remove(pid);
        if (_known.Remove(pid, out Orphan? orphan))
            _ = orphan.Owner?.Orphans.Remove(pid);
    }

    /// <summary>Whether the process is an orphan that was found and not yet reaped, so that its number still means it.</summary>
    public bool Contains(int pid) =>
        _known.TryGetValue(pid, out Orphan? orphan) && orphan.Kind is not (Kind.Elder or Kind.Over or Kind.Pending);

    /// <summary>All orphans that were found and not yet reaped.</summary>
    public List<int> All() => [.. _known.Keys.Where(Contains)];

    /// <summary>The orphans of which it cannot be told to which instance they belong.</summary>
    public List<int> Strays() => [.. _known.Where(k => k.Value.Kind == Kind.Stray).Select(k => k.Key)];

    /// <summary>Notes that a process was seen below an instance, so that its owner is known if it becomes an orphan.</summary>
    public void Learn(int pid, ulong startTime, RunningInstance owner)
    {
        Unlearn(pid);
        _learnt[pid] = (startTime, owner);
        if (!_learntOf.TryGetValue(owner, out HashSet<int>? learnt))
            _learntOf.Add(owner, learnt = []);
        _ = learnt.Add(pid);
    }

    private void Unlearn(int pid)
    {
        if (_learnt.Remove(pid, out (ulong StartTime, RunningInstance Owner) its)
            && _learntOf.TryGetValue(its.Owner, out HashSet<int>? learnt))
        {
            _ = learnt.Remove(pid);
        }
    }

    /// <summary>Notes that a stray turned out to belong to an instance.</summary>
    public void Claim(int pid, RunningInstance owner)
    {
        if (_known.TryGetValue(pid, out Orphan? orphan) && orphan.Kind == Kind.Stray)
            Note(pid, owner);
    }

    /// <summary>
    /// Whether the orphans that were found last may have left others, as those of a program do that starts another and ends, over and over.
    /// Every look chases such a program for some rounds only.
    /// </summary>
    public bool IsChasing { get; private set; }

    /// <summary>
    /// How long after an incomplete look the next one is worth while: at once, or when those can be looked at again that could not be.
    /// </summary>
    public TimeSpan Pause { get; private set; }

    /// <summary>
    /// Finds the orphans that came since the last look. False: not all of them were looked at; the rest is for another look, after
    /// <see cref="Pause"/>.
    /// </summary>
    public bool Find()
    {
        Foreign?.Look(isKnown, ClaimForeign);
        Moment now = HostClock.Now;
        TimeSpan? untilDue = null;
        bool isComplete = FindAll(now, ref untilDue);
        Pause = untilDue ?? TimeSpan.Zero;
        return isComplete && untilDue is null;
    }

    /// <param name="now">When.</param>
    /// <param name="untilDue">
    /// Until the next of those is looked at that could not be; null: there is none, or there is more to do at once.
    /// </param>
    private bool FindAll(Moment now, ref TimeSpan? untilDue)
    {
        int looks = 0, entries = 0;
        bool isComplete = true;
        for (int round = 0; round < MostRounds; round++)
        {
            // If the children cannot be listed, there is nobody to chase.
            IsChasing = false;
            _children.Clear();
            // Where the list of one thread cannot be read, those of the others are gone through all the same.
            if (!ChildList.AddOwn(_children) && _children.Count == 0)
                return true;
            // The order matters: after the lists were read, and before isKnown is asked, because a
            // newborn child is known before this says no.
            bool mayBeNewborn = isCloning();
            bool mayHaveMore = false;
            (isComplete, untilDue) = (true, null);
            foreach (int pid in _children)
            {
                if (isKnown(pid) || (_known.TryGetValue(pid, out Orphan? orphan) && orphan.Kind != Kind.Pending))
                    continue;
                if (mayBeNewborn)
                {
                    isComplete = false;
                    continue;
                }
                if (orphan is not null && orphan.DueAt > now)
                {
                    untilDue = Sooner(untilDue, orphan.DueAt - now);
                    continue;
                }
                if (++looks > MostLooks)
                {
                    untilDue = null;
                    return false;
                }
                Kind found = Look(pid, orphan?.Tries ?? 0, now);
                // An orphan that ended before it was looked at may have left another, which became our child
                // meanwhile; so may one that was signalled now.
                mayHaveMore |= found is Kind.Over || (found is Kind.Owned && _known[pid].Owner!.TreeSignal != 0);
                if (found == Kind.Pending)
                    untilDue = Sooner(untilDue, _known[pid].DueAt - now);
            }
            entries += _children.Count;
            IsChasing = mayHaveMore;
            if (!mayHaveMore || entries > MostEntries)
                break;
        }
        if (!isComplete)
            untilDue = null;
        return isComplete;
    }

    private bool ClaimForeign(int pid, ProcessFacts facts, string? marks)
    {
        RunningInstance? owner = OwnerByBirth(pid, facts) ?? (marks is null ? null : OwnerByMark(marks));
        if (owner is null && marks is null)
            return false;
        if (owner is not null)
            Note(pid, owner);
        else
            _known[pid] = new Orphan { Kind = Kind.Former };
        onFound(pid, owner, facts);
        return true;
    }

    private static TimeSpan Sooner(TimeSpan? one, TimeSpan other) => one is { } known && known < other ? known : other;

    /// <summary>The strays that were found since the last call.</summary>
    public List<int> TakeNewStrays()
    {
        List<int> found = _newStrays;
        if (found.Count > 0)
            _newStrays = [];
        return found;
    }

    /// <summary>The strays to name to the operator, each once: pid, and why it cannot be told to which instance it belongs.</summary>
    public IEnumerable<(int Pid, string Why)> TakeUntold()
    {
        foreach (int pid in _untold.ToArray())
        {
            if (_known.TryGetValue(pid, out Orphan? orphan) && orphan.Kind == Kind.Stray)
                yield return (pid, orphan.Why);
        }
        _untold.Clear();
    }

    private Kind Look(int pid, int tries, Moment now)
    {
        if (ProcessFacts.Read(pid) is not { } facts)
            return Again(pid, tries, now, "it cannot be looked at");
        if (facts.HasEnded)
            return (_known[pid] = new Orphan { Kind = Kind.Over }).Kind;
        RunningInstance? owner = OwnerByBirth(pid, facts);
        Orphan? other = null;
        if (owner is null)
        {
            EnvironmentLook look = ProcessEnvironment.Find(pid, facts.ThreadCount, InstanceMark.VariableName + "=", out string? marks);
            owner = look switch
            {
                EnvironmentLook.Found => OwnerByMark(marks!),
                EnvironmentLook.Forbidden => OnlyCandidate(pid, facts),
                _ => null,
            };
            if (look is EnvironmentLook.Empty or EnvironmentLook.Unknown)
            {
                owner = OwnerBelow(pid, out bool hasAnyBelow);
                // An ending process without children has started nobody, or its children have become ours by now.
                if (facts.IsEnding && !hasAnyBelow)
                    return (_known[pid] = new Orphan { Kind = Kind.Over }).Kind;
                if (owner is null && !facts.HasNoEnvironment)
                    return Again(pid, tries, now, "its environment cannot be read");
            }
            other = look switch
            {
                EnvironmentLook.Found when marks!.Split(':').Any(_formerMarks.Contains) => new Orphan { Kind = Kind.Former },
                EnvironmentLook.Found => Stray(pid, "its mark is that of no instance"),
                EnvironmentLook.Forbidden => Stray(pid, "its environment may not be read (ptrace(2))"),
                _ => Stray(pid, "it was given another environment"),
            };
        }
        if (owner is not null)
            Note(pid, owner);
        else
            _known[pid] = other!;
        onFound(pid, owner, facts);
        return owner is not null ? Kind.Owned : other!.Kind;
    }

    private Kind Again(int pid, int tries, Moment now, string why)
    {
        Orphan orphan = tries + 1 < MostTries && ProcFile.IsOwn
            ? new Orphan { Kind = Kind.Pending, Tries = tries + 1, DueAt = now + (FirstPause * (1 << tries)) } : Stray(pid, why);
        _known[pid] = orphan;
        return orphan.Kind;
    }

    private Orphan Stray(int pid, string why)
    {
        _newStrays.Add(pid);
        _ = _untold.Add(pid);
        return new Orphan { Kind = Kind.Stray, Why = why };
    }

    private void Note(int pid, RunningInstance owner)
    {
        _known[pid] = new Orphan { Kind = Kind.Owned, Owner = owner };
        _ = owner.Orphans.Add(pid);
    }

    // A process gets neither but by its birth there: nobody can join a session (setsid(2), setpgid(2)).
    private RunningInstance? OwnerByBirth(int pid, ProcessFacts facts) =>
        _learnt.TryGetValue(pid, out (ulong StartTime, RunningInstance Owner) learnt) && learnt.StartTime == facts.StartTime
            ? learnt.Owner : _groups.GetValueOrDefault(facts.Session);

    // With supervisors one within the other, the innermost one's mark comes first, and ours is somewhere behind it.
    private RunningInstance? OwnerByMark(string marks)
    {
        foreach (Range part in marks.AsSpan().Split(':'))
        {
            if (_marks.TryGetValue(marks[part], out RunningInstance? owner))
                return owner;
        }
        return null;
    }

    /// <summary>
    /// The instance to which the descendants of a process belong. A process that is ending has lost its memory and with it its environment,
    /// but its descendants have theirs; when it has ended they become our children.
    /// </summary>
    private RunningInstance? OwnerBelow(int pid, out bool hasAny)
    {
        Queue<int> todo = new([pid]);
        List<int> children = [];
        hasAny = false;
        for (int count = 0; count < MostLooks && todo.TryDequeue(out int parent); count++)
        {
            if (ProcessFacts.Read(parent) is not { } facts)
                continue;
            children.Clear();
            ChildList.AddOf(parent, facts.ThreadCount, children);
            foreach (int child in children)
            {
                if (ProcessFacts.Read(child) is not { HasEnded: false } its || its.Parent != parent)
                    continue;
                hasAny = true;
                todo.Enqueue(child);
                if (OwnerByBirth(child, its) is { } byBirth)
                    return byBirth;
                EnvironmentLook look = ProcessEnvironment.Find(child, its.ThreadCount, InstanceMark.VariableName + "=", out string? marks);
                if (look == EnvironmentLook.Found && OwnerByMark(marks!) is { } byMark)
                    return byMark;
            }
        }
        return null;
    }

    /// <summary>
    /// The only instance that can have started the process, by users and start times. Null: several can, or one that is gone.
    /// </summary>
    private RunningInstance? OnlyCandidate(int pid, ProcessFacts facts)
    {
        if (_mayHaveLeft)
            return null;
        ulong user = ProcessFacts.Status(pid, "Uid") ?? ulong.MaxValue;
        RunningInstance? only = null;
        foreach (RunningInstance instance in _marks.Values)
        {
            // An instance that runs as the supervisor does may have changed to any user.
            if (instance.User?.Credentials is { } who && who.Uid != user)
                continue;
            if (!instance.MainEnded && ProcessFacts.Read(instance.Process!.Pid) is { } main && main.StartTime > facts.StartTime)
                continue;
            if (only is not null)
                return null;
            only = instance;
        }
        return only;
    }
}
