using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>Who may speak for an instance, and who can send to its socket at all: docs/adr/0051.</summary>
internal static class NotifySender
{
    private const ulong CAP_SETUID = 1ul << 7;

    /// <summary>
    /// Whether the sender of a message may speak for an instance: its main process; with <c>notify_access = "all"</c> every process of it
    /// too, and root and the supervisor's own user, who could do anything to the instance as it is.
    /// </summary>
    /// <param name="instance">Whose socket it came to.</param>
    /// <param name="message">With credentials of the kernel.</param>
    /// <param name="isOthers">Whether a child of the supervisor is known and no process of the instance.</param>
    public static bool MaySpeak(RunningInstance instance, NotifyMessage message, Func<RunningInstance, int, bool> isOthers)
    {
        if (instance.Access == NotifyAccess.None)
            return false;
        // Its number is its own until it is reaped, and what was sent before its birth was thrown away.
        if (message.Pid == instance.Process!.Pid && !instance.MainEnded)
            return true;
        if (instance.Access != NotifyAccess.All)
            return false;
        return message.Uid == 0 || message.Uid == Libc.geteuid() || IsOwn(instance, message, isOthers);
    }

    /// <summary>The program says who may speak from now on.</summary>
    public static void Change(RunningInstance instance, NotifyAccess access)
    {
        instance.Access = access;
        if (access == NotifyAccess.All)
            instance.Notify?.NameSenders();
    }

    /// <summary>
    /// The one user beside root who has anything to say: that of a service which cannot become another. Null: root's
    /// programs drop their privileges themselves, to users that the supervisor does not know; and where the supervisor
    /// is not root nobody else gets at its directory.
    /// </summary>
    public static uint? OnlyWriter(RunningInstance instance) =>
        instance.User?.Credentials is { Uid: not 0 and var user } && Libc.geteuid() == 0
            && (instance.Definition.Execution.AmbientCapabilities & CAP_SETUID) == 0 ? user : null;

    // The number is judged, so it must have meant the sender while it was: by the sender's pidfd, which is of this very process, or on
    // older kernels by one that is opened first and has the user of the message.
    private static bool IsOwn(RunningInstance instance, NotifyMessage message, Func<RunningInstance, int, bool> isOthers)
    {
        using ProcessHandle? named = message.Pidfd is null ? ProcessHandle.TryOpen(message.Pid) : null;
        FileDescriptor? process = message.Pidfd ?? named?.Descriptor;
        bool isOfTree = process is not null && ProcessTree.Contains(instance, message.Pid, pid => isOthers(instance, pid));
        bool isThere = process is not null && ProcessHandle.IsThere(process);
        bool hasEnded = !isThere || ProcessFacts.Read(message.Pid) is not { HasEnded: false };
        if (isThere && isOfTree)
            return message.Pidfd is not null || HasUser(message.Pid, message.Uid);
        // A short helper may be gone before its message is read, and nothing is left to place it by but its user.
        return hasEnded && message.Uid == instance.User?.Credentials?.Uid;
    }

    // proc(5): the folder of a process that is not dumpable belongs to root.
    private static bool HasUser(int pid, uint uid) =>
        FileStatus.ReadFollow($"/proc/{pid}", out FileStatus status) == Errno.None && (status.Uid == uid || status.Uid == 0);
}
