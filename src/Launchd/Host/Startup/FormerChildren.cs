using Launchd.Client;
using Launchd.Host.Keeping;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Startup;

/// <summary>
/// The processes of a supervisor before this one, where nothing is known of them that can be believed. They are ended before anything is
/// started, because otherwise each program would run twice. Clients wait in the listeners meanwhile.
/// </summary>
internal static class FormerChildren
{
    private const int Kill = 9, Term = 15, Cont = 18;
    private const long Millisecond = 1_000_000;

    /// <summary>From SIGTERM to SIGKILL, less than a service's own limit is by default: clients wait.</summary>
    private const long Patience = 10_000 * Millisecond;

    /// <summary>Ends them all, their descendants too, and returns when all have ended.</summary>
    /// <param name="keeper">Their parent.</param>
    /// <returns>How many there were.</returns>
    public static int End(KeeperLink keeper)
    {
        ChildList.Adopt(keeper.KeeperPid);
        return End(() =>
        {
            while (keeper.TryPeek(out Reaped ended))
                keeper.Reap(ended.Pid);
            List<int> children = [];
            _ = ChildList.AddOwn(children);
            return children;
        });
    }

    /// <summary>Ends processes, and returns when all have ended, or one hangs.</summary>
    /// <param name="find">The numbers of those that have not ended yet, found anew at each call.</param>
    /// <returns>How many there were.</returns>
    /// <param name="isMeant">
    /// Asked of a number when its process is open: whether it is that of one of them. Null: it can be no other's.
    /// </param>
    public static int End(Func<List<int>> find, Func<int, bool>? isMeant = null)
    {
        long deadline = Clock.MonotonicNanoseconds + Patience;
        Dictionary<int, ProcessHandle> told = [];
        try
        {
            while (true)
            {
                List<int> children = find();
                long now = Clock.MonotonicNanoseconds;
                // One that hangs inside the kernel, or that a debugger keeps, is not waited for any longer.
                if (children.Count == 0 || now >= deadline + Patience)
                    return told.Count;
                bool isLate = now >= deadline;
                // An orphan that one of them has left comes only when that has ended.
                foreach (int child in children.Where(c => isLate || !told.ContainsKey(c)))
                    Tell(child, isLate ? Kill : Term, told, isMeant);
                Await(told.Values.Where(p => children.Contains(p.Pid)), isLate ? Patience : deadline - now);
            }
        }
        finally
        {
            foreach (ProcessHandle process in told.Values)
                process.Dispose();
        }
    }

    private static void Tell(int child, int signal, Dictionary<int, ProcessHandle> told, Func<int, bool>? isMeant)
    {
        if (!told.TryGetValue(child, out ProcessHandle? process))
        {
            if (ProcessHandle.TryOpen(child) is not { } opened)
                return;
            if (isMeant?.Invoke(child) == false)
            {
                opened.Dispose();
                return;
            }
            told.Add(child, process = opened);
        }
        // A service leads a session of its own, whose other processes end with it.
        bool leads = ProcessFacts.Read(child)?.Group == child;
        if (!leads || process.SignalGroup(signal) != Errno.None)
            _ = process.Signal(signal);
        if (signal != Kill && (!leads || process.SignalGroup(Cont) != Errno.None))
            _ = process.Signal(Cont);
    }

    /// <summary>Waits until one of them ends, at most so many nanoseconds.</summary>
    private static unsafe void Await(IEnumerable<ProcessHandle> processes, long nanoseconds)
    {
        Libc.poll_entry[] entries =
            [.. processes.Where(p => p.HasDescriptor).Select(p => new Libc.poll_entry { fd = p.Descriptor.Number, events = Libc.POLLIN })];
        if (entries.Length == 0)
            return;
        int wait = (int)Math.Clamp(nanoseconds / Millisecond, 1, int.MaxValue);
        _ = Libc.poll(ref entries[0], (nuint)entries.Length, wait);
    }
}
