using System.Collections.Immutable;
using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Facts;

/// <summary>How much of something this system allows.</summary>
internal enum FindingState { Ok, Limited, Missing }

/// <summary>One thing that was looked at.</summary>
/// <param name="Name">Short, stable, in kebab-case.</param>
/// <param name="State">How much of it there is.</param>
/// <param name="Text">What was found.</param>
/// <param name="Consequence">One sentence for people: what works or does not work because of it.</param>
internal sealed record KernelFinding(string Name, FindingState State, string Text, string Consequence);

/// <summary>
/// What this kernel and this container allow, for <c>doctor</c>. Each probe makes a few calls on descriptors
/// of its own, changes nothing and never waits.
/// </summary>
internal static class KernelFacts
{
    private static readonly Version OldestSupported = new(5, 10);

    /// <summary>All findings, in a fixed order.</summary>
    /// <param name="runtimeDirectory">Where the supervisor would keep its sockets; it need not exist yet.</param>
    public static ImmutableArray<KernelFinding> Collect(string runtimeDirectory) =>
    [
        Kernel(),
        KernelProbes.PidfdOpen(),
        KernelProbes.PidfdSendSignal(),
        KernelProbes.Subreaper(isAsked: false),
        KernelProbes.PidfdGetfd(),
        SharingFacts.Siblings(),
        KernelProbes.PidfdInodes(),
        KernelProbes.CloseRange(),
        Yama(),
        Seccomp(),
        SpawnFacts.Births(),
        NoNewPrivileges(),
        .. CgroupFacts.Collect(),
        Capabilities(),
        DescriptorLimit(),
        Backlog(),
        DatagramQueue(),
        KernelProbes.UnixOption("so-passpidfd", Libc.SO_PASSPIDFD, "6.5", "senders are known by pidfd", "senders are known by pid only"),
        KernelProbes.PeerPidfd(),
        KernelProbes.UnixOption("so-passrights", Libc.SO_PASSRIGHTS, "6.16",
            "pass_rights = false works", "pass_rights = false is refused; unwanted descriptors are closed after they came"),
        KernelProbes.Family("vsock", Libc.AF_VSOCK, "vsock:// listeners"),
        KernelProbes.Ipv6(),
        KernelProbes.MemorySealing(),
        UserNamespaces(),
        ProcMount(),
        FirstProcess(),
        RuntimeDirectory(runtimeDirectory),
    ];

    /// <summary>What the supervisor does in another way because a call is refused here, one sentence each, for its log.</summary>
    /// <param name="isSupervisor">Whether this process has asked for orphans already.</param>
    public static IEnumerable<string> Lacks(bool isSupervisor)
    {
        KernelFinding open = KernelProbes.PidfdOpen();
        // Without pidfds sending signals by them cannot be tried, and the first finding says so already.
        KernelFinding[] findings = [open, .. open.State == FindingState.Ok ? [KernelProbes.PidfdSendSignal()] : (KernelFinding[])[],
            KernelProbes.Subreaper(isSupervisor), KernelProbes.CloseRange()];
        return findings.Where(f => f.State != FindingState.Ok).Select(f => $"{f.Name} is refused here ({f.Text}): {f.Consequence}");
    }

    private static KernelFinding Kernel()
    {
        string release = Read("/proc/sys/kernel/osrelease") ?? "unknown";
        bool isOld = Environment.OSVersion.Version < OldestSupported;
        return new("kernel", isOld ? FindingState.Limited : FindingState.Ok, release,
            isOld ? $"older than Linux {OldestSupported}, with which nothing is tested" : "new enough");
    }

