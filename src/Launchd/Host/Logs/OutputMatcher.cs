using System.Text;
using System.Text.RegularExpressions;

namespace Launchd.Host.Logs;

/// <summary>
/// Waits for a line of one instance in which a pattern matches. The engine is the one whose time is linear in the line, and even that is
/// bounded: no pattern and no output can hold up the pump.
/// </summary>
internal sealed class OutputMatcher
{
    private static readonly TimeSpan LongestMatch = TimeSpan.FromMilliseconds(20);

    private readonly Regex _pattern;
    private readonly Action _onMatch;

    /// <exception cref="ArgumentException">The pattern is wrong.</exception>
    /// <exception cref="NotSupportedException">The pattern needs backtracking (back references, look-around).</exception>
    public OutputMatcher(long instanceId, string pattern, Action onMatch)
    {
        _pattern = new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, LongestMatch);
        _onMatch = onMatch;
        InstanceId = instanceId;
    }

    public long InstanceId { get; }

    /// <summary>It has matched; the pump forgets it.</summary>
    public bool IsDone { get; private set; }

    /// <summary>The first matching line returns what is to be posted, once.</summary>
    /// <exception cref="RegexMatchTimeoutException">The line is skipped.</exception>
    public Action? Try(ReadOnlySpan<byte> line, Span<char> scratch)
    {
        if (IsDone)
            return null;
        int length = Encoding.UTF8.GetChars(line, scratch);
        if (!_pattern.IsMatch(scratch[..length]))
            return null;
        IsDone = true;
        return _onMatch;
    }
}
