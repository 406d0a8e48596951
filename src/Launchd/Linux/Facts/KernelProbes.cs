using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Facts;

/// <summary>Findings that are made by trying a call on descriptors of our own.</summary>
internal static unsafe class KernelProbes
{
    // The same numbers on x86-64 and arm64: calls newer than Linux 5.0 have one number everywhere.
    private const int PidfdOpenNumber = 434;
    private const int PidfdGetfdNumber = 438;
    private const int CloseRangeNumber = 436;
    private const uint CloseRangeCloexec = 4;

    public static KernelFinding PidfdOpen()
    {
        using FileDescriptor? pidfd = OpenOwnPidfd(out Errno refused);
        return pidfd is not null
            ? new("pidfd-open", FindingState.Ok, "works", "services are watched without races over pid numbers")
            : new("pidfd-open", FindingState.Limited, refused.Text,
                "processes are known by number and start time, and the end of a main process that is no child is not seen; "
                + "needs Linux 5.3 and a container policy that allows it");
    }

    /// <summary>Tries pidfd_send_signal(2) on this very process, with no signal.</summary>
    public static KernelFinding PidfdSendSignal()
    {
        using FileDescriptor? pidfd = OpenOwnPidfd(out Errno refused);
        if (pidfd is not null)
            refused = Libc.pidfd_send_signal(pidfd.Number, 0, null, 0) == 0 ? Errno.None : Errno.Last;
        return refused == Errno.None
            ? new("pidfd-send-signal", FindingState.Ok, "works", "signals reach the process that was meant, or nobody")
            : new("pidfd-send-signal", FindingState.Limited, refused.Text,
                "signals are sent by number, after a look whether the process still is the one that was meant; "
                    + "a container policy forbids the call");
    }

    /// <summary>Whether orphans of services can come to the supervisor.</summary>
    /// <param name="isAsked">Whether this process has asked for orphans already, and so must get them.</param>
    public static KernelFinding Subreaper(bool isAsked)
    {
        const string name = "subreaper";
        int answer = 0;
        Errno refused = Libc.prctl(Libc.PR_GET_CHILD_SUBREAPER, (nuint)(&answer), 0, 0, 0) == 0 ? Errno.None : Errno.Last;
        if (refused == Errno.None && isAsked && answer == 0)
            refused = Errno.EPERM;
        if (refused == Errno.None || Environment.ProcessId == 1)
            return new(name, FindingState.Ok, "works", "what a service leaves behind comes to the supervisor, and is ended");
        return new(name, FindingState.Limited, $"prctl: {refused.Text}",
            "what a service leaves behind and takes out of its process group goes to another process, and is not ended; "
                + "a container policy forbids the call");
    }

    /// <summary>Tries to take a descriptor of this very process: a policy that forbids the call altogether refuses this too.</summary>
    public static KernelFinding PidfdGetfd()
    {
        using FileDescriptor? pidfd = OpenOwnPidfd(out Errno refused);
        if (pidfd is not null)
        {
            int number = Call(PidfdGetfdNumber, (uint)pidfd.Number, (uint)pidfd.Number, 0, out refused);
            if (number >= 0)
            {
                new FileDescriptor(number).Dispose();
                return new("pidfd-getfd", FindingState.Ok, "works on this process",
                    "descriptors of running services can be fetched, as Yama and users allow");
            }
        }
        return new("pidfd-getfd", FindingState.Missing, refused.Text,
            refused == Errno.ENOSYS ? "needs Linux 5.6; owners have to send their descriptors"
            : "a container policy forbids it (Docker: cap_add SYS_PTRACE); owners have to send their descriptors");
    }

    public static KernelFinding PidfdInodes()
    {
        using FileDescriptor? pidfd = OpenOwnPidfd(out _);
        // On kernels with pidfs, pidfds live on a file system of their own; before, they shared one inode with eventfds and the like.
        int number = eventfd(0, EFD_CLOEXEC);
        using FileDescriptor? anonymous = number < 0 ? null : new FileDescriptor(number);
        bool isUnique = pidfd is not null && anonymous is not null
            && FileStatus.Read(pidfd, out FileStatus own) == Errno.None && FileStatus.Read(anonymous, out FileStatus shared) == Errno.None
            && own.Device != shared.Device;
        return isUnique
            ? new("pidfd-inodes", FindingState.Ok, "each process has its own", "LISTEN_PIDFDID is set; a reused pid is told apart")
            : new("pidfd-inodes", FindingState.Limited, "shared by all processes", "LISTEN_PIDFDID is not set; needs Linux 6.9");
    }

