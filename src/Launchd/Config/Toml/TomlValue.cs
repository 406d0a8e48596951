using System.Runtime.InteropServices;
using Launchd.Config.Sources;

namespace Launchd.Config.Toml;

/// <summary>What a value of a TOML document is.</summary>
internal enum TomlKind : byte { String, Integer, Boolean, Float, Time, Array, Table }

/// <summary>
/// A value with its place. <see cref="Start"/> and <see cref="Length"/> cover it as written, quotes and brackets included.
/// </summary>
internal sealed class TomlValue
{
    // One field for all kinds, because a file has tens of thousands of values and each has only one kind of content.
    private readonly object? _content;

    public required SourceText Source { get; init; }
    public required TomlKind Kind { get; init; }
    public required int Start { get; init; }
    public required int Length { get; set; }

    /// <summary>The text of a string.</summary>
    public string Text { get => _content as string ?? ""; init => _content = value; }

    /// <summary>The value of an integer; 1 for true; the bits of a float.</summary>
    public long Number { get; init; }
    public double Real => BitConverter.Int64BitsToDouble(Number);

    /// <summary>The elements of an array.</summary>
    public List<TomlValue> Items { get => _content as List<TomlValue> ?? NoItems; init => _content = value; }

    /// <summary>The table, if the value is one.</summary>
    public TomlTable? Table { get => _content as TomlTable; init => _content = value; }

    /// <summary>Whether an array was made by <c>[[name]]</c> headers and may get further entries.</summary>
    public bool IsArrayOfTables { get; init; }
    public bool Flag => Number != 0;
    public SourceSpan Span => new(Source, Start, Length);

    /// <summary>The kind with its article, for messages.</summary>
    public string KindText => Kind switch
    {
        TomlKind.String => "a string",
        TomlKind.Integer => "an integer",
        TomlKind.Boolean => "a boolean",
        TomlKind.Float => "a number with a fraction",
        TomlKind.Time => "a date or time",
        TomlKind.Array => "a list",
        _ => "a table",
    };

    private static readonly List<TomlValue> NoItems = [];
}

/// <summary>How a table came to be, which decides how it may be extended (TOML 1.0, sections Table and Inline Table).</summary>
internal enum TomlTableOrigin
{
    /// <summary>Only as part of a longer header: the table's own header may follow.</summary>
    Implied,

    /// <summary>By its own header, or the root.</summary>
    Header,

    /// <summary>By a dotted key: may be extended by dotted keys only, and by headers of tables below it.</summary>
    DottedKey,

    /// <summary>In braces: complete.</summary>
    Inline,
}

/// <summary>
/// A key with its place and value. <see cref="IsTaken"/> when a reader asked for it: keys that no reader asked for are unknown.
/// </summary>
internal sealed class TomlEntry(string key, int keyStart, int keyLength, TomlValue value)
{
    public string Key => key;
    public TomlValue Value => value;
    public SourceSpan KeySpan => new(value.Source, keyStart, keyLength);
    public bool IsTaken { get; set; }
}

/// <summary>The entries of a table in the order of the file.</summary>
internal sealed class TomlTable
{
    // Most tables have a handful of keys, which are compared faster than hashed; `services` may have thousands.
    private const int MostUnhashed = 12;

    private readonly List<TomlEntry> _entries = [];
    private Dictionary<string, TomlEntry>? _byKey;

    // Bits for the length and first character of each key: readers ask a table of five keys for some forty, most of
    // which are missing, and the bits tell that at once.
    private ulong _hints;

    public required TomlTableOrigin Origin { get; set; }
    public IReadOnlyList<TomlEntry> Entries => _entries;

    public TomlEntry? Find(string key)
    {
        if ((_hints & HintOf(key)) == 0)
            return null;
        if (_byKey is not null)
            return _byKey.GetValueOrDefault(key);
        foreach (TomlEntry entry in CollectionsMarshal.AsSpan(_entries))
        {
            if (entry.Key == key)
                return entry;
        }
        return null;
    }

    /// <summary>The key must not be there yet.</summary>
    public void Add(TomlEntry entry)
    {
        _entries.Add(entry);
        _hints |= HintOf(entry.Key);
        if (_byKey is not null)
            _byKey.Add(entry.Key, entry);
        else if (_entries.Count > MostUnhashed)
            _byKey = _entries.ToDictionary(e => e.Key, StringComparer.Ordinal);
    }

    private static ulong HintOf(string key) => key.Length == 0 ? 1 : 1UL << (((key.Length * 7) + key[0]) & 63);
}
