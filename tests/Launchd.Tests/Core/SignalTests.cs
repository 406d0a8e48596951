using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Whom a signal reaches, and what is said of one that the kernel refused.</summary>
public sealed class SignalTests
{
    private const string NotOurs = "not permitted: process 1001 belongs to root";

    private static ServiceDefinition Web => A.Service("web") with { Ready = Readiness.Notify.Value };

    [Fact]
    public void ASignalThatIsRefused_FailsTheOrder_WithTheReason()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        world.SignalsRefused = NotOurs;
        Outcome outcome = world.Answer(world.Ask(Verb.Signal, "web"))!.Value.Single();
        Assert.False(outcome.Succeeded);
        Assert.Equal(NotOurs, outcome.Text);
        Assert.Contains(world.Effects.OfType<Effect.Report>(), r => r.Notice is Notice.SignalRefused { Reason: NotOurs });
    }

    [Fact]
    public void OfAPool_TheSlotThatRefusedIsNamed()
    {
        World world = new World(A.Service("web") with { InstanceCount = 2 }).Boot();
        world.SignalsRefused = NotOurs;
        Assert.Equal("slot 0: " + NotOurs, world.Answer(world.Ask(Verb.Signal, "web"))!.Value.Single().Text);
    }

    [Fact]
    public void ASignal_ReachesTheDrainingInstancesBesideASlot_AndTheOneThatIsToEnd()
    {
        ServiceDefinition overlapping = A.Overlapping("web") with { Rollout = new RolloutPolicy { Prove = TimeSpan.Zero } };
        World world = new World(overlapping).Boot().Say("web", "READY=1");
        InstanceId former = world.Last("web");
        world.Ask(Verb.Restart, "web");
        world.Say("web", "READY=1");
        Assert.Equal(SlotRole.Retiring, world.State("web").Beside.Single().Role);
        Assert.True(world.Answer(world.Ask(Verb.Signal, "web"))!.Value.Single().Succeeded);
        Assert.Equal([world.Last("web"), former], Ordered(world));

        World stopping = new World(Web).Boot().Say("web", "READY=1");
        stopping.Ask(Verb.Stop, "web");
        Assert.True(stopping.Answer(stopping.Ask(Verb.Signal, "web"))!.Value.Single().Succeeded);
        Assert.Equal([stopping.Last("web")], Ordered(stopping));
    }

    [Fact]
    public void ASignal_ReachesNobodyOfAnotherService_AndNoneThatHasEnded()
    {
        World world = new World(Web, A.Service("webs"), A.Service("we")).Boot().Say("web", "READY=1").Exit("web", leftovers: true);
        Outcome outcome = world.Answer(world.Ask(Verb.Signal, "web"))!.Value.Single();
        Assert.Equal("it has no running instance", outcome.Text);
        Assert.Empty(Ordered(world));
    }

    [Fact]
    public void AReload_WhoseSignalIsRefused_HasFailed_AtOnce()
    {
        World world = new World(Web with { Reload = new ReloadAction.Signal(SignalNumber.Hup) }).Boot().Say("web", "READY=1");
        world.SignalsRefused = NotOurs;
        Outcome outcome = world.Answer(world.Ask(Verb.Reload, "web"))!.Value.Single();
        Assert.False(outcome.Succeeded);
        Assert.Equal("SIGHUP could not be sent: " + NotOurs, outcome.Text);
        Assert.Empty(world.Timers);
    }

    [Fact]
    public void AStop_OfWhatMayNotBeKilled_DoesNotWaitForTheEffectOfSigkill()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        world.SignalsRefused = NotOurs;
        RequestId stop = world.Ask(Verb.Stop, "web");
        world.Fire(TimerKind.Stop);
        Moment killed = world.Now;
        world.Do(new Event.RemainsSeen(world.Last("web"), "process 1001 (su) cannot be ended: " + NotOurs)).Fire(TimerKind.Stop);
        Assert.Equal(killed, world.Now);
        Outcome outcome = world.Answer(stop)!.Value.Single();
        Assert.False(outcome.Succeeded);
        Assert.EndsWith(NotOurs, outcome.Text);
    }

    [Fact]
    public void AShutdown_DoesNotWaitEither()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        world.SignalsRefused = NotOurs;
        world.Do(new Event.ShutdownAsked("test", IsImmediate: true));
        Moment killed = world.Now;
        world.Fire(TimerKind.Stop);
        Assert.Equal(killed, world.Now);
        Assert.Equal(0, world.ExitCode);
    }

    private static InstanceId[] Ordered(World world) =>
        [.. world.Effects.OfType<Effect.Signal>().Where(s => s.Request is not null).Select(s => s.Instance)];
}
