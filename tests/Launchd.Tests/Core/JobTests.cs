using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Services that do something once, and end: <c>ready = "exited"</c>.</summary>
public sealed class JobTests
{
    private static ServiceDefinition Job(string name = "job", params string[] requires) => A.Service(name, requires) with
    {
        Ready = Readiness.Exited.Value,
        ReadyTimeout = TimeSpan.Zero,
        Restart = RestartKind.Never,
        SuccessSignals = [],
        Rollout = new RolloutPolicy { OnFailure = RolloutFailure.Continue },
    };

    private static ServiceDefinition After(string name, string first) => A.Service(name) with { After = [new ServiceName(first)] };

    [Fact]
    public void WhoRequiresAJob_StartsWhenItHasSucceeded_AndNotBefore()
    {
        World world = new World(Job(), A.Service("web", "job")).Boot();
        Assert.Equal(PublicState.Starting, world.State("job").PublicState);
        Assert.Equal(0, world.Spawned("web"));
        world.Exit("job");
        Assert.Equal(PublicState.Completed, world.State("job").PublicState);
        Assert.Equal(1, world.Spawned("web"));
        Assert.Contains(world.Effects, e => e is Effect.Report { Notice: Notice.Completed });
        Assert.DoesNotContain(world.Effects, e => e is Effect.Report { Notice: Notice.Exited { IsFailure: true } });
    }

    [Fact]
    public void AJobThatFails_FailsWhoRequiresIt_ByNameAndExitCode()
    {
        World world = new World(Job(), A.Service("web", "job")).Boot().Exit("job", 3);
        Assert.Equal(0, world.Spawned("web"));
        Assert.Equal(PublicState.Failed, world.State("job").PublicState);
        Assert.Equal("requires job, which failed: exited with 3", ((SlotPhase.Failed)world.Phase("web")).Failure.ToString());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void WhoOnlyComesAfterAJob_WaitsForItsEnd_WhateverItWas(int code)
    {
        World world = new World(Job(), After("web", "job")).Boot();
        Assert.Equal(0, world.Spawned("web"));
        world.Exit("job", code);
        Assert.Equal(1, world.Spawned("web"));
    }

    [Fact]
    public void TheProcessesThatAJobLeft_AreEndedBeforeItIsCompleted()
    {
        World world = new World(Job(), A.Service("web", "job")).Boot().Exit("job", leftovers: true);
        Assert.Equal(0, world.Spawned("web"));
        world.Do(new Event.LeftoversEnded(world.Last("job")));
        Assert.Equal(1, world.Spawned("web"));
    }

    [Fact]
    public void ASignalIsNoSuccess_AndAnotherCodeMayBe()
    {
        Assert.IsType<SlotPhase.Failed>(new World(Job()).Boot().Exit("job", signal: 15).Phase("job"));
        World world = new World(Job() with { SuccessCodes = [0, 7] }).Boot().Exit("job", 7);
        Assert.Equal(PublicState.Completed, world.State("job").PublicState);
    }

    [Fact]
    public void AStartOfACompletedJob_RunsItAgain_AndWaitsForItsVerdict()
    {
        World world = new World(Job(), A.Service("web", "job")).Boot().Exit("job");
        RequestId asked = world.Ask(Verb.Start, "job");
        Assert.Equal(2, world.Spawned("job"));
        Assert.Null(world.Answer(asked));
        Assert.True(world.Has("web"));
        world.Exit("job", 4);
        Outcome outcome = Assert.Single(world.Answer(asked)!.Value);
        Assert.False(outcome.Succeeded);
        Assert.Equal("exited with 4", outcome.Text);
        Assert.True(world.Has("web"));
    }

    [Fact]
    public void AStartOfWhoRequiresACompletedJob_DoesNotRunItAgain()
    {
        World world = new World(Job(), A.Service("web", "job")).Boot().Exit("job");
        world.Ask(Verb.Stop, "web");
        world.Exit("web").Ask(Verb.Start, "web");
        Assert.Equal(1, world.Spawned("job"));
        Assert.Equal(2, world.Spawned("web"));
    }

    [Fact]
    public void ARestartOfARunningJob_EndsItAndRunsItAgain()
    {
        World world = new World(Job()).Boot();
        RequestId asked = world.Ask(Verb.Restart, "job");
        world.Exit("job", signal: 15);
        Assert.Equal(2, world.Spawned("job"));
        Assert.Null(world.Answer(asked));
        world.Exit("job");
        Assert.Equal(PublicState.Completed, world.State("job").PublicState);
        Assert.True(Assert.Single(world.Answer(asked)!.Value).Succeeded);
    }

    [Fact]
    public void AReload_RunsAJobAgain_OnlyIfItChanged_AndNeverItsFormerSelf()
    {
        ServiceDefinition job = Job(), other = A.Service("other");
        World world = new World(job, other).Boot().Exit("job");
        world.Reload(A.Definition(job, other with { Command = ["next"] }));
        Assert.Equal(1, world.Spawned("job"));
        world.Reload(A.Definition(job with { Command = ["next"] }, world.State("other").Definition));
        Assert.Equal(2, world.Spawned("job"));
        world.Exit("job", 5);
        Assert.Equal(2, world.Spawned("job"));
        Assert.Equal(PublicState.Failed, world.State("job").PublicState);
    }

    [Fact]
    public void AJobThatMayTryAgain_HoldsUpWhoRequiresIt_UntilItSucceeds()
    {
        World world = new World(Job() with { Restart = RestartKind.OnFailure }, A.Service("web", "job")).Boot().Exit("job", 1);
        Assert.IsType<SlotPhase.BackingOff>(world.Phase("job"));
        Assert.IsType<SlotPhase.Waiting>(world.Phase("web"));
        world.Fire(TimerKind.Backoff).Exit("job");
        Assert.Equal(1, world.Spawned("web"));
    }

    [Fact]
    public void AJobThatTakesTooLong_IsEndedAndHasFailed()
    {
        World world = new World(Job() with { ReadyTimeout = TimeSpan.FromSeconds(5) }).Boot().Fire(TimerKind.Ready).Exit("job", signal: 15);
        Assert.Equal("did not end within 5s", ((SlotPhase.Failed)world.Phase("job")).Failure.ToString());
    }

    [Fact]
    public void AStoppedJob_IsStopped_AndNotCompleted()
    {
        World world = new World(Job()).Boot().Exit("job");
        world.Ask(Verb.Stop, "job");
        Assert.Equal(PublicState.Stopped, world.State("job").PublicState);
    }

    [Fact]
    public void ASupervisorThatEndsWithAJob_HasItsExitCode()
    {
        Assert.Equal(0, new World(A.Definition(Job()), exitWith: "job").Boot().Exit("job").ExitCode);
        Assert.Equal(6, new World(A.Definition(Job()), exitWith: "job").Boot().Exit("job", 6).ExitCode);
    }
}
