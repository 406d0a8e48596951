namespace Launchd.Cli;

/// <summary>What the operator asked of <c>run</c>.</summary>
/// <param name="File">The configuration; null: <c>launchd.toml</c> here.</param>
/// <param name="ExitWith">The service with which the supervisor ends; null: none.</param>
internal sealed record RunOptions(string? File, string? ExitWith);

/// <summary><c>run</c>: the supervisor in the foreground.</summary>
internal static class RunCommand
{
    /// <summary>Returns the exit code of the process, which with <see cref="RunOptions.ExitWith"/> is a service's own.</summary>
    public static int Run(RunOptions options)
    {
        _ = options;
        Console.Error.WriteLine("launchd-cs: run is not linked in yet");
        return (int)ExitCode.InternalError;
    }
}
