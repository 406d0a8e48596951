using Launchd.Cli.Surroundings;
using Launchd.Linux.Facts;

namespace Launchd.Cli.Verbs;

/// <summary>What this kernel and container allow, for <c>doctor</c>.</summary>
internal static class Doctor
{
    public static IReadOnlyList<Finding> Collect() =>
        [.. KernelFacts.Collect(Directory()).Select(f => new Finding(f.Name, LevelOf(f.State), f.Text, f.Consequence))];

    private static string Directory() =>
        Environment.GetEnvironmentVariable("LAUNCHD_RUNTIME_DIRECTORY") is { Length: > 0 } named ? named
        : Interop.Libc.geteuid() == 0 ? "/run/launchd-cs"
        : Linux.Processes.UserRuntimeDirectory.Own ?? "/tmp";

    private static FindingLevel LevelOf(FindingState state) => state switch
    {
        FindingState.Ok => FindingLevel.Good,
        FindingState.Limited => FindingLevel.Limited,
        _ => FindingLevel.Missing,
    };
}
