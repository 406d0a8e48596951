using System.Collections.Immutable;
using System.Text;
using Launchd.Addresses;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Core;

/// <summary>Makes definitions for tests: <c>A.Service("web") with { … }</c>.</summary>
internal static class A
{
    private static readonly ListenAddress Peer = new ListenAddress.Tcp(System.Net.IPAddress.Loopback, 5432);

    public static ServiceDefinition Service(string name, params string[] requires) => new()
    {
        Name = new ServiceName(name),
        Command = ["program"],
        Execution = new Execution { Environment = [], WorkingDirectory = "/" },
        Update = UpdateKind.Replace,
        Requires = [.. requires.Select(r => new ServiceName(r))],
        Backoff = new BackoffPolicy { Jitter = 0 },
    };

    /// <summary>Notifies, and is exchanged by overlap with a proof of five seconds.</summary>
    public static ServiceDefinition Overlapping(string name, int instances = 1) => Service(name) with
    {
        Ready = Readiness.Notify.Value,
        Update = UpdateKind.Overlap,
        InstanceCount = instances,
    };

    public static ServiceDefinition Demand(string name) => Service(name) with { Start = StartKind.Demand, Sockets = [name] };

    public static ServiceDefinition Connection(string name) => Service(name) with { Start = StartKind.Connection, Sockets = [name] };

    /// <summary>Is born with a connection of its own: the file "db".</summary>
    public static ServiceDefinition Connecting(string name) => Service(name) with { Files = ["db"] };

    public static SupervisorDefinition Definition(params ServiceDefinition[] services) => new()
    {
        Name = "test",
        ConfigPath = "/test.toml",
        RuntimeDirectory = "/run/test",
        Listeners = [.. services.SelectMany(s => s.Sockets).Select(key => new ListenerDefinition { Key = key, Name = key, Addresses = [],
            MaxConnectionCount = 2 })],
        Files = [.. services.SelectMany(s => s.Files).Distinct().Select(key => new FileDefinition.Connected { Key = key, Target = Peer })],
        Services = [.. services],
    };

    public static Notification Message(string text) => Notification.Parse(Encoding.UTF8.GetBytes(text))!;
}

/// <summary>
/// A supervisor in a test's hands: spawns succeed at once, timers fire when told, and every step passes all checkers of the
/// simulation.
/// </summary>
internal sealed class World
{
    private readonly Simulation.Checkers _checkers;
    private readonly Dictionary<TimerKey, Moment> _timers = [];
    private readonly Dictionary<string, InstanceId> _last = [];
    private long _requests;

    public World(SupervisorDefinition definition, string? exitWith = null)
    {
        Supervisor = new Supervisor(definition, seed: 1, exitWith is null ? null : new ServiceName(exitWith));
        _checkers = new Simulation.Checkers(definition, Supervisor);
    }

    public World(params ServiceDefinition[] services)
        : this(A.Definition(services))
    {
    }

    public Supervisor Supervisor { get; }

    public Moment Now { get; private set; } = new(1_000_000_000);

    /// <summary>All that was ordered so far.</summary>
    public List<Effect> Effects { get; } = [];

    public List<InstanceId> Live { get; } = [];

    /// <summary>Why every signal is refused; null: none is.</summary>
    public string? SignalsRefused { get; set; }

    /// <summary>The next spawn fails.</summary>
    public bool SpawnsFail { get; set; }

    /// <summary>Whether nobody waits for an instance that is to end.</summary>
    public bool QueuesAreEmpty { get; set; } = true;

    /// <summary>The same, for want of descriptors.</summary>
    public bool IsShort { get; set; }

    public IReadOnlyDictionary<TimerKey, Moment> Timers => _timers;

    public int? ExitCode => Effects.OfType<Effect.Exit>().FirstOrDefault()?.Code;

    public World Boot() => Do(Event.Booted.Value);

    public ServiceState State(string service) => Supervisor.Find(new ServiceName(service))!;

    public SlotPhase Phase(string service, int slot = 0) => State(service).Slots[slot].Phase;

    /// <summary>The instance that was spawned last, or is being prepared.</summary>
    public InstanceId Last(string service) => _last[service];

    public bool Has(string service) => _last.TryGetValue(service, out InstanceId id) && Live.Contains(id);

    public int Spawned(string service) => Effects.OfType<Effect.Spawn>().Count(s => s.Instance.Service.Text == service);

    public World Say(string service, string text, params ImmutableArray<DescriptorId> descriptors) =>
        Do(new Event.Notified(Last(service), A.Message(text), 1, 0, descriptors));

