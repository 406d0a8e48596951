using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Listeners;

/// <summary>
/// Children of a supervisor that was killed, with its keeper, while it made them: copies of it that have not come to their programs. They
/// share its lock, and may never go on, because they wait for a thread that died with their maker. Nobody knows of their births, so they
/// are ended.
/// </summary>
internal static class UnbornHolders
{
    private const int Kill = 9, MostInformationBytes = 4096;

    /// <summary>SIGKILL ends a process within this time, or it hangs inside the kernel.</summary>
    private const int PatienceMilliseconds = 1000;

    /// <summary>Ends those that have a lock.</summary>
    /// <param name="held">The file of the lock, borrowed.</param>
    /// <returns>Whether there were some.</returns>
    public static bool End(FileDescriptor held)
    {
        string? own = Files.ReadLink(null, "/proc/self/exe"), path = Files.ReadLink(null, Files.ProcPath(held));
        bool hasEnded = false;
        foreach (int pid in own is null || path is null ? [] : SocketHolders.Processes())
        {
            if (pid == Environment.ProcessId || Files.ReadLink(null, $"/proc/{pid}/exe") != own)
                continue;
            using ProcessHandle? process = ProcessHandle.TryOpen(pid);
            if (process is null || !ProcessDescriptors.Links(pid).Any(l => l.Link == path && HasFromTheDead(pid, l.Number)))
                continue;
            if (process.Signal(Kill) != Errno.None)
                continue;
            hasEnded = true;
            Libc.poll_entry end = new() { fd = process.Descriptor.Number, events = Libc.POLLIN };
            if (process.HasDescriptor)
                _ = Libc.poll(ref end, 1, PatienceMilliseconds);
        }
        return hasEnded;
    }

    /// <summary>
    /// Whether a process has a lock that another one has taken, which is dead. One that has taken it itself is a supervisor.
    /// </summary>
    private static bool HasFromTheDead(int pid, int number)
    {
        string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/fdinfo/{number}");
        return TakerIn(Files.ReadText(path, MostInformationBytes)) is { } taker && taker != pid
            && Libc.kill(taker, 0) != 0 && Errno.Last == Errno.ESRCH;
    }

    /// <summary>Who has taken the lock by flock(2) that proc_pid_fdinfo(5) shows; null: there is none.</summary>
    public static int? TakerIn(string? information)
    {
        string? line = information?.Split('\n').FirstOrDefault(
            l => l.StartsWith("lock:", StringComparison.Ordinal) && l.Contains(" FLOCK ", StringComparison.Ordinal));
        // lock: 1: FLOCK ADVISORY WRITE 4711 00:2f:123 0 EOF
        string[] words = line?.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries) ?? [];
        return words.Length > 5 && int.TryParse(words[5], NumberStyles.None, CultureInfo.InvariantCulture, out int taker) && taker > 0
            ? taker : null;
    }
}
