using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>House style that the compiler's analyzers do not know. Every rule is tried on a text that breaks it.</summary>
public sealed partial class TidyTests
{
    private const int LongestLine = 140;
    private const int LongestFile = 400;

    /// <summary>Files above the limit, each with its reason.</summary>
    private static readonly Dictionary<string, string> LongFiles = new()
    {
        ["src/Launchd/Host/Operators/ControlMethods.cs"] =
            "the control interface, method by method: one table and what stands behind each row",
        ["tests/Launchd.Client.Tests/ChannelTests.cs"] = "one protocol or one path from start to end, read best in one place",
        ["src/Launchd/Core/Rollouts/Rollout.cs"] = "the one place that decides how many instances live, with its whole way back",
    };

    [Fact]
    public void SourcesAreTidy()
    {
        SourceFile[] files = [.. SourceTree.Files("src"), .. SourceTree.Files("tests"), .. SourceTree.Files("samples")];

        Assert.NotEmpty(files);
        Verdict.None(files.SelectMany(f => (string[])[.. Text(f), .. Length(f), .. Marks(f)]));
    }

    [Fact]
    public void OtherTextsHaveNoTabsAndEndInANewline()
    {
        SourceFile[] files =
        [
            .. SourceTree.Files("config", "*.toml"), .. SourceTree.Files("tests", "*.toml"), .. SourceTree.Files("docs", "*.md"),
            .. SourceTree.Files("src", "*.csproj"), .. SourceTree.Files("tests", "*.csproj"), .. SourceTree.Files("samples", "*.csproj"),
            .. SourceTree.Files("samples", "*.toml"), .. SourceTree.Files("samples", "*.py"), .. SourceTree.Files("samples", "*.c"),
            .. SourceTree.Files("samples", "*.h"),
        ];

        Assert.NotEmpty(files);
        Verdict.None(files.SelectMany(Text));
    }

    /// <summary>A build for release replaces the paths of sources by others that exist nowhere.</summary>
    [Fact]
    public void NoTestFindsFilesByThePathOfItsSource() =>
        Verdict.None(SourceTree.Files("tests").SelectMany(SourcePaths));

    [Fact]
    public void TheDaemonHasNoAsync() => Verdict.None(SourceTree.Files("src/Launchd").SelectMany(Async));

    [Fact]
    public void EveryReasonForALongFileIsStillNeeded()
    {
        foreach (string path in LongFiles.Keys)
            Assert.True(File.ReadLines(Path.Combine(SourceTree.Root, path)).Count() > LongestFile, path);
    }

    [Theory]
    [InlineData("\tint x;\n")]
    [InlineData("int x; \n")]
    [InlineData("int x;")]
    [InlineData("int x;\n\n")]
    [InlineData("int x;\r\n")]
    public void UntidyTextIsFound(string text) => Assert.NotEmpty(Text(new SourceFile("src/A.cs", text)));

    [Theory]
    [InlineData("#reg", "ion x\n")]
    [InlineData("// TO", "DO: later\n")]
    [InlineData("// FIX", "ME: later\n")]
    [InlineData("// HA", "CK: later\n")]
    public void MarksOfUnfinishedWorkAreFound(string first, string second) =>
        Assert.NotEmpty(Marks(new SourceFile("src/A.cs", first + second)));

    [Fact]
    public void ASourcePathIsFound() =>
        Assert.NotEmpty(SourcePaths(new SourceFile("tests/A.cs", "void F([Caller" + "FilePath] string path)")));

    [Fact]
    public void LongLinesAndLongFilesAreFound()
    {
        Assert.NotEmpty(Length(new SourceFile("src/A.cs", new string('x', LongestLine + 1) + "\n")));
        Assert.NotEmpty(Length(new SourceFile("src/A.cs", string.Concat(Enumerable.Repeat("x\n", LongestFile + 1)))));
        Assert.Empty(Length(new SourceFile("src/A.cs", new string('x', LongestLine) + "\n")));
        Assert.Empty(Length(new SourceFile("src/A.cs", string.Concat(Enumerable.Repeat("x\n", LongestFile)))));
    }

    [Theory]
    [InlineData("src/Launchd/Core/A.cs", "private async void F()", true)]
    [InlineData("src/Launchd/Host/A.cs", "await x;", true)]
    [InlineData("src/Launchd/Host/A.cs", "ValueTask<int> F();", true)]
    [InlineData("src/Launchd/Host/A.cs", "System.Threading.Tasks.Task F();", true)]
    [InlineData("src/Launchd/Host/A.cs", "// an async Task\n", false)]
    [InlineData("src/Launchd/Host/A.cs", "int asyncCount, TaskName;", false)]
    [InlineData("src/Launchd/Cli/A.cs", "private async Task F()", false)]
    public void AsyncIsFoundOutsideTheVerbsOnly(string path, string text, bool isFound) =>
        Assert.Equal(isFound, Async(new SourceFile(path, text)).Any());

    [GeneratedRegex(@"\bCaller" + @"FilePath\b")]
    private static partial Regex SourcePath();

    [GeneratedRegex(@"\b(async|await|Task|ValueTask)\b")]
    private static partial Regex AsyncWord();

    // Written in two halves, or this file would find itself.
    [GeneratedRegex(@"#reg" + "ion|TO" + "DO|FIX" + @"ME|\bHA" + @"CK\b")]
    private static partial Regex Mark();

    private static IEnumerable<string> Text(SourceFile file)
    {
        if (!file.Text.EndsWith('\n') || file.Text.EndsWith("\n\n", StringComparison.Ordinal))
            yield return file.At(1, "must end in exactly one newline");
        foreach ((int number, string line) in file.Lines())
        {
            if (line.Contains('\t'))
                yield return file.At(number, "tab");
            if (line.Length > 0 && char.IsWhiteSpace(line[^1]))
                yield return file.At(number, "blank at the end of the line");
        }
    }

    private static IEnumerable<string> Length(SourceFile file)
    {
        foreach ((int number, string line) in file.Lines())
        {
            if (line.Length > LongestLine)
                yield return file.At(number, $"{line.Length} columns, at most {LongestLine}");
        }
        int count = file.Text.Count(c => c == '\n');
        if (count > LongestFile && !LongFiles.ContainsKey(file.FilePath))
            yield return file.At(count, $"{count} lines, at most {LongestFile}; if it is better whole, list it with the reason");
    }

    private static IEnumerable<string> Marks(SourceFile file) =>
        file.Lines().Where(l => Mark().IsMatch(l.Text)).Select(l => file.At(l.Number, $"'{Mark().Match(l.Text).Value}'"));

    private static IEnumerable<string> SourcePaths(SourceFile file) =>
        file.CodeLines().Where(l => SourcePath().IsMatch(l.Text)).Select(l => file.At(l.Number, "use SourceTree.Root"));

    private static IEnumerable<string> Async(SourceFile file) =>
        file.FilePath.StartsWith("src/Launchd/Cli/", StringComparison.Ordinal)
            ? []
            : file.CodeLines().Where(l => AsyncWord().IsMatch(l.Text)).Select(l => file.At(l.Number, "no tasks in the daemon"));
}
