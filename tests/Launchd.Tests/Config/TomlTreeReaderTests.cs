using System.Text;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Config.Toml;
using Tomlyn.Parsing;
using Tomlyn.Syntax;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class TomlTreeReaderTests
{
    /// <summary>Valid texts that exercise every way to write a table and a value.</summary>
    public static readonly TheoryData<string> Valid = new(
        "", "# only a comment", "a = 1", "a = 1\r\nb = 2\r\n", "a.b.c = 1\na.b.d = 2",
        "\"q.x\".'y' = 1", "1.2 = 3", "[a]\n[a.b]\n[a.b.c]\nx = 1",
        "[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3",
        "[fruit]\napple.color = 'red'\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true",
        "[[s.b.l]]\na = 1\n[s.z]\nq = 1\n[[s.b.l]]\na = 2",
        "[[a]]\n[a.b]\nx = 1\n[[a]]\n[a.b]\nx = 2", "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]\n[[a.b]]",
        "a = [1, 2, 3,]\nb = [\n  1, # one\n  2\n]\nc = [[], [[1]], [{}]]", "t = { a = 1, b.c = 'x', d = { e = [] } }",
        "t = {\n  a = 1, # first\n  b = 2,\n}", "s = \"a\\u00e9\\n\\\"\"\nl = 'C:\\x'\nm = \"\"\"\none\\\n   two\"\"\"\nn = '''\nraw\\'''",
        "i = [0, -7, +5, 1_000, 0xff, 0o17, 0b11, 9223372036854775807, -9223372036854775808]", "f = [1.5, -2e3, inf, -inf, nan, 6.02_2]",
        "d = [1979-05-27, 1979-05-27T07:32:00Z, 07:32:00, 1979-05-27T07:32:00]", "[ a . 'b' ]\nx = true\n", "[a] # c\nb = false # d\n# e");

    /// <summary>Texts that break one rule each.</summary>
    public static readonly TheoryData<string> Invalid = new(
        "a", "a =", "= 1", "a = 1 b = 2", "a = 1\na = 2", "a.b = 1\na = 2",
        "a = 1\na.b = 2", "[a]\n[a]", "[a]\nb = 1\n[a.b]", "a = {}\n[a]", "a = {}\n[a.b]",
        "a = { b = 1 }\na.c = 2", "a = []\n[[a]]", "[[a]]\n[a]", "[a]\n[[a]]", "a.b = 1\n[a]",
        "[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "[a.b.c.d]\nz = 9\n[a]\nb.c.d.k = 1",
        "[a", "[[a]", "[[a] ]", "[]", "[a.]", "a. = 1", "a = [1", "a = [1 2]", "a = [,]", "a = { b = 1",
        "a = { b }", "a = { b = 1 c = 2 }", "a = { b = 1, b = 2 }",
        "a = \"x", "a = 'x", "a = \"\"\"x", "a = \"\\q\"", "a = \"\\uD800\"",
        "a = 01", "a = 1__0", "a = 0x", "a = 99999999999999999999", "a = tru", "a = truex",
        "\"\"\"k\"\"\" = 1", "a = \"x\u0001\"", "# \u0001", "a = 1\rb = 2", "[a] b = 1", "a = 1979-13-01",
        "é", "ünï = 1", "a = \"b\nc\"");

    [Theory]
    [MemberData(nameof(Valid))]
    public void TheTreeIsThatOfTomlynsSyntaxTree(string text)
    {
        DiagnosticBag diagnostics = new();
        TomlTable? root = TomlTreeReader.Read(new SourceText("/t.toml", "t.toml", text), diagnostics);

        Assert.NotNull(root);
        Assert.False(diagnostics.HasErrors);
        Assert.Equal(SyntaxTreeOracle.Describe(text), Describe(root));
    }

    [Theory]
    [MemberData(nameof(Invalid))]
    public void WhatTomlForbidsIsAnErrorWithAPlace(string text)
    {
        DiagnosticBag diagnostics = new();
        TomlTreeReader.Read(new SourceText("/t.toml", "t.toml", text), diagnostics);

        Assert.True(diagnostics.HasErrors, text);
        Assert.All(diagnostics.Sorted(), d => Assert.InRange(d.Span.Start, 0, text.Length));
    }

    [Fact]
    public void SyntaxErrorsOfSeveralLinesAreAllTold()
    {
        ConfigResult result = Reading.Read("[services.web]\ncommand = [\"web\"]\nuser = \nok = 1\ngroup == 2\n");

        Assert.Equal([3, 5], result.Diagnostics.Select(d => d.Span.Place.Line));
        Assert.All(result.Diagnostics, d => Assert.Equal(DiagnosticCode.BadSyntax, d.Code));
    }

    [Theory]
    [InlineData("[", "")]
    [InlineData("{a=", "")]
    [InlineData("[{a=", "")]
    public void NestingWithoutEndIsRefusedBeforeItReachesTheStack(string opening, string before)
    {
        string text = before + "a = " + string.Concat(Enumerable.Repeat(opening, 200_000));
        DiagnosticBag diagnostics = new();

        Assert.Null(TomlTreeReader.Read(new SourceText("/t.toml", "t.toml", text), diagnostics));
        Assert.Equal(DiagnosticCode.NestedTooDeep, Assert.Single(diagnostics.Sorted()).Code);
    }

    [Fact]
    public void NestingBehindASyntaxErrorDoesNotReachTheStackEither()
    {
        string text = "\"\"\"x\"\na = " + new string('[', 200_000);
        DiagnosticBag diagnostics = new();

        Assert.Null(TomlTreeReader.Read(new SourceText("/t.toml", "t.toml", text), diagnostics));
        Assert.Equal(DiagnosticCode.BadSyntax, Assert.Single(diagnostics.Sorted()).Code);
    }

    [Fact]
    public void NestingOf64IsAllowedAndOf65IsNot()
    {
        Assert.NotNull(TomlTreeReader.Read(Nested(64), new DiagnosticBag()));
        Assert.Null(TomlTreeReader.Read(Nested(65), new DiagnosticBag()));

        static SourceText Nested(int depth) => new("/t.toml", "t.toml", "a = " + new string('[', depth) + new string(']', depth));
    }

    private static string Describe(TomlTable table)
    {
        StringBuilder text = new();
        Describe(text, table);
        return text.ToString();
    }

    private static void Describe(StringBuilder text, TomlTable table)
    {
        text.Append('{');
        foreach (TomlEntry entry in table.Entries.OrderBy(e => e.Key, StringComparer.Ordinal))
        {
            text.Append(entry.Key).Append('=');
            Describe(text, entry.Value);
            text.Append(';');
        }
        text.Append('}');
    }

    private static void Describe(StringBuilder text, TomlValue value)
    {
        switch (value.Kind)
        {
            case TomlKind.Table:
                Describe(text, value.Table!);
                break;
            case TomlKind.Array:
                text.Append('[');
                foreach (TomlValue item in value.Items)
                {
                    Describe(text, item);
                    text.Append(',');
                }
                text.Append(']');
                break;
            default:
                text.Append(value.Kind).Append(':')
                    .Append(value.Kind == TomlKind.Float ? value.Real.ToString() : $"{value.Text}{value.Number}");
                break;
        }
    }
}

