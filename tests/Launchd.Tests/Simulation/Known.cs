using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>What the configuration said so far, for checkers that keep a naive account of their own.</summary>
internal sealed class Known
{
    private readonly Dictionary<ServiceName, List<ServiceDefinition>> _ever = [];
    private readonly Dictionary<string, ListenerDefinition> _listeners = [];

    public Known(SupervisorDefinition first) => Adopt(first);

    public SupervisorDefinition Current { get; private set; } = null!;

    /// <summary>Services for which an operator asked for another way of restarting than they have.</summary>
    public HashSet<ServiceName> Overridden { get; } = [];

    public void Adopt(SupervisorDefinition next)
    {
        Current = next;
        foreach (ListenerDefinition listener in next.Listeners)
            _listeners[listener.Key] = listener;
        foreach (ServiceDefinition service in next.Services)
        {
            if (!_ever.TryGetValue(service.Name, out List<ServiceDefinition>? all))
                _ever.Add(service.Name, all = []);
            all.Add(service);
        }
    }

    /// <summary>Every definition that a service ever had; some of them may still run.</summary>
    public IReadOnlyList<ServiceDefinition> Ever(ServiceName name) => _ever[name];

    /// <summary>The newest definition of a service, even if it was taken out.</summary>
    public ServiceDefinition Of(ServiceName name) => _ever[name][^1];

    public bool Has(ServiceName name) => Current.Services.Any(s => s.Name == name);

    public IEnumerable<ServiceName> Names => _ever.Keys;

    /// <summary>How many instances more than slots may live.</summary>
    public int Surge(ServiceName name) => Overridden.Contains(name) ? Math.Max(1, Ever(name).Max(s => s.Rollout.SurgeCount))
        : Ever(name).Max(s => s.Update == UpdateKind.Overlap ? s.Rollout.SurgeCount : 0);

    /// <summary>How many slots a rollout may leave without a ready instance.</summary>
    public int Unavailable(ServiceName name) =>
        Ever(name).Max(s => s.Update == UpdateKind.Overlap && s.Rollout.SurgeCount > 0 && !Overridden.Contains(name)
            ? s.Rollout.UnavailableCount
            : Math.Max(1, s.Rollout.UnavailableCount));

    public int MaxConnections(ServiceName name) => Ever(name).SelectMany(s => s.Sockets).Select(Listener).Max(l => l.MaxConnectionCount);

    public int MaxPerSource(ServiceName name)
    {
        int[] limits = [.. Ever(name).SelectMany(s => s.Sockets).Select(Listener).Select(l => l.MaxConnectionsPerSourceCount)];
        return limits.Contains(0) ? 0 : limits.Max();
    }

    /// <summary>The shortest time for which any definition of a service asks a new instance to stay ready.</summary>
    public TimeSpan Prove(ServiceName name) => Ever(name).Min(s => s.Rollout.Prove);

    private ListenerDefinition Listener(string key) => _listeners[key];
}
