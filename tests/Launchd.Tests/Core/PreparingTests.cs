using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Instances that are born with connections of their own, which take their time and may be refused.</summary>
public sealed class PreparingTests
{
    private static ServiceDefinition Web => A.Connecting("web") with { Ready = Readiness.Notify.Value };

    [Fact]
    public void NothingIsSpawned_BeforeItsConnectionsStand()
    {
        World world = new World(Web).Boot();
        Assert.IsType<SlotPhase.Preparing>(world.Phase("web"));
        Assert.Equal((0, PublicState.Starting), (world.Spawned("web"), world.State("web").PublicState));

        world.Prepare("web").Say("web", "READY=1");

        Assert.Equal((1, PublicState.Ready), (world.Spawned("web"), world.State("web").PublicState));
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void WhatRequiresIt_Waits()
    {
        World world = new World(A.Connecting("db"), A.Service("web", "db")).Boot();
        Assert.Equal(0, world.Spawned("web"));

        world.Prepare("db");

        Assert.Equal(1, world.Spawned("web"));
    }

    [Fact]
    public void ARefusal_IsAFailedStart_TriedAgainUpToTheLimit()
    {
        World world = new World(Web with { StartLimit = new RateLimit(2, TimeSpan.FromSeconds(60)) }).Boot().Refuse("web");
        Assert.Equal("file \"db\": Connection refused", world.State("web").LastFailure?.ToString());
        Assert.IsType<SlotPhase.BackingOff>(world.Phase("web"));

        world.Fire(TimerKind.Backoff).Refuse("web");

        Assert.IsType<SlotPhase.Failed>(world.Phase("web"));
        Assert.Equal(0, world.Spawned("web"));
    }

    [Fact]
    public void WhoeverDoesNotAnswer_IsWaitedForFiveSeconds()
    {
        World world = new World(Web).Boot();
        Assert.Equal(TimeSpan.FromSeconds(5), world.Timers.Single().Value - world.Now);

        world.Fire(TimerKind.Prepare);

        Assert.Equal(
            "cannot start web: file \"db\": cannot connect to tcp://127.0.0.1:5432: no answer within 5s",
            world.State("web").LastFailure?.ToString());
        Assert.Equal(1, Released(world));
        world.Do(new Event.Prepared(world.Last("web")));
        Assert.Equal(0, world.Spawned("web"));
    }

    [Fact]
    public void AStopMeanwhile_IsDoneAtOnce_EvenBeforeWhatDependsOnIt()
    {
        World world = new World(Web, A.Service("web2") with { After = [new ServiceName("web")] }).Boot()
            .Prepare("web").Say("web", "READY=1");
        world.Exit("web", 1).Fire(TimerKind.Backoff);
        Assert.IsType<SlotPhase.Preparing>(world.Phase("web"));

        world.Do(new Event.ShutdownAsked("test", IsImmediate: false));

        Assert.IsType<SlotPhase.Idle>(world.Phase("web"));
        Assert.IsType<SlotPhase.Stopping>(world.Phase("web2"));
        world.Do(new Event.Prepared(world.Last("web")));
        Assert.Equal(1, world.Spawned("web"));
        world.Exit("web2", signal: 15);
        Assert.Equal(0, world.ExitCode);
    }

    [Fact]
    public void WithoutADescriptorForTheConnection_TheClientWaits_AndNoStartIsCounted()
    {
        World world = new World(A.Connection("each") with { Files = ["db"] }).Boot();
        world.Do(new Event.ConnectionAccepted(new ServiceName("each"), new ConnectionId(7), "10.0.0.1"));

        world.Do(new Event.SpawnFailed(
            world.Last("each"), new Failure.SpawnFailed("file", 24, "socket: Too many open files") { IsShortage = true }));

        Assert.DoesNotContain(new Effect.CloseConnection(new ConnectionId(7)), world.Effects);
        world.Fire(TimerKind.Activation);
        Assert.Equal(new ConnectionId(7), world.Effects.OfType<Effect.Prepare>().Last().Connection);

        World counted = new World(Web with { Restart = RestartKind.Always, StartLimit = new RateLimit(1, TimeSpan.FromMinutes(1)) }).Boot();
        counted.Do(new Event.SpawnFailed(
            counted.Last("web"), new Failure.SpawnFailed("file", 24, "socket: Too many open files") { IsShortage = true }));
        Assert.IsType<SlotPhase.BackingOff>(counted.Phase("web"));
    }

    [Fact]
    public void AnOrderToStart_IsAnsweredWhenItIsReady()
    {
        World world = new World(Web with { Start = StartKind.Manual }).Boot();
        RequestId start = world.Ask(Verb.Start, "web");
        Assert.Null(world.Answer(start));
        world.Prepare("web");
        Assert.Null(world.Answer(start));

        world.Say("web", "READY=1");

        Assert.True(world.Answer(start)!.Value.Single().Succeeded);
    }

    [Fact]
    public void AnOverlap_PreparesBesideTheHolder_AndIsGivenUpWhenRefused()
    {
        World world = new World(A.Overlapping("web") with { Files = ["db"] }).Boot().Prepare("web").Say("web", "READY=1");
        InstanceId holder = world.Holder("web");
        RequestId restart = world.Ask(Verb.Restart, "web");
        Assert.IsType<SlotPhase.Preparing>(world.State("web").Beside.Single().Phase);

        world.Refuse("web");

        Assert.Equal(holder, world.Holder("web"));
        Assert.IsType<SlotPhase.Ready>(world.Phase("web"));
        Assert.Contains("Connection refused", world.Answer(restart)!.Value.Single().Text, StringComparison.Ordinal);
    }

    [Fact]
    public void ANewerOrder_TakesThePlaceOfWhatIsBeingPrepared()
    {
        World world = new World(A.Overlapping("web") with { Files = ["db"] }).Boot().Prepare("web").Say("web", "READY=1");
        world.Ask(Verb.Restart, "web");
        InstanceId first = world.Last("web");
        world.Ask(Verb.Restart, "web");
        Assert.NotEqual(first, world.Last("web"));

        world.Do(new Event.Prepared(first));
        Assert.Equal(1, world.Spawned("web"));
        world.Prepare("web");

        Assert.Equal(2, world.Spawned("web"));
    }

    [Fact]
    public void AClientsConnection_WaitsAlong_AndIsClosedWhenItsInstanceIsNotBorn()
    {
        ServiceName chat = new("chat");
        World world = new World(A.Connection("chat") with { Files = ["db"] }).Boot();
        world.Do(new Event.ConnectionAccepted(chat, new ConnectionId(1), "10.0.0.1"));
        world.Do(new Event.ConnectionAccepted(chat, new ConnectionId(2), "10.0.0.2"));
        world.Refuse("chat");
        Assert.Equal([new ConnectionId(2)], world.Effects.OfType<Effect.CloseConnection>().Select(c => c.Connection));

        world.Do(new Event.Prepared(world.State("chat").Slots.Single().Instance!.Id));

        Assert.Equal(new ConnectionId(1), world.Effects.OfType<Effect.Spawn>().Single().Connection);
    }

    private static int Released(World world) => world.Effects.OfType<Effect.Release>().Count(r => r.Instance == world.Last("web"));
}