/// <summary>Describes a text by Tomlyn's own syntax tree, as a second opinion.</summary>
internal static class SyntaxTreeOracle
{
    /// <summary>Whether Tomlyn takes the text. It throws at some texts that are wrong.</summary>
    public static bool IsValid(string text)
    {
        try
        {
            return !SyntaxParser.Parse(text, "t.toml", validate: true).HasErrors;
        }
        catch (Exception e) when (e is Tomlyn.TomlException or ArgumentException or InvalidOperationException)
        {
            return false;
        }
    }

    public static string Describe(string text)
    {
        DocumentSyntax document = SyntaxParser.Parse(text, "t.toml", validate: true);
        Assert.False(document.HasErrors, document.Diagnostics.ToString());
        SortedDictionary<string, object> root = new(StringComparer.Ordinal);
        foreach (KeyValueSyntax pair in document.KeyValues)
            Put(root, pair);
        foreach (TableSyntaxBase syntax in document.Tables)
        {
            string[] path = PathOf(syntax.Name!);
            SortedDictionary<string, object> table;
            if (syntax is TableArraySyntax)
            {
                table = new(StringComparer.Ordinal);
                SortedDictionary<string, object> parent = Walk(root, path[..^1]);
                if (!parent.TryGetValue(path[^1], out object? list))
                    parent[path[^1]] = list = new List<object>();
                ((List<object>)list).Add(table);
            }
            else
            {
                table = Walk(root, path);
            }
            foreach (KeyValueSyntax pair in syntax.Items)
                Put(table, pair);
        }
        StringBuilder result = new();
        Write(result, root);
        return result.ToString();
    }

    private static void Write(StringBuilder text, object value)
    {
        switch (value)
        {
            case SortedDictionary<string, object> table:
                text.Append('{');
                foreach ((string key, object below) in table)
                {
                    text.Append(key).Append('=');
                    Write(text, below);
                    text.Append(';');
                }
                text.Append('}');
                break;
            case List<object> list:
                text.Append('[');
                foreach (object item in list)
                {
                    Write(text, item);
                    text.Append(',');
                }
                text.Append(']');
                break;
            default:
                text.Append(value);
                break;
        }
    }

    private static void Put(SortedDictionary<string, object> table, KeyValueSyntax pair)
    {
        string[] path = PathOf(pair.Key!);
        Walk(table, path[..^1])[path[^1]] = Read(pair.Value!);
    }

    private static SortedDictionary<string, object> Walk(SortedDictionary<string, object> table, string[] path)
    {
        foreach (string name in path)
        {
            if (!table.TryGetValue(name, out object? below))
                table[name] = below = new SortedDictionary<string, object>(StringComparer.Ordinal);
            table = (SortedDictionary<string, object>)(below is List<object> list ? list[^1] : below);
        }
        return table;
    }

    private static object Read(ValueSyntax value)
    {
        switch (value)
        {
            case StringValueSyntax s:
                return $"String:{s.Value}0";
            case IntegerValueSyntax i:
                return $"Integer:{i.Value}";
            case BooleanValueSyntax b:
                return $"Boolean:{(b.Value ? 1 : 0)}";
            case FloatValueSyntax f:
                return $"Float:{f.Value}";
            case ArraySyntax array:
                return array.Items.Select(item => Read(item.Value!)).ToList();
            case InlineTableSyntax inline:
                SortedDictionary<string, object> table = new(StringComparer.Ordinal);
                foreach (InlineTableItemSyntax item in inline.Items)
                    Put(table, item.KeyValue!);
                return table;
            default:
                return "Time:0";
        }
    }

    private static string[] PathOf(KeySyntax key) => [NameOf(key.Key!), .. key.DotKeys.Select(d => NameOf(d.Key!))];

    private static string NameOf(BareKeyOrStringValueSyntax key) =>
        key is BareKeySyntax bare ? bare.Key!.Text! : ((StringValueSyntax)key).Value!;
}
