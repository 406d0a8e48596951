using System.Text;
using System.Text.RegularExpressions;
using Launchd.Config.Values;

namespace Launchd.Logs;

/// <summary>
/// Waits for a line of one instance in which a pattern matches. Without a time limit: if a line were skipped because the machine was busy,
/// or because the code was just being compiled, a service that has said it is ready would wait for ever. Besides, with a time limit the
/// engine misses matches (.NET 10, patterns of many states). The work is bounded by <see cref="LinePattern"/> and the length of a line.
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

    /// <summary>Whether a line has matched, so that the pump forgets this matcher.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Tries a line. For the first that matches it returns the action to post.</summary>
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
