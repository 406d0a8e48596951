using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Starting, readiness, ends, restarts, watchdog, stopping: what happens to one service.</summary>
public sealed class LifeTests
{
    private static ServiceDefinition Web => A.Service("web") with { Ready = Readiness.Notify.Value };

    [Fact]
    public void AServiceThatSaysReadyInTime_IsReady()
    {
        World world = new World(Web).Boot();
        Assert.Equal(PublicState.Starting, world.State("web").PublicState);
        world.Say("web", "READY=1");
        Assert.Equal(PublicState.Ready, world.State("web").PublicState);
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void AServiceThatIsNotReadyInTime_IsEndedAndTriedAgain()
    {
        World world = new World(Web).Boot().Fire(TimerKind.Ready);
        Assert.IsType<SlotPhase.Stopping>(world.Phase("web"));
        world.Exit("web", signal: 15);
        Assert.IsType<Failure.NotReadyInTime>(world.State("web").LastFailure);
        Assert.IsType<SlotPhase.BackingOff>(world.Phase("web"));
        world.Fire(TimerKind.Backoff);
        Assert.Equal(2, world.Spawned("web"));
    }

    [Theory]
    [InlineData("Always", 0, typeof(SlotPhase.BackingOff))]
    [InlineData("Always", 1, typeof(SlotPhase.BackingOff))]
    [InlineData("OnFailure", 0, typeof(SlotPhase.Ended))]
    [InlineData("OnFailure", 1, typeof(SlotPhase.BackingOff))]
    [InlineData("Never", 0, typeof(SlotPhase.Ended))]
    [InlineData("Never", 1, typeof(SlotPhase.Failed))]
    public void AnEnd_IsFollowedAsThePolicySays(string policy, int code, Type phase)
    {
        World world = new World(Web with { Restart = Enum.Parse<RestartKind>(policy) }).Boot().Say("web", "READY=1").Exit("web", code);
        Assert.IsType(phase, world.Phase("web"));
    }

    [Theory]
    [InlineData("Always", typeof(SlotPhase.BackingOff))]
    [InlineData("OnFailure", typeof(SlotPhase.BackingOff))]
    [InlineData("Never", typeof(SlotPhase.Failed))]
    public void AnEndThatNobodyHasSeen_IsNoSuccess_AndNoCodeIsTold(string policy, Type phase)
    {
        ServiceDefinition service = Web with { Restart = Enum.Parse<RestartKind>(policy), SuccessCodes = [.. Enumerable.Range(0, 256)] };
        World world = new World(service).Boot().Say("web", "READY=1");

        world.Do(new Event.MainExited(world.Live.Single(), ExitStatus.Unknown, HasLeftovers: false));

        Assert.IsType(phase, world.Phase("web"));
        Notice.Exited told = world.Effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Exited>().Single();
        Assert.False(told.Status.IsKnown);
        Assert.Equal("ended, it is not known how", told.Status.ToString());
        Assert.Equal(1, told.Status.ShellCode);
    }

    [Fact]
    public void AnExitBeforeReady_IsAFailureEvenWithZero()
    {
        World world = new World(Web).Boot().Exit("web");
        Assert.IsType<Failure.ExitedEarly>(world.State("web").LastFailure);
        Notice.Exited told = world.Effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Exited>().Single();
        Assert.True(told.IsFailure);
    }

    [Fact]
    public void TheStartLimit_EndsTheAttempts_AndAnOperatorBeginsThemAnew()
    {
        World world = new World(A.Service("web") with { StartLimit = new RateLimit(2, TimeSpan.FromSeconds(60)) }).Boot();
        world.Exit("web", 1).Fire(TimerKind.Backoff).Exit("web", 1);
        Assert.IsType<Failure.StartLimitReached>(((SlotPhase.Failed)world.Phase("web")).Failure);
        world.Ask(Verb.Restart, "web");
        Assert.Equal(PublicState.Ready, world.State("web").PublicState);
    }

    [Fact]
    public void AnInstanceThatWasReadyLongEnough_StartsTheBackoffAnew_EvenWhenItsWatchdogEndsIt()
    {
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(100), Backoff = new BackoffPolicy { Jitter = 0 } }).Boot();
        world.Exit("web", 1).Fire(TimerKind.Backoff).Exit("web", 1).Fire(TimerKind.Backoff).Say("web", "READY=1");
        Assert.Equal(2, world.State("web").Slots[0].Attempt);
        world.Fire(TimerKind.Watchdog).Exit("web", signal: 6);
        Assert.Equal(1, world.State("web").Slots[0].Attempt);
    }

    [Fact]
    public void ASilentWatchdog_IsAborted_AndAPingDefersIt()
    {
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(10) }).Boot()
            .Say("web", "READY=1").Pass(TimeSpan.FromSeconds(9)).Say("web", "WATCHDOG=1");
        world.Fire(TimerKind.Watchdog);
        Assert.IsType<SlotPhase.Ready>(world.Phase("web"));
        world.Fire(TimerKind.Watchdog);
        Assert.Contains(world.Effects, e => e is Effect.Signal { Number.Value: 6 });
    }

    [Theory]
    [InlineData(30, 1, 29)]
    [InlineData(1, 0.5, 0.5)]
    [InlineData(0, 1, -1)]
    public void WhoLivesOnAfterAnAbort_IsAbortedOnceMore_WithinItsStopTimeout(double timeout, double pause, double rest)
    {
        StopPolicy stop = Web.Stop with { Timeout = TimeSpan.FromSeconds(timeout) };
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(10), Stop = stop }).Boot()
            .Say("web", "READY=1").Fire(TimerKind.Watchdog);
        TimerKey key = world.Timers.Keys.Single();
        Assert.Equal(world.Now + TimeSpan.FromSeconds(pause), world.Timers[key]);

        world.Fire(TimerKind.Stop);

        Assert.Equal([SignalNumber.Abrt, SignalNumber.Abrt], world.Effects.OfType<Effect.Signal>().Select(s => s.Number));
        Assert.Equal(
            rest >= 0 ? world.Now + TimeSpan.FromSeconds(rest) : null, world.Timers.TryGetValue(key, out Moment due) ? due : (Moment?)null);
        if (rest >= 0)
            Assert.Equal(SignalNumber.Kill, world.Fire(TimerKind.Stop).Effects.OfType<Effect.Signal>().Last().Number);
        Assert.DoesNotContain(world.Exit("web", signal: 6).Timers.Keys, k => k.Kind == TimerKind.Stop);
    }

    [Fact]
    public void BetweenTwoAborts_WhatIsLeftHasTheRestOfTheOneStopTimeout()
    {
        World world = Aborted(TimeSpan.FromSeconds(30), out Moment end);
        world.Do(new Event.MainExited(world.Live.Single(), new ExitStatus(0, 6), HasLeftovers: true));
        Assert.Equal(end, world.Timers.Single(t => t.Key.Kind == TimerKind.Stop).Value);
    }

    [Theory]
    [InlineData(30, 20, 30, 2)]
    [InlineData(30, 40, 40, 1)]
    [InlineData(0, 40, null, 2)]
    public void BetweenTwoAborts_MoreTimeIsWhatWasAskedFor_AndNoMore(int timeout, int asked, int? seconds, int aborts)
    {
        World world = Aborted(TimeSpan.FromSeconds(timeout), out _);
        Moment begun = world.Now;
        world.Say("web", $"EXTEND_TIMEOUT_USEC={asked}000000");
        if (aborts == 2)
            world.Fire(TimerKind.Stop);
        Assert.Equal(aborts, world.Effects.OfType<Effect.Signal>().Count(s => s.Number == SignalNumber.Abrt));
        Moment? end = world.Timers.Where(t => t.Key.Kind == TimerKind.Stop).Select(t => (Moment?)t.Value).SingleOrDefault();
        Assert.Equal(seconds is { } after ? begun + TimeSpan.FromSeconds(after) : null, end);
    }

    private static World Aborted(TimeSpan timeout, out Moment end)
    {
        StopPolicy stop = Web.Stop with { Timeout = timeout };
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(10), Stop = stop }).Boot()
            .Say("web", "READY=1").Fire(TimerKind.Watchdog);
        end = world.Now + timeout;
        return world;
    }

    [Theory]
    [InlineData("WATCHDOG_USEC=0")]
    [InlineData("WATCHDOG_USEC=0\nREADY=1")]
    public void AProgram_CanTurnItsWatchdogOff(string text)
    {
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(10) }).Boot().Say("web", text).Say("web", "READY=1");
        Assert.DoesNotContain(world.Timers.Keys, k => k.Kind == TimerKind.Watchdog);
    }

    [Fact]
    public void ExtendTimeout_MovesTheDeadlineOnlyToLater()
    {
        World world = new World(Web with { ReadyTimeout = TimeSpan.FromSeconds(5) }).Boot();
        Moment first = world.Timers.Values.Single();
        world.Say("web", "EXTEND_TIMEOUT_USEC=1000000");
        Assert.Equal(first, world.Timers.Values.Single());
        world.Say("web", "EXTEND_TIMEOUT_USEC=60000000");
        Assert.Equal(world.Now + TimeSpan.FromSeconds(60), world.Timers.Values.Single());
    }

    [Fact]
    public void AFiringThatCameBeforeItsMoment_ArmsAgain()
    {
        World world = new World(Web).Boot();
        TimerKey key = world.Timers.Keys.Single();
        Moment due = world.Timers[key];
        world.Do(new Event.TimerFired(key));
        Assert.IsType<SlotPhase.Starting>(world.Phase("web"));
        Assert.Equal(due, world.Timers[key]);
    }

    [Fact]
    public void StoppingGoesFromCommandToSignalToKillToGivingUp()
    {
        World world = new World(Web with { Stop = new StopPolicy { Command = ["stop"] } }).Boot().Say("web", "READY=1");
        RequestId stop = world.Ask(Verb.Stop, "web");
        Assert.Contains(world.Effects, e => e is Effect.RunCommand { Kind: CommandKind.Stop });
        world.Do(new Event.CommandEnded(world.Last("web"), CommandKind.Stop, Succeeded: false));
        Assert.Equal(SignalNumber.Term, world.Effects.OfType<Effect.Signal>().Last().Number);
        world.Fire(TimerKind.Stop);
        Assert.Equal(SignalNumber.Kill, world.Effects.OfType<Effect.Signal>().Last().Number);
        Assert.Null(world.Answer(stop));
        world.Fire(TimerKind.Stop);
        Assert.IsType<Failure.CannotBeKilled>(world.State("web").LastFailure);
        Assert.False(world.Answer(stop)!.Value.Single().Succeeded);
    }

    [Fact]
    public void WhatLivesOnAfterSigkillIsNamedAsItWasSeen()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        RequestId stop = world.Ask(Verb.Stop, "web");
        world.Do(new Event.RemainsSeen(world.Last("web"), "seen too early, and so of no interest"));
        world.Fire(TimerKind.Stop).Do(new Event.RemainsSeen(world.Last("web"), "process 7 (x) may not be killed"));
        world.Fire(TimerKind.Stop);
        Assert.Equal("process 7 (x) may not be killed", world.State("web").LastFailure?.ToString());
        Assert.Equal("process 7 (x) may not be killed", world.Answer(stop)!.Value.Single().Text);
    }

    [Fact]
    public void LeftoversShareTheStopTimeoutOfTheirMainProcess()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        world.Ask(Verb.Stop, "web");
        Moment due = world.Timers.Values.Single();
        world.Pass(TimeSpan.FromSeconds(10)).Exit("web", leftovers: true);
        Assert.Equal(due, world.Timers.Values.Single());
        world.Do(new Event.LeftoversEnded(world.Last("web")));
        Assert.Equal(PublicState.Stopped, world.State("web").PublicState);
    }

    [Fact]
    public void AReloadCommand_RunsOnceAtATime_AndEndsWithItsInstance()
    {
        World world = new World(Web with { Reload = new ReloadAction.Command(["reload"]) }).Boot().Say("web", "READY=1");
        world.Ask(Verb.Reload, "web");
        RequestId second = world.Ask(Verb.Reload, "web");
        Assert.False(world.Answer(second)!.Value.Single().Succeeded);
        world.Ask(Verb.Stop, "web");
        Assert.Contains(world.Effects, e => e is Effect.EndCommand { Kind: CommandKind.Reload });
    }

    [Fact]
    public void TheStoreGoesAlongToTheNextInstance_AndEndsWithTheWish()
    {
        World world = new World(Web with { FdStoreCount = 1 }).Boot()
            .Say("web", "READY=1").Say("web", "FDSTORE=1\nFDNAME=db", new DescriptorId(1), new DescriptorId(2));
        Assert.Contains(world.Effects, e => e is Effect.CloseDescriptor { Descriptor.Number: 2 });
        world.Exit("web", 1).Fire(TimerKind.Backoff);
        Assert.Equal("db", world.Effects.OfType<Effect.Spawn>().Last().Stored.Single().Name);
        world.Ask(Verb.Stop, "web");
        world.Exit("web");
        Assert.Contains(world.Effects, e => e is Effect.CloseDescriptor { Descriptor.Number: 1 });
    }

    [Fact]
    public void AFaultedService_IsEnded_StaysDown_AndComesBackOnOrder()
    {
        World world = new World(Web, A.Demand("lazy"), A.Connection("each")).Boot().Say("web", "READY=1");
        foreach (string name in (string[])["web", "lazy", "each"])
            world.Do(new Event.MachineFaulted(new ServiceName(name), "oops"));
        world.Exit("web", signal: 15);
        foreach (string name in (string[])["web", "lazy", "each"])
        {
            Assert.Equal(PublicState.Faulted, world.State(name).PublicState);
            Assert.False(world.State(name).IsWatching);
        }
        Assert.Equal(1, world.Spawned("web"));
        world.Ask(Verb.Start, "web", "lazy", "each");
        Assert.Equal(2, world.Spawned("web"));
        Assert.True(world.State("each").IsWatching);
    }

    [Fact]
    public void APoolOfWhichOneSlotFailed_StillServesWhatRequiresIt()
    {
        World world = new World(A.Service("pool") with { InstanceCount = 2, Restart = RestartKind.Never }, A.Service("web", "pool")).Boot();
        world.Exit("pool", 1);
        Assert.IsType<SlotPhase.Failed>(world.Phase("pool", 1));
        world.Ask(Verb.Restart, "web");
        world.Exit("web");
        Assert.Equal(2, world.Spawned("web"));
    }
}
