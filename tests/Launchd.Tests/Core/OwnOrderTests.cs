using Launchd.Core;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Orders that come from within a service: when waiting for their outcome would be in vain.</summary>
public sealed class OwnOrderTests
{
    private static ServiceDefinition Slow(string name) => A.Service(name) with { Ready = Readiness.Notify.Value };

    private static ServiceDefinition After(string name, string first) =>
        A.Service(name) with { After = [new ServiceName(first)], Start = StartKind.Manual };

    [Fact]
    public void AStartScript_ThatStartsWhatComesAfterIt_IsToldWhoWaitsForWhom()
    {
        World world = new World(Slow("a"), After("b", "a"), After("c", "b")).Boot();
        Assert.Equal("b waits for a to be ready, and that waits for this order", Why(world, Verb.Start, "b", "a"));
        // Nobody holds c up: b is not wanted, so c could start without it.
        Assert.Null(Why(world, Verb.Start, "c", "a"));
        world.Ask(Verb.Start, "b");
        Assert.NotNull(Why(world, Verb.Start, "c", "a"));
        Assert.Equal("a waits for a to be ready, and that waits for this order", Why(world, Verb.Start, "a", "a"));
    }

    [Fact]
    public void OneThatIsReady_MayWaitForOthers()
    {
        World world = new World(Slow("a"), After("b", "a"), A.Service("x")).Boot();
        Assert.Null(Why(world, Verb.Start, "x", "a"));
        world.Say("a", "READY=1");
        Assert.Null(Why(world, Verb.Start, "b", "a"));
    }

    [Fact]
    public void WhatEndsWhoeverAsks_IsNotWaitedFor()
    {
        World world = new World(A.Service("db"), A.Service("web", "db"), A.Service("log")).Boot();
        Assert.NotNull(Why(world, Verb.Stop, "web", "web"));
        Assert.NotNull(Why(world, Verb.Restart, "web", "web"));
        Assert.Equal("db waits for web to end, and that waits for this order", Why(world, Verb.Stop, "db", "web"));
        Assert.Null(Why(world, Verb.Stop, "web", "db"));
        Assert.Null(Why(world, Verb.Stop, "log", "web"));
        Assert.Contains("stop command of web", Why(world, Verb.Stop, "web", "web", isStopCommand: true));
    }

    private static string? Why(World world, Verb verb, string service, string caller, bool isStopCommand = false) =>
        world.Supervisor.WhyInVain(verb, new ServiceName(service), world.Last(caller), isStopCommand);
}
