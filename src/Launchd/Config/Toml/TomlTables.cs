using System.Runtime.InteropServices;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;

namespace Launchd.Config.Toml;

/// <summary>
/// Which table a header or a dotted key means, and whether it may be opened again. Breaking one of these rules does not end the reading: it
/// is reported, and the keys of the refused table go into a table that is thrown away.
/// </summary>
internal sealed class TomlTables(SourceText source, DiagnosticBag diagnostics)
{
    private readonly List<TomlKeyPart> _header = [];

    /// <summary><c>[a.b]</c>: a table that is opened once by its own header.</summary>
    public TomlTable OpenTable(TomlTable root, List<TomlKeyPart> path, int start, int length)
    {
        EnterHeader(path);
        if (Walk(root, path) is not { } parent)
            return Unseen();
        TomlKeyPart last = path[^1];
        if (parent.Find(last.Text) is not { } known)
            return Append(parent, last, start, length, TomlTableOrigin.Header);
        if (known.Value.Table is { Origin: TomlTableOrigin.Implied } table)
        {
            table.Origin = TomlTableOrigin.Header;
            return table;
        }
        ReportTwice(last, HeaderPath, known);
        return Unseen();
    }

    /// <summary><c>[[a.b]]</c>: one more table of an array, wherever in the file the former ones stand.</summary>
    public TomlTable OpenArrayEntry(TomlTable root, List<TomlKeyPart> path, int start, int length)
    {
        EnterHeader(path);
        if (Walk(root, path) is not { } parent)
            return Unseen();
        TomlKeyPart last = path[^1];
        TomlTable table = new() { Origin = TomlTableOrigin.Header };
        TomlValue item = new() { Source = source, Kind = TomlKind.Table, Start = start, Length = length, Table = table };
        if (parent.Find(last.Text) is not { } known)
        {
            TomlValue array = new()
            {
                Source = source, Kind = TomlKind.Array, Start = start, Length = length, Items = [item], IsArrayOfTables = true,
            };
            parent.Add(new TomlEntry(last.Text, last.Start, last.Length, array));
            return table;
        }
        if (known.Value.IsArrayOfTables)
            known.Value.Items.Add(item);
        else
            ReportTwice(last, HeaderPath, known);
        return table;
    }

    /// <summary>The table in which the last part of a dotted key is to be defined, or null if that is refused.</summary>
    public TomlTable? OpenDotted(TomlTable table, List<TomlKeyPart> path)
    {
        for (int i = 0; i < path.Count - 1; i++)
        {
            TomlKeyPart part = path[i];
            if (table.Find(part.Text) is not { } known)
            {
                table = Append(table, part, part.Start, part.Length, TomlTableOrigin.DottedKey);
            }
            else if (known.Value.Table is { Origin: TomlTableOrigin.DottedKey } below)
            {
                table = below;
            }
            else
            {
                ReportTwice(part, Below(Join(path, i + 1)), known);
                return null;
            }
        }
        return table;
    }

    public void AddValue(TomlTable table, TomlKeyPart key, TomlValue value)
    {
        if (table.Find(key.Text) is { } known)
            ReportTwice(key, Below(key.Text), known);
        else
            table.Add(new TomlEntry(key.Text, key.Start, key.Length, value));
    }

    private TomlTable? Walk(TomlTable table, List<TomlKeyPart> path)
    {
        foreach (TomlKeyPart part in CollectionsMarshal.AsSpan(path)[..^1])
        {
            if (table.Find(part.Text) is not { } known)
            {
                table = Append(table, part, part.Start, part.Length, TomlTableOrigin.Implied);
            }
            else if (known.Value.Table is { Origin: not TomlTableOrigin.Inline } below)
            {
                table = below;
            }
            else if (known.Value is { IsArrayOfTables: true, Items: [.., { Table: { } newest }] })
            {
                table = newest;
            }
            else
            {
                ReportTwice(part, part.Text, known);
                return null;
            }
        }
        return table;
    }

    private TomlTable Append(TomlTable parent, TomlKeyPart key, int start, int length, TomlTableOrigin origin)
    {
        TomlTable table = new() { Origin = origin };
        TomlValue value = new() { Source = source, Kind = TomlKind.Table, Start = start, Length = length, Table = table };
        parent.Add(new TomlEntry(key.Text, key.Start, key.Length, value));
        return table;
    }

    private void ReportTwice(TomlKeyPart key, string path, TomlEntry known)
    {
        SourceSpan span = new(source, key.Start, key.Length);
        diagnostics.Error(DiagnosticCode.DuplicateKey, span, $"{path}: is defined twice, first in line {known.KeySpan.Place.Line}");
    }

    private string HeaderPath => Join(_header, _header.Count);

    private string Below(string path) => _header.Count == 0 ? path : $"{HeaderPath}.{path}";

    private void EnterHeader(List<TomlKeyPart> path)
    {
        _header.Clear();
        _header.AddRange(path);
    }

    private static string Join(List<TomlKeyPart> path, int count) =>
        path.Count == 1 ? path[0].Text : string.Join('.', path.Take(count).Select(p => p.Text));

    private static TomlTable Unseen() => new() { Origin = TomlTableOrigin.Header };
}
