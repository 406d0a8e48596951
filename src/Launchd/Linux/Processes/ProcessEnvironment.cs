using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>What a look for a variable in another process's environment found.</summary>
internal enum EnvironmentLook
{
    Found,
    Absent,

    /// <summary>There is no environment at the moment: the process has ended, or is between two programs.</summary>
    Empty,

    /// <summary>We may not read it: another user's, or PR_SET_DUMPABLE is off, and we have no CAP_SYS_PTRACE (ptrace(2)).</summary>
    Forbidden,

    /// <summary>Not read for want of a descriptor, or because /proc is not ours.</summary>
    Unknown,
}

/// <summary>Variables with which other processes were started (proc_pid_environ(5)), for the loop's thread alone.</summary>
internal static class ProcessEnvironment
{
    // The rest of a longer environment is not read: a program may make it as large as it likes.
    private const int MostBytes = 8 << 20;

    private static readonly byte[] Buffer = new byte[64 << 10];

    /// <summary>Looks for a variable of at most 4 KiB, name and all.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="threadCount">
    /// If more than one, and the first thread has ended, the environment is read by way of another thread.
    /// </param>
    /// <param name="name">With the sign of equality.</param>
    /// <param name="value">Null unless it was found.</param>
    public static EnvironmentLook Find(int pid, int threadCount, string name, out string? value)
    {
        EnvironmentLook look = FindIn($"/proc/{pid}/environ", name, out value);
        if (look != EnvironmentLook.Empty || threadCount <= 1)
            return look;
        List<int> threads = [];
        using (ProcFile directory = ProcFile.Open($"/proc/{pid}/task", out _))
        {
            if (directory.IsOpen)
                threads.AddRange(Files.Numbers(directory.File));
        }
        foreach (int thread in threads)
        {
            look = FindIn(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/task/{thread}/environ"), name, out value);
            if (look != EnvironmentLook.Empty)
                return look;
        }
        return EnvironmentLook.Empty;
    }

    // Read in pieces: the variable may stand anywhere, because shells reorder the environment, which may have megabytes.
    private static EnvironmentLook FindIn(string path, string name, out string? value)
    {
        value = null;
        if (!ProcFile.IsOwn)
            return EnvironmentLook.Unknown;
        using ProcFile file = ProcFile.Open(path, out Errno refused);
        if (!file.IsOpen)
        {
            return refused == Errno.EACCES || refused == Errno.EPERM ? EnvironmentLook.Forbidden
                : refused == Errno.ENOENT || refused == Errno.ESRCH ? EnvironmentLook.Empty : EnvironmentLook.Unknown;
        }
        ReadOnlySpan<byte> wanted = Encoding.UTF8.GetBytes('\0' + name);
        // Puts a NUL before the first variable, as there is one before every other.
        Buffer[0] = 0;
        int kept = 1, total = 0;
        while (true)
        {
            int got = file.Read(Buffer.AsSpan(kept));
            Span<byte> seen = Buffer.AsSpan(0, kept + got);
            int at = seen.IndexOf(wanted);
            bool isLast = got < Buffer.Length - kept;
            if (at >= 0 && (isLast || seen.Length - at > 4096))
            {
                ReadOnlySpan<byte> found = seen[(at + wanted.Length)..];
                value = Encoding.UTF8.GetString(found.IndexOf((byte)0) is >= 0 and int end ? found[..end] : found);
                return EnvironmentLook.Found;
            }
            total += got;
            if (total == 0)
                return EnvironmentLook.Empty;
            if (isLast || total > MostBytes)
                return EnvironmentLook.Absent;
            // The variable may lie across the border of two buffers.
            kept = Math.Min(seen.Length, 4096 + wanted.Length);
            seen[^kept..].CopyTo(Buffer);
        }
    }
}
