using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Facts;

/// <summary>What cgroups(7) offer to this process.</summary>
internal static class CgroupFacts
{
    private const string Root = "/sys/fs/cgroup";

    public static IEnumerable<KernelFinding> Collect()
    {
        // 0::/path is the place in the unified hierarchy, cgroups(7).
        string? own = Files.ReadText("/proc/self/cgroup")?.Split('\n').FirstOrDefault(line =>
            line.StartsWith("0::", StringComparison.Ordinal))?[3..];
        string? controllers = own is null ? null : Files.ReadText($"{Root}{own.TrimEnd('/')}/cgroup.controllers")?.Trim();
        if (own is null || controllers is null)
        {
            bool isHybrid = FileStatus.ReadFollow($"{Root}/unified/cgroup.controllers", out _) == Errno.None;
            yield return new KernelFinding("cgroup-v2", FindingState.Missing,
                isHybrid ? $"only beside version 1, at {Root}/unified" : $"not mounted at {Root}",
                    "the key cgroup is refused; kill = \"tree\" looks for descendants instead");
            yield break;
        }
        string place = $"{Root}{own.TrimEnd('/')}";
        bool isDelegated = IsWritable($"{place}/cgroup.procs") && IsWritable($"{place}/cgroup.subtree_control");
        yield return new KernelFinding("cgroup-v2", FindingState.Ok, $"at {place}",
            "services can be placed in cgroups of their own if the tree is delegated");
        yield return isDelegated && controllers.Length > 0
            ? new KernelFinding("cgroup-delegation", FindingState.Ok, $"controllers {controllers}",
                "the key cgroup works for these controllers")
            : new KernelFinding("cgroup-delegation", isDelegated ? FindingState.Limited : FindingState.Missing,
                isDelegated ? "no controllers" : "not writable", "the key cgroup is refused; delegate the cgroup (systemd: Delegate=yes)");
        bool canBeBornInto = Environment.OSVersion.Version >= new Version(5, 7);
        yield return new KernelFinding("clone-into-cgroup", canBeBornInto ? FindingState.Ok : FindingState.Missing,
            canBeBornInto ? "since Linux 5.7" : "older than Linux 5.7", canBeBornInto ? "children are born into their cgroup"
                : "children are moved, about 10 ms each");
    }

    private static unsafe bool IsWritable(string path)
    {
        fixed (byte* text = CString.From(path))
            return faccessat(AT_FDCWD, text, W_OK, AT_EACCESS) == 0;
    }
}
