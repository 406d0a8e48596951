using Launchd.Control;

namespace Launchd.Host.Reporting;

/// <summary>The supervisor cannot start: one sentence for the operator, and the exit code that says what kind of refusal it is.</summary>
internal sealed class StartRefusedException(string message, ExitCode code) : Exception(message)
{
    public ExitCode Code => code;
}
