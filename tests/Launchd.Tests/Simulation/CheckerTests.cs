using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Simulation;

/// <summary>Each checker is able to fail: a fault planted in the stream of effects is found by the checker that is meant for it.</summary>
public sealed class CheckerTests
{
    [Theory]
    [InlineData("lose Release", "4, 5")]
    [InlineData("one slot", "4, 5: two live")]
    [InlineData("narrow signals", "4, 5: a signal to a reaped")]
    [InlineData("same number", "4, 5: a number")]
    [InlineData("lose DisarmTimer", "6: nobody waits")]
    [InlineData("lose ArmTimer", "6: a state waits")]
    [InlineData("late timers", "6: a timer is armed for another")]
    [InlineData("lose Reply", "8: an order got lost|8: an order was never")]
    [InlineData("empty Reply", "8: an answer about")]
    [InlineData("lose CloseDescriptor", "2: a received")]
    [InlineData("lose Keep", "2: a received")]
    [InlineData("store stays", "2: the store does not go along")]
    [InlineData("lose CloseConnection", "connections: a connection is neither")]
    [InlineData("lose EndCommand", "commands")]
    [InlineData("lose EndProbe", "commands: a probe")]
    [InlineData("lose UnwatchListeners", "listeners")]
    [InlineData("lose WatchUse", "16: use is watched")]
    [InlineData("lose UnwatchUse", "16: use is watched")]
    [InlineData("lose TellHandOver", "18: a drain")]
    [InlineData("lose TellPredecessorEnded", "18: a holder waits")]
    [InlineData("lose Spawn", "11: not at rest")]
    [InlineData("lose AwaitTurn", "19: somebody was put off")]
    [InlineData("lose Exit", "11: the shutdown does not end")]
    [InlineData("lose LookAtQueues", "17: told to end without a look")]
    [InlineData("unsaid rollback", "3: a new instance failed before its proof")]
    [InlineData("late after a reload", "23: an end by a reload signal is delayed")]
    [InlineData("unsaid reload", "23: an end by a reload signal is not told as that")]
    public void APlantedFault_IsFound(string fault, string expected)
    {
        List<string> found = [];
        for (ulong number = 0; number < 6000; number++)
        {
            // What only newer seeds have is found among those.
            ulong seed = number < 3000 ? number : Simulation.FirstSlow + number;
            if (Simulation.Run(seed, effect => Mutate(fault, effect)).Broken is not { } broken)
                continue;
            found.Add(broken);
            if (expected.Split('|').Any(e => broken.StartsWith(e, StringComparison.Ordinal)))
                return;
        }
        Assert.Fail($"'{fault}' was never found as '{expected}', only as: " + string.Join("; ", found.Distinct().Take(5)));
    }

    [Theory]
    [InlineData(false, "1: started by a definition of which nothing is kept", "")]
    [InlineData(true, "1: a listener stays open", "")]
    public void AListenerThatIsClosedTooEarlyOrNever_IsFound(bool stays, string expected, string rest)
    {
        for (ulong seed = 0; seed < 20_000; seed++)
        {
            string? broken = Simulation.Run(seed, misjudge: (_, _) => stays).Broken;
            if (broken?.StartsWith(expected, StringComparison.Ordinal) == true && broken.Contains(rest, StringComparison.Ordinal))
                return;
        }
        Assert.Fail("never found");
    }

    [Fact]
    public void AReloadThatPassesOverAService_IsFound()
    {
        for (ulong seed = 0; seed < 3000; seed++)
        {
            SupervisorDefinition? before = null;
            Event PassOver(Event happened)
            {
                if (happened is not Event.Reloaded { Next: var next } reloaded)
                    return happened;
                // The first service that is in both stays what it was.
                ServiceDefinition? old =
                    before?.Services.FirstOrDefault(b => next.Services.Any(s => s.Name == b.Name && s.Start == b.Start));
                before = next;
                return old is null
                    ? happened
                    : reloaded with { Next = next with { Services = [.. next.Services.Select(s => s.Name == old.Name ? old : s)] } };
            }

            if (Simulation.Run(seed, distort: PassOver).Broken is { } broken && broken.StartsWith("9: ", StringComparison.Ordinal)
                && broken.Contains("does not run by the configuration", StringComparison.Ordinal))
            {
                return;
            }
        }
        Assert.Fail("never found");
    }

