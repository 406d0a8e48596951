using System.Globalization;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>
/// How high this process may set the limits of a program, setrlimit(2): a hard limit may be raised only with CAP_SYS_RESOURCE, and that of
/// open files by nobody above fs.nr_open.
/// </summary>
internal static class LimitCeiling
{
    private const int CAP_SYS_RESOURCE = 24;

    /// <summary>fs.nr_open, in descriptors; where it cannot be read, the kernel's default.</summary>
    public static ulong MostFiles =>
        ulong.TryParse(Files.ReadText("/proc/sys/fs/nr_open")?.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out ulong most)
            ? most : 1 << 20;

    /// <summary>A limit as it is set: of open files "infinity" is as many as the kernel gives, because it knows no more.</summary>
    public static (int Resource, ulong Soft, ulong Hard) Resolve(ResourceLimit limit)
    {
        if (limit.Kind != ResourceKind.Nofile || limit.Hard != ResourceLimit.Infinity)
            return ((int)limit.Kind, limit.Soft, limit.Hard);
        ulong most = MayRaise() ? MostFiles : Math.Min(MostFiles, OwnLimit.Of(ResourceKind.Nofile).Hard);
        return ((int)limit.Kind, Math.Min(limit.Soft, most), most);
    }

    /// <summary>Why limits cannot be set: the limit, the ceiling and the remedy. Null: they can.</summary>
    public static string? FaultOf(IEnumerable<(int Resource, ulong Soft, ulong Hard)> limits)
    {
        foreach ((int resource, ulong soft, ulong hard) in limits)
        {
            ResourceKind kind = (ResourceKind)resource;
            string name = kind.ToString().ToLowerInvariant(), value = soft == hard ? Text(hard) : $"\"{Text(soft)}:{Text(hard)}\"";
            if (kind == ResourceKind.Nofile && hard > MostFiles)
            {
                return $"{name} = {value} is above fs.nr_open, which is {Text(MostFiles)}, and more the kernel gives to nobody: "
                    + $"lower it, write \"infinity\" for as many as there are, or raise the ceiling (sysctl -w fs.nr_open={Text(hard)})";
            }
            if (hard > OwnLimit.Of(kind).Hard && !MayRaise())
            {
                return $"{name} = {value} is above the hard limit of {Text(OwnLimit.Of(kind).Hard)} that the supervisor has, and only root "
                    + "(CAP_SYS_RESOURCE, outside of user namespaces) may raise that: lower it, or start the supervisor with a higher one "
                    + "(ulimit -H, prlimit)";
            }
        }
        return null;
    }

    private static bool MayRaise() => MayRaise(Files.ReadText("/proc/self/status"), UserMap.OfThisProcess());

    /// <summary>
    /// Whether this process may raise a hard limit: prlimit(2) asks for the capability in the initial user namespace, and a capability in
    /// another namespace is none there.
    /// </summary>
    /// <param name="status">What proc_pid_status(5) says of the process; null: it cannot be read.</param>
    /// <param name="users">Of its user namespace; null: there is none but the initial one, or it cannot be told.</param>
    internal static bool MayRaise(string? status, UserMap? users)
    {
        if (users is { IsInitial: false })
            return false;
        string? line = status?.Split('\n')
            .FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
        return line is not null
            ? ulong.TryParse(line["CapEff:".Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong held)
                && (held >> CAP_SYS_RESOURCE & 1) != 0
            : Libc.geteuid() == 0;
    }

    private static string Text(ulong value) =>
        value == ResourceLimit.Infinity ? "infinity" : value.ToString(CultureInfo.InvariantCulture);
}
