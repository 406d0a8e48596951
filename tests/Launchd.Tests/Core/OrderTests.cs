using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Operators' orders, dependencies, activation and the end of the supervisor.</summary>
public sealed class OrderTests
{
    private static ServiceDefinition Web => A.Service("web") with { Ready = Readiness.Notify.Value };

    [Fact]
    public void StopInBackoff_CancelsTheAttempt()
    {
        World world = new World(Web).Boot().Exit("web", 1);
        RequestId stop = world.Ask(Verb.Stop, "web");
        Assert.True(world.Answer(stop)!.Value.Single().Succeeded);
        Assert.Empty(world.Timers);
        Assert.Equal(PublicState.Stopped, world.State("web").PublicState);
    }

    [Fact]
    public void StopDuringStart_AnswersBothOrders()
    {
        World world = new(Web with { Start = StartKind.Manual });
        world.Boot();
        RequestId start = world.Ask(Verb.Start, "web"), stop = world.Ask(Verb.Stop, "web");
        Assert.False(world.Answer(start)!.Value.Single().Succeeded);
        Assert.Null(world.Answer(stop));
        world.Exit("web", signal: 15);
        Assert.True(world.Answer(stop)!.Value.Single().Succeeded);
    }

    [Theory]
    [InlineData("Start")]
    [InlineData("Restart")]
    public void AnOrderDuringAWishStop_StartsAgainAfterIt(string verb)
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        RequestId stop = world.Ask(Verb.Stop, "web"), again = world.Ask(Enum.Parse<Verb>(verb), "web");
        Assert.False(world.Answer(stop)!.Value.Single().Succeeded);
        world.Exit("web");
        world.Say("web", "READY=1");
        Assert.True(world.Answer(again)!.Value.Single().Succeeded);
    }

    [Theory]
    [InlineData("Start")]
    [InlineData("Restart")]
    public void AnOrderWhileItEndsByItself_BringsAnother_EvenWithRestartNever(string verb)
    {
        World world = new World(Web with { Restart = RestartKind.Never }).Boot().Say("web", "READY=1").Say("web", "STOPPING=1");
        world.Ask(Enum.Parse<Verb>(verb), "web");
        world.Exit("web", 1);
        Assert.Equal(2, world.Spawned("web"));
    }

    [Fact]
    public void RestartOfAFailedService_TriesAgain_AndItsFailedRequirementToo()
    {
        World world = new World(A.Service("db") with { Restart = RestartKind.Never }, A.Service("web", "db"));
        world.SpawnsFail = true;
        world.Boot();
        Assert.IsType<Failure.DependencyFailed>(((SlotPhase.Failed)world.Phase("web")).Failure);
        world.SpawnsFail = false;
        RequestId restart = world.Ask(Verb.Restart, "web");
        Assert.True(world.Answer(restart)!.Value.Single().Succeeded);
        Assert.Equal(PublicState.Ready, world.State("db").PublicState);
    }

    [Fact]
    public void ADependantWaits_WhileWhatItRequiresRestarts()
    {
        World world = new World(Web, A.Service("after", "web")).Boot().Say("web", "READY=1");
        world.Ask(Verb.Restart, "web", "after");
        world.Exit("after").Exit("web");
        Assert.IsType<SlotPhase.Waiting>(world.Phase("after"));
        world.Say("web", "READY=1");
        Assert.Equal(PublicState.Ready, world.State("after").PublicState);
    }

    [Fact]
    public void StopReachesWhatRequiresIt_InReverseOrder()
    {
        World world = new World(A.Service("db"), A.Service("web", "db")).Boot();
        RequestId stop = world.Ask(Verb.Stop, "db");
        Assert.IsType<SlotPhase.Ready>(world.Phase("db"));
        world.Exit("web");
        Assert.IsType<SlotPhase.Stopping>(world.Phase("db"));
        world.Exit("db");
        Assert.True(world.Answer(stop)!.Value.Single().Succeeded);
    }

    [Fact]
    public void AStopThatWaitsForADependant_DoesNot_WhenAReloadTakesTheDependencyAway()
    {
        World world = new World(A.Service("db"), A.Service("web", "db")).Boot();
        RequestId stop = world.Ask(Verb.Stop, "db");
        Assert.IsType<SlotPhase.Ready>(world.Phase("db"));

        world.Reload(A.Definition(world.State("db").Definition, A.Service("web")), quiet: "web");

        Assert.IsType<SlotPhase.Stopping>(world.Phase("db"));
        world.Exit("db");
        Assert.True(world.Answer(stop)!.Value.Single().Succeeded);
    }

    [Fact]
    public void AnswersComeInTheOrderOfTheQuestion_AndBeforeTheEnd()
    {
        World world = new World(A.Service("a"), A.Service("b")).Boot();
        RequestId stop = world.Ask(Verb.Stop, "b", "a", "b", "nobody");
        world.Do(new Event.ShutdownAsked("test", IsImmediate: false));
        world.Exit("a").Exit("b");
        Assert.Equal(["b", "a"], world.Answer(stop)!.Value.Select(o => o.Service.Text));
        Assert.IsType<Effect.Exit>(world.Effects[^1]);
    }

    [Fact]
    public void TooManyOrders_AreRefused()
    {
        World world = new World(Web).Boot();
        for (int i = 0; i < Limits.PendingRequestCount; i++)
            world.Ask(Verb.Start, "web");
        Assert.False(world.Answer(world.Ask(Verb.Start, "web"))!.Value.Single().Succeeded);
    }

    [Fact]
    public void ASignal_DoesNotGoToAReapedMainProcess()
    {
        World world = new World(Web).Boot().Say("web", "READY=1").Exit("web", leftovers: true);
        Assert.False(world.Answer(world.Ask(Verb.Signal, "web"))!.Value.Single().Succeeded);
    }

    [Theory]
    [InlineData("Always")]
    [InlineData("OnFailure")]
    [InlineData("Never")]
    public void ADemandServiceThatEndedWell_ListensAgain(string policy)
    {
        World world = new World(A.Demand("lazy") with { Restart = Enum.Parse<RestartKind>(policy), StartLimit = new RateLimit(1,
            TimeSpan.FromMinutes(1)) }).Boot();
        for (int client = 0; client < 3; client++)
        {
            world.Do(new Event.ListenerReadable(new ServiceName("lazy"), 0)).Exit("lazy");
            Assert.True(world.State("lazy").IsWatching);
        }
        Assert.Equal(3, world.Spawned("lazy"));
    }

    [Fact]
    public void ADemandServiceThatKeepsFailing_RestsAndListensAgain()
    {
        World world =
            new World(A.Demand("lazy") with { Restart = RestartKind.Never, StartLimit = new RateLimit(2, TimeSpan.FromMinutes(1)) }).Boot();
        Event client = new Event.ListenerReadable(new ServiceName("lazy"), 0);
        world.Do(client).Exit("lazy", 1).Do(client).Exit("lazy", 1).Do(client);
        Assert.Equal(2, world.Spawned("lazy"));
        Assert.False(world.State("lazy").IsWatching);
        world.Fire(TimerKind.Activation);
        Assert.True(world.State("lazy").IsWatching);
    }

    [Fact]
    public void ConnectionsAboveTheLimit_WaitInTheQueue()
    {
        World world = new World(A.Connection("each")).Boot();
        ServiceName each = new("each");
        for (int connection = 1; connection <= 2; connection++)
            world.Do(new Event.ListenerReadable(each, 0)).Do(new Event.ConnectionAccepted(each, new ConnectionId(connection), "10.0.0.1"));
        Assert.False(world.State("each").IsWatching);
        world.Exit("each");
        Assert.True(world.State("each").IsWatching);
    }

    [Fact]
    public void AConnectionThatCannotBeKilled_GivesItsPlaceBack()
    {
        World world = new World(A.Connection("each")).Boot();
        ServiceName each = new("each");
        world.Do(new Event.ListenerReadable(each, 0)).Do(new Event.ConnectionAccepted(each, new ConnectionId(1), "10.0.0.1"));
        world.Ask(Verb.Restart, "each");
        world.Fire(TimerKind.Stop).Fire(TimerKind.Stop);
        Assert.Empty(world.State("each").Slots);
    }

    // Whoever keeps what services have, such as the users of a socket, must hear of each that is gone.
    [Fact]
    public void TheVersionOfDefinitions_ChangesWithEachServiceThatIsForgotten()
    {
        ServiceDefinition same = A.Service("same");
        World world = new World(same, A.Service("first"), A.Service("second")).Boot();
        world.Reload(A.Definition(same));
        long before = world.Supervisor.DefinitionsVersion;
        world.Exit("first");
        Assert.Null(world.Supervisor.Find(new ServiceName("first")));
        long between = world.Supervisor.DefinitionsVersion;
        world.Exit("second");
        Assert.True(before < between && between < world.Supervisor.DefinitionsVersion);
        world.Exit("same", 1).Fire(TimerKind.Backoff);
        Assert.Equal(between + 1, world.Supervisor.DefinitionsVersion);
    }

    // When the shutdown is over, the connection's slot and that of the draining instance are gone.
    [Fact]
    public void AShutdown_KnowsEachInstanceThatItGaveUp()
    {
        World world = new World(A.Service("early"), A.Service("good"), A.Connection("each"), A.Overlapping("web")).Boot();
        world.Say("web", "READY=1");
        InstanceId draining = world.Last("web");
        ServiceName each = new("each");
        world.Do(new Event.ListenerReadable(each, 0)).Do(new Event.ConnectionAccepted(each, new ConnectionId(1), "10.0.0.1"));
        world.Ask(Verb.Stop, "early");
        world.Fire(TimerKind.Stop).Fire(TimerKind.Stop);
        Assert.IsType<Failure.CannotBeKilled>(world.State("early").LastFailure);
        world.Ask(Verb.Restart, "web");
        world.Say("web", "READY=1").Fire(TimerKind.Prove);
        Assert.Equal(draining, Assert.Single(world.State("web").Beside).Instance!.Id);

        world.Do(new Event.ShutdownAsked("test", IsImmediate: true));
        world.Exit("good", signal: 9).Exit("web", signal: 9);
        while (world.ExitCode is null)
            world.Fire(TimerKind.Stop);

        Assert.Equal(["each", "early", "web"], world.Supervisor.Frame.Shutdown!.GivenUp.Select(g => g.Service.Text).Order());
        Assert.All(world.Supervisor.Frame.Shutdown.GivenUp, g => Assert.IsType<Failure.CannotBeKilled>(g.Why));
    }

    [Fact]
    public void ASecondShutdown_KillsWhatStillRuns_WhateverTheOrder()
    {
        World world = new World(A.Service("db"), A.Service("web", "db")).Boot();
        world.Do(new Event.ShutdownAsked("SIGINT", IsImmediate: false)).Do(new Event.ShutdownAsked("SIGINT", IsImmediate: true));
        Assert.Equal(2, world.Effects.OfType<Effect.Signal>().Count(s => s.Number == SignalNumber.Kill));
        world.Exit("web", signal: 9).Exit("db", signal: 9);
        Assert.Equal(0, world.ExitCode);
    }

    [Fact]
    public void AShutdown_CancelsAttempts()
    {
        World world = new World(Web).Boot().Exit("web", 1).Do(new Event.ShutdownAsked("SIGTERM", IsImmediate: false));
        Assert.Equal(0, world.ExitCode);
        Assert.Empty(world.Timers);
    }

    [Theory]
    [InlineData("OnFailure", 0, 0)]
    [InlineData("Never", 0, 0)]
    [InlineData("Never", 7, 7)]
    [InlineData("Always", 7, null)]
    [InlineData("OnFailure", 7, null)]
    public void ExitWith_EndsWithItsServiceAndItsCode_IfThePolicyWantsNoOther(string policy, int code, int? expected)
    {
        World world = new World(A.Definition(A.Service("web") with { Restart = Enum.Parse<RestartKind>(policy) }), exitWith: "web").Boot()
            .Exit("web", code);
        Assert.Equal(expected, world.ExitCode);
    }

    [Fact]
    public void ExitWith_ADeathBySignal_Is128AndItsNumber()
    {
        World world =
            new World(A.Definition(A.Service("web") with { Restart = RestartKind.Never }), exitWith: "web").Boot().Exit("web", signal: 9);
        Assert.Equal(137, world.ExitCode);
    }

    [Fact]
    public void ExitWith_AServiceThatCanNeverRun_IsOne()
    {
        World world = new(A.Definition(A.Service("web") with { Restart = RestartKind.Never }), exitWith: "web") { SpawnsFail = true };
        Assert.Equal(1, world.Boot().ExitCode);
    }
}
