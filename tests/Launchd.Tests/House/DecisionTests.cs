using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// docs/adr: each decision says of what standing it is and since when, and the index says the same; links lead somewhere.
/// </summary>
public sealed partial class DecisionTests
{
    private static readonly string Folder = Path.Combine(SourceTree.Root, "docs", "adr");

    [Fact]
    public void EachHasAStatus_AndStandsInTheIndexWithIt()
    {
        string[] pages = [.. Directory.GetFiles(Folder, "0*.md").Order(StringComparer.Ordinal)];
        string index = File.ReadAllText(Path.Combine(Folder, "README.md"));

        Assert.True(pages.Length > 40, "the decisions are not where they were");
        Assert.Empty(pages.SelectMany(page => Wrong(Path.GetFileName(page), File.ReadAllText(page), index)));
    }

    [Fact]
    public void LinksToOthersLeadSomewhere() => Assert.Empty(Directory.GetFiles(Folder, "*.md").SelectMany(page =>
        Link().Matches(File.ReadAllText(page)).Select(m => m.Groups["file"].Value).Where(file => !File.Exists(Path.Combine(Folder, file)))
            .Select(file => $"{Path.GetFileName(page)} names {file}, which is not there")));

    [Theory]
    [InlineData("# 7. A title\n\nStatus: accepted, 2026-11-22.\n", "")]
    [InlineData("# 7. A title\n\nStatus: replaced by [8](0008-b.md), 2026-11-22.\n", "| 7 | [A title](0007-a.md) | accepted, 2026-11-22 |")]
    [InlineData("# 7. A title\n\n## Context\n", "| 7 | [A title](0007-a.md) | accepted, 2026-11-22 |")]
    [InlineData("# 8. A title\n\nStatus: accepted, 2026-11-22.\n", "| 8 | [A title](0007-a.md) | accepted, 2026-11-22 |")]
    public void WhatIsWrongIsFound(string page, string index) => Assert.NotEmpty(Wrong("0007-a.md", page, index));

    [Fact]
    public void WhatIsRightIsNotReported() =>
        Assert.Empty(
            Wrong("0007-a.md", "# 7. A title\n\nStatus: accepted, 2026-11-22.\n", "| 7 | [A title](0007-a.md) | accepted, 2026-11-22 |"));

    private static IEnumerable<string> Wrong(string file, string page, string index)
    {
        if (Head().Match(page) is not { Success: true } head)
        {
            yield return $"{file} does not begin with \"# N. Title\" and \"Status: accepted, DATE.\" or \"Status: replaced by …, DATE.\"";
            yield break;
        }
        string row = $"| {head.Groups["number"]} | [{head.Groups["title"]}]({file}) | {head.Groups["status"]} |";
        if (int.Parse(head.Groups["number"].Value) != int.Parse(file[..4]))
            yield return $"{file} has another number in its title";
        if (!index.Contains(row, StringComparison.Ordinal))
            yield return $"README.md does not name {file} with its title and status";
    }

    [GeneratedRegex(@"^# (?<number>\d+)\. (?<title>.+)\n\nStatus: (?<status>(accepted|replaced by .+), \d{4}-\d\d-\d\d)\.\n")]
    private static partial Regex Head();

    [GeneratedRegex(@"\((?<file>\d{4}-[\w-]+\.md)\)")]
    private static partial Regex Link();
}
