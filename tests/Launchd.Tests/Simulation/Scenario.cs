using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>A random configuration: one to six services of all kinds, with dependencies that form no circle.</summary>
internal sealed class Scenario
{
    private Scenario(SupervisorDefinition definition, ServiceName? exitWith, TimeSpan chaos)
    {
        Definition = definition;
        ExitWith = exitWith;
        Chaos = chaos;
    }

    public SupervisorDefinition Definition { get; }

    public ServiceName? ExitWith { get; }

    /// <summary>How long programs and operators misbehave; after it every new program does what it should.</summary>
    public TimeSpan Chaos { get; }

    public static Scenario Draw(SeededRandom random)
    {
        int count = random.Between(1, 6);
        ServiceDefinition[] services = new ServiceDefinition[count];
        List<ListenerDefinition> listeners = [];
        for (int i = 0; i < count; i++)
            services[i] = Service(random, i, count, listeners);
        SupervisorDefinition definition = new()
        {
            Name = "simulated",
            ConfigPath = "/simulated.toml",
            RuntimeDirectory = "/run/simulated",
            ShutdownTimeout = TimeSpan.FromSeconds(random.Pick(0, 5, 60, 90)),
            Listeners = [.. listeners],
            Files = [],
            Services = [.. services],
        };
        ServiceName? exitWith = random.Chance(10) ? services[random.Between(0, count - 1)].Name : null;
        return new Scenario(definition, exitWith, TimeSpan.FromSeconds(random.Pick(2, 10, 40, 120)));
    }

    private static ServiceDefinition Service(SeededRandom random, int number, int count, List<ListenerDefinition> listeners)
    {
        StartKind start = random.Pick(StartKind.Boot, StartKind.Boot, StartKind.Demand, StartKind.Connection, StartKind.Manual);
        string key = $"l{number}";
        if (start is StartKind.Demand or StartKind.Connection)
            listeners.Add(Listener(random, key));
        Readiness ready = random.Pick<Readiness>(
            Readiness.Spawned.Value,
            Readiness.Notify.Value,
            Readiness.Notify.Value,
            new Readiness.Descriptor(4),
            new Readiness.Probed(new ProbeTarget.Unix("/probe")));
        return new ServiceDefinition
        {
            Name = new ServiceName($"s{number}"),
            Command = ["program"],
            Execution = new Execution { Environment = [], WorkingDirectory = "/" },
            Update = UpdateKind.Replace,
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
    }

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
