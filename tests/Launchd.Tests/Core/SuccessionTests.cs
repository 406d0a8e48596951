using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Who is told to hand over to whom, when instances die in the middle of it.</summary>
public sealed class SuccessionTests
{
    [Fact]
    public void WhenTheSuccessorDies_TheNextHolderTakesItsPlace()
    {
        World world = Serving(out InstanceId old);
        InstanceId dead = Promote(world);

        world.Exit(dead, 1).Fire(TimerKind.Backoff);

        InstanceId next = world.Last("web");
        Assert.NotEqual(dead, next);
        Assert.Equal(new Effect.TellHandOver(old, next), world.Effects.OfType<Effect.TellHandOver>().Last());
        Assert.Equal(old, world.State("web").Slots[0].Instance!.Predecessor);
        world.Say(next, "READY=1").Exit(old);
        Assert.Equal([new Effect.TellPredecessorEnded(next, old)], world.Effects.OfType<Effect.TellPredecessorEnded>());
    }

    [Fact]
    public void WhenTheOneInTheMiddleDies_ItsNeighboursBecomeEachOthers()
    {
        World world = Serving(out InstanceId old);
        InstanceId middle = Promote(world);
        InstanceId last = Promote(world);

        world.Exit(middle, 1);

        Assert.Equal(new Effect.TellHandOver(old, last), world.Effects.OfType<Effect.TellHandOver>().Last());
        Assert.DoesNotContain(world.Effects, e => e is Effect.TellPredecessorEnded);
        world.Exit(old);
        Assert.Contains(new Effect.TellPredecessorEnded(last, old), world.Effects);
    }

    [Fact]
    public void WhoIsPromotedInTheHoldersPlace_SucceedsTheOneBeforeIt()
    {
        World world = Serving(out InstanceId old);
        InstanceId middle = Promote(world);
        world.Ask(Verb.Restart, "web");
        InstanceId last = world.Last("web");
        world.Exit(middle, 1);
        Assert.Equal(middle, world.State("web").SuccessorOf(0)!.Instance!.Predecessor);
        Assert.DoesNotContain(new Effect.TellHandOver(old, last), world.Effects);

        world.Say(last, "READY=1");

        Assert.Equal(last, world.Holder("web"));
        Assert.Contains(new Effect.TellHandOver(old, last), world.Effects);
    }

    [Fact]
    public void AHolderThatIsBornBesideASuccessor_StandsBeforeIt()
    {
        World world = Serving(out InstanceId old);
        world.Ask(Verb.Restart, "web");
        InstanceId successor = world.Last("web");
        world.Exit(old, 1).Fire(TimerKind.Backoff);
        InstanceId again = world.Last("web");
        Assert.Contains(new Effect.TellHandOver(again, successor), world.Effects);

        world.Say(again, "READY=1").Say(successor, "READY=1").Fire(TimerKind.Prove);

        Assert.Contains(world.Effects, e => e is Effect.TellDrain t && t.Instance == again && t.Successor == successor);
        Assert.DoesNotContain(world.Effects, e => e is Effect.TellPredecessorEnded);
    }

    [Fact]
    public void AHolderThatDiesBeforeItsSuccessorIsReady_IsWaitedForNoMoreOnceThatOneHoldsThePlace()
    {
        World world = Serving(out InstanceId old);
        world.Ask(Verb.Restart, "web");
        InstanceId successor = world.Last("web");
        world.Exit(old, 1);
        Assert.DoesNotContain(world.Effects, e => e is Effect.TellPredecessorEnded);

        world.Say(successor, "READY=1");

        Assert.Contains(new Effect.TellPredecessorEnded(successor, old), world.Effects);
        Assert.Null(world.State("web").Slots[0].Instance!.Predecessor);
    }

