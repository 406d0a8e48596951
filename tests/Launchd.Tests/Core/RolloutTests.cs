using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>
/// Instances exchanged for others: by overlap, in place, in pools; what fails, and who asks for something else meanwhile.
/// </summary>
public sealed class RolloutTests
{
    [Fact]
    public void TheOldOneDrains_WhenTheNewOneHasProvenItself()
    {
        World world = Serving(A.Overlapping("web"));
        InstanceId old = world.Holder("web");
        RequestId restart = world.Ask(Verb.Restart, "web");
        InstanceId next = world.Last("web");
        Assert.Equal(
            (next, old), (world.State("web").Slots[0].Instance!.Successor, world.State("web").SuccessorOf(0)!.Instance!.Predecessor));
        Assert.Contains(new Effect.TellHandOver(old, next), world.Effects);

        world.Say(next, "READY=1");
        Assert.Equal(old, world.Holder("web"));
        Assert.DoesNotContain(world.Effects, e => e is Effect.Signal);

        world.Fire(TimerKind.Prove);
        Assert.Equal(next, world.Holder("web"));
        Assert.Contains(world.Effects, e => e is Effect.Signal s && s.Instance == old);
        Assert.Contains(world.Effects, e => e is Effect.TellDrain t && t.Instance == old && t.Successor == next);
        Assert.Null(world.Answer(restart));

        world.Do(new Event.DrainProgress(old, 3));
        Assert.Equal(3, world.State("web").Beside.Single().Instance!.RemainingCount);
        world.Exit(old);
        Assert.True(world.Answer(restart)!.Value.Single().Succeeded);
        Assert.Empty(world.State("web").Beside);
        Assert.Null(world.State("web").Slots[0].Instance!.Predecessor);
    }

    [Theory]
    [InlineData("exits", "exited with 1 before it was ready; generation 1 serves on")]
    [InlineData("is never ready", "was not ready within 30s; generation 1 serves on")]
    [InlineData("dies while proving", "exited with 1 0ms after it was ready; generation 1 serves on")]
    [InlineData("cannot exec", "exec program: No such file or directory; generation 1 serves on")]
    [InlineData("falls silent", "sent no WATCHDOG=1 for 2s; generation 1 serves on")]
    [InlineData("is silent from the start", "was not ready within 30s; generation 1 serves on")]
    [InlineData("triggers its watchdog", "asked for a restart by WATCHDOG=trigger; generation 1 serves on")]
    [InlineData("says that it stops", "said that it stops before it was ready; generation 1 serves on")]
    public void ABrokenRelease_NeverTouchesTheOldOne(string how, string expected)
    {
        bool isWatched = how.Contains("silent", StringComparison.Ordinal);
        World world = Serving(A.Overlapping("web") with { Watchdog = isWatched ? TimeSpan.FromSeconds(2) : null });
        InstanceId old = world.Holder("web");
        world.SpawnsFail = how == "cannot exec";
        RequestId restart = world.Ask(Verb.Restart, "web");
        if (!world.SpawnsFail)
            Break(world, world.Last("web"), how);

        Outcome outcome = world.Answer(restart)!.Value.Single();
        Assert.Equal((false, expected), (outcome.Succeeded, outcome.Text));
        Assert.Equal(0, outcome.FailedSlot);
        Assert.NotEqual(old, outcome.Failed);
        Assert.Equal((old, PublicState.Ready, 1), (world.Holder("web"), world.State("web").PublicState, world.State("web").Generation));
        Assert.DoesNotContain(world.Effects, e => e is Effect.Signal s && s.Instance == old);
        Assert.Contains(world.Effects, e => e is Effect.Report { Notice: Notice.RolledBack });

        world.SpawnsFail = false;
        world.Ask(Verb.Restart, "web");
        Assert.Equal(3, world.State("web").SuccessorOf(0)!.Generation);
    }

