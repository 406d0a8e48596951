using System.Collections.Immutable;
using System.Text;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// A host without a kernel: carries out effects on a virtual clock. Events wait in a queue; a wake-up takes all that is due and
/// delivers it in the order of the supervisor's rules, equals in an order drawn from the seed.
/// </summary>
internal sealed partial class SimulatedHost(Scenario scenario, SeededRandom random, SeededRandom queues, SeededRandom? births)
{
    /// <summary>A birth that hangs is given up after so long.</summary>
    private const int Longest = 10_000;

    private readonly PriorityQueue<Entry, (long Due, long Order)> _queue = new();
    private readonly Dictionary<TimerKey, long> _timers = [];
    private readonly Dictionary<InstanceId, SimulatedProcess> _processes = [];
    private readonly HashSet<(InstanceId, CommandKind)> _commands = [];
    private readonly HashSet<InstanceId> _probes = [];
    private readonly HashSet<InstanceId> _healthChecks = [];
    private readonly HashSet<InstanceId> _unprepared = [];
    private readonly HashSet<InstanceId> _unborn = [];

    // How many looks it takes until nobody waits any more for an instance that is to end.
    private readonly Dictionary<InstanceId, int> _queueLooks = [];
    private readonly Dictionary<ServiceName, SimulatedClients> _clients = scenario.All.SelectMany(d => d.Services)
        .Where(s => s.Start is StartKind.Demand or StartKind.Connection)
        .Select(s => s.Name).Distinct().ToDictionary(s => s, _ => new SimulatedClients());
    private long _order, _lastPid = 100, _lastDescriptor, _lastConnection, _version;

    /// <summary>When the kind of an event decides, and not chance.</summary>
    private enum Turn { Notification, Request, Exit, Timer, Last }

    public Moment Now { get; private set; } = new(1_000_000_000);

    /// <summary>From here on nothing new goes wrong.</summary>
    public bool IsCalm { get; set; }

    public bool HasExited { get; private set; }

    /// <summary>Results of effects, which come before everything else.</summary>
    public Queue<Event> Results { get; } = [];

    public bool IsEmpty => _queue.Count == 0;

    public int WaitingClients(ServiceName service) => _clients.TryGetValue(service, out SimulatedClients? clients) ? clients.Waiting : 0;

    /// <summary>Has an event of an operator or of the world happen after so many milliseconds.</summary>
    public void Plan(int afterMs, Func<Event?> happens) => Add(afterMs, Turn.Request, happens);

    public void Arrive(ServiceName service, int count)
    {
        if (_clients.TryGetValue(service, out SimulatedClients? clients))
        {
            clients.Waiting += count;
            TellUse(service, clients);
        }
        Poll();
    }

    /// <summary>The supervisor was stopped, or a busy machine was late. Hosts of older seeds do not notice.</summary>
    public Event.WasAway? Jump(TimeSpan span)
    {
        Now += span;
        return births is null ? null : new Event.WasAway(span);
    }

    /// <summary>Sleeps until something is due and returns all of it, in order; an event made void meanwhile is null when taken.</summary>
    public List<Func<Event?>> WakeUp()
    {
        List<(Turn Turn, ulong Chance, long Order, Func<Event?> Happens)> due = [];
        if (_queue.TryPeek(out _, out (long Due, long Order) first) && first.Due > Now.Nanoseconds)
            Now = new Moment(first.Due);
        while (_queue.TryPeek(out Entry? entry, out (long Due, long Order) key) && key.Due <= Now.Nanoseconds)
        {
            _queue.Dequeue();
            due.Add((entry.Turn, random.Next(), key.Order, entry.Happens));
        }
        due.Sort((a, b) => (a.Turn, a.Chance, a.Order).CompareTo((b.Turn, b.Chance, b.Order)));
        return due.ConvertAll(d => d.Happens);
    }

