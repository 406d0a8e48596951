using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Linux.Spawning;

/// <summary>
/// Looks at every child before the first instruction of its program, and writes a line about it into a file: <c>clean PID</c>,
/// <c>ended PID</c> if it was killed before, or what is wrong. Its descriptors must be exactly those of the request. For
/// tests: each child stops for it, as under a debugger.
/// </summary>
internal sealed unsafe class BirthAudit(string file)
{
    /// <summary>The variable that names the file; without it no child is looked at.</summary>
    public const string Variable = "LAUNCHD_AUDIT_BIRTHS";

    private const int O_WRONLY_CREAT_APPEND = 1 | 0x40 | 0x400;

    public static BirthAudit? FromEnvironment() =>
        Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file ? new BirthAudit(file) : null;

    /// <summary>Waits for the child's stop at its execve(2), compares, and lets it go on.</summary>
    /// <param name="child">The child, which was born on this thread.</param>
    /// <param name="request">What the child should be.</param>
    /// <param name="awaitStop">
    /// Returns when the child has stopped or ended, as the thread tells that waits for all children. False, or null: no thread tells.
    /// </param>
    public void Look(ProcessHandle child, SpawnRequest request, Func<bool>? awaitStop)
    {
        bool isTold = awaitStop?.Invoke() == true;
        byte* info = stackalloc byte[128];
        int which = child.Descriptor.Number;
        const int What = Libc.WSTOPPED | Libc.WEXITED | Libc.WNOWAIT;
        while (!isTold && Libc.waitid(Libc.P_PIDFD, which, info, What) < 0 && Errno.Last == Errno.EINTR)
        {
        }
        string verdict = Judge(child.Pid, request);
        Write($"{verdict}\n");
        _ = Libc.ptrace(Libc.PTRACE_DETACH, child.Pid, 0, 0);
    }

    private static string Judge(int pid, SpawnRequest request)
    {
        SortedDictionary<int, string> found = [], expected = [];
        foreach (string path in Directory.EnumerateFileSystemEntries($"/proc/{pid}/fd"))
            found[int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture)] = Files.ReadLink(null, path) ?? "?";
        foreach (DescriptorMapping mapping in request.Descriptors)
            expected[mapping.Target] = Files.ReadLink(null, $"/proc/self/fd/{mapping.Source}") ?? "?";
        if (found.SequenceEqual(expected))
            return $"clean {pid}";
        // SIGKILL may come before the look, and a dead process has no descriptors.
        bool hasEnded = ProcessFacts.Read(pid) is not { HasEnded: false };
        return hasEnded ? $"ended {pid}" : $"unclean {pid} {request.Arguments[0]}: expected {Show(expected)}, found {Show(found)}";
    }

    private static string Show(SortedDictionary<int, string> descriptors) =>
        string.Join(' ', descriptors.Select(d => $"{d.Key}={d.Value}"));

    private void Write(string line)
    {
        using FileDescriptor? log = Files.Open(null, file, O_WRONLY_CREAT_APPEND, 0b110_000_000, out _);
        byte[] text = Encoding.UTF8.GetBytes(line);
        fixed (byte* bytes = text)
            _ = log is null ? 0 : Libc.write(log.Number, bytes, (nuint)text.Length);
    }
}
