using System.Collections.Immutable;
using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>
/// How the effects of a step are written. Two kinds are not: reports, which are told or lost, and replies, whose connections do not outlive
/// the process.
/// </summary>
internal static class EffectRecords
{
    private static readonly Codec<TimerKey> Timers = new Layout<TimerKey>("a timer", default)
        .With(1, Enum<TimerKind>(), t => t.Kind, (t, v) => t with { Kind = v })
        .With(2, Name, t => t.Service, (t, v) => t with { Service = v })
        .With(3, Long, t => t.Subject, (t, v) => t with { Subject = v });

    private static readonly Codec<StoreAnswer> Answers = new Layout<StoreAnswer>("an answer of the store", new())
        .With(1, TextOrNull, a => a.Refusal, (a, v) => a with { Refusal = v })
        .With(2, Int, a => a.StoredCount, (a, v) => a with { StoredCount = v })
        .With(3, Int, a => a.PresentCount, (a, v) => a with { PresentCount = v })
        .With(4, Int, a => a.RemovedCount, (a, v) => a with { RemovedCount = v });

    private static readonly Family<Effect> Acting = new Family<Effect>("a kind of effect")
        .With(1, new Layout<Effect.Prepare>("a preparation", new(default, 0, null!, default, null), e => e.Definition is not null)
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Count, e => e.Slot, (e, v) => e with { Slot = v })
            .With(3, Definition, e => e.Definition, (e, v) => e with { Definition = v })
            .With(4, Enum<StartReason>(), e => e.Reason, (e, v) => e with { Reason = v })
            .With(5, OrNull(Connection), e => e.Connection, (e, v) => e with { Connection = v }))
        .With(2, new Layout<Effect.Spawn>("a birth", new(default, 0, 0, null!, default, null, []), e => e.Definition is not null)
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Count, e => e.Slot, (e, v) => e with { Slot = v })
            .With(3, Count, e => e.Generation, (e, v) => e with { Generation = v })
            .With(4, Definition, e => e.Definition, (e, v) => e with { Definition = v })
            .With(5, Enum<StartReason>(), e => e.Reason, (e, v) => e with { Reason = v })
            .With(6, OrNull(Connection), e => e.Connection, (e, v) => e with { Connection = v })
            .With(7, List(ServiceRecords.StoredDescriptors), e => e.Stored, (e, v) => e with { Stored = v }))
        .With(3, new Layout<Effect.Signal>("a signal", new(default, SignalNumber.Term, default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Signal, e => e.Number, (e, v) => e with { Number = v })
            .With(3, Enum<KillScope>(), e => e.Scope, (e, v) => e with { Scope = v })
            .With(4, OrNull(Request), e => e.Request, (e, v) => e with { Request = v }))
        .With(4, new Layout<Effect.RunCommand>("a command", new(default, default, []))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Enum<CommandKind>(), e => e.Kind, (e, v) => e with { Kind = v })
            .With(3, List(Text), e => e.Arguments, (e, v) => e with { Arguments = v }))
        .With(5, new Layout<Effect.EndCommand>("the end of a command", new(default, default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Enum<CommandKind>(), e => e.Kind, (e, v) => e with { Kind = v }))
        .With(6, new Layout<Effect.StartProbe>("a probe", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(7, new Layout<Effect.EndProbe>("the end of a probe", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(8, new Layout<Effect.StartHealth>("a health check", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(9, new Layout<Effect.EndHealth>("the end of a health check", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(10, new Layout<Effect.TellDrain>("word of an end", new(default, null, null))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, OrNull(Moments), e => e.Deadline, (e, v) => e with { Deadline = v })
            .With(3, OrNull(InstanceIds), e => e.Successor, (e, v) => e with { Successor = v }))
        .With(11, new Layout<Effect.TellHandOver>("word of a successor", new(default, default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, InstanceIds, e => e.Successor, (e, v) => e with { Successor = v }))
        .With(12, new Layout<Effect.TellPredecessorEnded>("word of a predecessor", new(default, default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, InstanceIds, e => e.Predecessor, (e, v) => e with { Predecessor = v }))
        .With(13, new Layout<Effect.TellReload>("word of a reload", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(14, new Layout<Effect.Release>("a release", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(15, new Layout<Effect.ArmTimer>("a timer", new(default, default))
            .With(1, Timers, e => e.Key, (e, v) => e with { Key = v })
            .With(2, Moments, e => e.Due, (e, v) => e with { Due = v }))
        .With(16, new Layout<Effect.DisarmTimer>("a timer's end", new(Key: default))
            .With(1, Timers, e => e.Key, (e, v) => e with { Key = v }))
        .With(17, new Layout<Effect.WatchListeners>("a watch", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(18, new Layout<Effect.UnwatchListeners>("a watch's end", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(19, new Layout<Effect.WatchUse>("a watch of use", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(20, new Layout<Effect.UnwatchUse>("the end of a watch of use", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(21, new Layout<Effect.LookForUse>("a look", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(22, new Layout<Effect.EndBirth>("the end of a birth", new(Instance: default))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v }))
        .With(23, new Layout<Effect.LookAtQueues>("a look at queues", new(default, false))
            .With(1, InstanceIds, e => e.Instance, (e, v) => e with { Instance = v })
            .With(2, Bool, e => e.HearsOut, (e, v) => e with { HearsOut = v }))
        .With(24, new Layout<Effect.Accept>("an accept", new(default, 0))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v })
            .With(2, Int, e => e.ListenerIndex, (e, v) => e with { ListenerIndex = v }))
        .With(25, new Layout<Effect.CloseConnection>("a connection's end", new(Connection: default))
            .With(1, Connection, e => e.Connection, (e, v) => e with { Connection = v }))
        .With(26, new Layout<Effect.Keep>("what is kept", new(default, null!, false), e => e.Descriptor is not null)
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v })
            .With(2, ServiceRecords.StoredDescriptors, e => e.Descriptor, (e, v) => e with { Descriptor = v })
            .With(3, Bool, e => e.IsPolled, (e, v) => e with { IsPolled = v }))
        .With(27, new Layout<Effect.CloseDescriptor>("a descriptor's end", new(Descriptor: default))
            .With(1, Descriptor, e => e.Descriptor, (e, v) => e with { Descriptor = v }))
        .With(28, new Layout<Effect.AnswerStore>("an answer", new(0, null!), e => e.Answer is not null)
            .With(1, Long, e => e.Call, (e, v) => e with { Call = v })
            .With(2, Answers, e => e.Answer, (e, v) => e with { Answer = v }))
        .With(29, new Layout<Effect.Forget>("a service's end", new(Service: default))
            .With(1, Name, e => e.Service, (e, v) => e with { Service = v }))
        .With(30, new Layout<Effect.AwaitTurn>("a turn", new(Kind: default))
            .With(1, Enum<TurnKind>(), e => e.Kind, (e, v) => e with { Kind = v }))
        .With(31, new Layout<Effect.Exit>("the end", new(Code: 0))
            .With(1, Int, e => e.Code, (e, v) => e with { Code = v }));

    private static readonly Codec<ImmutableArray<Effect>> Lists = List(Acting);

    public static readonly Codec<IReadOnlyList<Effect>> Effects = new ValueCodec<IReadOnlyList<Effect>>(
        (w, v) => Lists.Write(w, [.. v]), r => Lists.Read(r));

    /// <summary>Whether the effect is written at all.</summary>
    public static bool IsActing(Effect effect) => Acting.Has(effect);
}
