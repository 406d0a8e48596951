using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>What time limits are worth while the supervisor, and its programs with it, are frozen.</summary>
public sealed class AbsenceTests
{
    private static readonly TimeSpan Frozen = TimeSpan.FromSeconds(60);

    private static ServiceDefinition Web => A.Service("web") with { Ready = Readiness.Notify.Value };

    [Fact]
    public void AWatchdog_BeginsAnew()
    {
        World world = new World(Web with { Watchdog = TimeSpan.FromSeconds(10) }).Boot().Say("web", "READY=1");
        world.Pass(Frozen).Do(new Event.WasAway(Frozen));
        Moment back = world.Now;
        world.Do(new Event.TimerFired(new TimerKey(TimerKind.Watchdog, new ServiceName("web"), world.Last("web").Number)));
        Assert.IsType<SlotPhase.Ready>(world.Phase("web"));
        world.Fire(TimerKind.Watchdog);
        Assert.Equal(TimeSpan.FromSeconds(10), world.Now - back);
        Assert.IsType<SlotPhase.Stopping>(world.Phase("web"));
    }

    [Fact]
    public void AReadyTimeoutThatPassed_BeginsAnew_AndOneThatDidNot_StoodStill()
    {
        ServiceDefinition late = Web with { ReadyTimeout = TimeSpan.FromSeconds(7) };
        World world = new World(late, Web with { Name = new ServiceName("slow"), ReadyTimeout = TimeSpan.FromSeconds(100) }).Boot();
        world.Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.Equal(world.Now + TimeSpan.FromSeconds(7), DueOf(world, TimerKind.Ready, "web"));
        Assert.Equal(world.Now + TimeSpan.FromSeconds(100), DueOf(world, TimerKind.Ready, "slow"));
        world.Say("web", "READY=1");
        Assert.IsType<SlotPhase.Ready>(world.Phase("web"));
    }

    [Fact]
    public void StopTimeout_SigkillsGrace_AndTheShutdown_AllowForIt()
    {
        World world = new World(Web with { Stop = new StopPolicy { Timeout = TimeSpan.FromSeconds(5) } }).Boot().Say("web", "READY=1");
        world.Do(new Event.ShutdownAsked("test", IsImmediate: false));
        Moment shutdownDue = ShutdownDueOf(world);
        world.Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.Equal(world.Now + TimeSpan.FromSeconds(5), DueOf(world, TimerKind.Stop, "web"));
        Assert.Equal(shutdownDue + Frozen, ShutdownDueOf(world));
        world.Fire(TimerKind.Stop);
        Assert.Equal(StopStage.Killed, ((SlotPhase.Stopping)world.Phase("web")).Stage);
        world.Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.Equal(world.Now + Limits.KillGrace, DueOf(world, TimerKind.Stop, "web"));
    }

    [Fact]
    public void AReloadThatIsAwaited_AllowsForIt_AndSoDoesAProof()
    {
        World world = new World(Web with { Reload = new ReloadAction.Signal(SignalNumber.Hup) }).Boot().Say("web", "READY=1");
        world.Ask(Verb.Reload, "web");
        world.Say("web", "RELOADING=1").Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.True(DueOf(world, TimerKind.Reload, "web") >= world.Now + Web.ReadyTimeout);

        World proving = new World(A.Overlapping("web")).Boot().Say("web", "READY=1");
        proving.Ask(Verb.Restart, "web");
        proving.Say("web", "READY=1").Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.Equal(proving.Now + TimeSpan.FromSeconds(5), DueOf(proving, TimerKind.Prove, "web"));
    }

    [Fact]
    public void APauseOfTheSupervisorsOwn_GoesOn()
    {
        World world = new World(Web).Boot().Exit("web", 1);
        Moment due = DueOf(world, TimerKind.Backoff, "web");
        world.Pass(Frozen).Do(new Event.WasAway(Frozen));
        Assert.Equal(due, DueOf(world, TimerKind.Backoff, "web"));
    }

    private static Moment ShutdownDueOf(World world) => world.Timers.Single(t => t.Key.Kind == TimerKind.Shutdown).Value;

    private static Moment DueOf(World world, TimerKind kind, string service) =>
        world.Timers.Single(t => t.Key.Kind == kind && t.Key.Service.Text == service).Value;
}
