using System.Collections.Immutable;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Recording;

/// <summary>
/// Writes down the orders that wait for their outcome. An order for all services becomes known service by service: the order itself is
/// written once, and what each step settles of it is added, so that a step's records are as long as what it changed.
/// </summary>
/// <param name="sink">Where they are written.</param>
/// <param name="writer">Makes them.</param>
internal sealed class OrderRecorder(IRecordSink sink, RecordWriter writer)
{
    private readonly Dictionary<long, WrittenOrder> _written = [];
    private readonly Dictionary<ServiceName, int> _numbers = [];
    private ServiceState[]? _services;
    private long _lastSettlement;

    /// <summary>Goes on with records that are there already.</summary>
    /// <param name="orders">What they said.</param>
    /// <param name="services">By their numbers.</param>
    /// <param name="settlements">The numbers of the settlements of each order, by the order's.</param>
    public void Take(
        ImmutableArray<PendingRequest> orders, ServiceState[] services, IReadOnlyDictionary<long, ImmutableArray<long>> settlements)
    {
        _services = services;
        foreach (PendingRequest order in orders)
        {
            WrittenOrder written = new(order);
            written.Settlements.AddRange(settlements.GetValueOrDefault(order.Id.Number, []));
            _written.Add(order.Id.Number, written);
        }
        _lastSettlement = settlements.Values.SelectMany(n => n).DefaultIfEmpty().Max();
    }

    /// <param name="orders">All that wait.</param>
    /// <param name="services">By their numbers.</param>
    public void Note(ImmutableArray<PendingRequest> orders, ServiceState[] services)
    {
        // A reload has given other numbers.
        bool areSameNumbers = services == _services;
        if (!areSameNumbers)
            _numbers.Clear();
        _services = services;
        foreach (PendingRequest order in orders)
        {
            WrittenOrder? written = _written.GetValueOrDefault(order.Id.Number);
            if (written is not null && ReferenceEquals(written.Order, order))
                continue;
            if (written is null)
                _written.Add(order.Id.Number, written = new WrittenOrder(order));
            else if (areSameNumbers && AddedTo(written.Order, order) is { } added)
                Add(written, added);
            else
                RemoveSettlements(written);
            if (written.Settlements.Count == 0)
                sink.Put(new RecordKey(RecordKind.Request, order.Id.Number), writer.Make(FrameRecords.Requests, order));
            written.Order = order;
        }
        if (_written.Count == orders.Length)
            return;
        foreach (long over in _written.Keys.Except(orders.Select(r => r.Id.Number)).ToArray())
        {
            RemoveSettlements(_written[over]);
            _ = _written.Remove(over);
            sink.Remove(new RecordKey(RecordKind.Request, over));
        }
    }

    private void Add(WrittenOrder written, ImmutableArray<(int, Outcome)> added)
    {
        RecordedSettlement settlement = new(written.Order.Id, added);
        written.Settlements.Add(++_lastSettlement);
        sink.Put(new RecordKey(RecordKind.Settlement, _lastSettlement), writer.Make(FrameRecords.Settlements, settlement));
    }

    private void RemoveSettlements(WrittenOrder written)
    {
        foreach (long settlement in written.Settlements)
            sink.Remove(new RecordKey(RecordKind.Settlement, settlement));
        written.Settlements.Clear();
    }

    /// <summary>What was settled since; null: something else about the order is different too.</summary>
    private ImmutableArray<(int, Outcome)>? AddedTo(PendingRequest before, PendingRequest now)
    {
        if (before.Id != now.Id || before.Verb != now.Verb || before.AskedAt != now.AskedAt || before.Asked != now.Asked
            || before.Signals != now.Signals)
        {
            return null;
        }
        List<(int Service, Outcome Outcome)> added = [];
        ImmutableStack<Outcome> rest = now.Settled;
        for (; !ReferenceEquals(rest, before.Settled); rest = rest.Pop())
        {
            if (rest.IsEmpty || NumberOf(rest.Peek().Service) is not { } service || !before.Open.Contains(service)
                || now.Open.Contains(service))
            {
                return null;
            }
            added.Add((service, rest.Peek()));
        }
        added.Reverse();
        return added.Count > 0 && now.Open.Count == before.Open.Count - added.Count ? [.. added] : null;
    }

    private int? NumberOf(ServiceName name)
    {
        if (_numbers.Count == 0)
        {
            for (int service = 0; service < _services!.Length; service++)
                _ = _numbers.TryAdd(_services[service].Definition.Name, service);
        }
        return _numbers.TryGetValue(name, out int number) ? number : null;
    }

    /// <summary>What stands in the records of one order.</summary>
    private sealed class WrittenOrder(PendingRequest order)
    {
        public PendingRequest Order { get; set; } = order;

        /// <summary>The numbers of what was settled since the order was written whole.</summary>
        public List<long> Settlements { get; } = [];
    }
}

/// <summary>What one step has settled of an order.</summary>
/// <param name="Request">Of which order.</param>
/// <param name="Outcomes">With the number of each service, in the order in which they came.</param>
internal sealed record RecordedSettlement(RequestId Request, ImmutableArray<(int Service, Outcome Outcome)> Outcomes);
