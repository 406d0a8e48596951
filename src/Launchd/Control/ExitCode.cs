namespace Launchd.Control;

/// <summary>Exit codes of every verb: sysexits(3) where it has one, LSB for <c>status</c>.</summary>
internal enum ExitCode
{
    Done = 0,
    Failed = 1,
    NotRunning = 3,
    NoSuchService = 4,
    Usage = 64,
    Unreachable = 69,
    InternalError = 70,
    SystemRefused = 71,
    TimedOut = 75,
    NotPermitted = 77,
    BadConfiguration = 78,
}
