using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class TextTests
{
    [Theory]
    [InlineData("plain ünïcode 漢字 👍", "plain ünïcode 漢字 👍")]
    [InlineData("\e[31mred", @"\x1b[31mred")]
    [InlineData("a\u009b31mb\u007f", @"a\x9b31mb\x7f")]
    [InlineData("tab\tnewline\nreturn\r", @"tab\tnewline\nreturn\r")]
    [InlineData("abc\u202etxt", @"abc\u202etxt")]
    public void WhatATerminalWouldObeyBecomesVisible(string text, string expected) => Assert.Equal(expected, TerminalText.Escape(text));

    [Fact]
    public void HalfOfASurrogatePairIsReplaced() => Assert.Equal("half \ufffd.", TerminalText.Escape("half " + (char)0xd83d + "."));

    [Theory]
    [InlineData("{\"event\":\"ready\",\"after_ms\":12}", "after 12 ms")]
    [InlineData("{\"event\":\"ready\",\"after_ms\":2300}", "after 2.3 s")]
    [InlineData("{\"event\":\"ready\",\"after_ms\":\"soon\"}", "after ms soon")]
    [InlineData("{\"event\":\"stored\",\"stored_as\":\"a\"}", "stored as a")]
    public void OtherKeysOfAnEventReadAsText(string item, string text)
    {
        Terminal terminal = new() { Writer = TextWriter.Null, IsTerminal = false, HasColour = false, Size = () => (80, 24) };

        string line = EventText.Line(terminal, System.Text.Json.JsonDocument.Parse(item).RootElement, moment => moment.UtcDateTime);

        Assert.EndsWith(" " + text, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("abc", 3)]
    [InlineData("漢字", 4)]
    [InlineData("e\u0301", 1)]
    [InlineData("👍", 2)]
    public void ColumnsAreWhatATerminalTakes(string text, int columns) => Assert.Equal(columns, TerminalText.Columns(text));

    [Theory]
    [InlineData("abcdef", 6, "abcdef")]
    [InlineData("abcdef", 5, "abcd…")]
    [InlineData("漢字漢字", 6, "漢字…")]
    [InlineData("漢字漢字", 8, "漢字漢字")]
    public void ACutTextEndsWithAnEllipsis_WithinTheColumns(string text, int columns, string expected) =>
        Assert.Equal(expected, TerminalText.Cut(text, columns));

    [Theory]
    [InlineData(-5, "0s")]
    [InlineData(59_999, "59s")]
    [InlineData(192_000, "3m 12s")]
    [InlineData(7_512_000, "2h 5m")]
    [InlineData(93_784_000, "1d 2h")]
    public void AgesHaveTheirTwoLargestUnits(long milliseconds, string expected) => Assert.Equal(expected, DurationText.Age(milliseconds));

    [Theory]
    [InlineData(0, "0 ms")]
    [InlineData(999, "999 ms")]
    [InlineData(2_345, "2.3 s")]
    [InlineData(48_900, "48 s")]
    [InlineData(60_000, "1m 0s")]
    public void ElapsedTimeHasAFigureAndAUnit(long milliseconds, string expected) =>
        Assert.Equal(expected, DurationText.Elapsed(milliseconds));

    [Theory]
    [InlineData(400, "400ms")]
    [InlineData(2_400, "2s")]
    [InlineData(0, "0s")]
    public void CountdownsAreExactBelowASecond(long milliseconds, string expected) =>
        Assert.Equal(expected, DurationText.Countdown(milliseconds));
}
