using Launchd.Linux.Loop;
using Xunit;

namespace Launchd.Tests.Linux;

/// <summary>When a loop was kept from running.</summary>
public sealed class AbsencesTests
{
    private const long Second = 1_000_000_000;

    [Theory]
    [InlineData(2, 2, false, 0)]
    [InlineData(2, 1, false, 0)]
    [InlineData(-1, 3600, false, 0)]
    [InlineData(2, 10, false, 10)]
    [InlineData(0, 5, false, 5)]
    [InlineData(20, 8, true, 8)]
    [InlineData(-1, 8, true, 8)]
    public void AWait_ThatEndsLateOrIsInterrupted_WasAnAbsence(int asked, int waited, bool wasInterrupted, int away) =>
        Assert.Equal(away * Second, new Absences().Note(7 * Second, asked * Second, (7 + waited) * Second, wasInterrupted));

    [Fact]
    public void AStopBetweenTwoWaits_IsOneToo()
    {
        Absences absences = new();
        Assert.Equal(0, absences.Note(Second, 0, Second, wasInterrupted: false));
        Assert.Equal(0, absences.Note(Second + (Second / 2), 0, 2 * Second, wasInterrupted: false));
        Assert.Equal(8 * Second, absences.Note(10 * Second, -1, 11 * Second, wasInterrupted: false));
    }

    [Fact]
    public void WhatIsShort_IsNotTold() => Assert.Equal(0, new Absences().Note(0, -1, Absences.Least - 1, wasInterrupted: true));
}
