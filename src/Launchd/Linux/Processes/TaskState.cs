using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>What a thread does at this moment, in the kernel's one letter (proc_pid_stat(5)). From any thread.</summary>
internal static class TaskState
{
    /// <summary>It runs, or waits for nothing but a processor.</summary>
    public const char Running = 'R';

    /// <summary>It sleeps where no signal wakes it.</summary>
    public const char Deaf = 'D';

    /// <summary>The state of a thread of this process; '?' where it cannot be read.</summary>
    public static char OfThread(int number) => Of($"/proc/self/task/{number}/stat");

    /// <summary>The state of the first thread of another process; '?' where it cannot be read.</summary>
    public static char OfProcess(int pid) => Of($"/proc/{pid}/stat");

    private static char Of(string path)
    {
        string? text = Files.ReadText(path, 512);
        // The name in brackets is the program's own and may hold anything, brackets too.
        int at = text?.LastIndexOf(')') ?? -1;
        return at >= 0 && at + 2 < text!.Length ? text[at + 2] : '?';
    }
}
