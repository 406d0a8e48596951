using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Simulation;

/// <summary>Two orders, in every order and between any two events of a rollout: every property holds, and everything ends.</summary>
public sealed class ExhaustiveRolloutTests(ITestOutputHelper output)
{
    private static readonly ServiceDefinition Web = A.Overlapping("web") with
    {
        Stop = new StopPolicy { Timeout = TimeSpan.FromSeconds(1) },
    };
    private static readonly ServiceDefinition Db = A.Service("db") with { Ready = Readiness.Notify.Value };
    private static readonly SupervisorDefinition[] Configurations =
    [
        A.Definition(Db, Web),
        A.Definition(Db, Web with { Command = ["next"] }),
        A.Definition(Web with { Update = UpdateKind.Replace }),
    ];

    private static readonly (string Name, Action<World> Do)[] Orders =
    [
        ("restart", w => w.Ask(Verb.Restart, "web")),
        ("restart both", w => w.Ask(Verb.Restart, "db", "web")),
        ("stop", w => w.Ask(Verb.Stop, "web")),
        ("start", w => w.Ask(Verb.Start, "web")),
        ("scale to 2", w => w.Scale(2, "web")),
        ("scale to 1", w => w.Scale(1, "web")),
        ("reload next", w => w.Reload(Configurations[1])),
        ("reload without db", w => w.Reload(Configurations[2])),
        ("reload back", w => w.Reload(Configurations[0])),
        ("shutdown", w => w.Do(new Event.ShutdownAsked("test", IsImmediate: false))),
    ];

    private static readonly (string Name, Func<World, bool> Happens)[] Events =
    [
        ("the newest says READY", w => When(w, w.Has("web"), () => w.Say("web", "READY=1"))),
        ("the newest exits 1", w => When(w, w.Has("web"), () => w.Exit("web", 1))),
        ("the oldest exits", w => When(w, w.Live.Any(IsWeb), () => w.Exit(w.Live.First(IsWeb)))),
        ("the next timer fires", w => When(w, w.Timers.Count > 0, () => w.Fire())),
    ];

    [Fact]
    public void TwoOrdersInEveryOrder_KeepAllProperties()
    {
        int count = 0;
        for (int first = 0; first < Orders.Length; first++)
        {
            for (int second = 0; second < Orders.Length; second++)
            {
                // Every sequence of three events, with the second order before, between or after them.
                for (int events = 0; events < Events.Length * Events.Length * Events.Length; events++)
                {
                    for (int place = 0; place <= 3; place++)
                        count += Replay(first, second, events, place) ? 1 : 0;
                }
            }
        }
        output.WriteLine($"{count} orders");
        Assert.True(count > 5_000, $"only {count} orders");
    }

    private static bool Replay(int first, int second, int events, int place)
    {
        World world = new(Configurations[0]);
        List<string> names = [Orders[first].Name];
        try
        {
            world.Boot().Say("db", "READY=1").Say("web", "READY=1");
            Orders[first].Do(world);
            for (int turn = 0; turn <= 3; turn++)
            {
                if (turn == place && world.ExitCode is null)
                {
                    names.Add(Orders[second].Name);
                    Orders[second].Do(world);
                }
                if (turn == 3)
                    break;
                (string name, Func<World, bool> happens) = Events[events % Events.Length];
                events /= Events.Length;
                names.Add(name);
                if (world.ExitCode is not null || !happens(world))
                    return false;
            }
            End(world);
        }
        catch (Exception broken) when (broken is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"{string.Join(", ", names)}: {broken}");
        }
        return true;
    }

    private static bool IsWeb(InstanceId instance) => instance.Service.Text == "web";

    private static void End(World world)
    {
        world.Do(new Event.ShutdownAsked("end", IsImmediate: true));
        foreach (InstanceId left in world.Live.ToArray())
            world.Do(new Event.MainExited(left, new ExitStatus(0, 9), HasLeftovers: false));
        Assert.NotNull(world.ExitCode);
        Assert.Empty(world.Timers);
    }

    private static bool When(World world, bool holds, Action then)
    {
        if (holds && world.ExitCode is null)
            then();
        return holds;
    }
}
