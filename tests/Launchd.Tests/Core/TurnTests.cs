using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>A burst of starts is spread over turns of the host.</summary>
public sealed class TurnTests
{
    private readonly List<InstanceId> _spawned = [];
    private Supervisor _core = null!;
    private readonly HashSet<InstanceId> _told = [];
    private bool _isTurnAwaited;

    [Fact]
    public void AtMostSoManyAreStartedInOneTurn_InTheOrderOfTheConfiguration()
    {
        Boot([.. Enumerable.Range(0, 40).Select(i => A.Service($"s{i}"))]);
        Assert.Equal(16, _spawned.Count);
        Assert.Equal(PublicState.Waiting, _core.Find(new ServiceName("s20"))!.PublicState);

        NextTurn();
        Assert.Equal(32, _spawned.Count);
        NextTurn();

        Assert.Equal(Enumerable.Range(0, 40).Select(i => $"s{i}"), _spawned.Select(s => s.Service.Text));
        Assert.False(_isTurnAwaited);
    }

    [Fact]
    public void APoolIsSpreadAsWell_AndWhatDependsOnItWaits()
    {
        Boot(A.Service("pool") with { InstanceCount = 20 }, A.Service("web", "pool"));
        Assert.Equal(16, _spawned.Count);

        NextTurn();

        Assert.Equal(21, _spawned.Count);
        Assert.Equal("web", _spawned[^1].Service.Text);
    }

    [Fact]
    public void WhatIsStoppedWhileItWasPutOff_IsNotStarted()
    {
        Boot([.. Enumerable.Range(0, 20).Select(i => A.Service($"s{i}"))]);
        Step(new Event.Requested(new RequestId(1), Verb.Stop, [new ServiceName("s18")]));

        NextTurn();

        Assert.Equal(19, _spawned.Count);
        Assert.DoesNotContain(_spawned, s => s.Service.Text == "s18");
    }

    [Fact]
    public void ARestartOfAll_IsSpreadAsWell()
    {
        Boot([.. Enumerable.Range(0, 16).Select(i => A.Service($"s{i}") with { Update = UpdateKind.Overlap })]);
        Step(new Event.Requested(new RequestId(1), Verb.Restart, [.. _core.Services.Select(s => s.Definition.Name)]));
        Assert.Equal(16, _spawned.Count);

        NextTurn();

        Assert.Equal(32, _spawned.Count);
    }

    [Fact]
    public void AReloadThatTakesManyOut_EndsSoManyInOneTurn()
    {
        Boot([.. Enumerable.Range(0, 16).Select(i => A.Service($"s{i}"))]);
        Step(new Event.Reloaded(A.Definition([_core.Services[0].Definition]), new RequestId(1)));
        Assert.Equal(4, _told.Count);

        NextTurn(TurnKind.Stops);
        Assert.Equal(8, _told.Count);
        NextTurn(TurnKind.Stops);
        NextTurn(TurnKind.Stops);

        Assert.Equal(Enumerable.Range(1, 15).Select(i => $"s{i}"), _told.Select(t => t.Service.Text));
        Assert.False(_isTurnAwaited);
    }

    [Fact]
    public void WhatIsWantedAgainWhileItsEndWasPutOff_JustRunsOn()
    {
        Boot([.. Enumerable.Range(0, 8).Select(i => A.Service($"s{i}"))]);
        Step(new Event.Requested(new RequestId(1), Verb.Stop, [.. _core.Services.Select(s => s.Definition.Name)]));
        Step(new Event.Requested(new RequestId(2), Verb.Start, [new ServiceName("s6")]));

        NextTurn(TurnKind.Stops);

        Assert.Equal(7, _told.Count);
        Assert.DoesNotContain(_told, t => t.Service.Text == "s6");
        Assert.Equal(8, _spawned.Count);
    }

    [Fact]
    public void EndsDoNotWaitForStarts()
    {
        Boot([.. Enumerable.Range(0, 16).Select(i => A.Service($"s{i}"))]);
        Step(new Event.Reloaded(
            A.Definition([.. Enumerable.Range(0, 40).Select(i => A.Service($"n{i}"))]), new RequestId(1)));
        NextTurn(TurnKind.Stops);
        NextTurn(TurnKind.Stops);
        NextTurn(TurnKind.Stops);

        Assert.Equal(16, _told.Count);
        Assert.Equal(16, _spawned.Count);
    }

    private void Boot(params ServiceDefinition[] services)
    {
        _core = new Supervisor(A.Definition(services), seed: 1, startsPerTurn: 16, stopsPerTurn: 4);
        Step(Event.Booted.Value);
    }

    private void NextTurn(TurnKind kind = TurnKind.Starts)
    {
        Assert.True(_isTurnAwaited);
        _isTurnAwaited = false;
        Step(new Event.TurnBegan(kind));
    }

    private void Step(Event happened)
    {
        Queue<Event> results = new([happened]);
        while (results.TryDequeue(out Event? next))
        {
            foreach (Effect effect in _core.Step(next, new Moment(1)))
            {
                if (effect is Effect.Spawn spawn)
                {
                    _spawned.Add(spawn.Instance);
                    results.Enqueue(new Event.Spawned(spawn.Instance, 1000 + _spawned.Count));
                }
                if (effect is Effect.Signal signal)
                    _told.Add(signal.Instance);
                _isTurnAwaited |= effect is Effect.AwaitTurn;
            }
        }
    }
}