    [Fact]
    public void MoreThanSlotsAndSurge_IsFound()
    {
        // The supervisor's policy allows one more, the checker's none.
        ServiceDefinition web = A.Overlapping("web");
        RolloutChecker checker = Watching(
            web, web with { Rollout = new RolloutPolicy { SurgeCount = 0, UnavailableCount = 1 } }, out World world);
        world.Ask(Verb.Restart, "web");

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(() => checker.Check(Event.Booted.Value, [], world.Now));

        Assert.StartsWith("3: 2 of web live", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FewerThanMayBeMissing_IsFound()
    {
        ServiceDefinition web = A.Overlapping("web", instances: 3) with
        {
            Rollout = new RolloutPolicy { SurgeCount = 0, UnavailableCount = 2 },
        };
        RolloutChecker checker = Watching(
            web, web with { Rollout = new RolloutPolicy { SurgeCount = 1, UnavailableCount = 1 } }, out World world);
        int before = world.Effects.Count;
        world.Ask(Verb.Restart, "web");

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(
            () => checker.Check(Event.Booted.Value, [.. world.Effects.Skip(before)], world.Now));

        Assert.StartsWith("3: only 1 slots of web serve", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APlaceThatIsTakenBeforeTheProof_IsFound()
    {
        ServiceDefinition web = A.Overlapping("web");
        RolloutChecker checker = Watching(
            web, web with { Rollout = web.Rollout with { Prove = TimeSpan.FromMinutes(1) } }, out World world);
        world.Ask(Verb.Restart, "web");
        world.Say("web", "READY=1");
        checker.Check(Event.Booted.Value, [], world.Now);
        int before = world.Effects.Count;
        world.Fire(TimerKind.Prove);

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(
            () => checker.Check(Event.Booted.Value, [.. world.Effects.Skip(before)], world.Now));

        Assert.StartsWith("3: a place was taken before the proof", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnEndWhileClientsWait_IsFound()
    {
        World world = new World(A.Service("web") with { Sockets = ["http"] }).Boot();
        QueueChecker checker = new(world.Supervisor);
        InstanceId web = world.Last("web");
        checker.Check(Event.Booted.Value,
            [new Effect.Spawn(web, 0, 1, world.State("web").Definition, StartReason.Boot, Connection: null, [])], world.Now);
        checker.Check(Event.Booted.Value, [new Effect.LookAtQueues(web, HearsOut: true)], world.Now);

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(() => checker.Check(
            new Event.QueuesSeen(web, AreEmpty: false),
            [new Effect.TellDrain(web, Deadline: null, Successor: null)], world.Now + TimeSpan.FromSeconds(29)));

        Assert.StartsWith("17: told to end while clients wait", found.Message, StringComparison.Ordinal);
    }

    /// <summary>A checker that believes something else than the supervisor does, once all is ready.</summary>
    private static RolloutChecker Watching(ServiceDefinition service, ServiceDefinition believed, out World world)
    {
        world = new World(service).Boot();
        foreach (InstanceId instance in world.Live.ToArray())
            world.Say(instance, "READY=1");
        RolloutChecker checker = new(new Known(A.Definition(believed)), world.Supervisor);
        checker.Check(Event.Booted.Value, [], world.Now);
        return checker;
    }

    [Fact]
    public void ARestartAboveTheStartLimit_IsFound()
    {
        World world = new World(A.Service("web") with { StartLimit = new RateLimit(2, TimeSpan.FromSeconds(10)) }).Boot();
        StartLimitChecker checker = new(world.Supervisor);
        Effect.Spawn restart = new(world.Last("web"), 0, 1, world.State("web").Definition, StartReason.Restart, Connection: null, []);

        checker.Check(Event.Booted.Value, [restart], new Moment(1));
        checker.Check(Event.Booted.Value, [restart], new Moment(9_999_999_999));
        BrokenPropertyException found =
            Assert.Throws<BrokenPropertyException>(() => checker.Check(Event.Booted.Value, [restart], new Moment(10_000_000_000)));

        Assert.StartsWith("7", found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("reload failed", 100, "23: an end by a reload signal is delayed")]
    [InlineData(null, 0, "23: an end by a reload signal is not told as that")]
    public void APauseAfterAReloadThatEndsIt_IsFound(string? reason, int delayMs, string expected)
    {
        ReloadEndChecker checker = new();
        InstanceId web = new(new ServiceName("web"), 1);
        checker.Check(new Event.Requested(new RequestId(1), Verb.Reload, [web.Service]),
            [new Effect.Signal(web, SignalNumber.Hup, KillScope.Process)], new Moment(1));
        Notice exited = new Notice.Exited(web, 0, 1, 1001, new ExitStatus(0), IsFailure: true) { Reason = reason };
        Notice restarting = new Notice.Restarting(web.Service, 0, 1, TimeSpan.FromMilliseconds(delayMs), reason);

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(() => checker.Check(
            new Event.MainExited(web, new ExitStatus(0), HasLeftovers: false),
            [new Effect.Report(exited), new Effect.Report(restarting)], new Moment(5_000_000_001)));

        Assert.StartsWith(expected, found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ListenerUsed", "16: it is stopped as unused without a look")]
    [InlineData("UseSeen", "16: it is stopped as unused within its idle time")]
    public void AStopOfWhatWasUsed_IsFound(string after, string expected)
    {
        World world = new World(A.Demand("lazy") with { IdleTimeout = TimeSpan.FromSeconds(10) }).Boot();
        ServiceName lazy = new("lazy");
        IdleChecker checker = new(world.Supervisor);
        world.Do(new Event.ListenerReadable(lazy, 0));
        checker.Check(new Event.ListenerReadable(lazy, 0), [new Effect.Spawn(world.Last("lazy"), 0, 1,
            world.Supervisor.Find(lazy)!.Definition, StartReason.Activation, Connection: null, []),
            new Effect.WatchUse(lazy)], world.Now);
        Effect stop = new Effect.Report(new Notice.Draining(world.Last("lazy"), 0, 1, 1, "nobody used it for 10s"));
        Event cause = after == "UseSeen" ? new Event.UseSeen(lazy, IsUsed: false) : new Event.ListenerUsed(lazy);

        BrokenPropertyException found =
            Assert.Throws<BrokenPropertyException>(() => checker.Check(cause, [stop], world.Now + TimeSpan.FromSeconds(9)));

        Assert.StartsWith(expected, found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASpawnBeforeWhatItRequires_IsFound()
    {
        SupervisorDefinition definition = A.Definition(A.Service("db") with { Ready = Readiness.Notify.Value }, A.Service("web", "db"));
        Supervisor supervisor = new(definition, seed: 1);
        DependencyChecker checker = new(new Known(definition), supervisor);
        Effect[] effects = [.. supervisor.Step(Event.Booted.Value, new Moment(1))];
        Effect.Spawn tooEarly = new(
            new InstanceId(new ServiceName("web"), 99), 0, 1, definition.Services[1], StartReason.Boot, Connection: null, []);

        checker.Check(Event.Booted.Value, effects, new Moment(1));
        Assert.Throws<BrokenPropertyException>(() => checker.Check(Event.Booted.Value, [tooEarly], new Moment(1)));
    }

    [Fact]
    public void AStopInTheWrongOrder_IsFound()
    {
        // The supervisor knows of no order, the checker of one.
        SupervisorDefinition free = A.Definition(A.Service("db"), A.Service("web"));
        SupervisorDefinition ordered = A.Definition(A.Service("db") with { Before = [new ServiceName("web")] }, A.Service("web"));
        World world = new(free);
        DependencyChecker checker = new(new Known(ordered), world.Supervisor);
        world.Boot();
        checker.Check(Event.Booted.Value, [], world.Now);
        world.Ask(Verb.Stop, "db", "web");

        BrokenPropertyException found = Assert.Throws<BrokenPropertyException>(() => checker.Check(Event.Booted.Value, [], world.Now));

        Assert.Contains("stopped before web", found.Message, StringComparison.Ordinal);
    }

    private static Effect? Mutate(string fault, Effect effect)
    {
        if (fault.StartsWith("lose ", StringComparison.Ordinal))
            return effect.GetType().Name == fault[5..] ? null : effect;
        return (fault, effect) switch
        {
            ("one slot", Effect.Spawn e) => e with { Slot = 0 },
            ("narrow signals", Effect.Signal e) => e with { Scope = KillScope.Process },
            ("same number", Effect.Spawn e) => e with { Instance = e.Instance with { Number = 1 } },
            ("late timers", Effect.ArmTimer e) => e with { Due = e.Due + TimeSpan.FromSeconds(1) },
            ("empty Reply", Effect.Reply e) => e with { Outcomes = [] },
            ("store stays", Effect.Spawn e) => e with { Stored = [] },
            ("unsaid rollback", Effect.Report { Notice: Notice.RolledBack }) => null,
            ("late after a reload", Effect.Report { Notice: Notice.Restarting { Reason: { } why } e })
                when why.StartsWith("reload failed", StringComparison.Ordinal) =>
                new Effect.Report(e with { Delay = TimeSpan.FromMilliseconds(100) }),
            ("unsaid reload", Effect.Report { Notice: Notice.Exited e }) => new Effect.Report(e with { Reason = null }),
            _ => effect,
        };
    }
}
