using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Simulation;

/// <summary>Every order of up to five events over two small services, checked after each, and each followed by an orderly end.</summary>
public sealed class ExhaustiveTests(ITestOutputHelper output)
{
    private const int Depth = 5;

    private static readonly (string Name, Func<World, bool> Happens)[] Choices =
    [
        ("db says READY", w => When(w.Has("db"), () => w.Say("db", "READY=1"))),
        ("db exits 0", w => When(w.Has("db"), () => w.Exit("db"))),
        ("db exits 1 with leftovers", w => When(w.Has("db"), () => w.Exit("db", 1, leftovers: true))),
        ("web exits 1", w => When(w.Has("web"), () => w.Exit("web", 1))),
        ("the next timer fires", w => When(w.Timers.Count > 0, () => w.Fire())),
        ("stop db", w => When(holds: true, () => w.Ask(Verb.Stop, "db"))),
        ("start web", w => When(holds: true, () => w.Ask(Verb.Start, "web"))),
        ("restart db", w => When(holds: true, () => w.Ask(Verb.Restart, "db"))),
        ("a client comes", w => When(w.State("db").IsWatching, () => w.Do(new Event.ListenerReadable(new ServiceName("db"), 0)))),
        ("shutdown", w => When(w.Supervisor.Frame.Shutdown is null, () => w.Do(new Event.ShutdownAsked("test", IsImmediate: false)))),
    ];

    [Theory]
    [InlineData("always")]
    [InlineData("demand")]
    public void AllOrders_KeepAllProperties(string kind)
    {
        int count = 0;
        Stack<int> path = new();
        Explore(kind, path, ref count);
        output.WriteLine($"{count} orders");
        Assert.True(count > 8_000, $"only {count} orders");
    }

    private static void Explore(string kind, Stack<int> path, ref int count)
    {
        for (int choice = 0; choice < Choices.Length; choice++)
        {
            path.Push(choice);
            if (Replay(kind, [.. path.Reverse()]))
            {
                count++;
                if (path.Count < Depth)
                    Explore(kind, path, ref count);
            }
            path.Pop();
        }
    }

    /// <summary>False: the last event cannot happen there.</summary>
    private static bool Replay(string kind, int[] path)
    {
        World world = new World(Services(kind)).Boot();
        try
        {
            foreach (int choice in path)
            {
                if (world.ExitCode is not null || !Choices[choice].Happens(world))
                    return false;
            }
            End(world);
        }
        catch (BrokenPropertyException broken)
        {
            Assert.Fail($"{string.Join(", ", path.Select(c => Choices[c].Name))}: {broken.Message}");
        }
        return true;
    }

    private static ServiceDefinition[] Services(string kind)
    {
        ServiceDefinition db = A.Service("db") with
        {
            Ready = Readiness.Notify.Value, StartLimit = new RateLimit(2, TimeSpan.FromSeconds(60)),
        };
        ServiceDefinition web = A.Service("web", "db") with { Restart = RestartKind.OnFailure };
        return kind == "demand" ? [db with { Start = StartKind.Demand, Sockets = ["db"], Restart = RestartKind.Never }, web] : [db, web];
    }

    private static void End(World world)
    {
        world.Do(new Event.ShutdownAsked("end", IsImmediate: true));
        foreach (InstanceId left in world.Live.ToArray())
            world.Do(new Event.MainExited(left, new ExitStatus(0, 9), HasLeftovers: false));
        while (world.ExitCode is null && world.Timers.Count > 0)
            world.Fire(); // leftovers that never end are given up
        Assert.NotNull(world.ExitCode);
        Assert.Empty(world.Timers);
    }

    private static bool When(bool holds, Action then)
    {
        if (holds)
            then();
        return holds;
    }
}
