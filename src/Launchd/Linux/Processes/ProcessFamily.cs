using System.Globalization;
using Launchd.Client;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>The processes below another, as proc_tid_children(5) lists them. From any thread.</summary>
internal static class ProcessFamily
{
    /// <summary>
    /// Adds the children of a process: each of its threads has its own list, and a thread of a pool may have started one.
    /// </summary>
    /// <param name="pids">What is added to.</param>
    /// <param name="pid">The parent.</param>
    /// <param name="most">No more than so many in all.</param>
    public static void AddChildren(List<int> pids, int pid, int most)
    {
        string path = $"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/task";
        using FileDescriptor? threads = Files.OpenDirectory(path);
        foreach (int thread in threads is null ? [] : Files.Numbers(threads))
        {
            foreach (string child in Files.ReadText($"{path}/{thread.ToString(CultureInfo.InvariantCulture)}/children")?.Split(' ') ?? [])
            {
                if (pids.Count < most && int.TryParse(child, CultureInfo.InvariantCulture, out int number))
                    pids.Add(number);
            }
        }
    }
}
