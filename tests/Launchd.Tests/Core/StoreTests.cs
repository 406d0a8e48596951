using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Orders to the store over the channel: whole or not at all, always answered, every descriptor kept or closed.</summary>
public sealed class StoreTests
{
    private readonly Supervisor _core;
    private readonly InstanceId _app;
    private long _time;
    private long _calls;

    public StoreTests()
    {
        _core = new Supervisor(A.Definition(A.Service("app") with { FdStoreCount = 3, FdStoreKeep = FdStoreKeep.Restart }), seed: 1);
        Effect.Spawn spawn = Step(Event.Booted.Value).OfType<Effect.Spawn>().Single();
        _app = spawn.Instance;
        _ = Step(new Event.Spawned(_app, 100));
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedWhole()
    {
        Assert.Equal((1, 0), Counts(Store("a", [1])));
        (StoreAnswer answer, long[] closed) = Store("b", [2, 3, 4]);

        Assert.Equal("fd_store = 3", answer.Refusal);
        Assert.Equal([2, 3, 4], closed);
        Assert.Equal(["a"], Names());
        Assert.Equal((2, 0), Counts(Store("b", [5, 6])));
    }

    /// <summary>Whether the other definition is adopted quietly or by another generation, at the end it holds what it may.</summary>
    [Theory]
    [InlineData(2, false, new long[] { 3 })]
    [InlineData(0, false, new long[] { 1, 2, 3 })]
    [InlineData(1, true, new long[] { 2, 3 })]
    [InlineData(3, true, new long[] { })]
    [InlineData(9, false, new long[] { })]
    public void WhatIsOverALoweredLimitIsClosed_TheNewestFirst_AndSaid(int limit, bool isAnotherProgram, long[] expected)
    {
        _ = Store("a", [1, 2, 3]);
        ServiceDefinition next = A.Service("app") with
        {
            FdStoreCount = limit, FdStoreKeep = FdStoreKeep.Restart, Command = [isAnotherProgram ? "other" : "app"],
            Rollout = RolloutPolicy.Default with { Prove = TimeSpan.Zero }, Update = UpdateKind.Replace,
        };

        ImmutableArray<ServiceName> quiet = isAnotherProgram ? [] : [next.Name];
        List<Effect> done = [.. Step(new Event.Reloaded(A.Definition(next), Request: null) { Quiet = quiet })];
        if (isAnotherProgram)
        {
            done.AddRange(Step(new Event.MainExited(_app, new ExitStatus(0), HasLeftovers: false)));
            Effect.Spawn spawn = done.OfType<Effect.Spawn>().Single();
            Assert.Equal(limit, spawn.Stored.Length);
            done.AddRange(Step(new Event.Spawned(spawn.Instance, 101)));
        }

        Assert.Equal(expected, Closed(done).Order());
        Assert.Equal(expected.Length == 0 ? 0 : 1, done.OfType<Effect.Report>().Count(r => r.Notice is Notice.StoreShrunk));
        Assert.Equal(3 - expected.Length, Names().Length);
    }

    [Fact]
    public void ReplacingFreesThePlacesFirst()
    {
        _ = Store("a", [1, 2, 3]);
        (StoreAnswer answer, long[] closed) = Store("a", [4, 5], replaces: true);

        Assert.Equal(new StoreAnswer(null, 2, 0, 3), answer);
        Assert.Equal([1, 2, 3], closed);
        Assert.Equal("fd_store = 3", Store("b", [6, 7], replaces: true).Answer.Refusal);
    }

    [Fact]
    public void OnlyIfAbsent_AndDuplicates()
    {
        _ = Store("a", [1]);
        Assert.Equal([2], Store("a", [2], onlyIfAbsent: true).Closed);
        (StoreAnswer answer, long[] closed) = Store("b", [3, 4], duplicates: [3]);

        Assert.Equal(new StoreAnswer(null, 1, 1), answer);
        Assert.Equal([3], closed);
        Assert.Equal(["a", "b"], Names());
    }

    [Fact]
    public void UnstoreTellsHowMany()
    {
        _ = Store("a", [1, 2]);

        IReadOnlyList<Effect> effects = Step(new Event.UnstoreAsked(_app, 7, "a"));
        Assert.Equal(new StoreAnswer(RemovedCount: 2), effects.OfType<Effect.AnswerStore>().Single(e => e.Call == 7).Answer);
        Assert.Equal([1, 2], Closed(effects));
        Assert.Equal(0, Step(new Event.UnstoreAsked(_app, 8, "a")).OfType<Effect.AnswerStore>().Single().Answer.RemovedCount);
    }

    [Fact]
    public void TheNewestStateCounts_AndGoesWhenTheServiceRests()
    {
        Assert.Empty(Closed(Step(new Event.StateSaved(_app, new DescriptorId(1)))));
        Assert.Equal([1], Closed(Step(new Event.StateSaved(_app, new DescriptorId(2)))));
        _ = Store("a", [3]);
        _ = Step(new Event.Requested(new RequestId(1), Verb.Stop, [new ServiceName("app")]));

        Assert.Equal([2, 3], Closed(Step(new Event.MainExited(_app, new ExitStatus(0), HasLeftovers: false))).Order());
    }

    [Fact]
    public void AServiceThatIsTakenOutKeepsNothing()
    {
        Supervisor core = new(A.Definition(A.Service("app") with { FdStoreCount = 3, FdStoreKeep = FdStoreKeep.Always }), seed: 1);
        InstanceId app = core.Step(Event.Booted.Value, new Moment(1)).OfType<Effect.Spawn>().Single().Instance;
        _ = core.Step(new Event.Spawned(app, 100), new Moment(2));
        _ = core.Step(new Event.StateSaved(app, new DescriptorId(1)), new Moment(3));
        _ = core.Step(
            new Event.StoreAsked(app, new StoreOrder { Call = 1, Name = "a", Descriptors = Ids([2]), Duplicates = [] }), new Moment(4));
        _ = core.Step(new Event.Reloaded(A.Definition(), Request: null), new Moment(5));

        IReadOnlyList<Effect> effects = [.. core.Step(new Event.MainExited(app, new ExitStatus(0), HasLeftovers: false), new Moment(6))];

        Assert.Equal([1, 2], Closed(effects).Order());
        Assert.Contains(effects, e => e is Effect.Forget);
    }

    // A program is not executed with a variable of more than 128 KiB.
    [Fact]
    public void TheNamesTogetherStayShorterThanAVariableMayBe()
    {
        Supervisor core = new(A.Definition(A.Service("app") with { FdStoreCount = 1024 }), seed: 1);
        InstanceId app = core.Step(Event.Booted.Value, new Moment(1)).OfType<Effect.Spawn>().Single().Instance;
        _ = core.Step(new Event.Spawned(app, 100), new Moment(2));
        string longest = new('x', Limits.LongestDescriptorName);
        List<string?> refusals = [];
        for (int i = 0; i < 300; i++)
        {
            StoreOrder order = new() { Call = i, Name = longest, Descriptors = Ids([i + 1]), Duplicates = [] };
            refusals.Add(
                core.Step(new Event.StoreAsked(app, order), new Moment(3 + i)).OfType<Effect.AnswerStore>().Single().Answer.Refusal);
        }

        int kept = core.Find(new ServiceName("app"))!.Stored.Length;
        Assert.Equal(Limits.StoredNamesLength / (Limits.LongestDescriptorName + 1), kept);
        Assert.All(refusals.Take(kept), Assert.Null);
        Assert.All(refusals.Skip(kept), r => Assert.Contains("names", r, StringComparison.Ordinal));
        // Short names still fit in count, and what takes the place of another needs no more room.
        StoreOrder another = new() { Call = 999, Name = longest, Descriptors = Ids([999]), Duplicates = [], Replaces = true };
        Assert.Null(core.Step(new Event.StoreAsked(app, another), new Moment(1000)).OfType<Effect.AnswerStore>().Single().Answer.Refusal);
    }

    [Fact]
    public void AnInstanceThatIsOverIsAnsweredToo()
    {
        _ = Step(new Event.MainExited(_app, new ExitStatus(0), HasLeftovers: false));
        (StoreAnswer answer, long[] closed) = Store("a", [1]);

        Assert.NotNull(answer.Refusal);
        Assert.Equal([1], closed);
        Assert.Equal([2], Closed(Step(new Event.StateSaved(_app, new DescriptorId(2)))));
    }

    private (StoreAnswer Answer, long[] Closed) Store(
        string name, long[] descriptors, bool replaces = false, bool onlyIfAbsent = false, long[]? duplicates = null)
    {
        StoreOrder order = new()
        {
            Call = ++_calls, Name = name, Descriptors = Ids(descriptors), Duplicates = Ids(duplicates ?? []), Replaces = replaces,
            OnlyIfAbsent = onlyIfAbsent,
        };
        IReadOnlyList<Effect> effects = Step(new Event.StoreAsked(_app, order));
        return (effects.OfType<Effect.AnswerStore>().Single(e => e.Call == _calls).Answer, Closed(effects));
    }

    private IReadOnlyList<Effect> Step(Event happened) => [.. _core.Step(happened, new Moment(++_time))];

    private string[] Names() => [.. _core.Find(new ServiceName("app"))!.Stored.Select(s => s.Name)];

    private static (int, int) Counts((StoreAnswer Answer, long[] Closed) stored) => (stored.Answer.StoredCount, stored.Answer.PresentCount);

    private static long[] Closed(IReadOnlyList<Effect> effects) =>
        [.. effects.OfType<Effect.CloseDescriptor>().Select(e => e.Descriptor.Number)];

    private static ImmutableArray<DescriptorId> Ids(long[] numbers) => [.. numbers.Select(n => new DescriptorId(n))];
}
