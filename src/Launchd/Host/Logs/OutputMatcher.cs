using System.Text;
using System.Text.RegularExpressions;

namespace Launchd.Host.Logs;

/// <summary>
/// Waits for a line of one instance in which a pattern matches. The engine is the one whose time is linear in the line; a pattern that
/// even so needs more than <see cref="LongestMatch"/> for one of them is given up, so that no output can hold up the pump again and again.
/// </summary>
internal sealed class OutputMatcher
{
    /// <summary>
    /// A bound on harm, not on work: the first match of a process builds the engine, which takes 36 ms under the JIT on an idle machine and
    /// far more on a busy one, and counted repetitions over a line of 16 KiB take seconds.
    /// </summary>
    public static readonly TimeSpan LongestMatch = TimeSpan.FromSeconds(2);

    private readonly Regex _pattern;
    private readonly Action _onMatch;

    /// <exception cref="ArgumentException">The pattern is wrong.</exception>
    /// <exception cref="NotSupportedException">The pattern needs backtracking (back references, look-around).</exception>
    public OutputMatcher(long instanceId, string pattern, Action onMatch, TimeSpan? longestMatch = null)
    {
        _pattern = new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, longestMatch ?? LongestMatch);
        _onMatch = onMatch;
        InstanceId = instanceId;
    }

    public long InstanceId { get; }

    /// <summary>It has matched or was given up; the pump forgets it.</summary>
    public bool IsDone { get; private set; }

    /// <summary>The first matching line returns what is to be posted, once.</summary>
    /// <exception cref="RegexMatchTimeoutException">The pattern is given up.</exception>
    public Action? Try(ReadOnlySpan<byte> line, Span<char> scratch)
    {
        if (IsDone)
            return null;
        int length = Encoding.UTF8.GetChars(line, scratch);
        try
        {
            IsDone = _pattern.IsMatch(scratch[..length]);
        }
        catch (RegexMatchTimeoutException)
        {
            IsDone = true;
            throw;
        }
        return IsDone ? _onMatch : null;
    }
}
