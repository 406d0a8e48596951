using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Tomlyn.Parsing;
using Tomlyn.Syntax;
using SourceSpan = Launchd.Config.Sources.SourceSpan;

namespace Launchd.Config.Toml;

/// <summary>
/// Builds a strict tree of tables and values, each with its place, from Tomlyn's tokens. Every rule of TOML about what may be
/// defined twice, and by which way of writing, is kept here: <see cref="TomlTables"/>. Stops at the first syntax error and leaves it to
/// <see cref="TomlSyntaxErrors"/> to find the others, so that a boot never pays for Tomlyn's syntax tree, which costs five times as much.
/// </summary>
internal sealed class TomlTreeReader
{
    /// <summary>Deepest nesting of arrays and inline tables, and of dotted keys.</summary>
    public const int MostNesting = 64;

    private readonly SourceText _source;
    private readonly DiagnosticBag _diagnostics;
    private readonly TomlLexer _lexer;
    private readonly TomlTables _tables;
    private readonly List<TomlKeyPart> _key = [];
    private readonly Dictionary<string, string> _knownKeys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> _knownKeysBySpan;
    private TomlToken _token;
    private TomlSyntaxError? _error;

    private TomlTreeReader(SourceText source, DiagnosticBag diagnostics)
    {
        _source = source;
        _diagnostics = diagnostics;
        _tables = new TomlTables(source, diagnostics);
        _lexer = TomlLexer.Create(source.Text, new TomlLexerOptions { DecodeScalars = true }, source.DisplayPath);
        _knownKeysBySpan = _knownKeys.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>The root table; null: the text is not TOML, which has been reported.</summary>
    public static TomlTable? Read(SourceText source, DiagnosticBag diagnostics)
    {
        TomlTreeReader reader = new(source, diagnostics);
        TomlTable root = new() { Origin = TomlTableOrigin.Header };
        if (reader.ReadDocument(root))
            return root;
        TomlSyntaxErrors.Report(source, reader._error!.Value, diagnostics);
        return null;
    }

    private bool ReadDocument(TomlTable root)
    {
        TomlTable current = root;
        if (!Advance(TomlLexerMode.Key))
            return false;
        while (_token.Kind != TokenKind.Eof)
        {
            switch (_token.Kind)
            {
                case TokenKind.NewLine or TokenKind.Comment:
                    if (!Advance(TomlLexerMode.Key))
                        return false;
                    break;
                case TokenKind.OpenBracket or TokenKind.OpenBracketDouble:
                    if (ReadHeader(root) is not { } opened)
                        return false;
                    current = opened;
                    break;
                case TokenKind.BasicKey or TokenKind.String or TokenKind.StringLiteral:
                    if (!ReadKeyAndValue(current, depth: 0) || !ReadLineEnd())
                        return false;
                    break;
                default:
                    return Fail("a key or a table header is expected here");
            }
        }
        return true;
    }

    private TomlTable? ReadHeader(TomlTable root)
    {
        int start = _token.Start.Offset;
        bool isArray = _token.Kind == TokenKind.OpenBracketDouble;
        TokenKind closing = isArray ? TokenKind.CloseBracketDouble : TokenKind.CloseBracket;
        if (!Advance(TomlLexerMode.Key) || !ReadKey())
            return null;
        if (_token.Kind != closing)
        {
            return FailTable(isArray ? "the table header is not closed by ']]'" : "the table header is not closed by ']'",
                Found == ":" ? "write [services.NAME]" : null);
        }
        int length = _token.End.Offset + 1 - start;
        TomlTable opened = isArray ? _tables.OpenArrayEntry(root, _key, start, length) : _tables.OpenTable(root, _key, start, length);
        return Advance(TomlLexerMode.Key) && ReadLineEnd() ? opened : null;
    }

    private bool ReadKeyAndValue(TomlTable table, int depth)
    {
        if (!ReadKey())
            return false;
        if (_token.Kind != TokenKind.Equal)
            return Fail("'=' is expected after a key", Found == ":" ? "write key = value: TOML is neither YAML nor a Procfile" : null);
        TomlTable? parent = _tables.OpenDotted(table, _key);
        TomlKeyPart last = _key[^1];
        if (!Advance(TomlLexerMode.Value) || ReadValue(depth) is not { } value)
            return false;
        // An array that is the value of a key was written whole: headers cannot add to it.
        if (parent is not null)
            _tables.AddValue(parent, last, value);
        return true;
    }

    private bool ReadKey()
    {
        _key.Clear();
        while (true)
        {
            if (_token.Kind is not (TokenKind.BasicKey or TokenKind.String or TokenKind.StringLiteral))
                return Fail("a key is expected here");
            _key.Add(new TomlKeyPart(KeyText(), _token.Start.Offset, _token.Length));
            if (_key.Count > MostNesting)
                return FailNesting();
            if (!Advance(TomlLexerMode.Key))
                return false;
            if (_token.Kind != TokenKind.Dot)
                return true;
            if (!Advance(TomlLexerMode.Key))
                return false;
        }
    }

    private string KeyText()
    {
        if (_token.Kind != TokenKind.BasicKey)
            return _token.StringValue ?? "";
        // The same keys are in every table, so one string is made for each.
        ReadOnlySpan<char> text = _source.Text.AsSpan(_token.Start.Offset, _token.Length);
        if (_knownKeysBySpan.TryGetValue(text, out string? known))
            return known;
        string key = text.ToString();
        _knownKeys.Add(key, key);
        return key;
    }

    private TomlValue? ReadValue(int depth)
    {
        if (_token.Kind == TokenKind.OpenBracket)
            return ReadArray(depth + 1);
        if (_token.Kind == TokenKind.OpenBrace)
            return ReadInlineTable(depth + 1);
        TomlKind kind;
        if (_token.Kind.IsString())
            kind = TomlKind.String;
        else if (_token.Kind.IsInteger())
            kind = TomlKind.Integer;
        else if (_token.Kind.IsFloat())
            kind = TomlKind.Float;
        else if (_token.Kind is TokenKind.True or TokenKind.False)
            kind = TomlKind.Boolean;
        else if (_token.Kind.IsDateTime())
            kind = TomlKind.Time;
        else
            return FailValue("a value is expected here", HintForText(Found));

        TomlValue value = new()
        {
            Source = _source,
            Kind = kind,
            Start = _token.Start.Offset,
            Length = _token.Length,
            Text = kind == TomlKind.String ? _token.StringValue ?? "" : "",
            Number = unchecked((long)_token.Data),
        };
        return Advance(TomlLexerMode.Value) ? value : null;
    }

    private TomlValue? ReadArray(int depth)
    {
        if (depth > MostNesting)
            return FailNestedValue();
        int start = _token.Start.Offset;
        List<TomlValue> items = [];
        if (!Advance(TomlLexerMode.Value) || !SkipLineBreaks(TomlLexerMode.Value))
            return null;
        while (_token.Kind != TokenKind.CloseBracket)
        {
            if (ReadValue(depth) is not { } item || !SkipLineBreaks(TomlLexerMode.Value))
                return null;
            items.Add(item);
            if (_token.Kind == TokenKind.CloseBracket)
                break;
            if (_token.Kind != TokenKind.Comma)
                return FailValue("',' or ']' is expected in a list");
            if (!Advance(TomlLexerMode.Value) || !SkipLineBreaks(TomlLexerMode.Value))
                return null;
        }
        TomlValue array = new()
        {
            Source = _source, Kind = TomlKind.Array, Start = start, Length = _token.End.Offset + 1 - start, Items = items,
        };
        return Advance(TomlLexerMode.Value) ? array : null;
    }

    private TomlValue? ReadInlineTable(int depth)
    {
        if (depth > MostNesting)
            return FailNestedValue();
        int start = _token.Start.Offset;
        TomlTable table = new() { Origin = TomlTableOrigin.Inline };
        if (!Advance(TomlLexerMode.Key) || !SkipLineBreaks(TomlLexerMode.Key))
            return null;
        while (_token.Kind != TokenKind.CloseBrace)
        {
            if (!ReadKeyAndValue(table, depth) || !SkipLineBreaks(TomlLexerMode.Value))
                return null;
            if (_token.Kind == TokenKind.CloseBrace)
                break;
            if (_token.Kind != TokenKind.Comma)
                return FailValue("',' or '}' is expected in an inline table");
            if (!Advance(TomlLexerMode.Key) || !SkipLineBreaks(TomlLexerMode.Key))
                return null;
        }
        int length = _token.End.Offset + 1 - start;
        TomlValue value = new() { Source = _source, Kind = TomlKind.Table, Start = start, Length = length, Table = table };
        return Advance(TomlLexerMode.Value) ? value : null;
    }

    private bool SkipLineBreaks(TomlLexerMode mode)
    {
        while (_token.Kind is TokenKind.NewLine or TokenKind.Comment)
        {
            if (!Advance(mode))
                return false;
        }

        return true;
    }

    private bool ReadLineEnd()
    {
        if (_token.Kind == TokenKind.Comment && !Advance(TomlLexerMode.Key))
            return false;
        if (_token.Kind == TokenKind.Eof)
            return true;
        return _token.Kind == TokenKind.NewLine ? Advance(TomlLexerMode.Key) : Fail("the line should end here");
    }

    // The meaning of a character depends on whether a key or a value is expected, so each step says which.
    private bool Advance(TomlLexerMode mode)
    {
        _lexer.Mode = mode;
        do
        {
            if (TryMoveNext() is not { } moved)
                return false;
            if (!moved)
            {
                _token = new TomlToken(TokenKind.Eof, EndOfText, EndOfText, null, 0);
                break;
            }
            _token = _lexer.Current;
        }
        while (_token.Kind == TokenKind.Whitespaces);
        if (!_lexer.HasErrors)
            return true;
        DiagnosticMessage first = _lexer.Errors.First();
        (string message, string? hint) = TomlSyntaxErrors.Explain(first.Message);
        _error = new TomlSyntaxError(first.Span.Start.Offset, first.Span.Length, message, hint);
        return false;
    }

    // Tomlyn's lexer throws where a text ends behind a backslash, instead of reporting it.
    private bool? TryMoveNext()
    {
        try
        {
            return _lexer.MoveNext();
        }
#pragma warning disable CA1031 // Whatever it throws: the text is broken here, and that is what the operator has to know.
        catch (Exception)
#pragma warning restore CA1031
        {
            int start = _token.Kind == TokenKind.Invalid ? 0 : _token.End.Offset + 1;
            _error = new TomlSyntaxError(Math.Min(start, _source.Text.Length), 1, "what begins here is not complete");
            return null;
        }
    }

    private Tomlyn.Text.TomlTextPosition EndOfText => new(_source.Text.Length, 0, 0);

    private static string? HintForText(string found) => found switch
    {
        ['“' or '”' or '„' or '‘' or '’', ..] => "write straight quotes: \"…\"",
        [var first, ..] when char.IsLetter(first) => $"a text stands in quotes: \"{found}\"",
        _ => null,
    };

    // The beginning of the token; nothing at the end of the text.
    private string Found => _token.Kind == TokenKind.Eof ? "" : _source.Text.Substring(_token.Start.Offset, Math.Min(_token.Length, 20));

    private bool Fail(string message, string? hint = null)
    {
        string found = _token.Kind switch
        {
            TokenKind.Eof => "the end of the file",
            TokenKind.NewLine => "the end of the line",
            // A blank that is none of ASCII, as a web page has, cannot be told from one.
            _ when Found is [> '\x7f' and var odd, ..] && char.IsWhiteSpace(odd) => $"the blank U+{(int)odd:X4}",
            _ => Found is ['"' or '\'', ..] text ? text : $"'{Found}'",
        };
        _error = new TomlSyntaxError(_token.Start.Offset, _token.Length, $"{message}, not {found}", hint);
        return false;
    }

    private TomlTable? FailTable(string message, string? hint = null)
    {
        Fail(message, hint);
        return null;
    }

    private TomlValue? FailValue(string message, string? hint = null)
    {
        Fail(message, hint);
        return null;
    }

    private TomlValue? FailNestedValue()
    {
        FailNesting();
        return null;
    }

    private bool FailNesting()
    {
        SourceSpan span = new(_source, _token.Start.Offset, _token.Length);
        _diagnostics.Error(DiagnosticCode.NestedTooDeep, span, $"lists, tables and dotted keys may be nested {MostNesting} deep at most");
        _error = new TomlSyntaxError(span.Start, 0, null);
        return false;
    }
}

/// <summary>
/// The first syntax error of a text. A null message: the error is reported already, and no further errors are to be looked for.
/// </summary>
internal readonly record struct TomlSyntaxError(int Start, int Length, string? Message, string? Hint = null);

/// <summary>One part of a dotted key, with its place.</summary>
internal readonly record struct TomlKeyPart(string Text, int Start, int Length);
