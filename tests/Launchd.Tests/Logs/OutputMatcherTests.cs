using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

/// <summary>A service that said it is ready is not left waiting, however long the matching took.</summary>
public sealed class OutputMatcherTests
{
    private readonly char[] _scratch = new char[OutputMatcher.PieceBytes];

    [Fact]
    public void ALineThatTakesLongIsMatchedAllTheSame()
    {
        // Each character of the line is a new state of this pattern: some hundred milliseconds on any machine.
        OutputMatcher matcher = new(1, "(a|b)*a.{900}z", () => { });
        Random random = new(1);
        byte[] line = [.. Enumerable.Range(0, OutputMatcher.PieceBytes - 1).Select(_ => (byte)"ab"[random.Next(2)]), (byte)'z'];
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

    [Theory]
    [InlineData("\e[32mLocal\e[0m: http://localhost:\e[1m5173\e[22m/", "Local: http://localhost:5173")]
    [InlineData("see \e]8;;http://localhost:3000\e\\http://localhost:3000\e]8;;\e\\ now", "^see http://localhost:3000 now$")]
    [InlineData("see \e]8;;http://x\athe page\e]8;;\a", "^see the page$")]
    [InlineData("\e]0;vite\alistening", "^listening$")]
    [InlineData("building 10%\rbuilding 99%\r\e[Kready", "^ready$")]
    [InlineData("building 10%\rlistening on 80\rbuilding 11%", "^listening on 80$")]
    [InlineData("\e[2K\e[1Glistening", "^listening$")]
    [InlineData("lisx\btening", "^listening$")]
    [InlineData("\e(B\e[mready\e[K", "^ready$")]
    [InlineData("\u009b31mready\u009b0m", "^ready$")]
    [InlineData("ready\e[1Cnow", "^ready now$")]
    [InlineData("listening\r", "^listening$")]
    public void ALineMatchesAsItIsSeen(string line, string pattern) =>
        Assert.NotNull(new OutputMatcher(1, pattern, () => { }).Try(Encoding.UTF8.GetBytes(line), _scratch));

    [Fact]
    public void APatternThatHasTheCodesThemselves_MatchesAsBefore() =>
        Assert.NotNull(new OutputMatcher(1, "\\x1b\\[32mready", () => { }).Try("\e[32mready\e[0m"u8, _scratch));

    [Theory]
    [InlineData("\e")]
    [InlineData("\e[")]
    [InlineData("\e[99999999999999999999C|")]
    [InlineData("\e]8;;http://rea\edy")]
    [InlineData("\b\b\e[5D\e[0G\e[2147483647G.")]
    public void WhatIsBrokenOff_DoesNoHarm(string line) =>
        Assert.Null(new OutputMatcher(1, "ready", () => { }).Try(Encoding.UTF8.GetBytes(line), _scratch));

    [Fact]
    public void ALongLineFullOfRedraws_IsReadInOnePass()
    {
        byte[] line = [.. Enumerable.Repeat((byte)'\r', OutputMatcher.PieceBytes - 5), .. "ready"u8];
        Assert.NotNull(new OutputMatcher(1, "^ready$", () => { }).Try(line, _scratch));
    }

    [Fact]
    public void WhatStandsWhereALongLineWasCut_IsFound()
    {
        char[] scratch = new char[OutputMatcher.PieceBytes + OutputMatcher.OverlapLength];
        OutputMatcher matcher = new(1, "listening on 80", () => { });
        Assert.Null(matcher.Try("xxxx listen"u8, scratch, LineCut.AtEnd));
        Assert.NotNull(matcher.Try("ing on 80 yyyy"u8, scratch, LineCut.AtStart));
        OutputMatcher other = new(1, "listening on 80", () => { });
        Assert.Null(other.Try("xxxx listen"u8, scratch));
        Assert.Null(other.Try("ing on 80 yyyy"u8, scratch));
    }

    [Fact]
    public void OfALongLineAllIsLookedAt_AndNoCharacterIsTornByThat()
    {
        char[] scratch = new char[OutputMatcher.PieceBytes + OutputMatcher.OverlapLength + 1];
        byte[] filling = Encoding.UTF8.GetBytes(new string('é', OutputMatcher.PieceBytes));
        byte[] begun = Encoding.UTF8.GetBytes("éé begun éé");
        for (int before = OutputMatcher.PieceBytes - 30; before < OutputMatcher.PieceBytes + 4; before++)
        {
            byte[] line = [.. new byte[before].Select(_ => (byte)'x'), .. begun, .. filling];
            Assert.NotNull(new OutputMatcher(1, "éé begun éé", () => { }).Try(line, scratch));
            Assert.NotNull(new OutputMatcher(1, "éé begun éé", () => { }).Try([.. filling, .. line], scratch));
        }
    }

    // Without a limit each of the moves would blank ten thousand cells, and the y would stand behind them.
    [Fact]
    public void ALineThatMovesAndErasesWithoutEnd_IsReadAsIfItDidNot()
    {
        string line = string.Concat(Enumerable.Repeat("\e[9999Gx\e[2K", 1000)) + "\e[9999Gy";
        OutputMatcher matcher = new(1, "^y$", () => { });

        Assert.NotNull(matcher.Try(Encoding.UTF8.GetBytes(line), _scratch));
    }
}
