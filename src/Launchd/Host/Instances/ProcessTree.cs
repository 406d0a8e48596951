using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Instances;

/// <summary>Tells whether a process belongs to an instance: one that is named by its number, or that has sent a message.</summary>
internal static class ProcessTree
{
    /// <summary>
    /// Whether a living process descends from an instance: by its session, its group, or its line of parents, which ends at
    /// a child of the supervisor, or of the process that has its orphans, whose mark decides. The caller must hold a pidfd of
    /// the process and ask it afterwards whether the number still means a living process.
    /// </summary>
    /// <param name="instance">An instance that lives.</param>
    /// <param name="pid">The process.</param>
    /// <param name="isKnown">Tells main processes and commands of other instances, which are no orphans.</param>
    public static bool Contains(RunningInstance instance, int pid, Func<int, bool> isKnown)
    {
        int own = Libc.getpid();
        for (int depth = 0; depth < 4096 && ProcessFacts.Read(pid) is { } facts; depth++)
        {
            if (instance.Group > 1 && (facts.Session == instance.Group || facts.Group == instance.Group))
                return true;
            if (pid == instance.Process?.Pid || facts.Parent == instance.Process?.Pid)
                return true;
            bool isOrphan = facts.Parent == own
                || (facts.Parent > 0 && (facts.Parent == ChildList.FosterParent || facts.Parent == instance.Reaper));
            if (isOrphan)
                return !isKnown(pid) && (instance.Orphans.Contains(pid) || IsMarked(pid, facts.ThreadCount, instance.Mark));
            pid = facts.Parent;
        }
        return false;
    }

    private static bool IsMarked(int pid, int threadCount, string mark) =>
        ProcessEnvironment.Find(pid, threadCount, InstanceMark.VariableName + "=", out string? marks) == EnvironmentLook.Found
        && marks!.Split(':').Contains(mark);
}
