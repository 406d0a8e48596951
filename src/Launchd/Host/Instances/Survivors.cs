using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Instances;

/// <summary>Processes that cannot be signalled, or that live on after SIGKILL, in words for people.</summary>
internal static class Survivors
{
    private const int Kill = 9;

    /// <summary>Whether the supervisor may not signal a process, which is of another user than its own.</summary>
    public static bool IsOutOfReach(int pid) => Libc.kill(pid, 0) != 0 && Errno.Last == Errno.EPERM;

    /// <summary>Why the kernel refuses signals to a process.</summary>
    public static string WhyNotPermitted(int pid)
    {
        // kill(2): the sender's user must be the real one of the process, or its saved one. Names of users are not looked up on the loop.
        ulong? user = ProcessFacts.Status(pid, "Uid");
        return user is null ? $"not permitted: process {pid} cannot be looked at"
            : user == Libc.geteuid() ? $"not permitted: a security module protects process {pid}"
            : $"not permitted: process {pid} belongs to {(user == 0 ? "root" : $"user {user}")}";
    }

    /// <summary>Why a process lives on after SIGKILL: one sentence.</summary>
    public static string Describe(int pid)
    {
        string who = $"process {pid} ({ProcessFacts.NameOf(pid)})";
        if (IsOutOfReach(pid))
            return $"{who} cannot be ended: {WhyNotPermitted(pid)}";
        bool isPending = ProcessFacts.Status(pid, "ShdPnd", isHexadecimal: true) is { } pending && (pending & (1UL << (Kill - 1))) != 0;
        bool isAsleep = ProcessFacts.Read(pid) is { State: 'D' };
        return $"{who} does not end on SIGKILL" + (isPending || isAsleep ? ": it hangs inside the kernel" : "");
    }
}