    /// <summary>The connections that a service's last instance waits for stand.</summary>
    public World Prepare(string service) => Do(new Event.Prepared(Last(service)));

    /// <summary>One of them is refused.</summary>
    public World Refuse(string service) =>
        Do(new Event.SpawnFailed(Last(service), new Failure.SpawnFailed("file", 111, "file \"db\": Connection refused")));

    public World Exit(string service, int code = 0, int signal = 0, bool leftovers = false)
    {
        Live.Remove(Last(service));
        return Do(new Event.MainExited(Last(service), new ExitStatus(code, signal), leftovers));
    }

    public RequestId Ask(Verb verb, params string[] services)
    {
        RequestId id = new(++_requests);
        Do(new Event.Requested(id, verb, [.. services.Select(s => new ServiceName(s))], verb == Verb.Signal ? SignalNumber.Hup : null));
        return id;
    }

    public ImmutableArray<Outcome>? Answer(RequestId id) => Effects.OfType<Effect.Reply>().FirstOrDefault(r => r.Request == id)?.Outcomes;

    public RequestId Scale(int count, params string[] services)
    {
        RequestId id = new(++_requests);
        Do(new Event.Requested(id, Verb.Scale, [.. services.Select(s => new ServiceName(s))]) { Count = count });
        return id;
    }

    public RequestId Reload(SupervisorDefinition next, params string[] quiet)
    {
        RequestId id = new(++_requests);
        Do(new Event.Reloaded(next, id) { Quiet = [.. quiet.Select(s => new ServiceName(s))] });
        return id;
    }

    public World Say(InstanceId instance, string text) => Do(new Event.Notified(instance, A.Message(text), 1, 0, []));

    public World Exit(InstanceId instance, int code = 0)
    {
        Live.Remove(instance);
        return Do(new Event.MainExited(instance, new ExitStatus(code), HasLeftovers: false));
    }

    /// <summary>The instance that fills a slot.</summary>
    public InstanceId Holder(string service, int slot = 0) => State(service).Slots[slot].Instance!.Id;

    /// <summary>Lets the earliest timer fire.</summary>
    public World Fire()
    {
        (TimerKey key, Moment due) = _timers.MinBy(t => (t.Value, t.Key.Subject));
        return Fire(key, due);
    }

    public World Fire(TimerKind kind) => Fire(_timers.First(t => t.Key.Kind == kind).Key, _timers.First(t => t.Key.Kind == kind).Value);

    private World Fire(TimerKey key, Moment due)
    {
        Now = due > Now ? due : Now;
        _timers.Remove(key);
        return Do(new Event.TimerFired(key));
    }

    public World Pass(TimeSpan span)
    {
        Now += span;
        return this;
    }

    public World Do(Event happened)
    {
        Queue<Event> next = new([happened]);
        while (next.TryDequeue(out Event? current))
        {
            Effect[] effects = [.. Supervisor.Step(current, Now)];
            _checkers.Check(current, effects, Now);
            foreach (Effect effect in effects)
                CarryOut(effect, next);
        }
        return this;
    }

    private void CarryOut(Effect effect, Queue<Event> results)
    {
        Effects.Add(effect);
        switch (effect)
        {
            case Effect.Prepare e:
                _last[e.Instance.Service.Text] = e.Instance;
                break;
            case Effect.Spawn e when SpawnsFail:
                results.Enqueue(
                    new Event.SpawnFailed(e.Instance, new Failure.SpawnFailed("exec", 2, "exec program: No such file or directory")));
                break;
            case Effect.Spawn e when IsShort:
                Failure.SpawnFailed shortage = new("output", 24, "output: pipe: Too many open files") { IsShortage = true };
                results.Enqueue(new Event.SpawnFailed(e.Instance, shortage, e.Connection));
                break;
            case Effect.Spawn e:
                _last[e.Instance.Service.Text] = e.Instance;
                Live.Add(e.Instance);
                results.Enqueue(new Event.Spawned(e.Instance, (int)(1000 + e.Instance.Number)));
                break;
            case Effect.Signal e when e.Request is not null || SignalsRefused is not null:
                results.Enqueue(new Event.SignalSent(e.Instance, e.Number, e.Request, SignalsRefused));
                break;
            case Effect.LookAtQueues e: results.Enqueue(new Event.QueuesSeen(e.Instance, QueuesAreEmpty)); break;
            case Effect.AwaitTurn e: results.Enqueue(new Event.TurnBegan(e.Kind)); break;
            case Effect.ArmTimer e: _timers[e.Key] = e.Due; break;
            case Effect.DisarmTimer e: _timers.Remove(e.Key); break;
        }
    }
}
