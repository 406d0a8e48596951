using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>What the host has found out becomes part of the reason, of that one instance alone.</summary>
public sealed class ReasonTests
{
    private static ServiceDefinition Web => A.Service("web") with { Ready = Readiness.Notify.Value, Restart = RestartKind.Never };

    [Fact]
    public void OfATimeout_OfAnEarlyEnd_AndOfTheVerdict()
    {
        World late = new World(Web).Boot();
        late.Do(new Event.ClueFound(late.Last("web"), "nothing came")).Fire(TimerKind.Ready).Exit("web", signal: 15);
        Assert.Equal("was not ready within 30s: nothing came", late.State("web").LastFailure!.ToString());

        World early = new World(Web with { Start = StartKind.Manual }).Boot();
        RequestId start = early.Ask(Verb.Start, "web");
        early.Do(new Event.ClueFound(early.Last("web"), "the port is held for it")).Exit("web", 1);
        Assert.Equal("exited with 1 before it was ready: the port is held for it", early.Answer(start)!.Value.Single().Text);
    }

    [Fact]
    public void OfOneThatEndedWell_AndIsStartedAgainAndAgain()
    {
        World world = new World(A.Service("web") with { StartLimit = new RateLimit(2, TimeSpan.FromMinutes(1)) }).Boot();
        for (int run = 0; run < 2; run++)
        {
            world.Do(new Event.ClueFound(world.Last("web"), "its input is empty")).Exit("web");
            if (run == 0)
                world.Fire(TimerKind.Backoff);
        }
        Assert.Equal("started 2 times within 1m, not tried again; last: exited with 0: its input is empty",
            ((SlotPhase.Failed)world.Phase("web")).Failure.ToString());
    }

    [Fact]
    public void WhatWasFoundBeforeItWasReady_IsForgottenThen()
    {
        World world = new World(Web).Boot();
        world.Do(new Event.ClueFound(world.Last("web"), "nothing came")).Say("web", "READY=1").Exit("web", 1);
        Assert.Equal("exited with 1", world.State("web").LastFailure!.ToString());
    }

    [Fact]
    public void WhatAMainProcessLeaves_IsTold_IfItEndedByItself()
    {
        World world = new World(Web).Boot().Say("web", "READY=1");
        Assert.True(Stopping.IsOwnEnd(world.Supervisor.PhaseOf(world.Last("web"))));
        world.Do(new Event.MainExited(world.Last("web"), new(0), HasLeftovers: true) { Leftovers = "process 7 (nginx)" });
        Assert.Contains(world.Effects.OfType<Effect.Report>(), r => r.Notice is Notice.LeftoversEnded { Processes: "process 7 (nginx)" });

        World stopped = new World(Web).Boot().Say("web", "READY=1");
        stopped.Ask(Verb.Stop, "web");
        Assert.False(Stopping.IsOwnEnd(stopped.Supervisor.PhaseOf(stopped.Last("web"))));
        stopped.Do(new Event.MainExited(stopped.Last("web"), new(0), HasLeftovers: true) { Leftovers = "process 7 (nginx)" });
        Assert.DoesNotContain(stopped.Effects.OfType<Effect.Report>(), r => r.Notice is Notice.LeftoversEnded);
    }
}
