using Launchd.Core;
using Launchd.Core.Starting;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>
/// The supervisor itself has no descriptor, memory or process left: nobody is sent away for it, and no service is given up.
/// </summary>
public sealed class ShortageTests
{
    private static readonly ServiceName Each = new("each");

    [Fact]
    public void AClientForWhomThereIsNoProcess_WaitsAndGoesFirst()
    {
        World world = new World(A.Connection("each")).Boot();
        world.IsShort = true;
        Accept(world, 1);
        for (int attempt = 1; attempt <= 4; attempt++)
        {
            Assert.False(world.State("each").IsWatching);
            Assert.Equal(Limits.ShortagePause * (1 << (attempt - 1)), world.State("each").PausedUntil!.Value - world.Now);
            world.Fire(TimerKind.Activation);
        }
        world.IsShort = false;
        world.Fire(TimerKind.Activation);
        Assert.Single(world.Live);
        Assert.All(world.Effects.OfType<Effect.Spawn>(), s => Assert.Equal(new ConnectionId(1), s.Connection));
        Assert.True(world.State("each").IsWatching);
        Assert.Equal(0, world.State("each").ShortageCount);
        Assert.DoesNotContain(world.Effects, e => e is Effect.CloseConnection);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AClientThatWaits_IsSentAwayWhenTheServiceStops(bool isShutdown)
    {
        World world = new World(A.Connection("each")).Boot();
        world.IsShort = true;
        Accept(world, 1);
        if (isShutdown)
            world.Do(new Event.ShutdownAsked("SIGTERM", IsImmediate: false));
        else
            world.Ask(Verb.Stop, "each");
        Assert.Contains(new Effect.CloseConnection(new ConnectionId(1)), world.Effects);
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void AClientThatWaits_IsSentAwayWhenTheServiceLeavesTheConfiguration()
    {
        World world = new World(A.Connection("each"), A.Service("other")).Boot();
        world.IsShort = true;
        Accept(world, 1);
        world.Reload(A.Definition(A.Service("other")));
        Assert.Contains(new Effect.CloseConnection(new ConnectionId(1)), world.Effects);
        Assert.Null(world.Supervisor.Find(Each));
    }

    [Fact]
    public void AClientThatWaits_IsServedAtOnceWhenAnOperatorStartsTheService()
    {
        World world = new World(A.Connection("each")).Boot();
        world.IsShort = true;
        Accept(world, 1);
        world.IsShort = false;
        world.Ask(Verb.Start, "each");
        Assert.Single(world.Live);
    }

    [Theory]
    [InlineData("Always")]
    [InlineData("Never")]
    public void ADemandService_IsTriedAgainHoweverOften(string policy)
    {
        World world = new World(A.Demand("lazy") with { Restart = Enum.Parse<RestartKind>(policy), StartLimit = new RateLimit(2,
            TimeSpan.FromHours(1)) }).Boot();
        world.IsShort = true;
        world.Do(new Event.ListenerReadable(new ServiceName("lazy"), 0));
        for (int attempt = 1; attempt < 20; attempt++)
            world.Fire(TimerKind.Backoff);
        Assert.Equal(20, world.Spawned("lazy"));
        world.IsShort = false;
        world.Fire(TimerKind.Backoff);
        Assert.True(world.Has("lazy"));
        Assert.Single(world.State("lazy").Slots[0].Starts);
    }

    // Its own back-off may be none at all.
    [Fact]
    public void AnyOtherService_IsTriedLessAndLessOften()
    {
        World world = new World(A.Service("web") with { Backoff = new BackoffPolicy { Initial = TimeSpan.Zero, Jitter = 0 } });
        world.IsShort = true;
        world.Boot();
        double[] pauses = [.. Enumerable.Range(0, 9).Select(_ =>
        {
            double pause = (world.Timers.Single(t => t.Key.Kind == TimerKind.Backoff).Value - world.Now).TotalMilliseconds;
            world.Fire(TimerKind.Backoff);
            return pause;
        })];
        Assert.Equal([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000], pauses);
        world.IsShort = false;
        world.Fire(TimerKind.Backoff);
        Assert.True(world.Has("web"));
    }

    // There may never be enough for all of them.
    [Fact]
    public void ManyServices_AreTriedOneAfterAnother()
    {
        BackoffPolicy none = new() { Initial = TimeSpan.Zero, Jitter = 0 };
        World world = new([.. Enumerable.Range(0, 40).Select(i => A.Service($"s{i}") with { Backoff = none })]);
        world.IsShort = true;
        world.Boot();

        for (int attempt = 0; attempt < 200; attempt++)
            _ = world.Fire();

        Moment[] dues = [.. world.Timers.Where(t => t.Key.Kind == TimerKind.Backoff).Select(t => t.Value).Order()];
        Assert.Equal(40, dues.Length);
        Assert.All(dues.Zip(dues.Skip(1)), pair => Assert.True(pair.Second - pair.First >= Limits.ShortageDistance));
        Assert.True(dues[^1] - world.Now <= 41 * Limits.ShortageDistance);
    }

    [Fact]
    public void AServicesOwnLongBackoff_PutsOffNoOther()
    {
        TimeSpan hour = TimeSpan.FromHours(1);
        World world = new(
            A.Service("slow") with { Backoff = new BackoffPolicy { Initial = hour, Max = hour, Jitter = 0 } },
            A.Service("web") with { Backoff = new BackoffPolicy { Initial = TimeSpan.Zero, Jitter = 0 } });
        world.IsShort = true;
        world.Boot();
        Assert.Equal(hour, DueOf(world, "slow") - world.Now);
        for (int attempt = 0; attempt < 20; attempt++)
        {
            Assert.Equal(Activation.ShortagePause(attempt), DueOf(world, "web") - world.Now);
            world.Fire();
        }
        Assert.Equal(21, world.Spawned("web"));
    }

    // Without turns, all of the rare ones would be tried together after their hour.
    [Fact]
    public void ServicesWithTheSameLongBackoff_AreTriedOneAfterAnother_AndOthersBetweenThem()
    {
        TimeSpan hour = TimeSpan.FromHours(1);
        BackoffPolicy rare = new() { Initial = hour, Max = hour, Jitter = 0 };
        World world = new([.. Enumerable.Range(0, 10).SelectMany(i => new[]
        {
            A.Service($"rare{i}") with { Backoff = rare },
            A.Service($"often{i}") with { Backoff = new BackoffPolicy { Initial = TimeSpan.Zero, Jitter = 0 } },
        })]);
        world.IsShort = true;
        world.Boot();
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(hour + (i * Limits.ShortageDistance), DueOf(world, $"rare{i}") - world.Now);
            Assert.Equal(Limits.ShortagePause + (i * Limits.ShortageDistance), DueOf(world, $"often{i}") - world.Now);
        }
    }

    private static Moment DueOf(World world, string service) =>
        world.Timers.Single(t => t.Key.Kind == TimerKind.Backoff && t.Key.Service.Text == service).Value;

    private static void Accept(World world, int connection) =>
        world.Do(new Event.ListenerReadable(Each, 0)).Do(new Event.ConnectionAccepted(Each, new ConnectionId(connection), "10.0.0.1"));
}
