using System.Text;
using Launchd.Keeper;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.Tests.Keeper;

/// <summary>What the keeper says on standard error, and that it never outgrows its memory.</summary>
public sealed class KeeperLineTests
{
    [Theory]
    [InlineData(0, 9, false, "was killed by SIGKILL")]
    [InlineData(0, 6, true, "was killed by SIGABRT (core dumped)")]
    [InlineData(0, 40, false, "was killed by signal 40")]
    [InlineData(134, 0, false, "ended with code 134 without having been asked to")]
    public void AnEndIsToldInWords(int code, int signal, bool dumpedCore, string expected)
    {
        KeeperLine line = new(new byte[KeeperLine.MostBytes]);

        line.Add(new Reaped(7, code, signal, dumpedCore));

        Assert.Equal("launchd-cs keeper: " + expected, Encoding.UTF8.GetString(line.Text));
    }

    [Theory]
    [InlineData(1, "1st")]
    [InlineData(2, "2nd")]
    [InlineData(3, "3rd")]
    [InlineData(4, "4th")]
    [InlineData(11, "11th")]
    [InlineData(12, "12th")]
    [InlineData(22, "22nd")]
    public void ARowIsCounted(int number, string expected)
    {
        KeeperLine line = new(new byte[KeeperLine.MostBytes]);

        line.AddOrdinal(number);

        Assert.EndsWith(": " + expected, Encoding.UTF8.GetString(line.Text), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsTooLongIsCut_WithRoomForTheEndOfTheLine()
    {
        KeeperLine line = new(new byte[KeeperLine.MostBytes]);

        for (int i = 0; i < 300; i++)
            line.Add(long.MinValue);

        Assert.Equal(KeeperLine.MostBytes - 1, line.Text.Length);
    }
}
