using System.Buffers;
using System.Text;
using System.Text.Unicode;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>
/// Reads lines of NAME=VALUE as systemd 252 reads the files of <c>EnvironmentFile=</c>: a quote is special only where a value begins, or
/// right behind another quoted part; a backslash takes the next character as it is, and joins lines; blanks around a value are no part of
/// it; <c>#</c> and <c>;</c> begin a comment only where a line begins. A line that is none is left out with a warning, and the others hold.
/// A warning names the number of a line, never its text, because such files hold secrets.
/// </summary>
/// <remarks>
/// Three differences: a byte-order mark is skipped; names are those of <see cref="EnvironmentVariable.IsName"/>, so that they may have
/// dots and dashes; and a line that is not UTF-8 is left out alone, where systemd refuses the file.
/// </remarks>
/// <param name="text">The whole file.</param>
/// <param name="variables">Gets the variables; a later line replaces an earlier one of the same name.</param>
internal ref struct EnvironmentFileParser(ReadOnlySpan<byte> text, Dictionary<string, string> variables)
{
    /// <summary>So many lines are told one by one; of the others only how many there are.</summary>
    private const int MostWarnings = 5;

    private static readonly SearchValues<byte> EndsOfName = SearchValues.Create("=\n\r"u8);
    private static readonly SearchValues<byte> EndsOfPlain = SearchValues.Create("\\\n\r"u8);
    private static readonly SearchValues<byte> EndsOfDouble = SearchValues.Create("\"\\"u8);

    private readonly ReadOnlySpan<byte> _text = text;
    private readonly Dictionary<string, string> _variables = variables;
    private readonly List<string> _warnings = [];

    // A value that is not one piece of the file: never longer than the file.
    private byte[]? _parts;
    private int _length;
    private int _kept;
    private int _at;
    private int _unsaid;

    /// <summary>Sentences about lines that are left out, or are not as they look.</summary>
    public readonly IReadOnlyList<string> Warnings =>
        _unsaid == 0 ? _warnings : [.. _warnings, $"{_unsaid} more such line{(_unsaid == 1 ? "" : "s")}"];

    /// <summary>Reads all lines. Null: done; else why nothing was read.</summary>
    public string? Run()
    {
        if (_text.Contains((byte)0))
            return "it holds a NUL, so it is no text in UTF-8 (files of Windows may be in UTF-16: save it as UTF-8)";
        if (_text.StartsWith(Encoding.UTF8.Preamble))
            _at = Encoding.UTF8.Preamble.Length;
        while (true)
        {
            while (_at < _text.Length && IsBlank(_text[_at]) | IsEndOfLine(_text[_at]))
                _at++;
            if (_at == _text.Length)
                return null;
            if (_text[_at] is (byte)'#' or (byte)';')
                SkipComment();
            else
                ReadLine();
        }
    }

    // As systemd before 254: a backslash at the end of a comment continues that.
    private void SkipComment()
    {
        while (Find(EndsOfPlain) is >= 0 and int end)
        {
            bool isEscape = _text[end] == (byte)'\\';
            _at = Math.Min(_text.Length, end + (isEscape ? 2 : 1));
            if (!isEscape)
                return;
        }
        _at = _text.Length;
    }

    private void ReadLine()
    {
        int first = _at;
        int end = _text[(first + 1)..].IndexOfAny(EndsOfName) is >= 0 and int ahead ? first + 1 + ahead : _text.Length;
        if (end == _text.Length || _text[end] != (byte)'=')
        {
            _at = end;
            Warn(first, "it is not NAME=VALUE");
            return;
        }
        ReadOnlySpan<byte> name = _text[first..end].TrimEnd(" \t"u8);
        _at = end + 1;
        bool isClosed = ReadValue(out ReadOnlySpan<byte> value);
        if (!Utf8.IsValid(name) || !Utf8.IsValid(value))
        {
            Warn(first, "it is not UTF-8");
            return;
        }
        string text = Encoding.UTF8.GetString(name);
        if (!EnvironmentVariable.IsName(text))
        {
            Warn(first, name.StartsWith("export "u8) || name.StartsWith("export\t"u8)
                ? "'export' is a word of shells: write NAME=VALUE alone"
                : "what stands before '=' cannot be the name of an environment variable");
            return;
        }
        _variables[text] = Encoding.UTF8.GetString(value);
        if (!isClosed)
            Say($"line {LineOf(first)}: a quote is not closed, so the value goes on to the end of the file");
    }

    /// <summary>Reads a value up to the end of its line, of which there may be several in the file. False: a quote is not closed.</summary>
    private bool ReadValue(out ReadOnlySpan<byte> value)
    {
        _length = _kept = 0;
        bool isClosed = true;
        while (true)
        {
            while (_at < _text.Length && IsBlank(_text[_at]))
                _at++;
            byte c = _at < _text.Length ? _text[_at] : (byte)'\n';
            if (IsEndOfLine(c))
                break;
            if (c is not ((byte)'"' or (byte)'\''))
            {
                if (_length == 0 && Find(EndsOfPlain) is var end && (end < 0 || _text[end] != (byte)'\\'))
                {
                    // By far the most values are one piece of the file, and need not be copied.
                    value = _text[_at..(end < 0 ? _text.Length : end)].TrimEnd(" \t"u8);
                    _at = end < 0 ? _text.Length : end;
                    return true;
                }
                ReadPlain();
                break;
            }
            _at++;
            isClosed = c == (byte)'"' ? ReadDouble() : ReadSingle();
        }
        value = _parts.AsSpan(0, _length);
        return isClosed;
    }

    // From here on quotes stand for themselves, and the end of the line is the end of the value. Byte by byte, because a value that comes
    // here has escapes, between which there is little.
    private void ReadPlain()
    {
        byte[] parts = _parts ??= new byte[_text.Length];
        for (; _at < _text.Length && !IsEndOfLine(_text[_at]); _at++)
        {
            if (_text[_at] != (byte)'\\')
            {
                parts[_length++] = _text[_at];
                continue;
            }
            if (++_at < _text.Length && !IsEndOfLine(_text[_at]))
                parts[_length++] = _text[_at];
            _kept = _length;
        }
        _at = Math.Min(_at, _text.Length);
        while (_length > _kept && IsBlank(parts[_length - 1]))
            _length--;
    }

    private bool ReadSingle()
    {
        int end = _text[_at..].IndexOf((byte)'\'');
        Add(end < 0 ? _text[_at..] : _text.Slice(_at, end));
        _at = end < 0 ? _text.Length : _at + end + 1;
        return end >= 0;
    }

    // A backslash stands for itself, except before a character that has a meaning between double quotes.
    private bool ReadDouble()
    {
        while (Find(EndsOfDouble) is >= 0 and int end)
        {
            Add(_text[_at..end]);
            _at = end + 1;
            if (_text[end] == (byte)'"')
                return true;
            if (_at == _text.Length)
                return false;
            byte escaped = _text[_at];
            if (escaped is not ((byte)'"' or (byte)'\\' or (byte)'`' or (byte)'$' or (byte)'\n'))
                Add("\\"u8);
            if (escaped != (byte)'\n')
                Add(_text.Slice(_at, 1));
            _at++;
        }
        Add(_text[_at..]);
        _at = _text.Length;
        return false;
    }

    private readonly int Find(SearchValues<byte> any) => _text[_at..].IndexOfAny(any) is >= 0 and int ahead ? _at + ahead : -1;

    private void Add(ReadOnlySpan<byte> part)
    {
        _parts ??= new byte[_text.Length];
        part.CopyTo(_parts.AsSpan(_length));
        _length += part.Length;
    }

    private void Warn(int first, string why)
    {
        if (_warnings.Count < MostWarnings)
            Say($"line {LineOf(first)} is left out: {why}");
        else
            _unsaid++;
    }

    private readonly void Say(string warning) => _warnings.Add(warning);

    private readonly int LineOf(int at)
    {
        ReadOnlySpan<byte> before = _text[..at];
        return 1 + before.Count((byte)'\n') + before.Count((byte)'\r') - before.Count("\r\n"u8);
    }

    private static bool IsBlank(byte c) => c is (byte)' ' or (byte)'\t';

    private static bool IsEndOfLine(byte c) => c is (byte)'\n' or (byte)'\r';
}
