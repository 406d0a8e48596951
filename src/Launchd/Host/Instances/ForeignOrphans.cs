using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Instances;

/// <summary>
/// Orphans of adopted instances: their supervisor and its keeper were killed, so the kernel gives them to another process, such as the
/// first one. That has many other children, whose numbers it frees when it likes. So those that are ours are told by their marks, and each
/// is held by a descriptor, by which it is signalled and its end is seen. For the loop's thread.
/// </summary>
/// <param name="loop">Watches them.</param>
/// <param name="supervisorMark">What all processes of the supervisors of this runtime directory have in their environment.</param>
internal sealed class ForeignOrphans(EventLoop loop, string supervisorMark) : IDisposable
{
    private readonly Dictionary<int, ProcessHandle> _held = [];
    private readonly HashSet<int> _parents = [];
    private readonly HashSet<uint> _users = [];
    private readonly List<int> _children = [];

    // Children that are not ours, by the moments of their starts.
    private Dictionary<int, ulong> _others = [];

    /// <summary>Told of each that has ended, by its number, which may be another's from now on.</summary>
    public Action<int>? OnEnded { get; set; }

    /// <summary>An instance that was adopted may leave orphans.</summary>
    public void Expect(RunningInstance adopted)
    {
        if (adopted.Reaper <= 0)
            return;
        _ = _parents.Add(adopted.Reaper);
        _ = _users.Add(Libc.geteuid());
        if (adopted.User.Credentials is { } user)
            _ = _users.Add(user.Uid);
    }

    /// <summary>The process, if it is such an orphan that has not ended, as far as is known. Borrowed.</summary>
    public ProcessHandle? Find(int pid) => _held.GetValueOrDefault(pid);

    /// <summary>Finds those that have come since the last look.</summary>
    /// <param name="isKnown">Main processes and commands, which are no orphans.</param>
    /// <param name="claim">Told of each with what the kernel says of it, and the marks in its environment. False: it is not ours.</param>
    public void Look(Func<int, bool> isKnown, Func<int, ProcessFacts, string?, bool> claim)
    {
        if (_parents.Count == 0)
            return;
        _children.Clear();
        foreach (int parent in _parents)
            ChildList.AddOf(parent, threadCount: 1, _children);
        Dictionary<int, ulong> others = new(_others.Count);
        foreach (int pid in _children)
        {
            if (_held.ContainsKey(pid) || isKnown(pid) || ProcessFacts.Read(pid) is not { HasEnded: false } seen)
                continue;
            bool isOther = _others.GetValueOrDefault(pid) == seen.StartTime;
            if (isOther || !TryHold(pid, isKnown, claim))
                others[pid] = seen.StartTime;
        }
        _others = others;
    }

    private bool TryHold(int pid, Func<int, bool> isKnown, Func<int, ProcessFacts, string?, bool> claim)
    {
        // Before it is looked at, so that what is read is true of it as long as it lives.
        if (ProcessHandle.TryOpen(pid) is not { HasDescriptor: true } process)
            return false;
        ProcessFacts facts = ProcessFacts.Read(pid) ?? new ProcessFacts('X', 0, 0, 0);
        bool isThere = !facts.HasEnded && !isKnown(pid) && _parents.Contains(facts.Parent)
            && process.Signal(0) == Errno.None;
        if (isThere && loop.Watch(process.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => End(pid)) == Errno.None)
        {
            // Who claims it may signal it at once.
            _held[pid] = process;
            if (claim(pid, facts, MarksOf(pid, facts)))
                return true;
            _ = _held.Remove(pid);
            loop.Unwatch(process.Descriptor);
        }
        process.Dispose();
        return false;
    }

    /// <summary>
    /// Null: it has none of this supervisor. Only processes of users as whom instances run are looked into, because a process can keep
    /// waiting whoever does so.
    /// </summary>
    private string? MarksOf(int pid, ProcessFacts facts) =>
        ProcessFacts.Status(pid, "Uid") is { } user && _users.Contains((uint)user)
        && ProcessEnvironment.Find(pid, facts.ThreadCount, InstanceMark.VariableName + "=", out string? marks) == EnvironmentLook.Found
        && marks!.Split(':').Contains(supervisorMark) ? marks : null;

    private void End(int pid)
    {
        if (!_held.Remove(pid, out ProcessHandle? process))
            return;
        loop.Unwatch(process.Descriptor);
        process.Dispose();
        OnEnded?.Invoke(pid);
    }

    public void Dispose()
    {
        foreach (ProcessHandle process in _held.Values)
        {
            loop.Unwatch(process.Descriptor);
            process.Dispose();
        }
        _held.Clear();
    }
}
