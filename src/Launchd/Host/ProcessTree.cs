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
    private static readonly string OwnChildren = $"/proc/self/task/{Libc.getpid()}/children";

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
        foreach (int child in Children(OwnChildren))
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
    private static List<int> Children(string file)
    {
        int length = Read(file);
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
        if (file is null)
            return 0;
        int total = 0;
        fixed (byte* buffer = Buffer)
        {
            while (total < Buffer.Length)
            {
                nint got = Libc.read(file.Number, buffer + total, (nuint)(Buffer.Length - total));
                if (got <= 0)
                    break;
                total += (int)got;
            }
        }
        return total;
    }
}