    // ptrace(2), /proc/sys/kernel/yama/ptrace_scope
    private static KernelFinding Yama() => Read("/proc/sys/kernel/yama/ptrace_scope") switch
    {
        null => new("yama", FindingState.Ok, "not built in or not shown", "descriptors of running services can be taken by their own user"),
        "0" => new("yama", FindingState.Ok, "ptrace_scope 0", "descriptors of running services can be taken by their own user"),
        "1" => new("yama", FindingState.Ok, "ptrace_scope 1",
            "the supervisor can take descriptors of its services; services cannot take them of each other (mode direct)"),
        "2" => new("yama", FindingState.Limited, "ptrace_scope 2", "descriptors of running services are taken only with CAP_SYS_PTRACE"),
        { } scope => new("yama", FindingState.Missing, $"ptrace_scope {scope}",
            "descriptors of running services cannot be taken; owners have to send them"),
    };

    private static KernelFinding Seccomp() => Status("Seccomp") switch
    {
        "0" => new("seccomp", FindingState.Ok, "off", "no system call is filtered"),
        "1" => new("seccomp", FindingState.Missing, "strict", "nothing can be started"),
        "2" => new("seccomp", FindingState.Limited, $"{Status("Seccomp_filters") ?? "some"} filters",
            "a container's policy may refuse single calls; the findings here show which of ours"),
        _ => new("seccomp", FindingState.Limited, "not shown", "whether calls are filtered cannot be told"),
    };

    private static KernelFinding NoNewPrivileges() => Status("NoNewPrivs") == "1"
        ? new("no-new-privileges", FindingState.Limited, "set",
            "services cannot gain rights from set-user-id programs or file capabilities")
        : new("no-new-privileges", FindingState.Ok, "not set", "set-user-id programs and file capabilities work");

    private static KernelFinding Capabilities()
    {
        (string Name, int Bit, string Use)[] wanted =
        [
            ("CAP_SETUID", 7, "user"), ("CAP_SETGID", 6, "group"), ("CAP_CHOWN", 0, "owners of paths"),
                ("CAP_KILL", 5, "signals to other users"),
            ("CAP_NET_BIND_SERVICE", 10, "low ports"), ("CAP_NET_ADMIN", 12, "mark, transparent, large buffers"),
            ("CAP_SYS_PTRACE", 19, "descriptors of services of other users"), ("CAP_SYS_RESOURCE", 24, "limits above the hard ones"),
        ];
        if (!ulong.TryParse(Status("CapEff"), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong held))
            return new("capabilities", FindingState.Limited, "not shown", "what this process may do cannot be told");
        string[] lacking = [.. wanted.Where(one => (held >> one.Bit & 1) == 0).Select(one => $"{one.Use} ({one.Name})")];
        return lacking.Length == 0
            ? new("capabilities", FindingState.Ok, "all that are of use", "every option works")
            : new("capabilities", FindingState.Limited, $"{wanted.Length - lacking.Length} of {wanted.Length}",
                "refused here: " + string.Join(", ", lacking));
    }

