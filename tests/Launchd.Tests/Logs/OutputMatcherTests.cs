using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

/// <summary>A service that said it is ready is not left waiting, however long the matching took.</summary>
public sealed class OutputMatcherTests
{
    private readonly char[] _scratch = new char[LineSplitter.LongestBytes];

    [Fact]
    public void ALineThatTakesLongIsMatchedAllTheSame()
    {
        // Each character of the line is a new state of this pattern: some hundred milliseconds on any machine.
        OutputMatcher matcher = new(1, "(a|b)*a.{900}z", () => { });
        Random random = new(1);
        byte[] line = [.. Enumerable.Range(0, LineSplitter.LongestBytes - 1).Select(_ => (byte)"ab"[random.Next(2)]), (byte)'z'];
        line[^902] = (byte)'a';

        Assert.NotNull(matcher.Try(line, _scratch));
        Assert.True(matcher.IsDone);
    }

    [Fact]
    public void TheFirstMatchTellsOnce()
    {
        int told = 0;
        OutputMatcher matcher = new(1, "^listening on \\d+$", () => told++);

        Assert.Null(matcher.Try("not listening on 80"u8, _scratch));
        matcher.Try("listening on 80"u8, _scratch)!();
        Assert.Null(matcher.Try("listening on 81"u8, _scratch));
        Assert.Equal(1, told);
    }

    [Theory]
    [InlineData("x{3000}")]
    [InlineData("(x{100}){100}")]
    [InlineData("(?=x)y")]
    [InlineData("(x)\\1")]
    public void APatternWhoseWorkHasNoBoundIsRefused(string pattern) =>
        Assert.Throws<NotSupportedException>(() => new OutputMatcher(1, pattern, () => { }));

    [Fact]
    public void BytesThatAreNoTextAreMatchedAroundThem()
    {
        OutputMatcher matcher = new(1, "begun", () => { });

        Assert.NotNull(matcher.Try([0xff, 0xfe, .. Encoding.UTF8.GetBytes("begun")], _scratch));
    }
}
