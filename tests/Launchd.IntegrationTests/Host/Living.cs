using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// One test at a time, and beside no other: they measure, trace, make processes that share the memory of the tests, or close what a child
/// may have a copy of.
/// </summary>
[Xunit.CollectionDefinition(nameof(Supervisors), DisableParallelization = true)]
public sealed class Supervisors;

/// <summary>What the kernel says of living processes, and what probes said.</summary>
internal static class Living
{
    public const int SIGINT = 2, SIGKILL = 9, SIGUSR1 = 10, SIGTERM = 15, SIGCONT = 18, SIGSTOP = 19;

    public static async Task<int> Pid(this Supervisor supervisor) => (await supervisor.Event("supervisor-started")).Pid;

    public static bool IsAlive(int pid) => Libc.kill(pid, 0) == 0 && !StateOf(pid).StartsWith('Z');

    public static void Signal(int pid, int signal) => Xunit.Assert.Equal(0, Libc.kill(pid, signal));

    /// <summary>SIGKILL, and waits until the process has ended: kill(2) answers before that, and a pidfd is readable after it.</summary>
    public static void Kill(int pid)
    {
        using ProcessHandle? process = ProcessHandle.TryOpen(pid);
        Xunit.Assert.NotNull(process);
        Xunit.Assert.Equal(Errno.None, process.Signal(SIGKILL));
        AwaitEnd(process);
    }

    public static void AwaitEnd(ProcessHandle process) =>
        Xunit.Assert.NotEqual(0, Polling.Await(process.Descriptor.Number, Libc.POLLIN, Deadline.Generous));

    /// <summary>
    /// So many descriptors a few more threads have that give birth: one begins whenever a birth takes long, as on a busy machine.
    /// </summary>
    public const int DescriptorsOfBirthThreads = 8;

    // Its pidfd, orders, answers, and a copy of what it writes to.
    private const int DescriptorsOfAWriter = 4;

    /// <summary>
    /// How many descriptors a process has open; another's can be counted by root alone while it is not dumpable. Not counted
    /// are those by which a supervisor has its own output written, which begins with the first line that there is, and
    /// libraries, which .NET opens when it first needs them.
    /// </summary>
    public static int DescriptorCount(int pid)
    {
        // Looked at once: a writer that is made between two looks would be counted in one of them alone.
        string[] all = Directory.GetFileSystemEntries($"/proc/{pid}/fd");
        return all.Count(f => !DescriptorLinks.IsLibrary(f)) - (DescriptorsOfAWriter * Pidfds(all).Count(IsWriter));
    }

    /// <summary>How many descriptors of processes a process has open, writers of its output aside.</summary>
    public static int PidfdCount(int pid) => Pidfds(Directory.GetFileSystemEntries($"/proc/{pid}/fd")).Count(of => !IsWriter(of));

    private static List<string> Pidfds(string[] descriptors) =>
        [.. descriptors.Where(f => DescriptorLinks.IsTo(f, "pidfd"))
            .Select(f => TextOf(f.Replace("/fd/", "/fdinfo/", StringComparison.Ordinal)))];

    private static bool IsWriter(string pidfdInfo) =>
        pidfdInfo.Split('\n').FirstOrDefault(l => l.StartsWith("Pid:", StringComparison.Ordinal)) is { } line
        && IsWriter(int.Parse(line[4..]));

    private static bool IsWriter(int pid) => TextOf($"/proc/{pid}/comm") == "log writer\n";

    private static string TextOf(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (IOException)
        {
            return ""; // closed, or ended, meanwhile
        }
    }

    /// <summary>Children that have ended and were not reaped.</summary>
    public static IEnumerable<int> ZombiesOf(int pid) => ChildrenOf(pid).Where(child => StateOf(child).StartsWith('Z'));

    /// <summary>Children of all threads, writers of its output aside.</summary>
    public static int[] ChildrenOf(int pid) =>
        [.. Directory.GetDirectories($"/proc/{pid}/task")
            .SelectMany(thread => TextOf(thread + "/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Select(int.Parse).Where(child => !IsWriter(child))];

    /// <summary>Lines of one kind in a file that a probe wrote by <c>--to</c>. One that is just being written does not count.</summary>
    public static IReadOnlyList<JsonElement> Said(this Supervisor supervisor, string file, string kind) =>
        [.. File.ReadAllText(supervisor.Scratch.At(file)).Split('\n')[..^1].Select(l => JsonElement.Parse(l))
            .Where(l => l.GetProperty("probe").GetString() == kind)];

    /// <summary>Waits for the first repair of a listener whose fault begins with this text.</summary>
    public static async Task<(string? Fault, string? Remedy)> Healed(this Supervisor supervisor, string fault)
    {
        Happening healed = await supervisor.Events.First(
            e => e.Kind == "listener-healed" && e.Text("fault")!.StartsWith(fault, StringComparison.Ordinal), $"'{fault}' healed");
        return (healed.Text("fault"), healed.Text("remedy"));
    }

    /// <summary>Waits for what no event tells, as <see cref="ControlSocket.Until"/> does.</summary>
    public static async Task Until(this Supervisor supervisor, Func<bool> isSo)
    {
        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.Until(isSo, supervisor.Errors.ToString!);
    }

    /// <summary>Whether all threads of a process are traced, or it has ended: strace(1) takes one thread after the other.</summary>
    public static bool IsTraced(int pid)
    {
        try
        {
            return Directory.GetDirectories($"/proc/{pid}/task")
                .All(t => !File.ReadAllText(t + "/status").Contains("TracerPid:\t0\n", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            // A thread has ended meanwhile, or all of them.
            return !IsAlive(pid);
        }
    }

    private static string StateOf(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/stat").Split(") ")[^1];
        }
        catch (IOException)
        {
            return "Z";
        }
    }
}
