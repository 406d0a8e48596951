using System.Globalization;
using Launchd.Client.Interop;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Processes;

/// <summary>Descriptors of other processes: taken by pidfd_getfd(2), compared, opened anew. Results are owned by the caller.</summary>
internal static unsafe class ProcessDescriptors
{
    /// <summary>
    /// A duplicate of a process's descriptor, close-on-exec. Null with the reason: EBADF, the process has no such descriptor; ESRCH, the
    /// process has ended; EPERM, the kernel does not allow it: <see cref="Explain"/>.
    /// </summary>
    /// <param name="process">The owner.</param>
    /// <param name="number">The number in the owner's table.</param>
    /// <param name="closer">Closes the duplicate in the end; null: whoever disposes it.</param>
    /// <param name="refused">The reason.</param>
    public static FileDescriptor? Take(ProcessHandle process, int number, IDescriptorCloser? closer, out Errno refused)
    {
        nint taken = Libc.descriptor_call(Libc.SYS_pidfd_getfd, process.Descriptor.Number, number, 0, 0, 0);
        refused = taken < 0 ? Errno.Last : Errno.None;
        return taken < 0 ? null : new FileDescriptor((int)taken, closer);
    }

    /// <summary>
    /// What a process has open, as proc_pid_fd(5) shows it. Ends early if the process ends; empty if it belongs to another user. Only the
    /// texts of links are read and no file is touched, so a file system that does not answer causes no waiting.
    /// </summary>
    public static IEnumerable<(int Number, string Link)> Links(int pid)
    {
        using FileDescriptor? directory = Files.OpenDirectory($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/fd");
        if (directory is null)
            yield break;
        foreach (int number in Files.Numbers(directory))
        {
            if (Files.ReadLink(directory, number.ToString(CultureInfo.InvariantCulture)) is { } link)
                yield return (number, link);
        }
    }

    /// <summary>
    /// A new open file description of the file behind a descriptor, with its own offset: proc_pid_fd(5). Never with more rights than the
    /// descriptor or its owner has. Null with the reason: EACCES, the descriptor or its owner lacks that access; ENXIO, it is a socket;
    /// EOPNOTSUPP, it is neither a regular file nor memory, or lies where the kernel itself answers.
    /// </summary>
    /// <param name="descriptor">Borrowed.</param>
    /// <param name="forWriting">For reading too where the descriptor can.</param>
    /// <param name="owner">The user whose rights count; null: this process's own.</param>
    /// <param name="closer">As with <see cref="Take"/>.</param>
    /// <param name="refused">The reason.</param>
    /// <remarks>Waits for the file system to answer: see <see cref="Closing.IsQuick"/>. So not on the loop.</remarks>
    public static FileDescriptor? Reopen(
        FileDescriptor descriptor, bool forWriting, Credentials? owner, IDescriptorCloser? closer, out Errno refused)
    {
        int flags = fcntl(descriptor.Number, F_GETFL);
        refused = flags < 0 ? Errno.Last : WhyNotReopened(descriptor, flags, forWriting);
        if (refused != Errno.None)
            return null;
        int mode = forWriting ? flags & (O_ACCMODE | O_APPEND) : O_RDONLY;
        // The link of the supervisor's own descriptor is opened, which nobody else can exchange. With O_NONBLOCK the
        // call does not wait for a lease on the file.
        mode |= O_NONBLOCK | O_NOCTTY;
        FileDescriptor? opened = BorrowedRights.AreLess(owner)
            ? BorrowedRights.Open(owner!, null, Files.ProcPath(descriptor), mode, 0, 0, out refused)
            : Files.Open(null, Files.ProcPath(descriptor), mode, 0, out refused);
        if (opened is not null)
            opened = new FileDescriptor(opened.ReleaseNumber(), closer);
        if (opened is not null && (flags & O_NONBLOCK) == 0)
            refused = Files.SetNonBlocking(opened, isNonBlocking: false);
        if (refused == Errno.None)
            return opened;
        opened?.Dispose();
        return null;
    }

    // Opening a pipe anew may give its other end; a terminal, a device and a file of the kernel depend on the process
    // that opens them, which would be the supervisor.
    private static Errno WhyNotReopened(FileDescriptor descriptor, int flags, bool forWriting)
    {
        if (FileStatus.Read(descriptor, out FileStatus status) is { Value: not 0 } hidden)
            return hidden;
        if (status.Kind == FileKind.Socket)
            return Errno.ENXIO;
        if (status.Kind != FileKind.Regular)
            return Errno.EOPNOTSUPP;
        // With O_PATH, or with both bits of the access mode set (open(2), NOTES), a descriptor is open neither for reading nor for writing.
        int has = (flags & O_PATH) != 0 ? O_ACCMODE : flags & O_ACCMODE;
        if (has != O_RDWR && has != (forWriting ? O_WRONLY : O_RDONLY))
            return Errno.EACCES;
        return FileSystems.IsStorage(descriptor) ? Errno.None : Errno.EOPNOTSUPP;
    }

    /// <summary>
    /// The user and groups whose rights a process has. For a process that has changed its user, or has executed a set-user-id program, this
    /// is the former or the present user, whichever is not root. Null: the process has ended, or its status cannot be read.
    /// </summary>
    /// <param name="pid">A child that is not reaped meanwhile.</param>
    public static Credentials? RightsOf(int pid)
    {
        string? status = Files.ReadText($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/status");
        uint[]? users = NumbersOf(status, "Uid:"), groups = NumbersOf(status, "Gid:"), members = NumbersOf(status, "Groups:");
        // proc_pid_status(5): real, effective, saved, for files.
        if (users is not { Length: 4 } || groups is not { Length: 4 } || members is null)
            return null;
        int which = Math.Max(0, Array.FindIndex(users, u => u != 0));
        return new Credentials(users[which], groups[which], members);
    }

    private static uint[]? NumbersOf(string? status, string name)
    {
        string? line = status?.Split('\n').FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        return line is null ? null
            : [.. line[name.Length..].Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)
                .Select(n => uint.Parse(n, CultureInfo.InvariantCulture))];
    }

    /// <summary>Whether a descriptor is anonymous memory, memfd_create(2).</summary>
    public static bool IsMemory(FileDescriptor descriptor) => fcntl(descriptor.Number, Libc.F_GET_SEALS) >= 0;

    /// <summary>Why pidfd_getfd(2) was refused, and what helps, in one sentence: ptrace(2), PTRACE_MODE_ATTACH_REALCREDS.</summary>
    public static string Explain(Errno refused, ProcessHandle process)
    {
        if (refused == Errno.ENOSYS)
            return "pidfd_getfd needs Linux 5.6: let the owner watch its channel and give the descriptor itself";
        if (refused == Errno.EMFILE || refused == Errno.ENFILE)
            return "the supervisor has no descriptor left: raise its limit nofile";
        if (refused != Errno.EPERM && refused != Errno.EACCES)
            return refused.Text;
        string cause = Forbids(refused) ?? YamaForbids() ?? OwnerForbids(process) ?? "a security module of this system forbids it";
        return cause + "; or let the owner watch its channel and give the descriptor itself";
    }

    // A call that is refused for this very process is refused by a filter, and not to protect the owner.
    private static string? Forbids(Errno refused)
    {
        using ProcessHandle? self = ProcessHandle.TryOpen(Libc.getpid());
        if (self is null)
            return null;
        using FileDescriptor? own = Take(self, self.Descriptor.Number, closer: null, out Errno ownRefused);
        return own is null && ownRefused == refused
            ? "seccomp: a container policy forbids pidfd_getfd (Docker: --cap-add SYS_PTRACE)" : null;
    }

    private static string? YamaForbids() => Files.ReadText("/proc/sys/kernel/yama/ptrace_scope", 64)?.Trim() switch
    {
        "2" => "Yama: kernel.yama.ptrace_scope is 2: the supervisor needs CAP_SYS_PTRACE",
        "3" => "Yama: kernel.yama.ptrace_scope is 3: nobody may take descriptors",
        _ => null,
    };

    private static string? OwnerForbids(ProcessHandle process)
    {
        string directory = $"/proc/{process.Pid.ToString(CultureInfo.InvariantCulture)}";
        string? uids = Files.ReadText(directory + "/status", 4096)?.Split('\n')
            .FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal));
        if (uids?.Split('\t') is not [_, var real, ..] || !uint.TryParse(real, CultureInfo.InvariantCulture, out uint uid))
            return null;
        if (uid != Libc.geteuid())
            return $"user: the owner runs as uid {uid}: the supervisor needs CAP_SYS_PTRACE";
        // proc(5): the folder of a process that is not dumpable belongs to root.
        return FileStatus.ReadFollow(directory, out FileStatus status) == Errno.None && status.Uid != uid
            ? "dumpable: the owner has made itself non-dumpable (PR_SET_DUMPABLE, or a program with file capabilities): "
                + "the supervisor needs CAP_SYS_PTRACE"
            : "dumpable: the owner may have made itself non-dumpable, or has capabilities that the supervisor lacks: "
                + "the supervisor needs CAP_SYS_PTRACE";
    }
}
