using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Linux.Sockets;

/// <summary>A process that has sockets open, as /proc showed it at one moment.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="StartTime">With the number it names one process for good (<see cref="ProcessFacts.StartTime"/>).</param>
/// <param name="Session">Of the process.</param>
/// <param name="Command">The name of its program, at most 15 characters.</param>
/// <param name="Ancestors">Its parent, the parent of that, and so on.</param>
/// <param name="Inodes">Of the sockets that were asked for and that it has.</param>
internal sealed record SocketHolder(
    int Pid, ulong StartTime, int Session, string Command, IReadOnlyList<int> Ancestors, IReadOnlyList<ulong> Inodes);

/// <summary>
/// Finds who has a socket open, by a walk through /proc. Processes that this user may not look into are passed over. From any thread, and
/// not on the loop: on a machine with thousands of processes it takes long.
/// </summary>
internal static class SocketHolders
{
    // Bounds of a walk: beyond them it ends with what it has found.
    private const int MaxProcessCount = 32_768;
    private const int MaxDescriptorCount = 1_000_000;
    private const int MaxAncestorCount = 64;

    /// <summary>
    /// The processes that have one of the sockets, this process and those that it has started to help it left out: these are its
    /// descendants in its own session, which no program under supervision is.
    /// </summary>
    public static IReadOnlyList<SocketHolder> Find(IReadOnlySet<ulong> inodes)
    {
        int self = Libc.getpid();
        List<SocketHolder> found = [];
        if (!ProcFile.IsOwn || inodes.Count == 0 || FactsOf(self) is not { } own)
            return found;
        int left = MaxDescriptorCount;
        foreach (int pid in Processes())
        {
            List<ulong>? its = null;
            foreach ((_, string link) in ProcessDescriptors.Links(pid))
            {
                if (--left < 0)
                    return found;
                if (pid != self && InodeOf(link) is { } inode && inodes.Contains(inode) && (its ??= []).IndexOf(inode) < 0)
                    its.Add(inode);
            }
            if (its is null || FactsOf(pid) is not { HasEnded: false } facts)
                continue;
            List<int> ancestors = AncestorsOf(facts);
            if (facts.Session != own.Session || !ancestors.Contains(self))
                found.Add(new SocketHolder(pid, facts.StartTime, facts.Session, CommandOf(pid), ancestors, its));
        }
        return found;
    }

    /// <summary>Any process that has the socket, this one too. Null: none that can be seen.</summary>
    public static int? FirstOf(ulong inode)
    {
        int left = MaxDescriptorCount;
        foreach (int pid in Processes())
        {
            foreach ((_, string link) in ProcessDescriptors.Links(pid))
            {
                if (InodeOf(link) == inode)
                    return pid;
                if (--left < 0)
                    return null;
            }
        }
        return null;
    }

    /// <summary>The inode of a socket, by the text of a link of proc_pid_fd(5); null: it is no socket.</summary>
    public static ulong? InodeOf(string link) => link.StartsWith("socket:[", StringComparison.Ordinal)
        && ulong.TryParse(link.AsSpan(8, link.Length - 9), CultureInfo.InvariantCulture, out ulong inode) ? inode : null;

    /// <summary>The name of a process's program, for people.</summary>
    public static string CommandOf(int pid) => Files.ReadText($"/proc/{pid}/comm")?.Trim() is { Length: > 0 } name
        ? string.Concat(name.Select(c => char.IsControl(c) || c == '\uFFFD' ? '?' : c)) : "a process";

    /// <summary>The numbers of all processes that can be seen, up to a limit.</summary>
    public static IEnumerable<int> Processes()
    {
        using FileDescriptor? all = Files.OpenDirectory("/proc");
        if (all is null)
            yield break;
        int left = MaxProcessCount;
        foreach (int pid in Files.Numbers(all))
        {
            if (--left < 0)
                yield break;
            yield return pid;
        }
    }

    // A process that ends meanwhile has no parents any more.
    private static List<int> AncestorsOf(ProcessFacts facts)
    {
        List<int> ancestors = [];
        ProcessFacts? next = facts;
        while (next is { Parent: > 0 and var parent } && ancestors.Count < MaxAncestorCount)
        {
            ancestors.Add(parent);
            next = FactsOf(parent);
        }
        return ancestors;
    }

    /// <summary>As <see cref="ProcessFacts.Read"/>, which is for the loop's thread, from any thread.</summary>
    public static ProcessFacts? FactsOf(int pid)
    {
        using FileDescriptor? file = Files.OpenToRead($"/proc/{pid}/stat", out _);
        return file is not null && Files.ReadBytes(file, 1024, out _) is { } text ? ProcessFacts.Parse(text) : null;
    }
}
