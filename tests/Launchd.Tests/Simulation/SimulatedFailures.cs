using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>Why nothing is born, as hosts say it.</summary>
internal static class SimulatedFailures
{
    public static Failure.SpawnFailed[] Unconnected { get; } =
    [
        new("file", 111, "file \"peer\": Connection refused"),
        new("file", 24, "file \"peer\": socket: Too many open files") { IsShortage = true },
    ];

    public static Failure.SpawnFailed TookTooLong { get; } = new("birth", 110, "it took too long");
}
