using System.Globalization;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>Descriptors of other processes: taken by pidfd_getfd(2), compared, opened anew. Results are owned by the caller.</summary>
internal static unsafe class ProcessDescriptors
{
    /// <summary>
    /// A duplicate of a process's descriptor, close-on-exec. Null with the reason: EBADF, there is none of that number; ESRCH, the process
    /// has ended; EPERM, the kernel does not allow it: <see cref="Explain"/>.
    /// </summary>
    /// <param name="process">Whose.</param>
    /// <param name="number">In its table.</param>
    /// <param name="closer">Closes the duplicate in the end; null: whoever disposes it.</param>
    /// <param name="refused">The reason.</param>
    public static FileDescriptor? Take(PidFd process, int number, IDescriptorCloser? closer, out Errno refused)
    {
        nint taken = Libc.descriptor_call(Libc.SYS_pidfd_getfd, process.Descriptor.Number, number, 0, 0, 0);
        refused = taken < 0 ? Errno.Last : Errno.None;
        return taken < 0 ? null : new FileDescriptor((int)taken, closer);
    }

    /// <summary>
    /// What a process has open, as proc_pid_fd(5) shows it. Ends early where the process does; nothing if it belongs to somebody else. No
    /// file is looked at, only the names of links: so a file system that does not answer keeps nobody waiting.
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

    /// <summary>Another number for the same open file description, close-on-exec. Null with the reason.</summary>
    /// <param name="descriptor">Borrowed.</param>
    /// <param name="closer">As with <see cref="Take"/>.</param>
    /// <param name="refused">The reason.</param>
    public static FileDescriptor? Duplicate(FileDescriptor descriptor, IDescriptorCloser? closer, out Errno refused)
    {
        int number = fcntl(descriptor.Number, F_DUPFD_CLOEXEC, 0);
        refused = number < 0 ? Errno.Last : Errno.None;
        return number < 0 ? null : new FileDescriptor(number, closer);
    }

    /// <summary>Whether two of our descriptors are the same open file description. False where the kernel does not tell.</summary>
    public static bool AreSame(FileDescriptor first, FileDescriptor second)
    {
        int answer = fcntl(first.Number, Libc.F_DUPFD_QUERY, second.Number);
        if (answer >= 0)
            return answer == 1;
        int self = Libc.getpid();
        return Libc.descriptor_call(Libc.SYS_kcmp, self, self, Libc.KCMP_FILE, first.Number, second.Number) == 0;
    }

    /// <summary>
    /// How kcmp(2) orders two of our descriptors by their open file descriptions: 0 the same, 1 the first comes before, 2 behind. Anything else: the
    /// kernel does not tell.
    /// </summary>
    public static int Compare(FileDescriptor first, FileDescriptor second)
    {
        int self = Libc.getpid();
        return (int)Libc.descriptor_call(Libc.SYS_kcmp, self, self, Libc.KCMP_FILE, first.Number, second.Number);
    }

    /// <summary>
    /// A new open file description of what a descriptor means, with its own offset: proc_pid_fd(5). Never with more rights than the
    /// descriptor has. Null with the reason: EACCES, it has not that access; ENXIO, it is a socket.
    /// </summary>
    /// <param name="descriptor">Borrowed.</param>
    /// <param name="forWriting">For reading too where the descriptor can.</param>
    /// <param name="closer">As with <see cref="Take"/>.</param>
    /// <param name="refused">The reason.</param>
    /// <remarks>Waits for the file system to answer: see <see cref="Closing.IsQuick"/>.</remarks>
    public static FileDescriptor? Reopen(FileDescriptor descriptor, bool forWriting, IDescriptorCloser? closer, out Errno refused)
    {
        int flags = fcntl(descriptor.Number, F_GETFL);
        refused = flags < 0 ? Errno.Last : Errno.None;
        if (flags < 0)
            return null;
        int has = flags & O_ACCMODE;
        if ((flags & O_PATH) != 0 || has == (forWriting ? O_RDONLY : O_WRONLY))
        {
            refused = Errno.EACCES;
            return null;
        }
        int mode = forWriting ? has | (flags & O_APPEND) : O_RDONLY;
        // A FIFO without a writer would keep the loop waiting.
        FileDescriptor? opened = Files.Open(null, Files.ProcPath(descriptor), mode | O_NONBLOCK | O_NOCTTY, 0, out refused);
        if (opened is not null)
            opened = new FileDescriptor(opened.ReleaseNumber(), closer);
        if (opened is not null && (flags & O_NONBLOCK) == 0)
            refused = Files.SetNonBlocking(opened, isNonBlocking: false);
        if (refused == Errno.None)
            return opened;
        opened?.Dispose();
        return null;
    }

    /// <summary>Whether a descriptor is anonymous memory, memfd_create(2).</summary>
    public static bool IsMemory(FileDescriptor descriptor) => fcntl(descriptor.Number, Libc.F_GET_SEALS) >= 0;

    /// <summary>Why pidfd_getfd(2) was refused, and what helps, in one sentence: ptrace(2), PTRACE_MODE_ATTACH_REALCREDS.</summary>
    public static string Explain(Errno refused, PidFd process)
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

    // What is refused for this very process is refused by a filter, not for the owner's sake.
    private static string? Forbids(Errno refused)
    {
        using PidFd? self = PidFd.TryOpen(Libc.getpid());
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

    private static string? OwnerForbids(PidFd process)
    {
        string directory = $"/proc/{process.Pid.ToString(CultureInfo.InvariantCulture)}";
        string? uids = Files.ReadText(directory + "/status", 4096)?.Split('\n').FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal));
        if (uids?.Split('\t') is not [_, var real, ..] || !uint.TryParse(real, CultureInfo.InvariantCulture, out uint uid))
            return null;
        if (uid != Libc.geteuid())
            return $"user: the owner runs as uid {uid}: the supervisor needs CAP_SYS_PTRACE";
        // proc(5): the folder of a process that is not dumpable belongs to root.
        return FileStatus.ReadFollow(directory, out FileStatus status) == Errno.None && status.Uid != uid
            ? "dumpable: the owner has made itself non-dumpable (PR_SET_DUMPABLE, or a program with file capabilities): the supervisor needs CAP_SYS_PTRACE"
            : "dumpable: the owner may have made itself non-dumpable, or has capabilities that the supervisor lacks: the supervisor needs CAP_SYS_PTRACE";
    }
}
