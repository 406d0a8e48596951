using System.Collections.Frozen;

namespace Launchd.Model;

/// <summary>A signal by its number on Linux (x86-64 and arm64 agree on these), 1 to 64.</summary>
internal readonly record struct SignalNumber(int Value)
{
    public static readonly SignalNumber Hup = new(1);
    public static readonly SignalNumber Abrt = new(6);
    public static readonly SignalNumber Kill = new(9);
    public static readonly SignalNumber Term = new(15);
    public static readonly SignalNumber Cont = new(18);

    private static readonly string[] Names =
    [
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
        "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];

    private static readonly FrozenDictionary<string, int> Numbers =
        Names.Index().Skip(1).ToFrozenDictionary(n => n.Item, n => n.Index, StringComparer.OrdinalIgnoreCase);

    /// <summary>All names without their <c>SIG</c>, for hints and completions.</summary>
    public static IEnumerable<string> AllNames => Names.Skip(1);

    /// <summary>Reads <c>SIGTERM</c>, <c>TERM</c>, <c>term</c>, <c>15</c> or <c>RTMIN+3</c>.</summary>
    public static SignalNumber? Parse(string text)
    {
        string name = text.StartsWith("SIG", StringComparison.OrdinalIgnoreCase) ? text[3..] : text;
        if (Numbers.TryGetValue(name, out int number))
            return new SignalNumber(number);
        bool isRealTime = name.StartsWith("RTMIN+", StringComparison.OrdinalIgnoreCase);
        if (isRealTime && int.TryParse(name.AsSpan(6), out int offset) && offset is >= 0 and <= 30)
            return new SignalNumber(34 + offset);
        return int.TryParse(name, out int value) && value is >= 1 and <= 64 ? new SignalNumber(value) : null;
    }

    /// <summary><c>SIGTERM</c>, <c>SIGRTMIN+3</c>.</summary>
    public override string ToString() => Value < Names.Length ? "SIG" + Names[Value] : $"SIGRTMIN+{Value - 34}";
}
