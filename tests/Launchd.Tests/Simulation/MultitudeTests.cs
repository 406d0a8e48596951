using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Simulation;

/// <summary>
/// One life with a hundred thousand services: a chain, a fan out of one, a fan into one and a circle of wishes, each of a quarter of them.
/// The checkers of the simulation look at every service after every step, so they are of no use here; the outcome of each act is checked.
/// </summary>
public sealed class MultitudeTests
{
    private const int Count = 100_000, Quarter = Count / 4;

    [Fact]
    public void AHundredThousandServices_LiveAWholeLife()
    {
        SupervisorDefinition definition = A.Definition([.. Enumerable.Range(0, Count).Select(Service)]);
        Supervisor supervisor = new(definition, seed: 1);
        Thin host = new(supervisor);
        host.Send(Event.Booted.Value);
        Assert.Equal(Count, Ready(supervisor));

        // The first of the chain fails for good: it alone is not ready, because what runs is not ended for that.
        host.Fails = "s0";
        host.End(supervisor.Services[0].Slots[0].Instance!.Id, new ExitStatus(1));
        foreach (TimerKey pause in host.Pauses.ToArray())
            host.Send(new Event.TimerFired(pause));
        host.Fails = null;
        Assert.Equal(Count - 1, Ready(supervisor));

        // Its end is the end of the chain, and the other quarters do not care.
        host.Send(Order(1, Verb.Stop, 0));
        host.EndAll();
        Assert.Equal(Count - Quarter, Ready(supervisor));
        host.Send(Order(2, Verb.Start, Quarter - 1));
        Assert.Equal(Count, Ready(supervisor));

        // One of the circle brings all of it back.
        host.Send(new Event.Requested(new RequestId(3), Verb.Stop, [.. definition.Services.Skip(3 * Quarter).Select(s => s.Name)]));
        host.EndAll();
        host.Send(Order(4, Verb.Start, Count - 1));
        Assert.Equal(Count, Ready(supervisor));

        // A reload takes the chain out.
        host.Send(new Event.Reloaded(definition with { Services = [.. definition.Services.Skip(Quarter)] }, new RequestId(5)));
        host.EndAll();
        Assert.Equal(Count - Quarter, supervisor.Services.Count);
        Assert.Equal(Count - Quarter, Ready(supervisor));
        Assert.Equal(5, host.Replies);

        host.Send(new Event.ShutdownAsked("test", IsImmediate: false));
        host.EndAll();
        Assert.True(host.HasExited);
        Assert.Empty(host.Live);
    }

    private static ServiceDefinition Service(int number) => (number / Quarter) switch
    {
        0 => A.Service(Name(number), number == 0 ? [] : [Name(number - 1)]),
        1 => A.Service(Name(number), number == Quarter ? [] : [Name(Quarter)]),
        2 => A.Service(Name(number), number < (3 * Quarter) - 1 ? [] : [.. Enumerable.Range(2 * Quarter, Quarter - 1).Select(Name)]),
        _ => A.Service(Name(number)) with { Wants = [new ServiceName(Name(number == Count - 1 ? 3 * Quarter : number + 1))] },
    } with
    {
        Restart = RestartKind.OnFailure,
        StartLimit = new RateLimit(2, TimeSpan.FromMinutes(1)),
    };

    private static int Ready(Supervisor supervisor) => supervisor.Services.Count(s => s.Slots[0].Phase is SlotPhase.Ready);

    private static Event.Requested Order(long number, Verb verb, int service) =>
        new(new RequestId(number), verb, [new ServiceName(Name(service))]);

    private static string Name(int number) => $"s{number}";
}