    /// <summary>Carries out one effect.</summary>
    public void CarryOut(Effect effect)
    {
        switch (effect)
        {
            case Effect.Prepare e: Prepare(e.Instance); break;
            case Effect.Spawn e: Spawn(e); break;
            case Effect.EndBirth e: EndBirth(e.Instance); break;
            case Effect.Signal e: Signal(e); break;
            case Effect.RunCommand e: RunCommand(e); break;
            case Effect.EndCommand e: _commands.Remove((e.Instance, e.Kind)); break;
            case Effect.StartProbe e: _probes.Add(e.Instance); break;
            case Effect.EndProbe e: _probes.Remove(e.Instance); break;
            case Effect.Release e: Release(e.Instance); break;
            case Effect.ArmTimer e: Arm(e); break;
            case Effect.DisarmTimer e: _timers.Remove(e.Key); break;
            case Effect.WatchListeners e: Watch(e.Service, isWatched: true); break;
            case Effect.UnwatchListeners e: Watch(e.Service, isWatched: false); break;
            case Effect.WatchUse e: WatchUse(e.Service); break;
            case Effect.UnwatchUse e: _clients[e.Service].IsUseWatched = false; break;
            case Effect.LookForUse e: LookForUse(e.Service); break;
            case Effect.LookAtQueues e: LookAtQueues(e.Instance); break;
            case Effect.Accept e: Accept(e); break;
            case Effect.Keep e: Keep(e); break;
            case Effect.StartHealth e: StartHealth(e.Instance); break;
            case Effect.EndHealth e: _healthChecks.Remove(e.Instance); break;
            case Effect.TellDrain e: TellDrain(e.Instance); break;
            case Effect.Forget e: _clients.GetValueOrDefault(e.Service)?.Forget(); break;
            case Effect.AwaitTurn e: Add(0, Turn.Last, () => new Event.TurnBegan(e.Kind)); break;
            case Effect.Exit: HasExited = true; break;
        }
    }

    private void Add(int afterMs, Turn turn, Func<Event?> happens) =>
        _queue.Enqueue(new Entry(turn, happens), ((Now + TimeSpan.FromMilliseconds(afterMs)).Nanoseconds, _order++));

    /// <summary>A connection is there at once, later or never, it is refused, or there is no descriptor for it.</summary>
    private void Prepare(InstanceId instance)
    {
        bool isMade = IsCalm || random.Chance(70);
        Event outcome = isMade ? new Event.Prepared(instance) : new Event.SpawnFailed(instance, random.Pick(SimulatedFailures.Unconnected));
        if (random.Chance(40))
        {
            Results.Enqueue(outcome);
            return;
        }
        _unprepared.Add(instance);
        if (IsCalm || random.Chance(80))
            Add(random.Pick(0, 1, 300, IsCalm ? 1000 : 6000), Turn.Request, () => _unprepared.Remove(instance) ? outcome : null);
    }

    private void Spawn(Effect.Spawn effect)
    {
        if (_unprepared.Contains(effect.Instance))
            throw new BrokenPropertyException($"spawned before it is prepared: {effect.Instance}");
        ServiceDefinition service = effect.Definition;
        if (!IsCalm && random.Chance(8))
        {
            int error = random.Pick(2, 11, 12, 13, 24);
            bool isShortage = error is 11 or 12 or 24;
            Failure.SpawnFailed failure = new("exec", error, $"exec program: error {error}") { IsShortage = isShortage };
            Give(effect.Instance, () => new Event.SpawnFailed(effect.Instance, failure, isShortage ? effect.Connection : null));
            return;
        }
        SimulatedProcess process = SimulatedProcess.Draw(random, effect.Instance, (int)_lastPid++, service, IsCalm);
        Give(effect.Instance, () => Live(process, service));
    }

    /// <summary>
    /// What became of a birth is known at once, or only when other things have happened: a file system may take its time.
    /// </summary>
    private void Give(InstanceId unborn, Func<Event> outcome)
    {
        if (births?.Chance(IsCalm ? 90 : 50) != false)
        {
            Results.Enqueue(outcome());
            return;
        }
        _unborn.Add(unborn);
        Add(births.Pick(0, 1, 20, IsCalm ? 50 : Longest), Turn.Request, () => _unborn.Remove(unborn) ? outcome() : null);
    }

    private void EndBirth(InstanceId unborn)
    {
        if (_unborn.Contains(unborn))
            Add(100, Turn.Request, () => _unborn.Remove(unborn) ? new Event.SpawnFailed(unborn, SimulatedFailures.TookTooLong) : null);
    }

    private Event.Spawned Live(SimulatedProcess process, ServiceDefinition service)
    {
        process.IsForeign = !IsCalm && births?.Fork().Chance(3) == true;
        _processes.Add(process.Id, process);
        foreach (SimulatedProcess.Act act in process.Acts)
            Add(act.AfterMs, act.Exit is null ? Turn.Notification : Turn.Exit, () => Perform(process, act));
        if (process.IsCalm)
            Add(500, Turn.Notification, () => Ping(process));
        if (service.Start == StartKind.Demand)
            Add(random.Between(1, 300), Turn.Request, () => ServeOn(process));
        return new Event.Spawned(process.Id, process.Pid);
    }