    private static KernelFinding DescriptorLimit()
    {
        const long comfortable = 4096;
        // Limit, soft, hard, unit in columns.
        string? line = Lines("/proc/self/limits").FirstOrDefault(text => text.StartsWith("Max open files", StringComparison.Ordinal));
        string[] fields = line?["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        if (fields.Length < 2)
            return new("descriptor-limit", FindingState.Limited, "not shown", "how many descriptors fit cannot be told");
        bool isSmall = long.TryParse(fields[1], out long hard) && hard < comfortable;
        return new("descriptor-limit", isSmall ? FindingState.Limited : FindingState.Ok, $"soft {fields[0]}, hard {fields[1]}",
            isSmall ? "many connections or stored descriptors run out of numbers; raise the hard limit nofile" : "room enough");
    }

    private static KernelFinding Backlog()
    {
        const int asked = 4096;
        string? text = Read("/proc/sys/net/core/somaxconn");
        bool isKnown = int.TryParse(text, out int largest);
        return new("listen-backlog", isKnown && largest >= asked ? FindingState.Ok : FindingState.Limited,
            $"net.core.somaxconn {text ?? "not shown"}",
            !isKnown ? "the longest listen queue cannot be told"
            : largest >= asked ? "backlogs are granted as asked" : $"a backlog above {largest} is cut to it without a word");
    }

    private static KernelFinding DatagramQueue()
    {
        const int comfortable = 64;
        string? text = Read("/proc/sys/net/unix/max_dgram_qlen");
        bool isLong = int.TryParse(text, out int length) && length >= comfortable;
        return new("datagram-queue", isLong ? FindingState.Ok : FindingState.Limited, $"net.unix.max_dgram_qlen {text ?? "not shown"}",
            isLong ? "bursts of notifications are queued"
                : "services that notify in bursts wait for the supervisor to read; raise it to 512");
    }

    private static KernelFinding UserNamespaces()
    {
        bool isBuiltIn = FileStatus.ReadFollow("/proc/self/ns/user", out _) == Errno.None;
        string? most = Read("/proc/sys/user/max_user_namespaces");
        string? unprivileged = Read("/proc/sys/kernel/unprivileged_userns_clone");
        bool works = isBuiltIn && most != "0" && unprivileged != "0";
        return new("user-namespaces", works ? FindingState.Ok : isBuiltIn ? FindingState.Limited : FindingState.Missing,
            $"max_user_namespaces {most ?? "not shown"}", works ? "services may make their own sandboxes"
                : "services that sandbox themselves need privilege");
    }

    private static KernelFinding ProcMount()
    {
        // DEVICE POINT TYPE OPTIONS …
        string? options = Lines("/proc/self/mounts").Select(line => line.Split(' ')).LastOrDefault(fields => fields.Length > 3
            && fields[1] == "/proc")?[3];
        if (options is null)
        {
            return new("proc", FindingState.Missing, "/proc is not mounted",
                "descriptors cannot be re-opened and holders of ports not be named");
        }
        if (!ProcFile.IsOwn)
        {
            return new("proc", FindingState.Missing, "/proc is that of another pid namespace",
                "nothing that it says is believed: what services leave behind is known by their process groups alone; "
                    + "mount one here (unshare --mount-proc)");
        }
        string? hidden = options.Split(',').FirstOrDefault(option => option.StartsWith("hidepid=", StringComparison.Ordinal)
            && option is not ("hidepid=0" or "hidepid=off"));
        return hidden is null
            ? new("proc", FindingState.Ok, "mounted", "holders of ports are named")
            : new("proc", FindingState.Limited, hidden, "processes of other users are not seen; holders of ports may stay unnamed");
    }

    private static KernelFinding FirstProcess() => Environment.ProcessId == 1
        ? new("first-process", FindingState.Ok, "pid 1", "orphans of services are reaped here; the container ends with the supervisor")
        : new("first-process", FindingState.Ok, $"pid {Environment.ProcessId}", "runs beside another first process");

    private static unsafe KernelFinding RuntimeDirectory(string path)
    {
        string place = path;
        while (place.Length > 1 && FileStatus.ReadFollow(place, out _) == Errno.ENOENT)
            place = Path.GetDirectoryName(place) ?? "/";
        Errno refused;
        fixed (byte* text = CString.From(place))
            refused = faccessat(AT_FDCWD, text, W_OK | X_OK, AT_EACCESS) < 0 ? Errno.Last : Errno.None;
        return refused == Errno.None
            ? new("runtime-directory", FindingState.Ok, place == path ? $"{path} is writable" : $"{path} can be made in {place}",
                "sockets can be made")
            : new("runtime-directory", FindingState.Missing, $"{place}: {refused.Text}",
                "the supervisor cannot start; set supervisor.runtime_directory");
    }

    private static string? Read(string path) => Files.ReadText(path, 4096)?.Trim();

    private static string[] Lines(string path) => Files.ReadText(path, 1024 * 1024)?.Split('\n') ?? [];

    private static string? Status(string key) =>
        Lines("/proc/self/status").FirstOrDefault(line => line.StartsWith(key + ":", StringComparison.Ordinal))?[(key.Length + 1)..].Trim();
}
