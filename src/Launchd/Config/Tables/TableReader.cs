using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Toml;
using Launchd.Config.Values;

namespace Launchd.Config.Tables;

/// <summary>
/// A typed view of one table. Every getter takes the value for a missing or wrong key, reports errors with their place, and marks the key
/// as known; <see cref="ReportUnknown"/> at the end finds keys that no getter asked for.
/// </summary>
/// <param name="context">Where diagnostics and substitutions go.</param>
/// <param name="value">The table.</param>
/// <param name="keySpan">The table's name as written, for errors about the table as a whole.</param>
/// <param name="parent">The table in which it stands, or null for the root.</param>
/// <param name="name">Its name.</param>
internal sealed partial class TableReader(ReadContext context, TomlValue value, SourceSpan keySpan, TableReader? parent, string name)
{
    private static readonly List<TomlValue> _noValues = [];

    private readonly TomlTable _table = value.Table!;

    public static TableReader ForRoot(ReadContext context, SourceText source, TomlTable table) =>
        new(context, new TomlValue { Source = source, Kind = TomlKind.Table, Start = 0, Length = 0, Table = table },
            new SourceSpan(source, 0, 0), null, "");

    public string Name => name;
    public string Path => parent is null ? name : parent.PathTo(name);
    public SourceSpan KeySpan => keySpan;
    public SourceText Source => value.Source;
    public IReadOnlyList<TomlEntry> Entries => _table.Entries;
    public ReadContext Context => context;

    public string PathTo(string key) => parent is null && name.Length == 0 ? key : $"{Path}.{key}";

    public bool Has(string key) => _table.Find(key) is not null;

    /// <summary>Whether any of the keys stands in the table.</summary>
    public bool HasAny(ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            if (Has(key))
                return true;
        }
        return false;
    }

    /// <summary>Where a key's value stands, or the table's name if it has none.</summary>
    public SourceSpan SpanOf(string key) => _table.Find(key)?.Value.Span ?? keySpan;

    public void Error(DiagnosticCode code, string key, string message, string? hint = null) =>
        context.Diagnostics.Error(code, SpanOf(key), $"{PathTo(key)}: {message}", hint);

    public void Error(DiagnosticCode code, string key, TomlValue at, string message, string? hint = null) =>
        context.Diagnostics.Error(code, at.Span, $"{PathTo(key)}: {message}", hint);

    public void Warning(DiagnosticCode code, string key, string message, string? hint = null) =>
        context.Diagnostics.Warning(code, SpanOf(key), $"{PathTo(key)}: {message}", hint);

    /// <summary>Reports an error about the table as a whole.</summary>
    public void ErrorHere(DiagnosticCode code, string message, string? hint = null) =>
        context.Diagnostics.Error(code, keySpan, $"{Path}: {message}", hint);

    /// <summary>A key's value of any type, or null if it is missing.</summary>
    public TomlValue? Take(string key)
    {
        if (_table.Find(key) is not { } entry)
            return null;
        entry.IsTaken = true;
        return entry.Value;
    }

    /// <summary>A table below, or null if it is missing or something else.</summary>
    public TableReader? Table(string key, string form)
    {
        if (Take(key) is not { } found)
            return null;
        if (found.Kind == TomlKind.Table)
            return Below(key, found);
        WrongType(key, found, "a table", form);
        return null;
    }

    public TableReader Below(string key, TomlValue table) => new(context, table, _table.Find(key)?.KeySpan ?? table.Span, this, key);

    /// <summary>The tables <c>[key.NAME]</c>, each with its name.</summary>
    public IEnumerable<TableReader> Tables(string key)
    {
        if (Table(key, $"write [{key}.NAME]") is not { } group)
            yield break;
        foreach (TomlEntry entry in group.Entries)
        {
            entry.IsTaken = true;
            if (entry.Value.Kind == TomlKind.Table)
                yield return new TableReader(context, entry.Value, entry.KeySpan, group, entry.Key);
            else
                group.WrongType(entry.Key, entry.Value, "a table", $"write [{key}.{entry.Key}]");
        }
    }

    /// <summary>Whether a key is missing and the table has no misspelling of it, which would be reported as an error of its own.</summary>
    public bool Lacks(string key, ReadOnlySpan<string> known)
    {
        if (Has(key))
            return false;
        string[] all = known.ToArray();
        foreach (TomlEntry entry in _table.Entries)
        {
            if (!all.Contains(entry.Key) && Suggestion.Nearest(entry.Key, all) == key)
                return false;
        }
        return true;
    }

    /// <summary>Reports the keys that no getter asked for.</summary>
    /// <param name="known">All keys of such a table, for the hint.</param>
    public void ReportUnknown(ReadOnlySpan<string> known)
    {
        foreach (TomlEntry entry in _table.Entries)
        {
            if (entry.IsTaken)
                continue;
            string? hint = KnownKeys.HintForForeign(entry.Key, known)
                ?? Suggestion.For(entry.Key, known.ToArray()) ?? KnownKeys.ListOf(known);
            context.Diagnostics.Error(DiagnosticCode.UnknownKey, entry.KeySpan, $"{PathTo(entry.Key)}: there is no such key", hint);
        }
    }

    public void WrongType(string key, TomlValue found, string wanted, string? form) =>
        Error(DiagnosticCode.WrongType, key, found, $"must be {wanted}, not {found.KindText}", form);

    /// <summary>The text of a string value after substitution, or null after an error.</summary>
    public string? TextOf(string key, TomlValue found, PlaceholderUse use = PlaceholderUse.None, string? form = null)
    {
        if (found.Kind == TomlKind.String)
            return context.Shared(Substitution.IsNeeded(found.Text) ? Substituted(key, found, use) : found.Text);
        WrongType(key, found, "a string", form ?? (found.Kind is TomlKind.Array or TomlKind.Table ? null : "write it in quotes"));
        return null;
    }

    /// <summary>The elements of a list, or of a single value that stands for a list of one. Not to be changed.</summary>
    public List<TomlValue> Elements(string key, bool orSingle = false)
    {
        if (Take(key) is not { } found)
            return _noValues;
        if (found.Kind == TomlKind.Array)
            return found.Items;
        if (orSingle)
            return [found];
        WrongType(key, found, "a list", found.Kind == TomlKind.String ? $"write [\"{found.Text}\"]" : null);
        return _noValues;
    }

    // A method apart from TextOf, which is called for every string and would allocate the closure each time.
    private string? Substituted(string key, TomlValue found, PlaceholderUse use) =>
        context.Substitution.Apply(found, () => PathTo(key), use);
}
