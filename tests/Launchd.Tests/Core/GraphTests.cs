using Launchd.Core;
using Launchd.Core.Graph;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>
/// Who needs whom, in shapes that a stack or a naive walk does not survive: circles of <c>wants</c>, and the whole of a long chain.
/// </summary>
public sealed class GraphTests
{
    private const int Long = 20_000;

    [Theory]
    [InlineData("itself")]
    [InlineData("each other")]
    [InlineData("requires one way, wants the other")]
    [InlineData("around three")]
    public void ACircleOfWants_RunsStopsAndIsReloaded(string circle)
    {
        ServiceDefinition[] services = Circle(circle);
        World world = new World(services).Boot();
        Assert.All(services, s => Assert.IsType<SlotPhase.Ready>(world.Phase(s.Name.Text)));

        RequestId stop = world.Ask(Verb.Stop, [.. services.Select(s => s.Name.Text)]);
        foreach (InstanceId live in world.Live.ToArray().Reverse())
            world.Exit(live);
        Assert.All(world.Answer(stop)!.Value, o => Assert.True(o.Succeeded));

        RequestId start = world.Ask(Verb.Start, "a");
        Assert.True(world.Answer(start)!.Value.Single().Succeeded);
        Assert.All(services, s => Assert.True(world.State(s.Name.Text).IsWanted));
        world.Ask(Verb.Restart, [.. services.Select(s => s.Name.Text)]);
        foreach (InstanceId live in world.Live.ToArray())
            world.Exit(live);
        Assert.All(services, s => Assert.IsType<SlotPhase.Ready>(world.Phase(s.Name.Text)));
    }

    [Theory]
    [InlineData("itself")]
    [InlineData("each other")]
    [InlineData("requires one way, wants the other")]
    [InlineData("around three")]
    public void ACircleOfWants_ComesWithAReload(string circle)
    {
        World world = new World(A.Service("web")).Boot();

        RequestId reload = world.Reload(A.Definition([world.State("web").Definition, .. Circle(circle)]));

        Assert.All(world.Answer(reload)!.Value, o => Assert.True(o.Succeeded));
        Assert.Equal(Circle(circle).Length + 1, world.Live.Count);
    }

    [Fact]
    public void InACircle_WhatFailedGetsAnotherChance()
    {
        World world = new(
            A.Service("a") with { Wants = Names("b"), Restart = RestartKind.Never }, A.Service("b") with { Wants = Names("a") });
        world.Boot().Exit("a", 1);
        Assert.IsType<SlotPhase.Failed>(world.Phase("a"));

        RequestId start = world.Ask(Verb.Start, "b");

        Assert.True(world.Answer(start)!.Value.Single().Succeeded);
        Assert.IsType<SlotPhase.Ready>(world.Phase("a"));
    }

    [Fact]
    public void AWalk_EntersEachServiceOnce_AndComesToItAfterAllThatItLeadsTo()
    {
        int[][] edges = [[1, 2, 2], [3], [3, 0], [1, 3], []];
        List<int> entered = [];

        List<int> found = new GraphWalk(5).From(0, edges, s =>
        {
            entered.Add(s);
            return true;
        });

        Assert.Equal([3, 1, 2, 0], found);
        Assert.Equal(entered.Distinct(), entered);
    }

    [Fact]
    public void AWalk_GoesNowhereBeyondWhatItDoesNotEnter() => Assert.Equal([0], new GraphWalk(3).From(0, [[1], [2], []], s => s != 1));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AWholeChain_IsStartedStoppedAndFailsWithItsFirst(bool onDemand)
    {
        Supervisor supervisor = new(A.Definition(Chain(Long, onDemand)), seed: 1);
        Thin host = new(supervisor);
        host.Send(Event.Booted.Value);
        host.Send(Order(1, Verb.Stop, "s0"));
        host.EndAll();
        Assert.Empty(host.Live);

        host.Fails = "s0";
        host.Send(Order(2, Verb.Start, $"s{Long - 1}"));
        // What listens is there for those that require it: the last of a chain on demand was started before the first could fail.
        Assert.All(supervisor.Services.Skip(1).SkipLast(onDemand ? 1 : 0), s => Assert.True(HasFailedByAnother(s)));

        host.Fails = null;
        host.Send(Order(3, Verb.Start, $"s{Long - 1}"));
        Assert.DoesNotContain(supervisor.Services, HasFailedByAnother);
        Assert.IsType<SlotPhase.Ready>(supervisor.Services[^1].Slots[0].Phase);

        host.Send(new Event.ShutdownAsked("test", IsImmediate: false));
        host.EndAll();
        Assert.True(host.HasExited);
        Assert.Equal(3, host.Replies);
    }

    private static bool HasFailedByAnother(ServiceState service) =>
        service.IsHindered || service.Slots[0].Phase is SlotPhase.Failed { Failure: Failure.DependencyFailed };

    private static Event.Requested Order(long number, Verb verb, string service) =>
        new(new RequestId(number), verb, [new ServiceName(service)]);

    private static ServiceDefinition[] Circle(string kind) => kind switch
    {
        "itself" => [A.Service("a") with { Wants = Names("a") }],
        "each other" => [A.Service("a") with { Wants = Names("b") }, A.Service("b") with { Wants = Names("a") }],
        "around three" =>
        [
            A.Service("a") with { Wants = Names("b") },
            A.Service("b") with { Wants = Names("c") },
            A.Service("c") with { Wants = Names("a") },
        ],
        _ => [A.Service("b") with { Wants = Names("a") }, A.Service("a", "b")],
    };

    private static ServiceDefinition[] Chain(int count, bool onDemand) => [.. Enumerable.Range(0, count).Select(i =>
        (onDemand && i > 0 ? A.Demand($"s{i}") : A.Service($"s{i}")) with
        {
            Requires = i == 0 ? [] : Names($"s{i - 1}"),
            Restart = RestartKind.Never,
        })];

    private static System.Collections.Immutable.ImmutableArray<ServiceName> Names(params string[] names) =>
        [.. names.Select(n => new ServiceName(n))];
}
