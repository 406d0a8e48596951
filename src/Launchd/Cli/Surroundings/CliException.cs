using Launchd.Control;

namespace Launchd.Cli.Surroundings;

/// <summary>Ends a verb: one sentence for the operator that says what to do, and the exit code that goes with it.</summary>
internal sealed class CliException(ExitCode code, string sentence) : Exception(sentence)
{
    public ExitCode Code { get; } = code;
}
