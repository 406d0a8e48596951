using System.Text;
using System.Text.RegularExpressions;
using Launchd.Config.Values;

namespace Launchd.Logs;

/// <summary>
/// Waits for a line of one instance in which a pattern matches. No clock is asked: a line that is skipped because the machine was busy, or
/// because the code was compiled just then, would leave a service that said it is ready waiting for ever. Besides, the engine
/// misses matches when it has a limit of time (.NET 10, patterns of many states). What bounds the work is <see cref="LinePattern"/> and the
/// length of a line.
/// </summary>
internal sealed class OutputMatcher
{
    private readonly Regex _pattern;
    private readonly Action _onMatch;

    /// <exception cref="ArgumentException">The pattern is wrong.</exception>
    /// <exception cref="NotSupportedException">The pattern needs backtracking (back references, look-around).</exception>
    public OutputMatcher(long instanceId, string pattern, Action onMatch)
    {
        _pattern = LinePattern.Compile(pattern);
        _onMatch = onMatch;
        InstanceId = instanceId;
    }

    public long InstanceId { get; }

    /// <summary>It has matched; the pump forgets it.</summary>
    public bool IsDone { get; private set; }

    /// <summary>The first matching line returns what is to be posted, once.</summary>
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
