using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Starting;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

public sealed class ValueTests
{
    private static readonly BackoffPolicy Policy = new()
    {
        Initial = TimeSpan.FromMilliseconds(100), Factor = 2, Max = TimeSpan.FromSeconds(1), Jitter = 0.5,
    };

    [Theory]
    [InlineData(0, 0.5, 100)]
    [InlineData(1, 0.5, 200)]
    [InlineData(3, 0.5, 800)]
    [InlineData(4, 0.5, 1000)]
    [InlineData(int.MaxValue, 0.5, 1000)]
    [InlineData(0, 0.0, 50)]
    [InlineData(0, 1.0, 150)]
    public void TheBackoff_GrowsToItsLimit_WithinItsJitter(int attempt, double random, double milliseconds) =>
        Assert.Equal(milliseconds, Backoff.Delay(Policy, attempt, random).TotalMilliseconds, precision: 3);

    [Fact]
    public void ABackoffOfZero_IsNone() => Assert.Equal(TimeSpan.Zero, Backoff.Delay(Policy with { Initial = TimeSpan.Zero }, 5, 1));

    [Fact]
    public void TheStartWindow_SlidesAndIsFullAtTheBurst()
    {
        RateLimit limit = new(2, TimeSpan.FromSeconds(10));
        ImmutableArray<Moment> starts = StartWindow.Add([], limit, At(0));
        Assert.False(StartWindow.IsFull(starts, limit, At(1)));
        starts = StartWindow.Add(starts, limit, At(1));
        Assert.True(StartWindow.IsFull(starts, limit, At(9)));
        Assert.False(StartWindow.IsFull(starts, limit, At(10)));
        Assert.Equal<Moment[]>([At(1), At(10)], [.. StartWindow.Add(starts, limit, At(10))]);
    }

    [Fact]
    public void AWindowThatTwoDefinitionsMayDecideBy_IsKeptForBoth()
    {
        RateLimit often = new(5, TimeSpan.FromSeconds(1)), rare = new(2, TimeSpan.FromSeconds(60));
        Assert.Equal(new RateLimit(5, TimeSpan.FromSeconds(60)), StartWindow.Either(often, rare));
        Assert.Equal(rare, StartWindow.Either(RateLimit.Unlimited, rare));
        Assert.Equal(rare, StartWindow.Either(rare, RateLimit.Unlimited));
        Assert.True(StartWindow.Either(RateLimit.Unlimited, RateLimit.Unlimited).IsUnlimited);
    }

    [Fact]
    public void AnUnlimitedStartWindow_KeepsNothing() => Assert.Empty(StartWindow.Add([At(1)], RateLimit.Unlimited, At(2)));

    [Theory]
    [InlineData(0, "0ms")]
    [InlineData(0.25, "250us")]
    [InlineData(250, "250ms")]
    [InlineData(1500, "1.5s")]
    [InlineData(60_000, "1m")]
    [InlineData(90_000, "1m30s")]
    [InlineData(3_600_000, "1h")]
    [InlineData(5_400_000, "1h30m")]
    public void Spans_AreWrittenAsPeopleDo(double milliseconds, string text) =>
        Assert.Equal(text, Spans.Show(TimeSpan.FromMilliseconds(milliseconds)));

    [Fact]
    public void SpansNearTheNextUnit_AreNotRoundedAcrossIt()
    {
        Assert.Equal("1s", Spans.Show(TimeSpan.FromMilliseconds(999.9)));
        Assert.Equal("1m", Spans.Show(TimeSpan.FromMilliseconds(59_999.9)));
        Assert.Equal("2m", Spans.Show(TimeSpan.FromMilliseconds(120_400)));
        Assert.Equal("1h", Spans.Show(TimeSpan.FromMilliseconds(3_599_999.9)));
        Assert.Equal("26h", Spans.Show(TimeSpan.FromHours(26)));
    }

    [Fact]
    public void ExitStatuses_SayHowItEnded()
    {
        Assert.Equal("exited with 3", new ExitStatus(3).ToString());
        Assert.Equal("killed by SIGKILL", new ExitStatus(0, 9).ToString());
        Assert.Equal("killed by SIGSEGV, core dumped", new ExitStatus(0, 11, DumpedCore: true).ToString());
        Assert.Equal(137, new ExitStatus(0, 9).ShellCode);
        Assert.Equal(3, new ExitStatus(3).ShellCode);
    }

    [Fact]
    public void Failures_AreSentences()
    {
        Failure exited = new Failure.Exited(new ExitStatus(1));
        Assert.Equal("was not ready within 30s", new Failure.NotReadyInTime(TimeSpan.FromSeconds(30)).ToString());
        Assert.Equal("sent no WATCHDOG=1 for 10s", new Failure.WatchdogSilent(TimeSpan.FromSeconds(10)).ToString());
        Assert.Equal("exited with 1 before it was ready", new Failure.ExitedEarly(new ExitStatus(1)).ToString());
        Assert.Equal(
            "started 5 times within 1m, not tried again; last: exited with 1",
            new Failure.StartLimitReached(5, TimeSpan.FromMinutes(1), exited.ToString()).ToString());
        Assert.Equal(
            "started 5 times within 1m, not tried again", new Failure.StartLimitReached(5, TimeSpan.FromMinutes(1), Last: null).ToString());
        Assert.Equal("requires db, which failed", new Failure.DependencyFailed(new ServiceName("db")).ToString());
        Assert.Contains("4711", new Failure.CannotBeKilled(4711).ToString(), StringComparison.Ordinal);
        Assert.EndsWith("oops", new Failure.Faulted("oops").ToString(), StringComparison.Ordinal);
        Assert.Contains("WATCHDOG=trigger", Failure.WatchdogTriggered.Value.ToString(), StringComparison.Ordinal);
        Assert.Equal("exec x: no", new Failure.SpawnFailed("exec", 2, "exec x: no").ToString());
    }

    [Fact]
    public void TimeThatGoesBackwards_IsRefused()
    {
        Supervisor supervisor = new(A.Definition(A.Service("web")), seed: 1);
        supervisor.Step(Event.Booted.Value, At(5));
        Assert.Throws<ArgumentOutOfRangeException>(() => supervisor.Step(Event.Booted.Value, At(4)));
    }

    private static Moment At(int seconds) => new(seconds * 1_000_000_000L);
}
