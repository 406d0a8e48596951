using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>Decides which processes may speak for an instance, and which users can send to its socket at all: docs/adr/0051.</summary>
internal static class NotifySender
{
    private const ulong CAP_SETUID = 1ul << 7;

    /// <summary>
    /// Whether the sender of a message may speak for an instance: its main process may; with <c>notify_access = "all"</c> also every other
    /// process of it, and root and the supervisor's own user, who can do anything to the instance anyhow.
    /// </summary>
    /// <param name="instance">The instance to whose socket the message came.</param>
    /// <param name="message">A message with the kernel's credentials.</param>
    /// <param name="isOthers">Whether a child of the supervisor is known and no process of the instance.</param>
    public static bool MaySpeak(RunningInstance instance, NotifyMessage message, Func<RunningInstance, int, bool> isOthers)
    {
        if (instance.Access == NotifyAccess.None)
            return false;
        // The number means the main process until that is reaped, and messages from before its birth were thrown away.
        if (message.Pid == instance.Process!.Pid && !instance.MainEnded)
            return true;
        if (instance.Access != NotifyAccess.All)
            return false;
        return message.Uid == 0 || message.Uid == Libc.geteuid() || IsOwn(instance, message, isOthers);
    }

    /// <summary>The program has said who may speak for the instance from now on.</summary>
    public static void Change(RunningInstance instance, NotifyAccess access)
    {
        instance.Access = access;
        if (access == NotifyAccess.All)
            instance.Notify?.NameSenders();
    }

    /// <summary>
    /// The one user beside root who needs to send to the socket: the user of a service whose processes cannot become another. Null: there
    /// is no such user, because a program of root drops its privileges to users that the supervisor does not know; or the supervisor is not
    /// root, and no other user can reach its directory anyway.
    /// </summary>
    public static uint? OnlyWriter(RunningInstance instance) =>
        instance.User?.Credentials is { Uid: not 0 and var user } && Libc.geteuid() == 0
            && (instance.Definition.Execution.AmbientCapabilities & CAP_SETUID) == 0 ? user : null;

    // The tree is searched by the sender's number, so the number must have meant the sender all the while. That is told by the pidfd that
    // came with the message or, on older kernels, by one that is opened before and whose process has the user of the message.
    private static bool IsOwn(RunningInstance instance, NotifyMessage message, Func<RunningInstance, int, bool> isOthers)
    {
        using ProcessHandle? named = message.Pidfd is null ? ProcessHandle.TryOpen(message.Pid) : null;
        FileDescriptor? process = message.Pidfd ?? named?.Descriptor;
        bool isOfTree = process is not null && ProcessTree.Contains(instance, message.Pid, pid => isOthers(instance, pid));
        bool isThere = process is not null && ProcessHandle.IsThere(process);
        bool hasEnded = !isThere || ProcessFacts.Read(message.Pid) is not { HasEnded: false };
        if (isThere && isOfTree)
            return message.Pidfd is not null || HasUser(message.Pid, message.Uid);
        // A short-lived helper may be gone before its message is read; then only its user is left to tell whose process it was.
        return hasEnded && message.Uid == instance.User?.Credentials?.Uid;
    }

    // proc(5): the folder of a process that is not dumpable belongs to root.
    private static bool HasUser(int pid, uint uid) =>
        FileStatus.ReadFollow($"/proc/{pid}", out FileStatus status) == Errno.None && (status.Uid == uid || status.Uid == 0);
}
