using Launchd.Cli.Surroundings;
using Launchd.Host.Listeners;
using Launchd.Linux.Facts;
using Launchd.Linux.Processes;

namespace Launchd.Cli.Verbs;

/// <summary>What this kernel and container allow, for <c>doctor</c>.</summary>
internal static class Doctor
{
    public static IReadOnlyList<Finding> Collect()
    {
        string? named = Environment.GetEnvironmentVariable("LAUNCHD_RUNTIME_DIRECTORY") is { Length: > 0 } given ? given : null;
        string directory = named ?? (Interop.Libc.geteuid() == 0 ? "/run/launchd-cs" : UserRuntimeDirectory.Own ?? "/tmp");
        return [
            .. KernelFacts.Collect(directory).Select(f => new Finding(f.Name, LevelOf(f.State), f.Text, f.Consequence)),
            .. (named is null ? Below(directory) : [named]).Select(Forsaken).OfType<Finding>(),
        ];
    }

    /// <summary>A supervisor that its keeper does not start any more; null: there is one, or never was.</summary>
    private static Finding? Forsaken(string directory) => LockOwner.Of(directory) is { IsForsaken: true } owner
        ? new Finding("keeper", FindingLevel.Missing, $"{directory} has no supervisor", owner.Remedy) : null;

    private static string[] Below(string directory)
    {
        try
        {
            return Directory.GetDirectories(directory);
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException)
        {
            // Nobody has one there.
            return [];
        }
    }

    private static FindingLevel LevelOf(FindingState state) => state switch
    {
        FindingState.Ok => FindingLevel.Good,
        FindingState.Limited => FindingLevel.Limited,
        _ => FindingLevel.Missing,
    };
}
