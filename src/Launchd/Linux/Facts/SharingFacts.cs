using System.Globalization;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Facts;

/// <summary>How a sibling's descriptor will be got here, for <c>doctor</c>: pidfd_getfd(2), capabilities(7), ptrace(2).</summary>
internal static class SharingFacts
{
    private const int CAP_SYS_PTRACE = 19;

    public static KernelFinding Siblings()
    {
        string scope = Files.ReadText("/proc/sys/kernel/yama/ptrace_scope", 64)?.Trim() ?? "";
        string? line = Files.ReadText("/proc/self/status", 4096)?.Split('\n')
            .FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
        string? mask = line?["CapEff:".Length..].Trim();
        bool mayTrace = ulong.TryParse(mask, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong held)
            && (held >> CAP_SYS_PTRACE & 1) != 0;
        bool isAsked = KernelProbes.PidfdGetfd().State != FindingState.Ok || scope == "3" || (scope == "2" && !mayTrace);
        if (isAsked)
        {
            return new("sibling-descriptors", FindingState.Limited, "owners are asked",
                "a sibling's published descriptor is sent only by an owner that watches its channel; "
                    + "what the supervisor holds is sent as ever");
        }
        return mayTrace
            ? new("sibling-descriptors", FindingState.Ok, "taken from any service",
                "a sibling's published descriptor needs nothing of its owner")
            : new("sibling-descriptors", FindingState.Ok, "taken from services of this user",
                "services that make themselves non-dumpable, or run as another user, are asked and have to watch their channel");
    }
}
