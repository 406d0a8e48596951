using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// What nothing of the daemon uses is not kept: it is read and changed with the rest, and only tests would notice that it
/// is wrong. The compiler finds what is private; this test goes by names, so a name that something else has as well, and
/// what a record has of its parameters, escapes it.
/// </summary>
public sealed partial class NoUncalledTests
{
    /// <summary>Names that only tests use, or nobody, each with its reason.</summary>
    private static readonly Dictionary<string, string> Kept = new()
    {
        ["BeginScope"] = "the interface of loggers asks for it",
        ["OpenResults"] = "has extensions, which are called without its name",
        ["CapacityBytes"] = "that memory is bounded shows nowhere else",
        ["StuckCount"] = "that a question hangs shows nowhere else",
        ["NameOfGroup"] = "tells a test what an entry of the user database says",
        ["BindDatagram"] = "makes a notify socket as the supervisor's, for tests of what comes over it",
        ["IsQuick"] = "is not used any more; goes with the next change of its floor",
    };

    [Fact]
    public void EveryNameIsUsed()
    {
        SourceFile[] files = [.. SourceTree.Files("src/Launchd")];

        // A search that finds no names would find none unused.
        Assert.True(files.SelectMany(Declared).Count() > 1000);
        Verdict.None(Unused(files).Where(u => !Kept.ContainsKey(u.Name)).Select(u => u.Where));
    }

    [Fact]
    public void EveryReasonIsStillNeeded()
    {
        string[] unused = [.. Unused([.. SourceTree.Files("src/Launchd")]).Select(u => u.Name)];

        Assert.Empty(Kept.Keys.Except(unused));
    }

    [Theory]
    [InlineData("    public int Size() => 1;")]
    [InlineData("    public static int Size { get; set; }")]
    [InlineData("    public const int Size = 1;")]
    [InlineData("    public required string? Size { get; init; }")]
    [InlineData("    public IReadOnlyList<(int X, string Y)> Size<T>(T x) => [];")]
    [InlineData("    public int Size; // not Size")]
    [InlineData("    /// <see cref=\"Size\"/>\n    public int Size => 1;")]
    [InlineData("internal sealed class Size;")]
    public void WhatNothingUsesIsFound(string text) =>
        Assert.Equal(["Size"], Unused([new("src/Launchd/Host/A.cs", text)]).Select(u => u.Name));

    [Theory]
    [InlineData("    public int Size() => 1;", "x.Size();")]
    [InlineData("    public int Size => 1;", "Say($\"{x.Size} bytes\");")]
    [InlineData("    public int Size => 1;", "x is { Size: 2 }")]
    [InlineData("    public override int Size => 1;", "")]
    [InlineData("    private int Size => 1;", "")]
    [InlineData("    public static A operator +(A x, A y) => x;", "")]
    public void WhatIsUsedOrNoBusinessOfThisTestIsNotReported(string text, string other) =>
        Assert.Empty(Unused([new("src/Launchd/Host/A.cs", text), new("src/Launchd/Host/B.cs", other)]));

    /// <summary>A public member, not one that another type has told it to have.</summary>
    [GeneratedRegex(
        @"^ +public (?!.*\b(override|operator|class|struct|interface|enum|record)\b)[^={;\n]*?(?<name>\w+)(<[\w, ]+>)?\s*(\(|\{|=|;|$)",
        RegexOptions.Multiline)]
    private static partial Regex Member();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word();

    [GeneratedRegex(@"^\s*//.*$|(?<=[;{,)\]] )//.*$", RegexOptions.Multiline)]
    private static partial Regex Comment();

    // The kernel's structures are written down whole.
    private static IEnumerable<(string Name, string Where)> Declared(SourceFile file)
    {
        if (file.FilePath.StartsWith("src/Launchd/Interop/", StringComparison.Ordinal))
            return [];
        string code = file.Code;
        return Member().Matches(code).Select(m => m.Groups["name"])
            .Select(n => (Name: n.Value, Line: code.AsSpan(0, n.Index).Count('\n') + 1))
            .Concat(file.Types().Select(t => (t.Name, t.Line)))
            .Select(d => (d.Name, file.At(d.Line, $"nothing in src/Launchd uses '{d.Name}'")));
    }

    private static IEnumerable<(string Name, string Where)> Unused(IReadOnlyList<SourceFile> files)
    {
        // Texts count, for code may stand in an interpolation.
        Dictionary<string, int> words = files.SelectMany(f => Word().Matches(Comment().Replace(f.Text, "")).Select(m => m.Value))
            .CountBy(w => w, StringComparer.Ordinal).ToDictionary(StringComparer.Ordinal);
        return files.SelectMany(Declared).GroupBy(d => d.Name, StringComparer.Ordinal)
            .Where(g => words.GetValueOrDefault(g.Key) <= g.Count())
            .SelectMany(g => g);
    }
}
