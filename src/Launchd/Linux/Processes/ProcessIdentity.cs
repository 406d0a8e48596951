using Launchd.Client;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// What a process is recognised by that was known by a descriptor before, in a process that is gone: its number alone may mean another one
/// by now.
/// </summary>
/// <param name="Inode">That of its pidfd, which no other process gets until the next boot (statx(2)); 0: Linux is older than 6.9.</param>
/// <param name="StartTime">As <see cref="ProcessFacts.StartTime"/> tells; 0: not needed, or not known.</param>
internal readonly record struct ProcessIdentity(ulong Inode, ulong StartTime)
{
    /// <summary>Whether pidfds have inodes of their own on this kernel. Found out before the first process is started.</summary>
    public static bool HasInodes { get; set; }

    public static ProcessIdentity Of(ProcessHandle process)
    {
        if (InodeOf(process) is > 0 and ulong inode)
            return new ProcessIdentity(inode, 0);
        return new ProcessIdentity(0, ProcessFacts.Read(process.Pid)?.StartTime ?? 0);
    }

    /// <summary>Opens the process again. Null: it was reaped, or it cannot be told whether it is the same one.</summary>
    /// <param name="pid">Its number.</param>
    public ProcessHandle? TryOpen(int pid)
    {
        ProcessHandle? found = ProcessHandle.TryOpen(pid);
        if (found is null)
            return null;
        // After the descriptor was opened, so that what is read of the number is true of the descriptor, if that still lives.
        bool isSame = Inode > 0 ? InodeOf(found) == Inode : StartTime > 0 && ProcessFacts.Read(pid)?.StartTime == StartTime;
        if (isSame)
            return found;
        found.Dispose();
        return null;
    }

    private static ulong InodeOf(ProcessHandle process) =>
        HasInodes && process.HasDescriptor && FileStatus.Read(process.Descriptor, out FileStatus status) == Errno.None
            ? status.Inode : 0;
}
