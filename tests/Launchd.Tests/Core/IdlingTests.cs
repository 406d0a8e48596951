using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary><c>idle_timeout</c>, window by window.</summary>
public sealed class IdlingTests
{
    private static readonly ServiceName Lazy = new("lazy");
    private static readonly Event Client = new Event.ListenerReadable(Lazy, 0);
    private static readonly Event Used = new Event.ListenerUsed(Lazy);
    private static readonly Event Unused = new Event.UseSeen(Lazy, IsUsed: false);

    [Fact]
    public void AUsedWindowIsFollowedByAnother_WithoutALook()
    {
        World world = Running().Do(Used).Fire(TimerKind.Idle);
        Assert.Empty(world.Effects.OfType<Effect.LookForUse>());
        Assert.Equal(2, world.Effects.OfType<Effect.WatchUse>().Count());
        Assert.IsType<SlotPhase.Ready>(world.Phase("lazy"));
    }

    [Fact]
    public void AnUnusedWindowEndsWithALook_WhichDecides()
    {
        World world = Running().Fire(TimerKind.Idle);
        Assert.Single(world.Effects.OfType<Effect.LookForUse>());
        world.Do(new Event.UseSeen(Lazy, IsUsed: true));
        Assert.IsType<SlotPhase.Ready>(world.Phase("lazy"));
        world.Fire(TimerKind.Idle).Do(Unused);
        Assert.IsType<SlotPhase.Stopping>(world.Phase("lazy"));
        Assert.DoesNotContain(world.Timers.Keys, t => t.Kind == TimerKind.Idle);
    }

    [Fact]
    public void WhoComesBetweenTheLookAndTheStopIsAUse()
    {
        World world = Running().Fire(TimerKind.Idle).Do(Used).Do(Unused);
        Assert.IsType<SlotPhase.Ready>(world.Phase("lazy"));
    }

    [Fact]
    public void ItListensOnlyWhenTheLastInstanceHasEnded_AndTheNextClientStartsIt()
    {
        World world = Running().Fire(TimerKind.Idle).Do(Unused);
        Assert.False(world.State("lazy").IsWatching);
        world.Exit("lazy", code: 1);
        Assert.True(world.State("lazy").IsWatching);
        Assert.Equal(PublicState.Waiting, world.State("lazy").PublicState);
        world.Do(Client);
        Assert.Equal(2, world.Spawned("lazy"));
    }

    [Fact]
    public void GoodAndBadEndsOfAnIdleStopDoNotCountTowardsTheStartLimit()
    {
        World world = new World(Idle() with { StartLimit = new RateLimit(1, TimeSpan.FromHours(1)) }).Boot();
        for (int life = 1; life <= 4; life++)
        {
            world.Do(Client).Fire(TimerKind.Idle).Do(Unused).Exit("lazy", signal: 9);
            Assert.True(world.State("lazy").IsWatching);
        }
        Assert.Equal(4, world.Spawned("lazy"));
    }

    [Fact]
    public void AnOperatorGoesBeforeTheIdleStop()
    {
        World restarted = Running().Fire(TimerKind.Idle).Do(Unused);
        restarted.Ask(Verb.Start, "lazy");
        restarted.Exit("lazy");
        Assert.Equal(2, restarted.Spawned("lazy"));

        World stopped = Running().Fire(TimerKind.Idle).Do(Unused);
        stopped.Ask(Verb.Stop, "lazy");
        stopped.Exit("lazy");
        Assert.False(stopped.State("lazy").IsWatching);
    }

    [Fact]
    public void WithoutIdleTimeoutThereIsNoWindow()
    {
        World world = new World(A.Demand("lazy")).Boot().Do(Client);
        Assert.Empty(world.Timers);
        Assert.Empty(world.Effects.OfType<Effect.WatchUse>());
    }

    [Fact]
    public void TheWindowBeginsWhenAllOfAPoolIsReady()
    {
        World world = new World(Idle() with { InstanceCount = 2, Ready = Readiness.Notify.Value }).Boot().Do(Client);
        Assert.DoesNotContain(world.Timers.Keys, t => t.Kind == TimerKind.Idle);
        foreach (InstanceId instance in world.Live.ToArray())
            world.Do(new Event.Notified(instance, A.Message("READY=1"), 1, 0, []));
        Assert.Contains(world.Timers.Keys, t => t.Kind == TimerKind.Idle);
        world.Fire(TimerKind.Idle).Do(Unused);
        Assert.Equal(2, world.Effects.OfType<Effect.Signal>().Count());
    }

    [Fact]
    public void AShortageOfDescriptorsIsTriedLessAndLessOften()
    {
        World world = new World(A.Connection("each")).Boot();
        Event shortage = new Event.AcceptFailed(new ServiceName("each"), IsShortage: true);
        double[] pauses = [.. Enumerable.Range(0, 9).Select(_ =>
        {
            world.Do(new Event.ListenerReadable(new ServiceName("each"), 0)).Do(shortage);
            double pause = (world.Timers.Single(t => t.Key.Kind == TimerKind.Activation).Value - world.Now).TotalMilliseconds;
            world.Fire(TimerKind.Activation);
            return pause;
        })];
        Assert.Equal([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000], pauses);
        world.Do(new Event.ListenerReadable(new ServiceName("each"), 0))
            .Do(new Event.ConnectionAccepted(new ServiceName("each"), new ConnectionId(1), "10.0.0.1"));
        Assert.Equal(0, world.State("each").ShortageCount);
    }

    private static ServiceDefinition Idle() => A.Demand("lazy") with { IdleTimeout = TimeSpan.FromMinutes(5) };

    private static World Running() => new World(Idle()).Boot().Do(Client);
}
