using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// docs/testing.md says which test restates which case of systemd; a test that is renamed or lost would leave a claim without proof.
/// </summary>
public sealed partial class TestingDocumentTests
{
    [Fact]
    public void EveryTestThatTheTableNames_IsThere()
    {
        string table = File.ReadAllText(Path.Combine(SourceTree.Root, "docs", "testing.md")).Split("## What systemd tests")[1];
        string[] rows = [.. table.Split('\n').Where(l => l.StartsWith('|')).Skip(2)];
        SourceFile[] tests = [.. SourceTree.Files("tests")];
        Assert.True(rows.Length > 25, "the table of the document is not where it was");
        Assert.Empty(rows.SelectMany(row => Missing(row, tests)));
    }

    [Fact]
    public void EveryTestThatTheTablesOfSecurityName_IsThere()
    {
        string[] rows = [.. File.ReadAllLines(Path.Combine(SourceTree.Root, "docs", "security.md"))
            .Where(l => l.Contains("Tests.", StringComparison.Ordinal))];
        SourceFile[] tests = [.. SourceTree.Files("tests")];
        Assert.True(rows.Length > 25, "the tables of the document are not where they were");
        Assert.Empty(rows.SelectMany(row => Missing($"| a threat | {row.Split('|')[^2]} | shown |", tests)));
    }

    [Theory]
    [InlineData("| a case | `SourceTree.Files…`, `TestingDocumentTests` | done |")]
    [InlineData("| a case | - | not wanted |", "| a case | - | not wanted |: names no test and says no reason why not")]
    [InlineData("| a case | `TestingDocumentTests.NoSuch…` | done |", "there is no test TestingDocumentTests.NoSuch")]
    [InlineData("| a case | `NoSuchTests` | done |", "there are no tests NoSuchTests")]
    public void ARowThatIsNotTrue_IsFound(string row, params string[] expected) =>
        Assert.Equal(expected, Missing(row, [.. SourceTree.Files("tests")]));

    private static IEnumerable<string> Missing(string row, SourceFile[] tests)
    {
        string[] cells = row.Split('|', StringSplitOptions.TrimEntries);
        bool isReasoned = cells[3].Contains(':', StringComparison.Ordinal) || cells[3].StartsWith("with ", StringComparison.Ordinal);
        if (cells[2] == "-" && !isReasoned)
            yield return $"{row}: names no test and says no reason why not";
        foreach (Match name in TestName().Matches(cells[2]))
        {
            string type = name.Groups["type"].Value, method = name.Groups["method"].Value;
            // A class in several files has its name before the first dot of each.
            SourceFile[] files = [.. tests.Where(f => Path.GetFileName(f.FilePath).StartsWith(type + ".", StringComparison.Ordinal))];
            if (files.Length == 0)
                yield return $"there are no tests {type}";
            else if (method.Length > 0 && !files.Any(f => Regex.IsMatch(f.Code, $@"\b{Regex.Escape(method)}\w*\(")))
                yield return $"there is no test {type}.{method}";
        }
    }

    [GeneratedRegex(@"`(\w+/)*(?<type>[A-Z]\w+)(\.(?<method>\w+)…?)?`")]
    private static partial Regex TestName();
}
