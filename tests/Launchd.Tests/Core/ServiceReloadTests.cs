using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary><c>reload-service</c> is answered when the program has reloaded, as far as it says.</summary>
public sealed class ServiceReloadTests
{
    private static ServiceDefinition Signalled => A.Service("web") with
    {
        Ready = Readiness.Notify.Value,
        Reload = new ReloadAction.Signal(SignalNumber.Hup),
    };

    private static ServiceDefinition Commanded => A.Service("web") with { Reload = new ReloadAction.Command(["reread"]) };

    [Fact]
    public void AProgramThatSaysIt_IsWaitedFor()
    {
        World world = new World(Signalled).Boot().Say("web", "READY=1");
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Pass(TimeSpan.FromMilliseconds(900)).Say("web", "RELOADING=1\nMONOTONIC_USEC=1000000");
        Assert.Null(world.Answer(reload));

        world.Pass(TimeSpan.FromSeconds(20)).Say("web", "READY=1");

        Outcome outcome = world.Answer(reload)!.Value.Single();
        Assert.True(outcome is { Succeeded: true, Text: null, Elapsed.TotalMilliseconds: 20_900 }, outcome.ToString());
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void AProgramThatSaysNothing_WasTold_AndThatIsSaid()
    {
        World world = new World(Signalled).Boot().Say("web", "READY=1");
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Say("web", "RELOADING=1\nMONOTONIC_USEC=999999"); // of an earlier reload, by its own account
        Assert.Null(world.Answer(reload));

        world.Fire(TimerKind.Reload);

        Assert.Equal((true, "told to reload"), (world.Answer(reload)!.Value.Single().Succeeded, world.Answer(reload)!.Value.Single().Text));
    }

    [Fact]
    public void AProgramThatDoesNotSpeakOfReadiness_IsWaitedForOnlyInCaseItEnds()
    {
        World world = new World(Signalled with { Ready = Readiness.Spawned.Value }).Boot();
        RequestId reload = world.Ask(Verb.Reload, "web");
        Assert.Equal(TimeSpan.FromSeconds(1), world.Timers.Single().Value - world.Now);

        world.Fire(TimerKind.Reload);

        Assert.Equal((true, "told to reload"), (world.Answer(reload)!.Value.Single().Succeeded, world.Answer(reload)!.Value.Single().Text));
    }

    [Fact]
    public void AReloadThatIsNotFinishedInTime_HasFailed_AndTheInstanceGoesOn()
    {
        World world = new World(Signalled).Boot().Say("web", "READY=1");
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Say("web", "RELOADING=1").Say("web", "EXTEND_TIMEOUT_USEC=60000000");
        Assert.Equal(TimeSpan.FromSeconds(60), world.Timers.Single().Value - world.Now);

        world.Fire(TimerKind.Reload);

        Assert.Equal("it said RELOADING=1, but no READY=1 within 30s", world.Answer(reload)!.Value.Single().Text);
        Assert.IsType<SlotPhase.Ready>(world.Phase("web"));
    }

    [Theory]
    [InlineData(true, null, null)]
    [InlineData(false, "exited with 3", "its reload command exited with 3")]
    public void ACommand_IsWaitedFor(bool succeeds, string? reason, string? text)
    {
        World world = new World(Commanded).Boot();
        RequestId reload = world.Ask(Verb.Reload, "web");
        Assert.Null(world.Answer(reload));

        world.Do(new Event.CommandEnded(world.Last("web"), CommandKind.Reload, succeeds, reason));

        Assert.Equal((succeeds, text), (world.Answer(reload)!.Value.Single().Succeeded, world.Answer(reload)!.Value.Single().Text));
    }

    [Fact]
    public void ACommandThatDoesNotEnd_IsEnded()
    {
        World world = new World(Commanded).Boot();
        RequestId reload = world.Ask(Verb.Reload, "web");
        Assert.Equal("it is reloading already", world.Answer(world.Ask(Verb.Reload, "web"))!.Value.Single().Text);

        world.Fire(TimerKind.Reload);

        Assert.Equal("its reload command did not end within 30s", world.Answer(reload)!.Value.Single().Text);
        Assert.Single(world.Effects.OfType<Effect.EndCommand>());
    }

    [Fact]
    public void AnEndMeanwhile_IsTheVerdict_AndNamesTheSlot()
    {
        World world = new World(Signalled with { InstanceCount = 2 }).Boot();
        InstanceId first = world.Holder("web"), second = world.Holder("web", 1);
        world.Say(first, "READY=1").Say(second, "READY=1");
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Say(first, "RELOADING=1").Say(first, "READY=1");
        Assert.Null(world.Answer(reload));

        world.Exit(second, 1);

        Outcome outcome = world.Answer(reload)!.Value.Single();
        Assert.Equal((false, second), (outcome.Succeeded, outcome.Failed));
        Assert.Equal("slot 1: reload failed: it ended on SIGHUP (exited with 1)", outcome.Text);
    }

    [Fact]
    public void AProgramThatDoesNotSpeakOfReadiness_IsNotWaitedFor_WhereItsChannelTellsIt()
    {
        World world = new World(A.Service("web")).Boot();
        world.Do(new Event.ChannelWatched(world.Last("web"), IsWatched: true));

        Assert.Equal("told to reload", world.Answer(world.Ask(Verb.Reload, "web"))!.Value.Single().Text);
    }

    [Fact]
    public void AProgramThatReadsItsChannel_IsToldThere_WhereTheConfigurationSaysNothing()
    {
        World world = new World(A.Service("web") with { Ready = Readiness.Notify.Value }).Boot().Say("web", "READY=1");
        world.Do(new Event.ChannelWatched(world.Last("web"), IsWatched: true));

        RequestId reload = world.Ask(Verb.Reload, "web");
        Assert.Equal(world.Last("web"), Assert.Single(world.Effects.OfType<Effect.TellReload>()).Instance);
        world.Say("web", "RELOADING=1").Say("web", "READY=1");

        Assert.True(world.Answer(reload)!.Value.Single() is { Succeeded: true, Text: null });
    }

    [Fact]
    public void AProgramThatIsToldByASignal_IsNotToldTwice()
    {
        World world = new World(Signalled).Boot().Say("web", "READY=1");
        world.Do(new Event.ChannelWatched(world.Last("web"), IsWatched: true));

        _ = world.Ask(Verb.Reload, "web");

        Assert.Empty(world.Effects.OfType<Effect.TellReload>());
        Assert.Single(world.Effects.OfType<Effect.Signal>());
    }

    [Fact]
    public void AClosedChannel_TellsNobody()
    {
        World world = new World(A.Service("web")).Boot();
        world.Do(new Event.ChannelWatched(world.Last("web"), IsWatched: true));
        world.Do(new Event.ChannelWatched(world.Last("web"), IsWatched: false));

        Assert.Equal("it has no 'reload' in the configuration", world.Answer(world.Ask(Verb.Reload, "web"))!.Value.Single().Text);
    }

    [Fact]
    public void WhatCannotReload_IsAnsweredTogetherWithWhatCan()
    {
        World world = new World(Commanded, A.Service("plain")).Boot();
        RequestId reload = world.Ask(Verb.Reload, "plain", "web");
        Assert.Null(world.Answer(reload));

        world.Do(new Event.CommandEnded(world.Last("web"), CommandKind.Reload, Succeeded: true));

        Assert.Equal([(false, "it has no 'reload' in the configuration"), (true, null)],
            world.Answer(reload)!.Value.Select(o => (o.Succeeded, o.Text)));
    }
}