    /// <summary>Tries close_range(2) on a range far above all open descriptors.</summary>
    public static KernelFinding CloseRange()
    {
        const uint first = uint.MaxValue - 1;
        int plain = Call(CloseRangeNumber, first, uint.MaxValue, 0, out Errno refused);
        if (plain < 0)
        {
            return new("close-range", FindingState.Limited, refused.Text,
                "needs Linux 5.9; starting a service closes descriptors one by one");
        }
        // CLOSE_RANGE_UNSHARE is not tried: it would give this thread a table of its own, and is as old
        // as the call. The other flag came later.
        int cloexec = Call(CloseRangeNumber, first, uint.MaxValue, CloseRangeCloexec, out _);
        return new("close-range", FindingState.Ok, cloexec < 0 ? "with unshare" : "with unshare and close-on-exec",
            "a service inherits nothing but what it is given");
    }

    public static KernelFinding UnixOption(string name, int option, string since, string consequence, string without)
    {
        using FileDescriptor? socket = Socket(Libc.AF_UNIX, Libc.SOCK_DGRAM, out Errno refused);
        int value = 1;
        if (socket is not null && setsockopt(socket.Number, SOL_SOCKET, option, &value, sizeof(int)) == 0)
            return new(name, FindingState.Ok, "works", consequence);
        return new(name, FindingState.Limited, $"needs Linux {since}: {(socket is null ? refused : Errno.Last).Text}", without);
    }

    public static KernelFinding PeerPidfd()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using FileDescriptor held = first, alsoHeld = second;
        using FileDescriptor? pidfd = PeerCredentials.OpenPidfd(first, out Errno refused);
        return pidfd is not null
            ? new("so-peerpidfd", FindingState.Ok, "works", "clients of the control socket are known by pidfd")
            : new("so-peerpidfd", FindingState.Limited, $"needs Linux 6.5: {refused.Text}",
                "clients of the control socket are known by pid only");
    }

    public static KernelFinding Family(string name, int family, string what)
    {
        using FileDescriptor? socket = Socket(family, Libc.SOCK_STREAM, out Errno refused);
        return socket is not null
            ? new(name, FindingState.Ok, "there", $"{what} work")
            : new(name, FindingState.Missing, refused.Text, $"{what} are refused");
    }

    public static KernelFinding Ipv6()
    {
        using FileDescriptor? socket = Socket(Libc.AF_INET6, Libc.SOCK_STREAM, out Errno refused);
        if (socket is not null)
            refused = SocketAddress.Internet(System.Net.IPAddress.IPv6Loopback, 0).Bind(socket);
        return refused == Errno.None
            ? new("ipv6", FindingState.Ok, "there", "tcp://* serves both families")
            : new("ipv6", socket is null ? FindingState.Missing : FindingState.Limited, $"::1: {refused.Text}",
                socket is null ? "tcp://* serves IPv4 only" : "no IPv6 address can be used here; tcp://* is bound all the same");
    }

    public static KernelFinding MemorySealing()
    {
        OpenResult<FileDescriptor> memory = FileOpener.OpenMemory("launchd-cs-doctor", 1, MemorySeals.Shrink | MemorySeals.Grow);
        if (memory.Failure is { } failure)
            return new("memory-sealing", FindingState.Missing, failure.Errno.Text, "files with memory = … are refused");
        memory.Value.Dispose();
        return new("memory-sealing", FindingState.Ok, "works", "shared memory keeps its size whatever a holder does");
    }

    private static FileDescriptor? OpenOwnPidfd(out Errno refused)
    {
        int number = Call(PidfdOpenNumber, (uint)Environment.ProcessId, 0, 0, out refused);
        return number < 0 ? null : new FileDescriptor(number);
    }

    private static int Call(int number, uint first, uint second, uint third, out Errno refused)
    {
        int result = (int)syscall(number, first, second, third);
        refused = result < 0 ? Errno.Last : Errno.None;
        return result;
    }

    private static FileDescriptor? Socket(int family, int type, out Errno refused)
    {
        int number = socket(family, type | SOCK_CLOEXEC, 0);
        refused = number < 0 ? Errno.Last : Errno.None;
        return number < 0 ? null : new FileDescriptor(number);
    }
}
