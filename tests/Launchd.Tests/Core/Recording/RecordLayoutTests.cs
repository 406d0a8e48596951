using System.Formats.Cbor;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core.Recording;

/// <summary>What becomes of records of another version, of missing ones, and of what refers to what is not there.</summary>
public sealed class RecordLayoutTests
{
    private static readonly RecordKey ConfigurationKey = new(RecordKind.Configuration, 0);

    [Fact]
    public void NumbersOfANewerLayoutAreSkipped()
    {
        Layout<RateLimit> newer = new Layout<RateLimit>("a newer rate limit", RateLimit.Unlimited)
            .With(1, Values.Int, l => l.Burst, (l, v) => l with { Burst = v })
            .With(300, Values.List(Values.Text), l => l.Burst == 0 ? [] : ["of a newer", "layout"], (l, _) => l);
        CborWriter cbor = new(CborConformanceMode.Lax);
        cbor.WriteStartMap(4);
        cbor.WriteInt32(300);
        cbor.WriteStartArray(1);
        cbor.WriteTextString("of a newer layout");
        cbor.WriteEndArray();
        cbor.WriteInt32(1);
        cbor.WriteInt32(5);
        cbor.WriteTextString("a name");
        cbor.WriteInt32(-1);
        cbor.WriteInt32(-3);
        cbor.WriteInt32(8);
        cbor.WriteEndMap();

        RateLimit read = new RecordReader(0).Read(default, cbor.Encode(), DescriptorRecords.RateLimits);

        Assert.Equal(new RateLimit(5, TimeSpan.Zero), read);
        byte[] written = new RecordWriter(_ => 0).Make(newer, new RateLimit(9, TimeSpan.Zero)).ToArray();
        Assert.True(written.Length > 20);
        Assert.Equal(new RateLimit(9, TimeSpan.Zero), new RecordReader(0).Read(default, written, DescriptorRecords.RateLimits));
    }

    [Fact]
    public void WhatIsNestedWithoutEndIsRefused()
    {
        byte[] nested = [0xA1, 0x18, 200, .. Enumerable.Repeat<byte>(0x81, 1_000_000), 0x00];

        RefusedRecordException refused = Assert.Throws<RefusedRecordException>(
            () => new RecordReader(0).Read(new RecordKey(RecordKind.Service, 3), nested, DescriptorRecords.RateLimits));
        Assert.Equal("the record of service 3: something in it has more than 32 levels", refused.Message);
    }

    [Fact]
    public void AListOfMoreThanThereCanBeIsRefused()
    {
        byte[] items = [0x9A, 0x00, 0x20, 0x00, 0x00, .. Enumerable.Repeat<byte>(0, 1 << 21)];

        RefusedRecordException refused = Assert.Throws<RefusedRecordException>(
            () => new RecordReader(0).Read(new RecordKey(RecordKind.Frame, 0), items, Values.List(Values.Int)));
        Assert.Equal("the record of the frame: its lists have more than 1048576 items", refused.Message);
    }

    /// <summary>A program may extend a limit as far as it likes; that must not keep the rest from being read.</summary>
    [Fact]
    public void AMomentOfAnySizeIsRead()
    {
        byte[] written = new RecordWriter(_ => 0).Make(Values.Moments, new Moment(long.MaxValue)).ToArray();

        Assert.Equal(new Moment(long.MaxValue), new RecordReader(0).Read(default, written, Values.Moments));
    }

    [Fact]
    public void AnotherLayoutIsRefused()
    {
        MemorySink sink = Noted();
        CborWriter cbor = new(CborConformanceMode.Lax);
        cbor.WriteStartMap(1);
        cbor.WriteInt32(1);
        cbor.WriteInt32(RecordedConfiguration.PresentLayout + 1);
        cbor.WriteEndMap();
        sink.Records[ConfigurationKey] = cbor.Encode();

        Assert.False(StateReader.TryRead(sink.Records, out _, out string? why));
        Assert.Equal("the record of the configuration: it is of layout 2, and this program knows only layout 1", why);
    }

    [Theory]
    [InlineData((int)RecordKind.Configuration, 0, "the record of the configuration is missing")]
    [InlineData((int)RecordKind.Frame, 0, "the record of the frame is missing")]
    [InlineData((int)RecordKind.Service, 0, "the record of service 0 is missing")]
    [InlineData((int)RecordKind.Definition, 1, "the record of the configuration: there is no definition 1")]
    [InlineData((int)RecordKind.Request, 7, "the record of the frame: there is no order 7")]
    public void WhatIsMissingIsNamed(int kind, long number, string expected)
    {
        MemorySink sink = Noted();

        Assert.True(sink.Records.Remove(new RecordKey((RecordKind)kind, number)));
        Assert.False(StateReader.TryRead(sink.Records, out RestoredState? restored, out string? why));
        Assert.Null(restored);
        Assert.Equal(expected, why);
    }

    [Fact]
    public void ADamagedRecordIsNamed()
    {
        MemorySink sink = Noted();
        RecordKey key = new(RecordKind.Service, 1);
        sink.Records[key] = sink.Records[key][..^1];

        Assert.False(StateReader.TryRead(sink.Records, out _, out string? why));
        Assert.Equal("the record of service 1: it is cut short, or something in it is of another kind", why);
    }

