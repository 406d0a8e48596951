using System.Text.RegularExpressions;

namespace Launchd.Config;

/// <summary>
/// Regular expressions for lines of a service's output. The engine takes a time linear in the line, for each character at most one step for each
/// state of the pattern; so the number of states is bounded, and with it the work that a program can cause by what it prints.
/// </summary>
internal static class LinePattern
{
    /// <summary>In characters, as written.</summary>
    public const int LongestLength = 1000;

    /// <summary>Repetitions count as often as they repeat: a{500} has 500.</summary>
    private const int MostStates = 2000;

    static LinePattern() => AppContext.SetData("REGEX_NONBACKTRACKING_MAX_AUTOMATA_SIZE", MostStates);

    /// <exception cref="ArgumentException">It is no regular expression.</exception>
    /// <exception cref="NotSupportedException">It cannot be matched in linear time, or has too many states.</exception>
    public static Regex Compile(string pattern) => new(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
}