    /// <summary>A demand service takes what waits again and again.</summary>
    private Event? ServeOn(SimulatedProcess process)
    {
        if (process.IsMainAlive)
            Add(random.Between(100, 2000), Turn.Request, () => ServeOn(process));
        return Serve(process);
    }

    private void WatchUse(ServiceName service)
    {
        SimulatedClients clients = _clients[service];
        clients.IsUseWatched = true;
        if (clients.Waiting > 0)
            TellUse(service, clients);
    }

    /// <summary>One-shot: told once, then not before it is asked for again.</summary>
    private void TellUse(ServiceName service, SimulatedClients clients)
    {
        if (!clients.IsUseWatched)
            return;
        clients.IsUseWatched = false;
        Add(0, Turn.Request, () => new Event.ListenerUsed(service));
    }

    private void LookForUse(ServiceName service) =>
        Results.Enqueue(new Event.UseSeen(service, _clients[service].Waiting > 0 || _clients[service].Open > 0));

    private void LookAtQueues(InstanceId id)
    {
        if (!_queueLooks.TryGetValue(id, out int looks))
            looks = IsCalm || queues.Chance(60) ? 0 : queues.Pick(1, 2, 5, 20, int.MaxValue);
        _queueLooks[id] = Math.Max(0, looks - 1);
        Event.QueuesSeen seen = new(id, looks == 0 || IsCalm);
        if (queues.Chance(50))
            Results.Enqueue(seen);
        else if (IsCalm || queues.Chance(90))
            Add(queues.Pick(0, 1, 5, 200), Turn.Request, () => seen);
    }

    private Event? Perform(SimulatedProcess process, SimulatedProcess.Act act)
    {
        if (act.Exit is { } status)
            return process.IsMainAlive ? Reap(process, status) : null;
        if (!process.IsMainAlive && !act.SurvivesExit)
            return null;
        if (act.MeetsReadiness)
        {
            return process.Service.Ready is Readiness.Descriptor || _probes.Contains(process.Id)
                ? new Event.ReadinessMet(process.Id)
                : null;
        }
        Notification? message = Notification.Parse(Encoding.UTF8.GetBytes(act.Text));
        ImmutableArray<DescriptorId> descriptors =
            [.. Enumerable.Range(0, act.DescriptorCount).Select(_ => new DescriptorId(++_lastDescriptor))];
        return new Event.Notified(process.Id, message!, process.Pid, 0, descriptors);
    }

    /// <summary>A program that does what it should pings as long as it lives.</summary>
    private Event.Notified? Ping(SimulatedProcess process)
    {
        if (!process.IsMainAlive || process.Service.Watchdog is not { } period || period <= TimeSpan.Zero)
            return null;
        Add((int)period.TotalMilliseconds / 2, Turn.Notification, () => Ping(process));
        return Says(process, "WATCHDOG=1");
    }

    /// <summary>A demand service that runs takes the clients from the queue.</summary>
    private Event? Serve(SimulatedProcess process)
    {
        SimulatedClients clients = _clients[process.Service.Name];
        if (!process.IsMainAlive || clients.Waiting == 0)
            return null;
        clients.Waiting = 0;
        // Some talk on for long after they were accepted.
        if (!IsCalm && random.Chance(50))
        {
            clients.Open++;
            Add(random.Pick(500, 5000, 50_000), Turn.Request, () =>
            {
                clients.Open--;
                return null;
            });
        }
        return null;
    }

    private static Event.MainExited Reap(SimulatedProcess process, ExitStatus status)
    {
        process.IsMainAlive = false;
        process.IsReaped = true;
        return new Event.MainExited(process.Id, status, process.HasLeftovers);
    }

    private void Signal(Effect.Signal effect)
    {
        _processes.TryGetValue(effect.Instance, out SimulatedProcess? process);
        // A process of another user: it may be told nothing, and does not end.
        string? refusal = process?.IsForeign == true && !IsCalm ? "not permitted: process 1 belongs to root" : null;
        if (effect.Request is not null || refusal is not null)
            Results.Enqueue(new Event.SignalSent(effect.Instance, effect.Number, effect.Request, refusal));
        if (process is null || refusal is not null)
            return;
        if (effect.Number == SignalNumber.Hup && process.IsMainAlive)
            Reread(process);
        bool isKill = effect.Number == SignalNumber.Kill;
        bool isStop = isKill || effect.Number == process.Service.Stop.Signal || effect.Number == SignalNumber.Abrt;
        if (!isStop || (isKill && process.HangsInKernel))
            return;
        int after = isKill ? random.Between(0, 2) : process.ObeysAfter;
        if (process.IsMainAlive && after >= 0)
        {
            ExitStatus status = isKill ? new(0, 9) : random.Pick(new ExitStatus(0), new ExitStatus(0, 15), new ExitStatus(3));
            Add(after, Turn.Exit, () => process.IsMainAlive ? Reap(process, status) : null);
        }
        bool reachesLeftovers = process.HasLeftovers && effect.Scope != KillScope.Process && (isKill || process.DoLeftoversObey);
        if (reachesLeftovers)
            Add(after < 0 ? 5 : after, Turn.Exit, () => EndLeftovers(process));
    }

