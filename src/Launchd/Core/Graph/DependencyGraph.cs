using System.Collections.Frozen;
using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Model;

namespace Launchd.Core.Graph;

/// <summary>Which services need which, by service number, worked out once for a definition.</summary>
internal sealed class DependencyGraph
{
    private readonly FrozenDictionary<ServiceName, int> _numbers;
    private readonly HashSet<ServiceName> _forgotten = [];

    private readonly SupervisorDefinition _definition;

    /// <param name="definition">Its services are numbered in its order.</param>
    /// <param name="former">The graph of the configuration before; null: this is the first.</param>
    /// <param name="returning">Services that had been taken out and are there again before they have ended; null: none.</param>
    public DependencyGraph(SupervisorDefinition definition, DependencyGraph? former = null, IReadOnlySet<ServiceName>? returning = null)
    {
        _definition = definition;
        ImmutableArray<ServiceDefinition> services = definition.Services;
        _numbers = services.Index().ToFrozenDictionary(s => s.Item.Name, s => s.Index);
        Services = services;
        Former = [.. services.Select(
            s => former?.Find(s.Name) is >= 0 and int number && returning?.Contains(s.Name) != true ? former.Services[number] : null)];
        Requires = [.. services.Select(s => Numbers(s.Requires))];
        Needs = [.. services.Select(s => Numbers([.. s.Requires, .. s.Wants]))];
        List<int>[] first = [.. services.Select(s => new List<int>(Numbers(s.Requires).Concat(Numbers(s.After))))];
        for (int s = 0; s < services.Length; s++)
        {
            foreach (int later in Numbers(services[s].Before))
                first[later].Add(s);
        }
        First = [.. first.Select(f => f.Distinct().ToArray())];
        List<int>[] then = [.. services.Select(_ => new List<int>())];
        List<int>[] requiredBy = [.. services.Select(_ => new List<int>())];
        for (int s = 0; s < services.Length; s++)
        {
            foreach (int f in First[s])
                then[f].Add(s);
            foreach (int r in Requires[s])
                requiredBy[r].Add(s);
        }
        Then = [.. then.Select(t => t.ToArray())];
        RequiredBy = [.. requiredBy.Select(r => r.ToArray())];
        Size = services.Length + First.Sum(f => f.Length) + Requires.Sum(r => r.Length);
        Dictionary<string, ListenerDefinition> listeners = definition.Listeners.ToDictionary(l => l.Key, StringComparer.Ordinal);
        Activations = [.. services.Select(s => ActivationBounds.Of(s, listeners))];
        Connections = definition.Files.OfType<FileDefinition.Connected>()
            .ToFrozenDictionary(f => f.Key, f => f.Target, StringComparer.Ordinal);
    }

    /// <summary>As the configuration has them; a service whose rollout failed may run by another definition.</summary>
    public ImmutableArray<ServiceDefinition> Services { get; }

    /// <summary>What the former configuration said of each service; null: it had no such service.</summary>
    public ServiceDefinition?[] Former { get; }

    /// <summary>The services that must be ready before a service starts, and are started with it.</summary>
    public int[][] Requires { get; }

    /// <summary>
    /// The services that are started with a service: those it requires, then those it only wants. Here alone there may be circles.
    /// </summary>
    public int[][] Needs { get; }

    /// <summary>
    /// The services that come before a service, if they run at all: <c>requires</c>, <c>after</c>, and <c>before</c> of the others.
    /// </summary>
    public int[][] First { get; }

    /// <summary>The reverse of <see cref="First"/>.</summary>
    public int[][] Then { get; }

    /// <summary>The reverse of <see cref="Requires"/>.</summary>
    public int[][] RequiredBy { get; }

    /// <summary>The number of services and of edges between them.</summary>
    public int Size { get; }

    /// <summary>The bounds of activation, of the service's first listener that sets them.</summary>
    public ActivationBounds[] Activations { get; }

    /// <summary>The files that are connections, and to where: each instance that has one is prepared before it is spawned.</summary>
    public FrozenDictionary<string, ListenAddress> Connections { get; }

    /// <summary>The number of a service; -1: no such service.</summary>
    public int Find(ServiceName name) => _forgotten.Contains(name) ? -1 : _numbers.GetValueOrDefault(name, -1);

    /// <summary>Takes a service out: <see cref="Find"/> does not find it any more.</summary>
    public void Forget(ServiceName name) => _forgotten.Add(name);

    /// <summary>The same graph without the services that were forgotten.</summary>
    public DependencyGraph Known() => new(_definition with { Services = [.. Services.Where(s => !_forgotten.Contains(s.Name))] }, this);

    private int[] Numbers(ImmutableArray<ServiceName> names) =>
        names.IsEmpty ? [] : [.. names.Select(n => _numbers.GetValueOrDefault(n, -1)).Where(n => n >= 0)];
}

/// <summary>How often a service may be activated, and how many connections it may serve at a time (0 a source: no limit).</summary>
internal sealed record ActivationBounds(RateLimit Triggers, int MaxConnections, int MaxPerSource)
{
    private static readonly ActivationBounds None = new(RateLimit.Unlimited, MaxConnections: 0, MaxPerSource: 0);

    public static ActivationBounds Of(ServiceDefinition service, IReadOnlyDictionary<string, ListenerDefinition> listeners)
    {
        if (service.Start is not (StartKind.Demand or StartKind.Connection))
            return None;
        ListenerDefinition[] own = [.. service.Sockets.Where(listeners.ContainsKey).Select(key => listeners[key])];
        RateLimit standard = service.Start == StartKind.Demand ? Limits.DemandTriggers : Limits.ConnectionTriggers;
        return new ActivationBounds(
            own.Select(l => l.TriggerLimit).FirstOrDefault(t => t is not null) ?? standard,
            own.Select(l => l.MaxConnectionCount).DefaultIfEmpty(0).Max(),
            own.Select(l => l.MaxConnectionsPerSourceCount).DefaultIfEmpty(0).Max());
    }
}