    [Fact]
    public void AGivenUpSuccessor_IsNobodysSuccessor()
    {
        World world = Serving(out InstanceId old);
        world.Ask(Verb.Restart, "web");
        InstanceId slow = world.Last("web");
        world.Fire(TimerKind.Ready);
        Assert.Null(world.State("web").Slots[0].Instance!.Successor);

        world.Exit(old, 1).Fire(TimerKind.Backoff);

        Assert.Contains(slow, world.Live);
        Assert.Null(world.State("web").Slots[0].Instance!.Predecessor);
    }

    [Fact]
    public void AStop_TellsOfNoSuccessor_NeitherTheHolderNorWhoWaitsForOne()
    {
        World world = Serving(out InstanceId old);
        InstanceId dead = Promote(world);
        world.Exit(dead, 1);
        world.Ask(Verb.Stop, "web");
        Assert.Equal((old, null), (LastDrain(world).Instance, LastDrain(world).Successor));

        World during = Serving(out InstanceId holder);
        during.Ask(Verb.Restart, "web");
        during.Ask(Verb.Stop, "web");
        Assert.Contains(during.Effects, e => e is Effect.TellDrain t && t.Instance == holder && t.Successor is null);
        Assert.DoesNotContain(during.Effects, e => e is Effect.TellDrain { Successor: not null });
    }

    [Fact]
    public void WhatIsLeftOfAPredecessor_IsNotWaitedFor()
    {
        World world = Serving(out InstanceId old);
        InstanceId next = Promote(world);

        world.Do(new Event.MainExited(old, new ExitStatus(0), HasLeftovers: true));

        Assert.Contains(new Effect.TellPredecessorEnded(next, old), world.Effects);
    }

    [Fact]
    public void WhatIsStillPrepared_HasNothingToHandOver()
    {
        World world = new World(Connecting).Boot().Prepare("web").Say("web", "READY=1");
        InstanceId old = world.Holder("web");
        world.Ask(Verb.Restart, "web");
        world.Prepare("web");
        InstanceId successor = world.Last("web");
        world.Exit(old, 1).Fire(TimerKind.Backoff);
        Assert.IsType<SlotPhase.Preparing>(world.Phase("web"));

        world.Say(successor, "READY=1").Fire(TimerKind.Prove);

        Assert.Equal(successor, world.Holder("web"));
        Assert.Contains(new Effect.TellPredecessorEnded(successor, old), world.Effects);
        Assert.Single(world.Effects.OfType<Effect.TellHandOver>());
    }

    [Fact]
    public void ASuccessorWhosePreparationTakesLongerThanTheHolderLives_SucceedsTheNextHolder()
    {
        World world = new World(Connecting).Boot().Prepare("web").Say("web", "READY=1");
        InstanceId old = world.Holder("web");
        world.Ask(Verb.Restart, "web");
        InstanceId successor = world.Last("web");
        world.Exit(old, 1).Fire(TimerKind.Backoff).Prepare("web").Say("web", "READY=1");
        InstanceId again = world.Holder("web");
        Assert.NotEqual(old, again);

        world.Do(new Event.Prepared(successor));

        Assert.Equal([new Effect.TellHandOver(again, successor)], world.Effects.OfType<Effect.TellHandOver>());
    }

    private static ServiceDefinition Connecting =>
        A.Overlapping("web") with { Files = ["db"], Backoff = new BackoffPolicy { Jitter = 0 } };

    private static Effect.TellDrain LastDrain(World world) => world.Effects.OfType<Effect.TellDrain>().Last();

    private static InstanceId Promote(World world)
    {
        world.Ask(Verb.Restart, "web");
        InstanceId next = world.Last("web");
        world.Say(next, "READY=1").Fire(TimerKind.Prove);
        Assert.Equal(next, world.Holder("web"));
        return next;
    }

    private static World Serving(out InstanceId holder)
    {
        World world = new World(A.Overlapping("web") with { Backoff = new BackoffPolicy { Jitter = 0 } }).Boot();
        holder = world.Last("web");
        return world.Say(holder, "READY=1");
    }
}
