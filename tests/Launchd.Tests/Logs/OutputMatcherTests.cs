using System.Text.RegularExpressions;
using Launchd.Host.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class OutputMatcherTests
{
    private readonly char[] _scratch = new char[LineSplitter.LongestBytes + 1];

    [Fact]
    public void TheFirstLineThatMatches_IsToldOnce()
    {
        int matches = 0;
        OutputMatcher matcher = new(1, "^ready [0-9]+$", () => matches++);

        Assert.Null(matcher.Try("starting"u8, _scratch));
        matcher.Try("ready 1"u8, _scratch)!();

        Assert.True(matcher.IsDone);
        Assert.Null(matcher.Try("ready 2"u8, _scratch));
        Assert.Equal(1, matches);
    }

    [Fact]
    public void TheLimitIsNoMeasureOfASlowMachine_ButAnEndForACostlyPattern()
    {
        // Seconds of work for one line; building the engine for an ordinary pattern takes tens of milliseconds at its first use.
        const string Costly = "(a?){300}a{300}b";
        byte[] line = new byte[LineSplitter.LongestBytes];
        line.AsSpan().Fill((byte)'a');
        OutputMatcher matcher = new(1, Costly, () => { }, TimeSpan.FromMilliseconds(1));

        Assert.Throws<RegexMatchTimeoutException>(() => matcher.Try(line, _scratch));

        Assert.True(matcher.IsDone);
        Assert.Null(matcher.Try("b"u8, _scratch));
        Assert.True(OutputMatcher.LongestMatch >= TimeSpan.FromSeconds(1));
    }
}
