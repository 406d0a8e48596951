using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Recording;

/// <summary>What <see cref="StateRecorder"/> had noted after the last step.</summary>
internal sealed record RestoredState
{
    /// <summary>The configuration that held.</summary>
    public required SupervisorDefinition Adopted { get; init; }

    public required SupervisorState State { get; init; }

    /// <summary>
    /// The definitions of the services as their configuration had them, by the services' numbers. Behind the services of
    /// <see cref="Adopted"/> come those that a reload took out and that still end.
    /// </summary>
    public required ImmutableArray<ServiceDefinition> Configured { get; init; }

    /// <summary>
    /// What the last step had the host do, without its reports and replies. How much of it the host had done is not known here.
    /// </summary>
    public required IReadOnlyList<Effect> Effects { get; init; }

    /// <summary>The numbers of the records of what was settled of an order since that was written, by the number of the order.</summary>
    public required IReadOnlyDictionary<long, ImmutableArray<long>> Settlements { get; init; }

    /// <summary>All definitions by their numbers in the records.</summary>
    public required IReadOnlyDictionary<long, ServiceDefinition> Definitions { get; init; }
}

/// <summary>Reads what <see cref="StateRecorder"/> has written.</summary>
internal static class StateReader
{
    private static readonly RecordKey ConfigurationKey = new(RecordKind.Configuration, 0);
    private static readonly RecordKey FrameKey = new(RecordKind.Frame, 0);
    private static readonly RecordKey EffectsKey = new(RecordKind.Effects, 0);

    /// <summary>Reads all records of the core. Never throws, whatever is in them.</summary>
    /// <param name="records">The records of a whole step; those of other kinds are left alone.</param>
    /// <param name="restored">What they say; null: they were refused.</param>
    /// <param name="why">Why they were refused, and which of them, as a sentence; null: they were not.</param>
    public static bool TryRead(
        IReadOnlyDictionary<RecordKey, ReadOnlyMemory<byte>> records, [NotNullWhen(true)] out RestoredState? restored,
        [NotNullWhen(false)] out string? why)
    {
        try
        {
            restored = Read(records);
            why = null;
            return true;
        }
        catch (RefusedRecordException refused)
        {
            restored = null;
            why = refused.Message;
            return false;
        }
    }

    private static RestoredState Read(IReadOnlyDictionary<RecordKey, ReadOnlyMemory<byte>> records)
    {
        int count = records.Keys.Count(k => k.Kind == RecordKind.Service);
        RecordReader reader = new(count);
        foreach ((RecordKey key, ReadOnlyMemory<byte> content) in records)
        {
            if (key.Kind == RecordKind.Definition)
                reader.Definitions.Add(key.Number, reader.Read(key, content, DefinitionRecords.Services));
        }
        RecordedConfiguration configuration =
            reader.Read(ConfigurationKey, Find(records, ConfigurationKey), ConfigurationRecords.Configurations);
        ServiceState[] services = new ServiceState[count];
        ServiceDefinition[] configured = new ServiceDefinition[count];
        for (int service = 0; service < count; service++)
        {
            RecordKey key = new(RecordKind.Service, service);
            RecordedService read = reader.Read(key, Find(records, key), ServiceRecords.Services);
            services[service] = read.State;
            configured[service] = read.Configured ?? read.State.Definition;
        }
        if (!ConfigurationRecords.AreDifferent(configured.Select(c => c.Name.Text)))
            throw new RefusedRecordException("two services have one name");
        foreach ((RecordKey key, ReadOnlyMemory<byte> content) in records)
        {
            if (key.Kind != RecordKind.Request)
                continue;
            PendingRequest request = reader.Read(key, content, FrameRecords.Requests);
            if (request.Id.Number != key.Number)
                throw new RefusedRecordException($"{RecordReader.NameOf(key)} is that of order {request.Id.Number}");
            reader.Requests.Add(key.Number, request);
        }
        Dictionary<long, ImmutableArray<long>> settlements = ReadSettlements(records, reader);
        SupervisorFrame frame = reader.Read(FrameKey, Find(records, FrameKey), FrameRecords.Frames);
        if (frame.Requests.Distinct().Count() != reader.Requests.Count || frame.Requests.Length != reader.Requests.Count)
            throw new RefusedRecordException($"{RecordReader.NameOf(FrameKey)} has other orders than have records");
        return new RestoredState
        {
            Adopted = configuration.Adopted with { Services = configuration.Services },
            State = new SupervisorState
            {
                Services = services,
                Frame = frame,
                LeavingCount = services.Count(s => s.IsLeaving && !s.IsForgotten),
                ForgottenCount = services.Count(s => s.IsForgotten),
            },
            Configured = [.. configured],
            Effects = records.TryGetValue(EffectsKey, out ReadOnlyMemory<byte> effects)
                ? reader.Read(EffectsKey, effects, EffectRecords.Effects)
                : [],
            Definitions = reader.Definitions,
            Settlements = settlements,
        };
    }

    private static Dictionary<long, ImmutableArray<long>> ReadSettlements(
        IReadOnlyDictionary<RecordKey, ReadOnlyMemory<byte>> records, RecordReader reader)
    {
        Dictionary<long, ImmutableArray<long>.Builder> numbers = [];
        foreach (RecordKey key in records.Keys.Where(k => k.Kind == RecordKind.Settlement).OrderBy(k => k.Number))
        {
            RecordedSettlement settlement = reader.Read(key, records[key], FrameRecords.Settlements);
            long number = settlement.Request.Number;
            if (!reader.Requests.TryGetValue(number, out PendingRequest? order))
                throw new RefusedRecordException($"{RecordReader.NameOf(key)} is of order {number}, which has no record");
            ImmutableHashSet<int>.Builder open = order.Open.ToBuilder();
            ImmutableStack<Outcome> settled = order.Settled;
            foreach ((int service, Outcome outcome) in settlement.Outcomes)
            {
                if (!open.Remove(service))
                    throw new RefusedRecordException($"{RecordReader.NameOf(key)} settles what is not open");
                settled = settled.Push(outcome);
            }
            reader.Requests[number] = order with { Open = open.ToImmutable(), Settled = settled };
            if (!numbers.TryGetValue(number, out ImmutableArray<long>.Builder? ofOrder))
                numbers.Add(number, ofOrder = ImmutableArray.CreateBuilder<long>());
            ofOrder.Add(key.Number);
        }
        return numbers.ToDictionary(n => n.Key, n => n.Value.ToImmutable());
    }

    private static ReadOnlyMemory<byte> Find(IReadOnlyDictionary<RecordKey, ReadOnlyMemory<byte>> records, RecordKey key) =>
        records.TryGetValue(key, out ReadOnlyMemory<byte> content)
            ? content
            : throw new RefusedRecordException($"{RecordReader.NameOf(key)} is missing");
}
