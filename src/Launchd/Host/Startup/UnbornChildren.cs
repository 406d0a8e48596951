using System.Globalization;
using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Startup;

/// <summary>
/// Children of a supervisor that died while it made them: they are copies of it that have not come to their programs. Such a child shares
/// all that its maker had open, the lock of the runtime directory too, and may never go on, because it waits for a thread that died with
/// its maker. So they are ended before anything else is done; their births are repeated.
/// </summary>
internal static class UnbornChildren
{
    private const int Kill = 9;

    /// <summary>SIGKILL ends a process within this time, or it hangs inside the kernel.</summary>
    private const int PatienceMilliseconds = 1000;

    /// <summary>Ends them, and returns their pids, which stay theirs until the keeper reaps them.</summary>
    public static IReadOnlySet<int> End(KeeperLink keeper)
    {
        List<int> children = [];
        ChildList.AddOf(keeper.KeeperPid, threadCount: 1, children);
        _ = children.Remove(Libc.getpid());
        string? own = Files.ReadLink(null, "/proc/self/exe"), ownMark = MarkOf(Libc.getpid());
        HashSet<int> ended = [];
        foreach (int child in children)
        {
            using ProcessHandle? process = ProcessHandle.TryOpen(child);
            // A program of a service that is this very program has a mark of its own in its environment.
            bool isCopy = process is not null && own is not null && MarkOf(child) == ownMark
                && Files.ReadLink(null, string.Create(CultureInfo.InvariantCulture, $"/proc/{child}/exe")) == own;
            if (!isCopy || process!.Signal(Kill) != Errno.None)
                continue;
            _ = ended.Add(child);
            Libc.poll_entry end = new() { fd = process.Descriptor.Number, events = Libc.POLLIN };
            if (process.HasDescriptor)
                _ = Libc.poll(ref end, 1, PatienceMilliseconds);
        }
        return ended;
    }

    private static string? MarkOf(int pid)
    {
        if (ProcessFacts.Read(pid) is not { HasEnded: false } facts)
            return null;
        EnvironmentLook look = ProcessEnvironment.Find(pid, facts.ThreadCount, InstanceMark.VariableName + "=", out string? marks);
        return look == EnvironmentLook.Found ? marks : null;
    }
}
