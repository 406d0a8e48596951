using Launchd.Keeper;
using Xunit;

namespace Launchd.Tests.Keeper;

/// <summary>When the next supervisor is started after one has died.</summary>
public sealed class KeeperDeathsTests
{
    private const long Millisecond = 1_000_000, Second = 1000 * Millisecond;

    private readonly KeeperDeaths _deaths = new();
    private long _now = 1000 * Second;

    [Fact]
    public void TheFirstIsReplacedAtOnce_ThenAfterPausesThatDouble()
    {
        Assert.Equal([0, 100, 200, 400, 800], Enumerable.Range(0, 5).Select(_ => Die(Second)));
        Assert.False(_deaths.IsGivenUp);
        _ = Die(Second);
        Assert.True(_deaths.IsGivenUp);
    }

    [Fact]
    public void APauseIsAtMostFiveSeconds() => Assert.Equal(5000, Die(30 * Second, count: 40));

    [Fact]
    public void AMinuteOfRunningForgetsThePauses()
    {
        _ = Die(Second, count: 4);

        Assert.Equal([0, 100], new[] { Die(60 * Second), Die(Second) });
        Assert.Equal(2, _deaths.Recent(_now));
    }

    [Fact]
    public void ThreeWithinAMinuteMeanDistrust()
    {
        bool[] distrusted = [.. Enumerable.Range(0, 3).Select(_ => (Died: Die(Second), _deaths.IsDistrusted(_now)).Item2)];

        Assert.Equal([false, false, true], distrusted);
        Assert.False(_deaths.IsDistrusted(_now + (60 * Second)));
    }

    [Fact]
    public void DeathsThatAreRareEndNothing()
    {
        for (int i = 0; i < 100; i++)
        {
            _ = Die(13 * Second);
            Assert.False(_deaths.IsGivenUp);
        }
    }

    [Fact]
    public void OneMoreTryIsOne_UnlessItLasts()
    {
        _ = Die(Second, count: 6);
        _now += 1000 * Second;

        _deaths.TryOnceMore();

        Assert.False(_deaths.IsGivenUp);
        Assert.True(_deaths.IsDistrusted(_now));
        _ = Die(59 * Second);
        Assert.True(_deaths.IsGivenUp);
        _deaths.TryOnceMore();
        Assert.Equal(0, Die(60 * Second));
        Assert.False(_deaths.IsGivenUp);
        Assert.False(_deaths.IsDistrusted(_now));
    }

    [Fact]
    public void ThatSomebodyKillsIt_SaysNothingAgainstIt()
    {
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(0, IsKilled(wasRunning: true));
            Assert.False(_deaths.Counts || _deaths.IsDistrusted(_now) || _deaths.IsGivenUp);
        }
    }

    [Fact]
    public void UnlessOneAfterTheOtherIsKilledBeforeItServes()
    {
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < 20; i++)
                Assert.Equal(0, IsKilled(wasRunning: false));
            Assert.False(_deaths.Counts);
            Assert.Equal(0, IsKilled(wasRunning: true));
        }
        for (int i = 0; i < 23; i++)
            _ = IsKilled(wasRunning: false);
        Assert.True(_deaths.Counts && _deaths.IsDistrusted(_now));
    }

    private long IsKilled(bool wasRunning)
    {
        _deaths.Note(_now, _now, isKill: true, wasRunning);
        _now += _deaths.Pause;
        return _deaths.Pause / Millisecond;
    }

    /// <summary>Supervisors that lived so long die; the last pause in milliseconds.</summary>
    private long Die(long lived, int count = 1)
    {
        for (int i = 0; i < count; i++)
        {
            long started = _now;
            _now += lived;
            _deaths.Note(started, _now, isKill: false, wasRunning: true);
            _now += _deaths.Pause;
        }
        return _deaths.Pause / Millisecond;
    }
}
