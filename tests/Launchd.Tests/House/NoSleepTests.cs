using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>Tests wait for the event that they need, with a deadline; time given to something is either too short or wasted.</summary>
public sealed partial class NoSleepTests
{
    private const string Exempt = "/Support/Deadline.cs";

    [Fact]
    public void NoTestSleeps()
    {
        IEnumerable<SourceFile> files = SourceTree.Files("tests").Where(f => !f.FilePath.EndsWith(Exempt, StringComparison.Ordinal));

        Assert.NotEmpty(files);
        Verdict.None(files.SelectMany(Sleeps));
    }

    [Theory]
    [InlineData("Thread.Sleep(5);")]
    [InlineData("await System.Threading.Tasks.Task.Delay(5);")]
    [InlineData("Thread . Sleep (5);")]
    [InlineData("using static System.Threading.Thread;")]
    [InlineData("SpinWait.SpinUntil(() => done);")]
    public void ASleepIsFound(string text) => Assert.NotEmpty(Sleeps(new SourceFile("tests/A.cs", text)));

    [GeneratedRegex(@"\bThread\s*\.\s*Sleep\b|\bTask\s*\.\s*Delay\b|\busing static System\.Threading\.Thread\b|\bSpinUntil\b")]
    private static partial Regex Sleep();

    private static IEnumerable<string> Sleeps(SourceFile file) =>
        file.CodeLines().Where(l => Sleep().IsMatch(l.Text)).Select(l => file.At(l.Number, "wait for the event, see Support/Deadline.cs"));
}
