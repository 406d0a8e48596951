using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>A program that ends on its reload signal has failed to reload, whatever its status, and is started again at once.</summary>
public sealed class ReloadEndTests
{
    private const string Sentence = "reload failed: it ended on SIGHUP";

    private static ServiceDefinition Web => A.Service("web") with
    {
        Ready = Readiness.Notify.Value,
        Restart = RestartKind.OnFailure,
        Reload = new ReloadAction.Signal(SignalNumber.Hup),
    };

    [Theory]
    [InlineData("OnFailure", 0, 0, "exited with 0")]
    [InlineData("OnFailure", 1, 0, "exited with 1")]
    [InlineData("OnFailure", 0, 1, "killed by SIGHUP")]
    [InlineData("Always", 0, 0, "exited with 0")]
    [InlineData("Always", 0, 1, "killed by SIGHUP")]
    public void ItIsStartedAgainAtOnce_AndWhoeverWaitsIsToldWhy(string restart, int code, int signal, string status)
    {
        World world = Ready(Web with { Restart = Enum.Parse<RestartKind>(restart), SuccessSignals = [SignalNumber.Hup] });
        RequestId reload = world.Ask(Verb.Reload, "web");

        world.Exit("web", code, signal);

        Outcome outcome = world.Answer(reload)!.Value.Single();
        Assert.Equal((false, $"{Sentence} ({status})"), (outcome.Succeeded, outcome.Text));
        Notice.Exited exited = Assert.Single(Notices<Notice.Exited>(world));
        Assert.Equal((true, Sentence), (exited.IsFailure, exited.Reason));
        Notice.Restarting restarting = Assert.Single(Notices<Notice.Restarting>(world));
        Assert.Equal((TimeSpan.Zero, $"{Sentence} ({status})"), (restarting.Delay, restarting.Reason));
        Assert.IsType<SlotPhase.Starting>(world.Phase("web"));
        Assert.Equal((2, 0), (world.Spawned("web"), world.State("web").Slots[0].Attempt));
        Assert.Equal($"{Sentence} ({status})", world.State("web").LastFailure!.ToString());
    }

    [Fact]
    public void WhereNothingIsStartedAgain_TheReasonIsTold()
    {
        World world = Ready(Web with { Restart = RestartKind.Never });
        RequestId reload = world.Ask(Verb.Reload, "web");

        world.Exit("web");

        Assert.Equal(Sentence + " (exited with 0)", world.Answer(reload)!.Value.Single().Text);
        Assert.Equal(Sentence + " (exited with 0)", Assert.IsType<SlotPhase.Failed>(world.Phase("web")).Failure.ToString());
        Assert.Equal(1, world.Spawned("web"));
    }

    [Fact]
    public void OneThatWasTakenForSilent_OrSaidThatItHasReloaded_MayStillEndOfIt()
    {
        World world = Ready(Web with { InstanceCount = 2 });
        InstanceId first = world.Holder("web"), second = world.Holder("web", 1);
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Say(first, "RELOADING=1").Say(first, "READY=1").Fire(TimerKind.Reload);

        world.Pass(TimeSpan.FromMilliseconds(3300)).Exit(first).Exit(second);

        Assert.True(world.Answer(reload)!.Value.Single() is { Succeeded: true, Text: "told to reload" });
        Assert.Equal([Sentence, Sentence], Notices<Notice.Exited>(world).Select(e => e.Reason));
        Assert.Equal([TimeSpan.Zero, TimeSpan.Zero], Notices<Notice.Restarting>(world).Select(r => r.Delay));
    }

    [Fact]
    public void AnEndThatComesLater_IsJudgedByThePolicy()
    {
        World world = Ready(Web);
        world.Ask(Verb.Reload, "web");

        world.Fire(TimerKind.Reload).Pass(TimeSpan.FromMilliseconds(4001)).Exit("web");

        Assert.IsType<SlotPhase.Ended>(world.Phase("web"));
        Assert.Null(Assert.Single(Notices<Notice.Exited>(world)).Reason);
    }

    [Fact]
    public void NeitherTheStartLimitNorTheBackoffCountsIt()
    {
        World world = Ready(Web with { StartLimit = new RateLimit(2, TimeSpan.FromMinutes(1)) });
        for (int reload = 1; reload <= 5; reload++)
        {
            world.Ask(Verb.Reload, "web");
            world.Exit("web").Say("web", "READY=1");
        }
        Assert.Equal(6, world.Spawned("web"));

        world.Exit("web", 1);

        Assert.Equal(TimeSpan.FromMilliseconds(100), Assert.IsType<SlotPhase.BackingOff>(world.Phase("web")).Until - world.Now);
        world.Fire(TimerKind.Backoff).Exit("web", 1);
        Assert.StartsWith("started 2 times within 1m", ((SlotPhase.Failed)world.Phase("web")).Failure.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatFollowsWithoutAnotherReload_IsAnOrdinaryFailure()
    {
        World world = Ready(Web);
        world.Ask(Verb.Reload, "web");
        world.Exit("web");

        world.Say("web", "READY=1").Exit("web", 1);

        Assert.IsType<SlotPhase.BackingOff>(world.Phase("web"));
    }

    [Fact]
    public void OneThatSaysThatItStops_MayTakeItsTime()
    {
        World world = Ready(Web);
        RequestId reload = world.Ask(Verb.Reload, "web");
        world.Say("web", "STOPPING=1");
        Assert.Equal(Sentence, world.Answer(reload)!.Value.Single().Text);

        world.Pass(TimeSpan.FromSeconds(8)).Exit("web");

        Assert.Equal(Sentence, Assert.Single(Notices<Notice.Exited>(world)).Reason);
        Assert.Equal(2, world.Spawned("web"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatItLeavesBehind_EndsFirst(bool says)
    {
        World world = Ready(Web);
        world.Ask(Verb.Reload, "web");
        if (says)
            world.Say("web", "STOPPING=1");
        InstanceId web = world.Last("web");
        world.Exit("web", leftovers: true);
        Assert.Equal(1, world.Spawned("web"));

        world.Do(new Event.LeftoversEnded(web));

        Assert.Equal(TimeSpan.Zero, Assert.Single(Notices<Notice.Restarting>(world)).Delay);
        Assert.Equal(2, world.Spawned("web"));
    }

    [Fact]
    public void OneThatIsToldToStop_HasNotFailed()
    {
        World world = Ready(Web);
        world.Ask(Verb.Reload, "web");
        world.Ask(Verb.Stop, "web");

        world.Exit("web");

        Assert.Null(Assert.Single(Notices<Notice.Exited>(world)).Reason);
        Assert.IsType<SlotPhase.Idle>(world.Phase("web"));
    }

    [Fact]
    public void ASignalThatIsNoReload_IsNotMeant()
    {
        World world = Ready(Web);
        world.Ask(Verb.Signal, "web");

        world.Exit("web");

        Assert.IsType<SlotPhase.Ended>(world.Phase("web"));
    }

    private static World Ready(ServiceDefinition service)
    {
        World world = new World(service).Boot();
        foreach (InstanceId instance in world.Live.ToArray())
            world.Say(instance, "READY=1");
        return world;
    }

    private static IEnumerable<T> Notices<T>(World world) => world.Effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<T>();
}
