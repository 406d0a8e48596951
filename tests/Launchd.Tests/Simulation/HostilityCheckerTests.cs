using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Simulation;

/// <summary>The checkers of hostile inputs and of circles are able to fail: each is shown what it must not let pass.</summary>
public sealed class HostilityCheckerTests
{
    private static readonly Event Stranger = new Event.MainExited(
        new InstanceId(new ServiceName("web"), 99), new ExitStatus(0), HasLeftovers: false);

    [Fact]
    public void AStrangerThatChangesAService_IsFound()
    {
        World world = new World(A.Service("web")).Boot();
        StrangerChecker checker = new(world.Supervisor);
        world.Say("web", "STATUS=other");

        Broken("20: a stranger changed a service", () => checker.Check(Stranger, [], world.Now));
    }

    [Fact]
    public void AStrangerThatHasSomethingDone_IsFound()
    {
        World world = new World(A.Service("web")).Boot();
        StrangerChecker checker = new(world.Supervisor);

        checker.Check(Stranger, [new Effect.CloseDescriptor(new DescriptorId(1))], world.Now);
        Broken("20: a stranger has something done", () => checker.Check(Stranger, [new Effect.Release(world.Last("web"))], world.Now));
    }

    [Fact]
    public void AStrangerThatStartsSomething_IsFound()
    {
        World world = new World(A.Service("web") with { Start = StartKind.Manual }).Boot();
        StrangerChecker checker = new(world.Supervisor);
        world.Ask(Verb.Start, "web");

        Broken("20: a stranger started something", () => checker.Check(Stranger, [], world.Now));
    }

    [Fact]
    public void AStoreThatGrowsBeyondItsLimit_IsFound()
    {
        // The supervisor's service has a place in its store, the checker's none.
        ServiceDefinition web = A.Service("web");
        World world = new World(web with { FdStoreCount = 1 }).Boot();
        BoundChecker checker = new(new Known(A.Definition(web)), world.Supervisor);
        checker.Check(Event.Booted.Value, [], world.Now);
        world.Say("web", "FDSTORE=1", new DescriptorId(1));

        Broken("21: more descriptors are stored", () => checker.Check(Event.Booted.Value, [], world.Now));
    }

    [Fact]
    public void AMessageThatHasTooMuchDone_IsFound()
    {
        World world = new World(A.Service("web")).Boot();
        BoundChecker checker = new(new Known(A.Definition(A.Service("web"))), world.Supervisor);
        Event said = new Event.Notified(world.Last("web"), A.Message("X=1"), 1, 0, []);

        Broken("21: one message has too much done",
            () => checker.Check(said, [.. Enumerable.Repeat(new Effect.Release(world.Last("web")), 100)], world.Now));
    }

    [Fact]
    public void AWishThatIsNotFollowed_IsFound()
    {
        // The supervisor knows of no wish, the checker of a circle.
        ServiceDefinition web = A.Service("web") with { Start = StartKind.Manual }, db = A.Service("db") with { Start = StartKind.Manual };
        World world = new World(web, db).Boot();
        WishChecker checker = new(
            new Known(A.Definition(web with { Wants = [db.Name, web.Name] }, db with { Wants = [web.Name] })), world.Supervisor);
        checker.Check(Event.Booted.Value, [], world.Now);
        RequestId start = world.Ask(Verb.Start, "web");

        Broken("22: web came to be wanted without", () => checker.Check(new Event.Requested(start, Verb.Start, [web.Name]), [], world.Now));
    }

    [Fact]
    public void ASlotThatIsStartedTwice_IsFound()
    {
        World world = new(A.Service("web"));
        WishChecker checker = new(new Known(A.Definition(A.Service("web"))), world.Supervisor);
        world.Boot();
        Effect.Spawn one = world.Effects.OfType<Effect.Spawn>().Single();

        Effect.Spawn two = one with { Instance = one.Instance with { Number = 2 } };

        Broken("22: a slot is started twice", () => checker.Check(Event.Booted.Value, [one, two], world.Now));
    }

    private static void Broken(string expected, Action check) =>
        Assert.StartsWith(expected, Assert.Throws<BrokenPropertyException>(check).Message, StringComparison.Ordinal);
}
