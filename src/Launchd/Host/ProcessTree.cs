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
    private static readonly byte[] Buffer = new byte[64 << 10];

    // Opened once and read from its start each time: opening it took a tenth of a restart. Lives as long as the process.
    private static readonly FileDescriptor? OwnChildren = Files.Open(null, $"/proc/self/task/{Libc.getpid()}/children", 0x80000, 0, out _);

    /// <summary>Whether anything of the instance still lives, its reaped main process aside.</summary>
    /// <param name="group">Its process group.</param>
    /// <param name="mark">Its variables: <see cref="MarkOf"/>.</param>
    /// <param name="isKnown">Main processes and commands of others, which are no orphans.</param>
    public static bool HasLeftovers(int group, byte[] mark, Func<int, bool> isKnown) =>
        Libc.kill(-group, 0) == 0 || Errno.Last == Errno.EPERM || Orphans(mark, isKnown).Count > 0;

    /// <summary>Signals the group and every marked orphan with its descendants; each through a pidfd, so never a stranger.</summary>
    public static void Signal(int group, int? main, byte[] mark, Func<int, bool> isKnown, int signal)
    {
        _ = Libc.kill(-group, signal);
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
    public static byte[] MarkOf(RunningInstance instance) => Encoding.UTF8.GetBytes($"LAUNCHD_INSTANCE={instance.Id.Number}\0");

    private static List<int> Orphans(byte[] mark, Func<int, bool> isKnown)
    {
        List<int>? orphans = null;
        foreach (int child in Parse(OwnChildren is null ? 0 : Read(OwnChildren)))
        {
            if (!isKnown(child) && IsMarked(child, mark))
                (orphans ??= []).Add(child);
        }
        return orphans ?? [];
    }

    private static bool IsMarked(int pid, byte[] mark)
    {
        int length = Read($"/proc/{pid}/environ");
        ReadOnlySpan<byte> environment = Buffer.AsSpan(0, length);
        int at = environment.IndexOf(mark);
        return at == 0 || (at > 0 && environment[at - 1] == 0);
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

    private static int Read(FileDescriptor file)
    {
        int total = 0;
        fixed (byte* buffer = Buffer)
        {
            while (total < Buffer.Length)
            {
                nint got = HostLibc.pread(file.Number, buffer + total, (nuint)(Buffer.Length - total), total);
                if (got <= 0)
                    break;
                total += (int)got;
            }
        }
        return total;
    }
}
