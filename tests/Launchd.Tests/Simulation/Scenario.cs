using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// A random configuration: one to six services of all kinds, with dependencies that form no circle unless <see cref="Shapes"/> adds one.
/// </summary>
internal sealed class Scenario
{
    private const int MostServices = 6;

    /// <summary>To which the instances of some services are connected before they are born.</summary>
    private static readonly FileDefinition.Connected Peer = new()
    {
        Key = "peer",
        Target = new ListenAddress.Unix(UnixSocketKind.Stream, "/peer", IsAbstract: false),
    };

    private Scenario(SupervisorDefinition[] all, ServiceName? exitWith, TimeSpan chaos)
    {
        All = all;
        ExitWith = exitWith;
        Chaos = chaos;
    }

    /// <summary>The configuration at the start, and those that an operator may switch to; unchanged services share their object.</summary>
    public SupervisorDefinition[] All { get; }

    public SupervisorDefinition Definition => All[0];

    public ServiceName? ExitWith { get; }

    /// <summary>How long programs and operators misbehave; after it every new program does what it should.</summary>
    public TimeSpan Chaos { get; }

    /// <param name="random">Of what there is to decide.</param>
    /// <param name="sockets">Of what became of listeners; apart, so that the rest of a seed's life does not depend on it.</param>
    /// <param name="shapes">Of circles, chains and fans; null: there are none.</param>
    public static Scenario Draw(SeededRandom random, SeededRandom sockets, SeededRandom? shapes = null)
    {
        int count = random.Between(1, 6);
        ServiceDefinition[] services = new ServiceDefinition[count];
        List<ListenerDefinition> listeners = [];
        for (int i = 0; i < count; i++)
            services[i] = Service(random, i, count, listeners);
        List<SupervisorDefinition> all = [Compose(random, listeners, services)];
        while (random.Chance(40) && all.Count < 4)
            all.Add(Compose(random, listeners, Varied(random, all[^1].Services, listeners)));
        if (shapes is not null)
            all = Shapes.Entangle(all, shapes);
        ServiceName? exitWith = random.Chance(10) ? services[random.Between(0, count - 1)].Name : null;
        return new Scenario(WithListeners(all, listeners, sockets), exitWith, TimeSpan.FromSeconds(random.Pick(2, 10, 40, 120)));
    }

    /// <summary>
    /// Gives some services that start by themselves a listener, moves some listeners to another address from one configuration to the next,
    /// and takes some from their service. As a reload does, a service whose listener moved gets an object of its own.
    /// </summary>
    private static SupervisorDefinition[] WithListeners(
        List<SupervisorDefinition> all, List<ListenerDefinition> listeners, SeededRandom random)
    {
        Dictionary<string, ListenerDefinition> known = listeners.ToDictionary(l => l.Key);
        Dictionary<ServiceDefinition, ServiceDefinition> next = [];
        Dictionary<ServiceName, string[]> given = [];
        SupervisorDefinition[] complete = new SupervisorDefinition[all.Count];
        for (int i = 0; i < all.Count; i++)
        {
            HashSet<string> moved = [];
            foreach (string key in known.Keys.Where(_ => i > 0 && random.Chance(25)).ToArray())
            {
                known[key] = known[key] with
                {
                    Addresses = [new ListenAddress.Unix(UnixSocketKind.Stream, $"/{key}/{i}", IsAbstract: false)],
                };
                moved.Add(key);
            }
            List<ServiceDefinition> services = [];
            foreach (ServiceDefinition service in all[i].Services)
            {
                bool isFree = service.Start is StartKind.Boot or StartKind.Manual;
                bool isNew = isFree && (!given.ContainsKey(service.Name) || random.Chance(20));
                if (isNew)
                    given[service.Name] = random.Chance(60) ? [$"p{service.Name}"] : [];
                string[] sockets = isFree ? given[service.Name] : [.. service.Sockets];
                foreach (string key in sockets)
                    _ = known.TryAdd(key, new ListenerDefinition { Key = key, Name = key, Addresses = [] });
                // The same object as before where nothing is different.
                if (isNew || sockets.Any(moved.Contains) || !next.ContainsKey(service))
                    next[service] = service with { Sockets = [.. sockets] };
                services.Add(next[service]);
            }
            HashSet<string> used = [.. services.SelectMany(s => s.Sockets)];
            complete[i] = all[i] with { Services = [.. services], Listeners = [.. known.Values.Where(l => used.Contains(l.Key))] };
        }
        return complete;
    }