    [Fact]
    public void InPlace_ABrokenDefinitionGivesTheOldOneItsPlaceBack()
    {
        ServiceDefinition web = A.Service("web") with { Ready = Readiness.Notify.Value };
        World world = Serving(web);
        RequestId reload = world.Reload(A.Definition(web with { Command = ["broken"] }));
        world.Exit("web");
        Assert.Equal(2, world.State("web").Generation);
        world.Exit("web", 1);

        Effect.Spawn again = world.Effects.OfType<Effect.Spawn>().Last();
        Assert.Equal((1, "program"), (again.Generation, again.Definition.Command[0]));
        world.Say("web", "READY=1");
        Outcome outcome = world.Answer(reload)!.Value.Single();
        Assert.Equal((false, "exited with 1 before it was ready; generation 1 serves on"), (outcome.Succeeded, outcome.Text));
    }

    [Fact]
    public void APlainRestartInPlace_IsAnsweredWhenItIsReady()
    {
        World world = Serving(A.Service("web") with { Ready = Readiness.Notify.Value });
        RequestId restart = world.Ask(Verb.Restart, "web");
        world.Exit("web").Say("web", "READY=1");
        Assert.True(world.Answer(restart)!.Value.Single().Succeeded);
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void APool_IsExchangedSlotBySlot()
    {
        World world = Serving(A.Overlapping("web", instances: 3));
        RequestId restart = world.Ask(Verb.Restart, "web");
        for (int slot = 0; slot < 3; slot++)
        {
            Assert.Equal(4, Alive(world));
            InstanceId old = world.Holder("web", slot);
            world.Say(world.Last("web"), "READY=1").Fire(TimerKind.Prove);
            world.Exit(old);
        }
        Assert.True(world.Answer(restart)!.Value.Single().Succeeded);
        Assert.All(world.State("web").Slots, s => Assert.Equal(2, s.Instance!.Generation));
        Assert.Equal(6, world.Spawned("web"));
    }

    [Fact]
    public void APoolWhoseSecondNewOneFails_GoesBackToTheOldDefinition()
    {
        ServiceDefinition web = A.Overlapping("web", instances: 2);
        World world = Serving(web);
        RequestId reload = world.Reload(A.Definition(web with { Command = ["next"] }));
        InstanceId first = world.Holder("web");
        world.Say(world.Last("web"), "READY=1").Fire(TimerKind.Prove);
        world.Exit(first).Exit("web", 1);

        Assert.Null(world.Answer(reload));
        InstanceId promoted = world.Holder("web");
        world.Say("web", "READY=1").Exit(promoted);
        Assert.False(world.Answer(reload)!.Value.Single().Succeeded);
        Assert.All(world.State("web").Slots, s => Assert.Equal(("program", 1), (s.Instance!.Definition.Command[0], s.Instance.Generation)));
    }

    [Fact]
    public void ASecondRestart_TakesOver_AndBothAreAnswered()
    {
        World world = Serving(A.Overlapping("web"));
        InstanceId old = world.Holder("web");
        RequestId first = world.Ask(Verb.Restart, "web");
        InstanceId superseded = world.Last("web");
        RequestId second = world.Ask(Verb.Restart, "web");
        Assert.Contains(world.Effects, e => e is Effect.Signal s && s.Instance == superseded);
        world.Say("web", "READY=1").Fire(TimerKind.Prove);
        Assert.Null(world.Answer(first));
        world.Exit(old).Exit(superseded);
        Assert.True(world.Answer(first)!.Value.Single().Succeeded);
        Assert.True(world.Answer(second)!.Value.Single().Succeeded);
        Assert.Equal(3, world.State("web").Slots[0].Instance!.Generation);
    }

    [Fact]
    public void AStopDuringARollout_EndsBoth_AndAnswersBothOrders()
    {
        World world = Serving(A.Overlapping("web"));
        InstanceId old = world.Holder("web");
        RequestId restart = world.Ask(Verb.Restart, "web"), stop = world.Ask(Verb.Stop, "web");
        Assert.Equal("it was stopped meanwhile", world.Answer(restart)!.Value.Single().Text);
        world.Exit("web").Exit(old);
        Assert.True(world.Answer(stop)!.Value.Single().Succeeded);
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void WhatDrainsForLong_IsBounded()
    {
        ServiceDefinition web = A.Overlapping("web") with
        {
            Rollout = new RolloutPolicy { Prove = TimeSpan.Zero },
            Stop = new StopPolicy { Timeout = TimeSpan.Zero },
        };
        World world = Serving(web);
        for (int generation = 0; generation < Limits.RetiringPerSlotCount + 2; generation++)
        {
            world.Ask(Verb.Restart, "web");
            world.Say("web", "READY=1");
        }
        Assert.Equal(2, world.Effects.OfType<Effect.Signal>().Count(s => s.Number == SignalNumber.Kill));
        Assert.Equal(
            [1L, 2L], world.Effects.OfType<Effect.Signal>().Where(s => s.Number == SignalNumber.Kill).Select(s => s.Instance.Number));
    }

    [Fact]
    public void AHolderThatDies_IsFollowedAtOnceByASuccessorThatIsReady()
    {
        World world = Serving(A.Overlapping("web"));
        InstanceId old = world.Holder("web");
        world.Ask(Verb.Restart, "web");
        world.Say("web", "READY=1").Exit(old, 1);
        Assert.Equal(PublicState.Ready, world.State("web").PublicState);
        Assert.DoesNotContain(world.Timers, t => t.Key.Kind == TimerKind.Backoff);
    }

    [Fact]
    public void AnInstanceThatIsNotWell_GetsASuccessorFirst()
    {
        TimeSpan second = TimeSpan.FromSeconds(1);
        World world = Serving(A.Overlapping("web") with { Health = new HealthCheck(new ProbeTarget.Unix("/h"), second, second, 3) });
        InstanceId ill = world.Holder("web");
        Assert.Contains(new Effect.StartHealth(ill), world.Effects);
        world.Do(new Event.HealthFailed(ill, "no answer"));
        Assert.Equal(ill, world.Holder("web"));
        world.Say("web", "READY=1").Fire(TimerKind.Prove);
        Assert.NotEqual(ill, world.Holder("web"));
        world.Exit(ill);
        Assert.Empty(world.State("web").Beside);
    }

    [Fact]
    public void AnOperatorWhoLeaves_ChangesNothing()
    {
        World world = Serving(A.Overlapping("web"));
        RequestId restart = world.Ask(Verb.Restart, "web");
        world.Do(new Event.ClientLeft(restart)).Say("web", "READY=1").Fire(TimerKind.Prove);
        Assert.Equal(2, world.State("web").Slots[0].Instance!.Generation);
        Assert.Null(world.Answer(restart));
    }

    [Fact]
    public void APoolGrowsAndShrinks_TheHighestFirst()
    {
        World world = Serving(A.Overlapping("web", instances: 2));
        RequestId grow = world.Scale(3, "web");
        world.Say("web", "READY=1");
        Assert.True(world.Answer(grow)!.Value.Single().Succeeded);
        InstanceId[] highest = [world.Holder("web", 1), world.Holder("web", 2)];
        RequestId shrink = world.Scale(1, "web");
        Assert.Equal(highest, world.Effects.OfType<Effect.Signal>().Select(s => s.Instance));
        Assert.Null(world.Answer(shrink));
        world.Exit(highest[0]).Exit(highest[1]);
        Assert.True(world.Answer(shrink)!.Value.Single().Succeeded);
        Assert.Single(world.State("web").Slots);
    }

    [Fact]
    public void AReload_StartsWhatIsNew_ForgetsWhatIsGone_LeavesTheRestAlone()
    {
        ServiceDefinition same = A.Service("same"), gone = A.Service("gone");
        World world = new World(gone, same).Boot();
        InstanceId kept = world.Holder("same");
        RequestId reload = world.Reload(A.Definition(same, A.Service("new", "same")));
        Assert.Equal(kept, world.Holder("same"));
        Assert.Equal(PublicState.Ready, world.State("new").PublicState);
        Assert.Null(world.Answer(reload));
        world.Exit("gone");
        Assert.Equal(["new", "gone"], world.Answer(reload)!.Value.Select(o => o.Service.Text));
        Assert.Contains(new Effect.Forget(new ServiceName("gone")), world.Effects);
        Assert.Equal(["same", "new"], world.Supervisor.Services.Select(s => s.Definition.Name.Text));
        Assert.Null(world.Supervisor.Find(new ServiceName("gone")));
    }

    [Fact]
    public void AQuietChange_IsTakenOver_WithoutARollout()
    {
        ServiceDefinition web = A.Overlapping("web");
        World world = Serving(web);
        ServiceDefinition next = web with { Stop = new StopPolicy { Signal = SignalNumber.Hup } };
        Assert.True(world.Answer(world.Reload(A.Definition(next), "web"))!.Value.Single().Succeeded);
        Assert.Equal(1, world.Spawned("web"));
        world.Ask(Verb.Stop, "web");
        Assert.Equal(SignalNumber.Hup, world.Effects.OfType<Effect.Signal>().Last().Number);
    }

    [Fact]
    public void WhoWaitsInARetiredListener_IsAcceptedBeforeTheOldOneIsTold()
    {
        World world = Serving(A.Overlapping("web") with { Sockets = ["http"], Rollout = new RolloutPolicy { Prove = TimeSpan.Zero } });
        InstanceId old = world.Holder("web");
        world.QueuesAreEmpty = false;
        RequestId restart = world.Ask(Verb.Restart, "web");
        world.Say("web", "READY=1");

        Assert.Equal(StopStage.Emptying, Assert.IsType<SlotPhase.Stopping>(world.State("web").Beside.Single().Phase).Stage);
        Assert.DoesNotContain(world.Effects, e => e is Effect.Signal or Effect.TellDrain);
        world.Fire(TimerKind.Queue);
        Assert.DoesNotContain(world.Effects, e => e is Effect.Signal or Effect.TellDrain);
        world.QueuesAreEmpty = true;
        world.Fire(TimerKind.Queue);
        Assert.Contains(world.Effects, e => e is Effect.Signal s && s.Instance == old);
        world.Exit(old);
        Assert.True(world.Answer(restart)!.Value.Single().Succeeded);
        Assert.Empty(world.Timers);
    }

    [Theory]
    [InlineData("restart", false, true)]
    [InlineData("overlap", false, true)]
    [InlineData("scale", false, true)]
    [InlineData("stop", false, true)]
    [InlineData("stop", true, false)]
    [InlineData("restart", true, false)]
    public void WhomItAcceptedLastIsHeardOut_UnlessItsStopCommandMayConnect(string order, bool hasCommand, bool expected)
    {
        ServiceDefinition service = (order == "overlap" ? A.Overlapping("web") : A.Service("web")) with
        {
            Sockets = ["http"],
            InstanceCount = 2,
            Rollout = new RolloutPolicy { Prove = TimeSpan.Zero, SurgeCount = order == "overlap" ? 1 : 0 },
            Stop = new StopPolicy { Command = hasCommand ? ["stop-web"] : [] },
        };
        World world = new World(service).Boot();
        world.Say(world.Holder("web", 0), "READY=1").Say(world.Holder("web", 1), "READY=1");
        if (order == "scale")
            world.Scale(1, "web");
        else
            world.Ask(order == "stop" ? Verb.Stop : Verb.Restart, "web");
        if (order == "overlap")
            world.Say("web", "READY=1");

        Assert.Equal(expected, world.Effects.OfType<Effect.LookAtQueues>().First().HearsOut);
    }

    [Fact]
    public void AQueueThatNobodyEmpties_CostsNoMoreThanTheStopTimeout()
    {
        World world = Serving(A.Service("web") with { Sockets = ["http"], Stop = new StopPolicy { Timeout = TimeSpan.FromSeconds(3) } });
        world.QueuesAreEmpty = false;
        Moment asked = world.Now;
        world.Ask(Verb.Restart, "web");
        while (!world.Effects.OfType<Effect.Signal>().Any())
            world.Fire();
        Assert.Equal(TimeSpan.FromSeconds(3), world.Now - asked);
        Assert.InRange(world.Effects.OfType<Effect.LookAtQueues>().Count(), 15, 40);
        world.Exit("web");
        Assert.DoesNotContain(world.Timers, t => t.Key.Kind is TimerKind.Queue or TimerKind.Stop);
    }

    [Fact]
    public void WhileItsQueueIsEmptied_AnInstanceMayEndByItself_BeKilled_OrBeLeftToTheShutdown()
    {
        foreach (string end in (string[])["exit", "stop now", "shutdown"])
        {
            World world = Serving(A.Service("web") with { Sockets = ["http"] });
            world.QueuesAreEmpty = false;
            world.Ask(Verb.Stop, "web");
            Assert.DoesNotContain(world.Effects, e => e is Effect.Signal);
            if (end == "stop now")
                world.Do(new Event.ShutdownAsked("SIGQUIT", IsImmediate: true));
            if (end == "shutdown")
                world.Do(new Event.ShutdownAsked("SIGTERM", IsImmediate: false));
            SignalNumber? sent = world.Effects.OfType<Effect.Signal>().LastOrDefault()?.Number;
            Assert.Equal(end switch { "exit" => null, "stop now" => SignalNumber.Kill, _ => SignalNumber.Term }, sent);
            world.Exit("web");
            Assert.Empty(world.Timers);
        }
    }

    private static World Serving(ServiceDefinition service)
    {
        World world = new World(service).Boot();
        foreach (InstanceId instance in world.Live.ToArray())
            world.Say(instance, "READY=1");
        return world;
    }

    private static int Alive(World world) => world.State("web").Slots.Concat(world.State("web").Beside).Count(s =>
        s.Phase is SlotPhase.Live and not SlotPhase.Stopping);

    private static void FallSilent(World world, InstanceId next)
    {
        world.Say(next, "READY=1");
        PingUntil(world, TimerKind.Watchdog, next).Do(new Event.TimerFired(new TimerKey(TimerKind.Watchdog, next.Service, next.Number)));
        // It hangs: nothing but a core file is to be had of it.
        Assert.Equal(SignalNumber.Abrt, world.Effects.OfType<Effect.Signal>().Last().Number);
        world.Exit(next, 1);
    }

    /// <summary>The old one goes on to ping until a timer (of an instance) is due.</summary>
    private static World PingUntil(World world, TimerKind kind, InstanceId? of = null)
    {
        Moment due = world.Timers.First(t => t.Key.Kind == kind && (of is null || t.Key.Subject == of.Value.Number)).Value;
        InstanceId old = world.Holder("web");
        while (due - world.Now > TimeSpan.FromSeconds(1))
            world.Pass(TimeSpan.FromSeconds(1)).Say(old, "WATCHDOG=1");
        return world.Pass(due - world.Now);
    }

    private static void Break(World world, InstanceId next, string how)
    {
        switch (how)
        {
            case "exits": world.Exit(next, 1); break;
            case "is never ready": world.Fire(TimerKind.Ready).Exit(next); break;
            case "dies while proving": world.Say(next, "READY=1").Exit(next, 1); break;
            case "falls silent": FallSilent(world, next); break;
            case "is silent from the start": PingUntil(world, TimerKind.Ready).Fire(TimerKind.Ready).Exit(next); break;
            case "triggers its watchdog": world.Say(next, "WATCHDOG=trigger").Exit(next); break;
            case "says that it stops": world.Say(next, "STOPPING=1").Exit(next); break;
        }
    }
}
