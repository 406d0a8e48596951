using Launchd.Client;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <content>What is left of instances, and what is said of it.</content>
internal sealed partial class ProcessTrees
{
    /// <summary>Why a signal to an instance was refused, for people: without a subject.</summary>
    public string WhyRefused(RunningInstance instance, Errno refused)
    {
        if (refused != Errno.EPERM)
            return refused.Text;
        int pid = instance.MainEnded ? Left(instance).FirstOrDefault(Survivors.IsOutOfReach) : instance.Process!.Pid;
        return pid > 0 ? Survivors.WhyNotPermitted(pid) : refused.Text;
    }

    /// <summary>
    /// Whether no signal can end any of the processes whose end a killed instance waits for. False: one is about to end, or all have ended.
    /// </summary>
    public bool IsOutOfReach(RunningInstance instance) =>
        Left(instance, instance.Definition.Stop.Kill) is { Count: > 0 } left && left.TrueForAll(Survivors.IsOutOfReach);

    /// <summary>One sentence for the operator about the processes of a killed instance that still live. Null: none does.</summary>
    public string? Remains(RunningInstance instance)
    {
        List<int> left = Left(instance, instance.Definition.Stop.Kill);
        if (left.Count == 0)
            return null;
        // Others may be about to end.
        int first = left.Find(Survivors.IsOutOfReach) is > 0 and var held ? held : left[0];
        return Survivors.Describe(first) + (left.Count > 1 ? $", and {left.Count - 1} more of it are left" : "");
    }

    /// <summary>A process of an instance whose main process has ended; null: none is left.</summary>
    public int? FirstLeft(RunningInstance instance)
    {
        _ = Find();
        return Left(instance) is [var first, ..] ? first : null;
    }

    /// <summary>The processes of an instance whose main process has ended: "process 12 (sh)", "process 12 (sh) and 3 more".</summary>
    public string? NamesOfLeft(RunningInstance instance) => Left(instance) is [var first, .. var more]
        ? $"process {first} ({ProcessFacts.NameOf(first)})" + (more.Count > 0 ? $" and {more.Count} more" : "")
        : null;

    /// <summary>Those of an instance's living processes that a signal of a scope is to reach.</summary>
    private List<int> Left(RunningInstance instance, KillScope scope = KillScope.Tree)
    {
        List<int> left = [];
        if (!instance.MainEnded)
            left.Add(instance.Process!.Pid);
        if (scope == KillScope.Tree)
            left.AddRange(instance.Orphans.Where(o => ProcessFacts.Read(o) is { HasEnded: false }));
        if (scope != KillScope.Process)
            left.AddRange(Members(instance).Where(m => !m.Facts.HasEnded).Select(m => m.Pid));
        return [.. left.Distinct()];
    }

    /// <summary>The processes in the group of an instance that descend from an orphan, as all do once the main process has ended.</summary>
    private IEnumerable<(int Pid, ProcessFacts Facts)> Members(RunningInstance instance) =>
        instance.Group > 1 ? Below(Orphans.All()).Where(p => p.Facts.Group == instance.Group) : [];

    private IEnumerable<(int Pid, ProcessFacts Facts)> Below(IEnumerable<int> roots)
    {
        Queue<(int Pid, int Parent)> todo = new(roots.Select(r => (r, 0)));
        HashSet<int> seen = [];
        while (todo.TryDequeue(out (int Pid, int Parent) next) && seen.Count < MostWaiting)
        {
            if (!seen.Add(next.Pid) || ProcessFacts.Read(next.Pid) is not { } facts)
                continue;
            bool isOurs = next.Parent == 0 || facts.Parent == _self || facts.Parent == ChildList.FosterParent;
            if (facts.Parent != next.Parent && !isOurs)
                continue;
            yield return (next.Pid, facts);
            List<int> children = [];
            ChildList.AddOf(next.Pid, facts.ThreadCount, children);
            foreach (int child in children)
                todo.Enqueue((child, next.Pid));
        }
    }
}