    private static SupervisorDefinition Compose(
        SeededRandom random, List<ListenerDefinition> listeners, IEnumerable<ServiceDefinition> services) => new()
    {
        Name = "simulated",
        ConfigPath = "/simulated.toml",
        RuntimeDirectory = "/run/simulated",
        ShutdownTimeout = TimeSpan.FromSeconds(random.Pick(0, 5, 60, 90)),
        Listeners = [.. listeners],
        Files = [Peer],
        Services = [.. services],
    };

    /// <summary>
    /// Another configuration: of each service kept, changed or taken out, and new ones; what was named and is gone is named no more.
    /// </summary>
    private static List<ServiceDefinition> Varied(
        SeededRandom random, ImmutableArray<ServiceDefinition> before, List<ListenerDefinition> listeners)
    {
        List<ServiceDefinition> next = [];
        for (int i = 0; i < MostServices; i++)
        {
            ServiceDefinition? old = before.FirstOrDefault(s => s.Name.Text == $"s{i}");
            if (old is null && random.Chance(15))
                next.Add(Service(random, i, MostServices, listeners));
            if (old is null || random.Chance(15))
                continue;
            next.Add(random.Between(0, 9) switch
            {
                0 => Service(random, i, MostServices, listeners),
                1 or 2 => old with { Command = ["program", "--new"] },
                3 => old with { InstanceCount = old.Start == StartKind.Connection ? 1 : random.Between(1, 4) },
                4 => old with { Stop = Stop(random) },
                5 => old with { Update = random.Pick(UpdateKind.Overlap, UpdateKind.Replace), Rollout = Rollout(random) },
                _ => old,
            });
        }
        HashSet<ServiceName> names = [.. next.Select(s => s.Name)];
        return [.. next.Select(s => Prune(s, names))];
    }

    private static ServiceDefinition Prune(ServiceDefinition service, HashSet<ServiceName> names)
    {
        bool isWhole = service.Requires.Concat(service.Wants).Concat(service.After).Concat(service.Before).All(names.Contains);
        return isWhole ? service : service with
        {
            Requires = [.. service.Requires.Where(names.Contains)],
            Wants = [.. service.Wants.Where(names.Contains)],
            After = [.. service.After.Where(names.Contains)],
            Before = [.. service.Before.Where(names.Contains)],
        };
    }

    private static RolloutPolicy Rollout(SeededRandom random)
    {
        int surge = random.Pick(0, 1, 1, 2);
        return new RolloutPolicy
        {
            SurgeCount = surge,
            UnavailableCount = surge == 0 ? random.Between(1, 2) : random.Pick(0, 0, 1),
            Prove = TimeSpan.FromMilliseconds(random.Pick(0, 50, 1000, 5000)),
            OnFailure = random.Pick(RolloutFailure.Rollback, RolloutFailure.Rollback, RolloutFailure.Continue),
        };
    }

