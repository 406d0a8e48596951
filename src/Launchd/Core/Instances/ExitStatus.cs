using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>How a process ended, as waitid(2) tells: by itself with a code, or by a signal.</summary>
/// <param name="Code">0 to 255; of no meaning when a signal ended it.</param>
/// <param name="Signal">0: it ended by itself.</param>
/// <param name="DumpedCore">Whether a core file was written.</param>
internal readonly record struct ExitStatus(int Code, int Signal = 0, bool DumpedCore = false)
{
    private const int NotKnown = -1;

    /// <summary>
    /// It has ended, but its parent was another process, and nobody knows how. Whether that was well is not known either: no
    /// <c>success_exit</c> counts it, and <c>restart = "on-failure"</c> starts the service again.
    /// </summary>
    public static ExitStatus Unknown { get; } = new(NotKnown);

    /// <summary>False: <see cref="Unknown"/>.</summary>
    public bool IsKnown => IsBySignal || Code != NotKnown;

    public bool IsBySignal => Signal != 0;

    /// <summary>The code that a shell would show: 128 plus the signal's number for a death by signal; 1 where it is not known.</summary>
    public int ShellCode => IsBySignal ? 128 + Signal : IsKnown ? Code : 1;

    public override string ToString() => (IsBySignal, DumpedCore) switch
    {
        _ when !IsKnown => "ended, it is not known how",
        (false, _) => $"exited with {Code}",
        (true, false) => $"killed by {new SignalNumber(Signal)}",
        (true, true) => $"killed by {new SignalNumber(Signal)}, core dumped",
    };
}
