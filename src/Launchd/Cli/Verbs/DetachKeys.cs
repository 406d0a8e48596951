using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>The keys with which an operator leaves a terminal, looked for in what is typed.</summary>
internal sealed class DetachKeys
{
    /// <summary>As telnet(1): no program is known to need it.</summary>
    public const string Default = "ctrl-]";

    private const string Control = "ctrl-";
    private const int MostKeys = 8;

    private readonly byte[] _keys;
    private int _matched;

    private DetachKeys(byte[] keys) => _keys = keys;

    /// <summary>Reads keys such as <c>ctrl-p,ctrl-q</c>: each a character, or <c>ctrl-</c> and one of a to z and <c>@[\]^_</c>.</summary>
    /// <exception cref="CliException">They are no such keys.</exception>
    public static DetachKeys Parse(string text)
    {
        List<byte> keys = [];
        foreach (string key in text.Split(','))
        {
            bool isControl = key.StartsWith(Control, StringComparison.OrdinalIgnoreCase) && key.Length == Control.Length + 1;
            char last = char.ToLowerInvariant(key.Length == 0 ? '\0' : key[^1]);
            if (isControl && last is >= 'a' and <= 'z' or '@' or '[' or '\\' or ']' or '^' or '_')
                keys.Add((byte)(char.ToUpperInvariant(last) & 0x1F));
            else if (!isControl && key.Length == 1 && key[0] is > ' ' and <= '~')
                keys.Add((byte)key[0]);
            else
                keys.Clear();
            if (keys.Count is 0 or > MostKeys)
            {
                throw new CliException(ExitCode.Usage,
                    $"--detach-keys takes keys such as 'ctrl-]' or 'ctrl-p,ctrl-q', at most {MostKeys}, not '{TerminalText.Escape(text)}'");
            }
        }
        return new DetachKeys([.. keys]);
    }

    /// <summary>
    /// Takes what was typed. True: the keys were among it, and only what was typed before them is passed on. Keys that may be the beginning
    /// of them are kept back until the next one is typed.
    /// </summary>
    /// <param name="typed">As it was read.</param>
    /// <param name="passed">What is passed on is added to it.</param>
    public bool Take(ReadOnlySpan<byte> typed, List<byte> passed)
    {
        foreach (byte key in typed)
        {
            while (_matched > 0 && _keys[_matched] != key)
            {
                int kept = LongestKept();
                passed.AddRange(_keys.AsSpan(0, _matched - kept));
                _matched = kept;
            }
            if (_keys[_matched] != key)
                passed.Add(key);
            else if (++_matched == _keys.Length)
                return true;
        }
        return false;
    }

    /// <summary>As people name them: <c>Ctrl-P Ctrl-Q</c>.</summary>
    public override string ToString() => string.Join(' ', _keys.Select(k => k < ' ' ? $"Ctrl-{(char)(k + 0x40)}" : $"{(char)k}"));

    private int LongestKept()
    {
        int kept = _matched - 1;
        while (kept > 0 && !_keys.AsSpan(0, kept).SequenceEqual(_keys.AsSpan(_matched - kept, kept)))
            kept--;
        return kept;
    }
}