    private static ServiceDefinition Service(SeededRandom random, int number, int count, List<ListenerDefinition> listeners)
    {
        StartKind start = random.Pick(StartKind.Boot, StartKind.Boot, StartKind.Demand, StartKind.Connection, StartKind.Manual);
        string key = $"l{number}";
        if (start is StartKind.Demand or StartKind.Connection && listeners.All(l => l.Key != key))
            listeners.Add(Listener(random, key));
        Readiness ready = random.Pick<Readiness>(
            Readiness.Spawned.Value,
            Readiness.Notify.Value,
            Readiness.Notify.Value,
            new Readiness.Descriptor(4),
            new Readiness.Probed(new ProbeTarget.Unix("/probe")));
        ServiceDefinition service = new()
        {
            Name = new ServiceName($"s{number}"),
            Command = ["program"],
            Execution = new Execution { Environment = [], WorkingDirectory = "/" },
            Update = random.Pick(UpdateKind.Overlap, UpdateKind.Replace),
            Rollout = Rollout(random),
            Health = random.Chance(15)
                ? new HealthCheck(new ProbeTarget.Unix("/health"), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), 3)
                : null,
            Start = start,
            Sockets = start is StartKind.Demand or StartKind.Connection ? [key] : [],
            InstanceCount = start == StartKind.Connection ? 1 : random.Pick(1, 1, 2, 3),
            Requires = Some(random, 25, 0, number),
            Wants = Some(random, 15, 0, number),
            After = Some(random, 15, 0, number),
            Before = Some(random, 15, number + 1, count),
            Ready = ready,
            ReadyTimeout = TimeSpan.FromSeconds(random.Pick(1, 5, 30)),
            Watchdog = random.Chance(25) ? TimeSpan.FromSeconds(random.Pick(0, 2, 10)) : null,
            Restart = random.Pick(RestartKind.Always, RestartKind.OnFailure, RestartKind.Never),
            Backoff = Backoff(random),
            StartLimit = new RateLimit(random.Pick(0, 1, 2, 5), TimeSpan.FromSeconds(random.Pick(2, 10, 60))),
            Stop = Stop(random),
            Reload = random.Pick<ReloadAction?>(null, new ReloadAction.Signal(SignalNumber.Hup), new ReloadAction.Command(["reload"])),
            IdleTimeout = start == StartKind.Demand && random.Chance(40) ? TimeSpan.FromSeconds(random.Pick(1, 5, 30)) : null,
            FdStoreCount = random.Pick(0, 1, 3),
            FdStoreKeep = random.Pick(FdStoreKeep.Restart, FdStoreKeep.Always),
        };
        SeededRandom apart = random.Fork();
        service = service with { Files = apart.Chance(20) ? [Peer.Key] : [] };
        return start is StartKind.Boot or StartKind.Manual && apart.Chance(20) ? AsJob(service) : service;
    }

    private static ServiceDefinition AsJob(ServiceDefinition service) => service with
    {
        Ready = Readiness.Exited.Value,
        Restart = service.Restart == RestartKind.Always ? RestartKind.Never : service.Restart,
        Update = UpdateKind.Replace,
        Health = null,
        Watchdog = null,
    };

    private static ImmutableArray<ServiceName> Some(SeededRandom random, int percent, int from, int to)
    {
        ImmutableArray<ServiceName>.Builder names = ImmutableArray.CreateBuilder<ServiceName>();
        for (int i = from; i < to; i++)
        {
            if (random.Chance(percent))
                names.Add(new ServiceName($"s{i}"));
        }
        return names.ToImmutable();
    }

    private static ListenerDefinition Listener(SeededRandom random, string key) => new()
    {
        Key = key,
        Name = key,
        Addresses = [],
        TriggerLimit = random.Chance(50) ? new RateLimit(random.Pick(0, 1, 3, 10), TimeSpan.FromSeconds(random.Pick(1, 2, 5))) : null,
        MaxConnectionCount = random.Between(1, 3),
        MaxConnectionsPerSourceCount = random.Pick(0, 1, 2),
    };

    private static BackoffPolicy Backoff(SeededRandom random) => new()
    {
        Initial = TimeSpan.FromMilliseconds(random.Pick(0, 10, 100, 1000)),
        Factor = random.Pick(1.0, 1.5, 2.0),
        Max = TimeSpan.FromSeconds(random.Pick(1, 5, 30)),
        Jitter = random.Pick(0, 0.1, 1),
        ResetAfter = TimeSpan.FromSeconds(random.Pick(1, 10, 60)),
    };

    private static StopPolicy Stop(SeededRandom random) => new()
    {
        Timeout = TimeSpan.FromSeconds(random.Pick(1, 5, 30)),
        Command = random.Chance(25) ? ["stop"] : [],
        Kill = random.Pick(KillScope.Process, KillScope.Group, KillScope.Tree),
    };
}
