using System.Collections.Immutable;
using Launchd.Core.Slots;
using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>How what belongs to no service is written.</summary>
internal static class FrameRecords
{
    private static readonly Codec<TurnBudget> Budgets = new Layout<TurnBudget>(
        "a budget of turns", new(0, 0), b => b.PerTurn >= 1)
        .With(1, Count, b => b.PerTurn, (b, v) => b with { PerTurn = v })
        .With(2, Count, b => b.Left, (b, v) => b with { Left = v })
        .With(3, Sorted(), b => b.PutOff, (b, v) => b with { PutOff = v })
        .With(4, Bool, b => b.IsTurnAwaited, (b, v) => b with { IsTurnAwaited = v });

    private static readonly Codec<(Moment, Moment)> Rows = new ValueCodec<(Moment, Moment)>(
        (w, v) => WritePair(w, Moments, v.Item1, Moments, v.Item2), r => ReadPair(r, Moments, Moments));

    private static readonly Codec<ImmutableArray<(Moment First, Moment Last)>> RowLists = List(Rows);

    private static readonly Codec<ShortageTurns> Turns = new ValueCodec<ShortageTurns>(
        (w, v) => RowLists.Write(w, v.Rows),
        r => ShortageTurns.Of(RowLists.Read(r)) ?? throw new RefusedRecordException("the turns after a shortage cannot be so"));

    private static readonly Codec<(ServiceName, Failure)> GivenUp = new ValueCodec<(ServiceName, Failure)>(
        (w, v) => WritePair(w, Name, v.Item1, FailureRecords.Failures, v.Item2), r => ReadPair(r, Name, FailureRecords.Failures));

    // All services have ended: one more than the last number.
    private static readonly Codec<int> Bound = new ValueCodec<int>(
        (w, v) => w.Cbor.WriteInt32(v),
        r => Count.Read(r) is int v && v <= r.ServiceCount ? v : throw new RefusedRecordException("there are not so many services"));

    private static readonly Codec<ShutdownState> Shutdowns = new Layout<ShutdownState>("a shutdown", new(0, false, false))
        .With(1, Int, s => s.ExitCode, (s, v) => s with { ExitCode = v })
        .With(2, Bool, s => s.IsImmediate, (s, v) => s with { IsImmediate = v })
        .With(3, Bool, s => s.IsOver, (s, v) => s with { IsOver = v })
        .With(4, Bound, s => s.FirstOpen, (s, v) => s with { FirstOpen = v })
        .With(5, OrNull(Moments), s => s.Deadline, (s, v) => s with { Deadline = v })
        .With(6, List(GivenUp), s => s.GivenUp, (s, v) => s with { GivenUp = v });

    private static readonly Codec<Outcome> Outcomes = new Layout<Outcome>("an outcome", new(default, false, default, null, default, null))
        .With(1, Name, o => o.Service, (o, v) => o with { Service = v })
        .With(2, Bool, o => o.Succeeded, (o, v) => o with { Succeeded = v })
        .With(3, Enum<PublicState>(), o => o.State, (o, v) => o with { State = v })
        .With(4, TextOrNull, o => o.Text, (o, v) => o with { Text = v })
        .With(5, Span, o => o.Elapsed, (o, v) => o with { Elapsed = v })
        .With(6, OrNull(InstanceIds), o => o.Failed, (o, v) => o with { Failed = v })
        .With(7, OrNull(Count), o => o.FailedSlot, (o, v) => o with { FailedSlot = v });

    private static readonly Codec<SignalResult> SignalResults = new Layout<SignalResult>("what became of a signal", new(default, 0))
        .With(1, InstanceIds, s => s.Instance, (s, v) => s with { Instance = v })
        .With(2, Count, s => s.Slot, (s, v) => s with { Slot = v })
        .With(3, Bool, s => s.IsKnown, (s, v) => s with { IsKnown = v })
        .With(4, TextOrNull, s => s.Refusal, (s, v) => s with { Refusal = v });

    private static readonly Codec<(int, Outcome)> Settled = new ValueCodec<(int, Outcome)>(
        (w, v) => WritePair(w, Service, v.Item1, Outcomes, v.Item2), r => ReadPair(r, Service, Outcomes));

    /// <summary>What a step has settled of an order (<see cref="OrderRecorder"/>).</summary>
    public static readonly Codec<RecordedSettlement> Settlements = new Layout<RecordedSettlement>("what was settled", new(default, []))
        .With(1, Request, s => s.Request, (s, v) => s with { Request = v })
        .With(2, List(Settled), s => s.Outcomes, (s, v) => s with { Outcomes = v });

    /// <summary>An order has a record of its own: while thousands of services start, it changes less often than the frame.</summary>
    public static readonly Codec<PendingRequest> Requests = new Layout<PendingRequest>(
        "an order", new() { Id = default, Verb = default, AskedAt = default, Asked = [], Open = [], Settled = [] })
        .With(1, Request, p => p.Id, (p, v) => p with { Id = v })
        .With(2, Enum<Verb>(), p => p.Verb, (p, v) => p with { Verb = v })
        .With(3, Moments, p => p.AskedAt, (p, v) => p with { AskedAt = v })
        .With(4, List(Name), p => p.Asked, (p, v) => p with { Asked = v })
        .With(5, Unsorted(), p => p.Open, (p, v) => p with { Open = v })
        .With(6, Stack(Outcomes), p => p.Settled, (p, v) => p with { Settled = v })
        .With(7, List(SignalResults), p => p.Signals, (p, v) => p with { Signals = v });

    public static readonly Codec<SupervisorFrame> Frames = new Layout<SupervisorFrame>(
        "a frame", new() { Starts = null!, Stops = null! }, f => f.Starts is not null && f.Stops is not null)
        .With(1, Number, f => f.NextInstance, (f, v) => f with { NextInstance = v })
        .With(2, ULong, f => f.RandomState, (f, v) => f with { RandomState = v })
        .With(3, Span, f => f.ShutdownTimeout, (f, v) => f with { ShutdownTimeout = v })
        .With(4, Budgets, f => f.Starts, (f, v) => f with { Starts = v })
        .With(5, Budgets, f => f.Stops, (f, v) => f with { Stops = v })
        .With(6, Turns, f => f.ShortageTurns, (f, v) => f with { ShortageTurns = v })
        .With(7, Service, f => f.ExitWith, (f, v) => f with { ExitWith = v })
        .With(8, OrNone(Shutdowns), f => f.Shutdown, (f, v) => f with { Shutdown = v })
        .With(9, List(Pending()), f => f.Requests, (f, v) => f with { Requests = v });

    // By its number, as a definition is.
    private static ValueCodec<PendingRequest> Pending() => new(
        (w, v) => w.Cbor.WriteInt64(v.Id.Number), r => r.RequestOf(r.Cbor.ReadInt64()), (one, other) => one.Id == other.Id);

    private static ValueCodec<ImmutableSortedSet<int>> Sorted()
    {
        Codec<ImmutableArray<int>> list = List(Service);
        return new((w, v) => list.Write(w, [.. v]), r => [.. list.Read(r)]);
    }

    private static ValueCodec<ImmutableHashSet<int>> Unsorted()
    {
        Codec<ImmutableArray<int>> list = List(Service);
        return new((w, v) => list.Write(w, [.. v.Order()]), r => [.. list.Read(r)]);
    }

    private static ValueCodec<ImmutableStack<T>> Stack<T>(Codec<T> codec)
    {
        Codec<ImmutableArray<T>> list = List(codec);
        return new((w, v) => list.Write(w, [.. v]), r => ImmutableStack.CreateRange(list.Read(r).Reverse()));
    }
}