    [Fact]
    public void WhatTheHostKeepsBesideIsLeftAlone()
    {
        MemorySink sink = Noted();
        sink.Records[new RecordKey((RecordKind)16, 3)] = new byte[] { 0xFF };

        Assert.True(StateReader.TryRead(sink.Records, out _, out _));
    }

    [Fact]
    public void AStepWritesOnlyWhatItChanged()
    {
        Supervisor core = new(A.Definition([.. Enumerable.Range(0, 100).Select(i => A.Service($"s{i}"))]), seed: 1);
        SupervisorDefinition definition = A.Definition();
        MemorySink sink = new();
        StateRecorder recorder = new(sink);
        Step(Event.Booted.Value);
        Assert.Equal(100, sink.Records.Keys.Count(k => k.Kind == RecordKind.Service));
        Assert.Equal(100, sink.Records.Keys.Count(k => k.Kind == RecordKind.Definition));
        long before = sink.Bytes;

        Step(new Event.ClientLeft(new RequestId(5)));
        Assert.Equal(before, sink.Bytes);
        Assert.DoesNotContain(sink.Records.Keys, k => k.Kind == RecordKind.Effects);

        Step(new Event.Spawned(new InstanceId(new ServiceName("s0"), 1), 7));
        Assert.InRange(sink.Bytes - before, 1, 200);

        void Step(Event happened) => recorder.Note(core, definition, [.. core.Step(happened, new Moment(1))]);
    }

    /// <summary>What becomes of one service must not cost as much as an order for all has services.</summary>
    [Fact]
    public void AnOrderForAllIsWrittenOnce_AndWhatIsSettledIsAdded()
    {
        const int count = 300;
        ServiceName[] names = [.. Enumerable.Range(0, count).Select(i => new ServiceName($"s{i}"))];
        Supervisor core = new(A.Definition([.. names.Select(n => A.Service(n.Text) with { Start = StartKind.Manual })]), seed: 1);
        SupervisorDefinition definition = A.Definition();
        MemorySink sink = new();
        StateRecorder recorder = new(sink);
        Queue<InstanceId> born = [];
        _ = Step(Event.Booted.Value);
        _ = Step(new Event.Requested(new RequestId(7), Verb.Start, [.. names]));
        int settled = 0;
        while (settled < count - 1)
        {
            if (!born.TryDequeue(out InstanceId next))
            {
                _ = Step(new Event.TurnBegan(TurnKind.Starts));
                continue;
            }
            Assert.InRange(Step(new Event.Spawned(next, 7)), 1, 400);
            settled++;
            Assert.Equal(settled, sink.Records.Keys.Count(k => k.Kind == RecordKind.Settlement));
            if (settled % 100 == 0)
                Resume();
        }

        _ = Step(new Event.Spawned(born.Dequeue(), 7));

        Assert.DoesNotContain(sink.Records.Keys, k => k.Kind is RecordKind.Settlement or RecordKind.Request);

        long Step(Event happened)
        {
            long before = sink.Bytes;
            Effect[] effects = [.. core.Step(happened, new Moment(1))];
            recorder.Note(core, definition, effects);
            foreach (Effect.Spawn spawn in effects.OfType<Effect.Spawn>())
                born.Enqueue(spawn.Instance);
            return sink.Bytes - before;
        }

        void Resume()
        {
            Assert.True(StateReader.TryRead(sink.Records, out RestoredState? restored, out string? why), why);
            PendingRequest order = Assert.Single(restored.State.Frame.Requests), own = Assert.Single(core.Frame.Requests);
            Assert.True(order.Open.SetEquals(own.Open));
            Assert.Equal(own.Settled, order.Settled);
            core = new Supervisor(restored, new Moment(1));
            recorder = new StateRecorder(sink, restored, core);
        }
    }

    [Fact]
    public void WhatIsSettledTwice_OrOfNoOrder_IsRefused()
    {
        MemorySink sink = Noted();
        RecordedSettlement settlement = new(new RequestId(7), [(0, new(new ServiceName("a"), true, default, null, default, null))]);
        Put(1);
        Put(2);
        Assert.False(StateReader.TryRead(sink.Records, out _, out string? why));
        Assert.Equal("the record of settlement 2 settles what is not open", why);
        _ = sink.Records.Remove(new RecordKey(RecordKind.Settlement, 1));
        _ = sink.Records.Remove(new RecordKey(RecordKind.Settlement, 2));
        settlement = settlement with { Request = new RequestId(8) };
        Put(3);
        Assert.False(StateReader.TryRead(sink.Records, out _, out why));
        Assert.Equal("the record of settlement 3 is of order 8, which has no record", why);

        void Put(long number) => sink.Records[new RecordKey(RecordKind.Settlement, number)] =
            new RecordWriter(_ => 0).Make(FrameRecords.Settlements, settlement).ToArray();
    }

    private static MemorySink Noted()
    {
        SupervisorDefinition definition = A.Definition(A.Service("a"), A.Service("b"));
        Supervisor core = new(definition, seed: 1);
        MemorySink sink = new();
        StateRecorder recorder = new(sink);
        recorder.Note(core, definition, [.. core.Step(Event.Booted.Value, new Moment(1))]);
        Event order = new Event.Requested(new RequestId(7), Verb.Start, [new ServiceName("a")]);
        recorder.Note(core, definition, [.. core.Step(order, new Moment(2))]);
        Assert.True(StateReader.TryRead(sink.Records, out _, out string? why), why);
        return sink;
    }
}
