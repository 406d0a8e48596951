using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>How a process ended, as waitid(2) tells: by itself with a code, or by a signal.</summary>
/// <param name="Code">0 to 255; of no meaning when a signal ended it.</param>
/// <param name="Signal">0: it ended by itself.</param>
/// <param name="DumpedCore">Whether a core file was written.</param>
internal readonly record struct ExitStatus(int Code, int Signal = 0, bool DumpedCore = false)
{
    public bool IsBySignal => Signal != 0;

    /// <summary>The code that a shell would show: 128 plus the signal's number for a death by signal.</summary>
    public int ShellCode => IsBySignal ? 128 + Signal : Code;

    public override string ToString() => (IsBySignal, DumpedCore) switch
    {
        (false, _) => $"exited with {Code}",
        (true, false) => $"killed by {new SignalNumber(Signal)}",
        (true, true) => $"killed by {new SignalNumber(Signal)}, core dumped",
    };
}
