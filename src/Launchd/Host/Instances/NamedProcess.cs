using System.Globalization;
using Launchd.Client;
using Launchd.Core.Instances;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Instances;

/// <summary>
/// The process that an instance names as its main one: <c>MAINPID=</c> by its number, <c>MAINPIDFD=1</c> by a pidfd that comes with the
/// message. The rules are systemd's: never the first process, the supervisor, or a process of another instance; a process of the instance's
/// own tree may be named by anybody who may speak for the instance, any other by root alone.
/// </summary>
internal static class NamedProcess
{
    /// <summary>Whether a message names a main process at all, other than the present one.</summary>
    public static bool IsNamed(Notification notification, RunningInstance instance) =>
        notification.HasMainPidDescriptor || (notification.MainPid is { } pid && pid != instance.Process?.Pid);

    /// <summary>
    /// Opens the named process, for the caller to own. Null: refused, for the reason given (null: it is the main process already).
    /// </summary>
    public static ProcessHandle? Open(
        RunningInstance instance, Notification notification, NotifyMessage message, Func<int, bool> isKnown, out string? refused)
    {
        ProcessHandle? named = notification.HasMainPidDescriptor ? Take(message) : ProcessHandle.TryOpen(notification.MainPid ?? 0);
        refused = named is null ? "there is no such process" : Judge(instance, named, message.Uid, isKnown);
        if (refused is null)
            return named;
        named?.Dispose();
        return null;
    }

    // What is read by the process's number is true of the pidfd's process only if the pidfd still means a living process afterwards.
    private static string? Judge(RunningInstance instance, ProcessHandle named, uint sender, Func<int, bool> isKnown)
    {
        int pid = named.Pid;
        if (pid == Libc.getpid() || pid <= 1)
            return $"pid {pid} is no service's";
        if (isKnown(pid))
            return $"pid {pid} is supervised already";
        bool isOwn = ProcessTree.Contains(instance, pid, isKnown);
        if (ProcessFacts.Read(pid) is not { HasEnded: false } || named.Signal(0) == Errno.ESRCH)
            return $"pid {pid} has ended";
        return isOwn || sender == 0 ? null : $"pid {pid} is none of its processes";
    }

    // The fdinfo of a pidfd says "Pid: N" (pidfd_open(2)), 0 or -1 for a process that is not visible here or was reaped. The fdinfo of any
    // other descriptor is never read: that of an epoll set waits for a lock which its owner may hold for ever.
    private static ProcessHandle? Take(NotifyMessage message)
    {
        if (message.Descriptors.Count != 1)
            return null;
        FileDescriptor taken = message.Descriptors.Take(0);
        if (ProcessHandle.Is(taken) && Files.ReadText($"/proc/self/fdinfo/{taken.Number}") is { } text && PidOf(text) is { } pid)
            return new ProcessHandle(pid, taken);
        taken.Dispose();
        return null;
    }

    /// <summary>The process id in the fdinfo of a pidfd; null: it has none.</summary>
    public static int? PidOf(string text)
    {
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith("Pid:", StringComparison.Ordinal));
        if (line is null || !int.TryParse(line.AsSpan(4), NumberStyles.Integer, CultureInfo.InvariantCulture, out int pid))
            return null;
        return pid > 0 ? pid : null;
    }
}