    /// <summary>A program that reloads may say so, with the time or without; what has begun well is finished, or is not.</summary>
    private void Reread(SimulatedProcess process)
    {
        SeededRandom choices = random.Fork();
        // One that knows nothing of the signal dies of it, and others execute themselves again and fail. Older seeds have no such programs.
        if (births is not null && choices.Chance(30))
        {
            ExitStatus status = choices.Pick(new ExitStatus(0, SignalNumber.Hup.Value), new ExitStatus(0), new ExitStatus(1));
            Add(choices.Pick(0, 50, 2000, 3300, 6000), Turn.Exit, () => process.IsMainAlive ? Reap(process, status) : null);
        }
        if (choices.Chance(30))
            return;
        string announcement = choices.Pick(
            "RELOADING=1", $"RELOADING=1\nMONOTONIC_USEC={Now.Nanoseconds / 1000}", "RELOADING=1\nMONOTONIC_USEC=1");
        int announced = choices.Pick(0, 200, 3000);
        Add(announced, Turn.Notification, () => Says(process, announcement));
        if (IsCalm || choices.Chance(70))
            Add(announced + choices.Pick(0, 500, 20_000), Turn.Notification, () => Says(process, "READY=1"));
    }

    private static Event.Notified? Says(SimulatedProcess process, string text) =>
        process.IsMainAlive ? new Event.Notified(process.Id, Notification.Parse(Encoding.UTF8.GetBytes(text))!, process.Pid, 0, []) : null;

    private static Event.LeftoversEnded? EndLeftovers(SimulatedProcess process)
    {
        if (!process.HasLeftovers)
            return null;
        process.HasLeftovers = false;
        return process.IsReaped ? new Event.LeftoversEnded(process.Id) : null;
    }

    private void RunCommand(Effect.RunCommand effect)
    {
        (InstanceId, CommandKind) key = (effect.Instance, effect.Kind);
        _commands.Add(key);
        if (IsCalm || random.Chance(70))
        {
            Add(
                IsCalm ? 10 : random.Pick(0, 50, 2000), Turn.Exit,
                () => _commands.Remove(key) ? new Event.CommandEnded(effect.Instance, effect.Kind, random.Chance(80)) : null);
        }
    }

    private void StartHealth(InstanceId id)
    {
        _healthChecks.Add(id);
        if (!IsCalm && random.Chance(40))
            Add(random.Pick(10, 1000, 9000), Turn.Request, () => _healthChecks.Remove(id) ? new Event.HealthFailed(id, "planted") : null);
    }

    private void TellDrain(InstanceId id)
    {
        if (random.Chance(10))
            Add(random.Pick(0, 100), Turn.Notification, () => new Event.DrainProgress(id, random.Between(-1, 3)));
    }

    private void Release(InstanceId id)
    {
        _unprepared.Remove(id);
        _unborn.Remove(id);
        if (_processes.TryGetValue(id, out SimulatedProcess? process))
            process.IsReleased = true;
    }

    private void Arm(Effect.ArmTimer effect)
    {
        long version = ++_version;
        _timers[effect.Key] = version;
        Entry entry = new(Turn.Timer, () => _timers.GetValueOrDefault(effect.Key) == version && _timers.Remove(effect.Key)
            ? new Event.TimerFired(effect.Key) : null);
        _queue.Enqueue(entry, (Math.Max(effect.Due.Nanoseconds, Now.Nanoseconds), _order++));
    }

    private void Keep(Effect.Keep effect)
    {
        if (effect.IsPolled && !IsCalm && random.Chance(30))
            Add(random.Pick(1, 100, 5000), Turn.Notification, () => new Event.DescriptorHungUp(effect.Service, effect.Descriptor.Id));
    }

    private sealed record Entry(Turn Turn, Func<Event?> Happens);
}
