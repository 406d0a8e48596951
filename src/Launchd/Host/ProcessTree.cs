using System.Buffers.Text;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// Finds the processes of an instance beyond its main one: its process group, and orphans that came to this process as their
/// subreaper (or PID 1) and carry the instance's mark in their environment, with all their descendants. Reads /proc
/// only when an instance ends or is killed.
/// </summary>
internal static unsafe class ProcessTree
{
    /// <summary>The variable that marks every process of an instance.</summary>
    public const string MarkName = "LAUNCHD_INSTANCE";

    private static readonly byte[] Buffer = new byte[64 << 10];

    // Opened once and read from its start each time: opening it took a tenth of a restart. Lives as long as the process.
    private static readonly FileDescriptor? OwnChildren = Files.Open(null, $"/proc/self/task/{Libc.getpid()}/children", 0x80000, 0, out _);

    /// <summary>Whether anything of the instance still lives, its reaped main process aside.</summary>
    /// <param name="group">Its process group.</param>
    /// <param name="mark">Its variables: <see cref="MarkOf"/>.</param>
    /// <param name="isKnown">Main processes and commands of others, which are no orphans.</param>
    public static bool HasLeftovers(int group, string mark, Func<int, bool> isKnown) => IsAlive(group) || Orphans(mark, isKnown).Count > 0;

    /// <summary>Signals a process group; 0, the instance has none that is surely its own: nothing.</summary>
    public static void SignalGroup(int group, int signal)
    {
        // kill(2): 0 and -1 would mean our own group, and everybody.
        if (group > 1)
            _ = Libc.kill(-group, signal);
    }

    /// <summary>Signals the group and every marked orphan with its descendants; each through a pidfd, so never a stranger.</summary>
    public static void Signal(int group, int? main, string mark, Func<int, bool> isKnown, int signal)
    {
        SignalGroup(group, signal);
        Queue<int> todo = new(Orphans(mark, isKnown));
        if (main is { } pid)
            todo.Enqueue(pid);
        HashSet<int> seen = [];
        while (todo.TryDequeue(out int next) && seen.Count < 100_000)
        {
            if (!seen.Add(next))
                continue;
            foreach (int child in Children($"/proc/{next}/task/{next}/children"))
                todo.Enqueue(child);
            if (next == main)
                continue;
            using PidFd? process = PidFd.TryOpen(next);
            _ = process?.Signal(signal);
        }
    }

    /// <summary>What stands in the environment of every process of an instance, unless it overwrote it.</summary>
    public static string MarkOf(RunningInstance instance) => $"{MarkName}={instance.Id.Number}";

    /// <summary>Whether a living process descends from an instance: by its session, its group, or its parents up to us.</summary>
    public static bool Contains(RunningInstance instance, int pid, Func<int, bool> isKnown)
    {
        int own = Libc.getpid();
        for (int depth = 0; depth < 4096 && ProcessFacts.Read(pid) is { } facts; depth++)
        {
            if (instance.Group > 1 && (facts.Session == instance.Group || facts.Group == instance.Group))
                return true;
            if (facts.Parent == instance.Process?.Pid)
                return true;
            if (facts.Parent == own)
                return !isKnown(pid) && IsMarked(pid, Bytes(MarkOf(instance)));
            pid = facts.Parent;
        }
        return false;
    }

    private static bool IsAlive(int group) => group > 1 && (Libc.kill(-group, 0) == 0 || Errno.Last == Errno.EPERM);

    private static byte[] Bytes(string mark) => Encoding.UTF8.GetBytes(mark + '\0');

    private static List<int> Orphans(string text, Func<int, bool> isKnown)
    {
        List<int>? orphans = null;
        byte[] mark = Bytes(text);
        foreach (int child in Parse(OwnChildren is null ? 0 : Read(OwnChildren)))
        {
            if (!isKnown(child) && IsMarked(child, mark))
                (orphans ??= []).Add(child);
        }
        return orphans ?? [];
    }

    // All of it, a buffer at a time: shells hand the environment on in an order of their own, and it may be megabytes.
    private static bool IsMarked(int pid, ReadOnlySpan<byte> mark)
    {
        using FileDescriptor? file = Files.Open(null, $"/proc/{pid}/environ", 0x80000, 0, out _);
        if (file is null)
            return false;
        nint position = 0;
        // As if a NUL stood before the first variable, as one does before every other.
        Buffer[0] = 0;
        int kept = 1;
        while (true)
        {
            int got = Read(file, position, kept);
            ReadOnlySpan<byte> seen = Buffer.AsSpan(0, kept + got);
            for (int at = seen.IndexOf(mark); at >= 0; at = Next(seen, mark, at))
            {
                if (seen[at - 1] == 0)
                    return true;
            }
            if (got == 0)
                return false;
            position += got;
            // The mark may lie across the border of two buffers, its leading NUL included.
            kept = Math.Min(seen.Length, mark.Length);
            seen[^kept..].CopyTo(Buffer);
        }

        static int Next(ReadOnlySpan<byte> seen, ReadOnlySpan<byte> mark, int at) => seen[(at + 1)..].IndexOf(mark) is >= 0 and int more ? at + 1 + more : -1;
    }

    // CONFIG_PROC_CHILDREN: pids in decimal, each with a space behind (proc_pid_task_children(5)).
    private static List<int> Children(string file) => Parse(Read(file));

    private static List<int> Parse(int length)
    {
        List<int> children = [];
        ReadOnlySpan<byte> rest = Buffer.AsSpan(0, length);
        while (Utf8Parser.TryParse(rest, out int pid, out int used))
        {
            children.Add(pid);
            rest = rest[Math.Min(rest.Length, used + 1)..];
        }
        return children;
    }

    private static int Read(string path)
    {
        using FileDescriptor? file = Files.Open(null, path, 0x80000, 0, out _);
        return file is null ? 0 : Read(file);
    }

    /// <summary>Reads from a position on into the buffer behind what is kept in it, until that is full or the file at its end.</summary>
    private static int Read(FileDescriptor file, nint position = 0, int kept = 0)
    {
        int total = kept;
        fixed (byte* buffer = Buffer)
        {
            while (total < Buffer.Length)
            {
                nint got = HostLibc.pread(file.Number, buffer + total, (nuint)(Buffer.Length - total), position + total - kept);
                if (got <= 0)
                    break;
                total += (int)got;
            }
        }
        return total - kept;
    }
}
