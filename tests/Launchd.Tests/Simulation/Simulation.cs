using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// One run from a seed: chaos with an operator, then calm until everything rests, then the end. Every step is checked; the first
/// broken property ends the run.
/// </summary>
internal sealed class Simulation
{
    private const int MostSteps = 40_000;

    /// <summary>
    /// Seeds from here on have circles, chains and fans of services, and hostile programs, clients and operators as well. Those below go on
    /// meaning what they always did.
    /// </summary>
    public const ulong FirstHostile = 1UL << 32;

    /// <summary>And from here on births take their time, so that other things happen between an order and what becomes of it.</summary>
    public const ulong FirstSlow = 1UL << 33;

    private readonly SeededRandom _random;
    private readonly Scenario _scenario;
    private readonly SimulatedHost _host;
    private readonly Supervisor _supervisor;
    private readonly Checkers _checkers;
    private readonly Hostility? _hostility;
    private readonly Onlooker? _onlooker;
    private readonly Func<Effect, Effect?>? _mutate;
    private readonly Func<Event, Event>? _distort;
    private readonly Queue<string>? _trace;
    private readonly List<RequestId> _asked = [];
    private readonly HashSet<ServiceName> _scaled = [];
    private readonly Queue<(Moment, Event, Effect[])> _tail = [];
    private SupervisorDefinition _current;
    private int _steps;
    private bool _hasBroken;
    private bool _operatorIsDone;

    // Services whose last rollout that was asked for has failed.
    private readonly HashSet<ServiceName> _wentBack = [];

    private Simulation(
        ulong seed, Func<Effect, Effect?>? mutate, Func<Event, Event>? distort, Func<ServiceDefinition, bool, bool>? misjudge,
        Queue<string>? trace, Func<SupervisorDefinition, Supervisor, Onlooker>? onlooker)
    {
        _random = new SeededRandom(seed);
        SeededRandom sockets = new(~seed);
        _scenario = Scenario.Draw(_random, sockets, seed >= FirstHostile ? new SeededRandom(seed * 31) : null);
        _current = _scenario.Definition;
        _host = new SimulatedHost(_scenario, _random, sockets, seed >= FirstSlow ? new SeededRandom(seed * 41) : null);
        int startsPerTurn = _random.Fork().Pick(1, 2, 16);
        ulong jitter = _random.Next();
        _supervisor = Make();
        _onlooker = onlooker?.Invoke(_scenario.Definition, Make());
        _checkers = new Checkers(_scenario.Definition, _supervisor, misjudge);
        _hostility =
            seed >= FirstHostile ? new Hostility(_scenario, new SeededRandom(seed * 37), _host, _supervisor, s => _scaled.Add(s)) : null;
        _mutate = mutate;
        _distort = distort;
        _trace = trace;

        Supervisor Make() => new(_scenario.Definition, jitter, _scenario.ExitWith, startsPerTurn, stopsPerTurn: startsPerTurn);
    }

    /// <summary>Runs a seed.</summary>
    /// <param name="seed">Decides everything.</param>
    /// <param name="mutate">Plants a fault: what the checkers see instead of an effect; null: it is lost.</param>
    /// <param name="distort">Plants a fault: what the supervisor sees instead of what happened.</param>
    /// <param name="misjudge">
    /// Plants a fault: whether something may be started by a former definition, instead of what the supervisor says.
    /// </param>
    /// <param name="trace">Takes every line.</param>
    /// <param name="onlooker">Makes one that looks on, from the first configuration and a supervisor like that of the run.</param>
    /// <returns>Null, or what broke, with the last lines before.</returns>
    public static SimulationResult Run(ulong seed, Func<Effect, Effect?>? mutate = null, Func<Event, Event>? distort = null,
        Func<ServiceDefinition, bool, bool>? misjudge = null, Queue<string>? trace = null,
        Func<SupervisorDefinition, Supervisor, Onlooker>? onlooker = null)
    {
        Simulation simulation = new(seed, mutate, distort, misjudge, trace, onlooker);
        try
        {
            simulation.Run();
            return new SimulationResult(seed, simulation._steps, Broken: null, Tail: "");
        }
        catch (BrokenPropertyException broken)
        {
            return new SimulationResult(seed, simulation._steps, broken.Message, simulation.Tail());
        }
        catch (Exception thrown) when (
            thrown is InvalidOperationException or OverflowException or NullReferenceException or ArgumentException or KeyNotFoundException)
        {
            return new SimulationResult(seed, simulation._steps, "threw: " + thrown, simulation.Tail());
        }
    }

    private void Run()
    {
        PlanOperator();
        _hostility?.Plan();
        Step(Event.Booted.Value);
        Moment calm = _host.Now + _scenario.Chaos;
        RunUntil(calm, () => false);
        _host.IsCalm = true;
        Moment bound = _host.Now + Bounds.Rest(_scenario.All);
        bool rests = RunUntil(bound, _checkers.IsAtRest);
        if (!_host.HasExited && !rests)
            throw new BrokenPropertyException("11: not at rest in time: " + _checkers.Restless());
        if (!_host.HasExited)
            _checkers.CheckRest();
        if (!_host.HasExited && _supervisor.Frame.Shutdown is null && _random.Chance(25))
            Converge();
        if (!_host.HasExited && _supervisor.Frame.Shutdown is null)
            Step(new Event.ShutdownAsked("the simulation ends", IsImmediate: false));
        Moment end = _host.Now + Bounds.End(_scenario.All);
        if (!RunUntil(end, () => _host.HasExited))
            throw new BrokenPropertyException("11: the shutdown does not end");
        _checkers.CheckEnd();
    }

    /// <summary>
    /// Property 9: after a reload, and rest, everything is as a fresh start with that configuration would have made it; the same once more
    /// changes nothing.
    /// </summary>
    private void Converge()
    {
        _operatorIsDone = true;
        SupervisorDefinition next = _random.Pick(_scenario.All);
        ServiceName[] manual = [.. _current.Services.Where(s => s.Start == StartKind.Manual).Select(s => s.Name)];
        ServiceName[] others = [.. _current.Services.Where(s => s.Start != StartKind.Manual).Select(s => s.Name)];
        Order(Verb.Stop, manual);
        Order(Verb.Start, others);
        _current = next;
        RestAfter(new Event.Reloaded(next, new RequestId(100_003)));
        if (_host.HasExited)
            return;
        foreach (ServiceDefinition service in next.Services)
            CheckConverged(_supervisor.Find(service.Name), service, manual);
        if (_supervisor.Services.Count != next.Services.Length)
            throw new BrokenPropertyException("9: something is left of what was taken out");
        int effects = _supervisor.Step(new Event.Reloaded(next, Request: null), _host.Now).Count;
        if (effects > 0)
            throw new BrokenPropertyException("9: the same configuration again is not nothing");
    }

    private void CheckConverged(ServiceState? state, ServiceDefinition service, ServiceName[] manual)
    {
        // A rollout that failed in the days of chaos leaves what serves as it is; it is not tried again before somebody asks for it. An
        // instance that is not well is exchanged for one like it.
        if (_wentBack.Contains(service.Name))
            return;
        if (state is null || !ReferenceEquals(state.Definition, service))
            throw new BrokenPropertyException($"9: {service.Name} does not run by the configuration");
        // What an operator stopped stays stopped, and what was started as manual goes on: a reload is no order.
        if (service.Start == StartKind.Manual || manual.Contains(service.Name) || service.Requires.Any(manual.Contains))
            return;
        bool runs = service.Start == StartKind.Boot
            ? state.Slots.All(s => s.Phase is SlotPhase.Ready or SlotPhase.Ended or SlotPhase.Failed)
            : state.IsActivated || state.IsWatching || state.IsHindered || state.PausedUntil is not null || !state.Slots.IsEmpty;
        bool isWhole = service.Start == StartKind.Connection
            || _scaled.Contains(service.Name) || state.Slots.Length == service.InstanceCount;
        if (!state.IsWanted || !runs || !isWhole
            || (!state.IsPerConnection && state.Slots.Any(s => s.Phase is SlotPhase.Live && !ReferenceEquals(s.Definition, service))))
        {
            throw new BrokenPropertyException(
                $"9: {service.Name} is not as a fresh start would have it ({state.IsWanted}, {runs}, {isWhole})");
        }
    }

    private void Order(Verb verb, ServiceName[] services)
    {
        if (!_host.HasExited && services.Length > 0)
            RestAfter(new Event.Requested(new RequestId(100_000 + (int)verb), verb, [.. services]));
    }

    private void RestAfter(Event happened)
    {
        if (_host.HasExited || _supervisor.Frame.Shutdown is not null)
            return;
        Step(happened);
        if (!RunUntil(_host.Now + Bounds.Rest(_scenario.All), _checkers.IsAtRest) && !_host.HasExited)
            throw new BrokenPropertyException("11: not at rest in time: " + _checkers.Restless());
    }

    /// <summary>True as soon as the condition holds; false if it never did until then.</summary>
    private bool RunUntil(Moment until, Func<bool> holds)
    {
        while (!_host.HasExited)
        {
            if (holds())
                return true;
            if (_host.IsEmpty || _host.Now > until)
                return false;
            foreach (Func<Event?> happens in _host.WakeUp())
            {
                if (_host.HasExited)
                    return holds();
                if (happens() is { } happened)
                    Deliver(happened);
            }
            _host.Poll();
        }
        return holds();
    }

    private void Deliver(Event happened)
    {
        if (Target(happened) is { } service && !_host.IsCalm && !_hasBroken && _random.Between(1, 1500) == 1)
        {
            // As if the step had thrown: what happened is lost, and the host says so.
            _hasBroken = true;
            _checkers.Lose(happened);
            Step(new Event.MachineFaulted(service, "planted"));
            return;
        }
        Step(happened);
    }

    /// <summary>The service that the loss of this event concerns; null: the host would not lose it silently.</summary>
    private static ServiceName? Target(Event happened) => happened switch
    {
        Event.Notified { Descriptors.IsEmpty: true } e => e.Instance.Service,
        Event.MainExited e => e.Instance.Service,
        Event.LeftoversEnded e => e.Instance.Service,
        Event.ReadinessMet e => e.Instance.Service,
        Event.Prepared e => e.Instance.Service,
        Event.CommandEnded e => e.Instance.Service,
        Event.ListenerReadable e => e.Service,
        Event.ListenerUsed e => e.Service,
        Event.TimerFired { Key.Kind: not TimerKind.Shutdown } e => e.Key.Service,
        _ => null,
    };

    private void Step(Event happened)
    {
        for (Event? next = happened; next is not null; next = _host.Results.TryDequeue(out Event? result) ? result : null)
        {
            if (++_steps > MostSteps)
                throw new BrokenPropertyException("14: events never end");
            Event heard = _distort?.Invoke(next) ?? next;
            _onlooker?.Before(heard, _supervisor);
            Effect[] effects = [.. _supervisor.Step(heard, _host.Now)];
            _onlooker?.After(heard, _host.Now, effects, _supervisor);
            Remember(next, effects);
            if (_mutate is not null)
                effects = [.. effects.Select(_mutate).OfType<Effect>()];
            _checkers.Check(next, effects, _host.Now);
            foreach (Effect effect in effects)
                _host.CarryOut(effect);
            NoteRollouts(effects);
        }
    }

    private void NoteRollouts(Effect[] effects)
    {
        foreach (Notice notice in effects.OfType<Effect.Report>().Select(r => r.Notice))
        {
            if (notice is Notice.RolloutStarted { Reason: not StartReason.Restart } started)
                _wentBack.Remove(started.Of);
        }
        _wentBack.UnionWith(
            _supervisor.Services.Where(s => s is { Rollout: null, LastRollout.Text: not null }).Select(s => s.Definition.Name));
    }

    private void Remember(Event happened, Effect[] effects)
    {
        _tail.Enqueue((_host.Now, happened, effects));
        if (_tail.Count > 40)
            _tail.Dequeue();
        if (_trace is null)
            return;
        _trace.Enqueue(TraceText.Of(_host.Now, happened));
        foreach (Effect effect in effects)
            _trace.Enqueue(TraceText.Of(effect));
    }

    private string Tail()
    {
        IEnumerable<string> lines = _tail.SelectMany(t => t.Item3.Select(TraceText.Of).Prepend(TraceText.Of(t.Item1, t.Item2)));
        IEnumerable<string> services = _scenario.All.SelectMany(a => a.Services).Distinct().Select(Describe);
        return $"{string.Join('\n', lines.TakeLast(40))}\n\n{string.Join('\n', services)}\n{_checkers.Restless()}";
    }

    private static string Describe(ServiceDefinition s) =>
        $"{s.Name}: {s.Start} x{s.InstanceCount} {s.Ready.GetType().Name} {s.Restart}"
        + $" limit {s.StartLimit.Burst}/{s.StartLimit.Interval.TotalSeconds}s"
        + $" requires ({string.Join(' ', s.Requires)}) wants ({string.Join(' ', s.Wants)})"
        + $" after ({string.Join(' ', s.After)}) before ({string.Join(' ', s.Before)})"
        + $" {s.Update} +{s.Rollout.SurgeCount} -{s.Rollout.UnavailableCount} {s.Rollout.Prove.TotalSeconds}s {s.Rollout.OnFailure}"
        + $" stop {s.Stop.Timeout.TotalSeconds}s {s.Stop.Kill} {(s.Stop.Command.IsEmpty ? "" : "command")}";

    private void PlanOperator()
    {
        int chaosMs = (int)_scenario.Chaos.TotalMilliseconds;
        for (int action = _random.Between(0, 12); action > 0; action--)
            _host.Plan(_random.Between(0, chaosMs), Ask);
        for (int arrival = _random.Between(0, 20); arrival > 0; arrival--)
            _host.Plan(_random.Between(0, chaosMs), Arrive);
        if (_random.Chance(30))
            _host.Plan(_random.Between(0, chaosMs), Jump);
        if (!_random.Chance(15))
            return;
        int first = _random.Between(0, chaosMs);
        _host.Plan(first, () => new Event.ShutdownAsked("SIGTERM", IsImmediate: false));
        if (_random.Chance(50))
            _host.Plan(first + _random.Between(0, 3000), () => new Event.ShutdownAsked("second SIGINT", IsImmediate: true));
    }

    private Event? Ask()
    {
        if (_operatorIsDone)
            return null;
        if (_asked.Count > 0 && _random.Chance(10))
            return new Event.ClientLeft(_asked[_random.Between(0, _asked.Count - 1)]);
        RequestId id = new(_asked.Count + 1);
        _asked.Add(id);
        if (_scenario.All.Length > 1 && _random.Chance(25))
            return Switch(id);
        Verb verb = _random.Pick(
            Verb.Start, Verb.Start, Verb.Stop, Verb.Stop, Verb.Restart, Verb.Restart, Verb.Restart, Verb.Reload, Verb.Signal, Verb.Scale);
        ImmutableArray<ServiceName> services = [.. _scenario.Definition.Services.Where(_ => _random.Chance(40)).Select(s => s.Name)];
        if (verb == Verb.Scale)
            _scaled.UnionWith(services);
        return new Event.Requested(
            id, verb, services, verb == Verb.Signal ? _random.Pick(SignalNumber.Hup, SignalNumber.Term, SignalNumber.Kill) : null)
        {
            Count = verb == Verb.Scale ? _random.Between(1, 4) : null,
            Update = verb == Verb.Restart && _random.Chance(10) ? _random.Pick(UpdateKind.Overlap, UpdateKind.Replace) : null,
        };
    }

    /// <summary>The file is another now.</summary>
    private Event.Reloaded Switch(RequestId id)
    {
        SupervisorDefinition before = _current, next = _random.Pick(_scenario.All);
        _current = next;
        ImmutableArray<ServiceName> quiet = [.. next.Services.Where(s => before.Services.FirstOrDefault(b => b.Name == s.Name) is { } old
            && old.Command.SequenceEqual(s.Command) && _random.Chance(30) && HasSameListeners(before, old, next, s)).Select(s => s.Name)];
        return new Event.Reloaded(next, _random.Chance(80) ? id : Unasked(id)) { Quiet = quiet };
    }

    private static bool HasSameListeners(
        SupervisorDefinition before, ServiceDefinition old, SupervisorDefinition next, ServiceDefinition service) =>
        old.Sockets.SequenceEqual(service.Sockets) && service.Sockets.All(key =>
            before.Listeners.First(l => l.Key == key).Addresses.SequenceEqual(next.Listeners.First(l => l.Key == key).Addresses));

    private RequestId? Unasked(RequestId id)
    {
        _asked.Remove(id);
        return null;
    }

    private Event? Arrive()
    {
        _host.Arrive(
            _scenario.Definition.Services[_random.Between(0, _scenario.Definition.Services.Length - 1)].Name, _random.Between(1, 5));
        return null;
    }

    private Event? Jump() => _host.Jump(TimeSpan.FromSeconds(_random.Pick(1, 10, 100)));
}

/// <summary>What became of a run.</summary>
internal sealed record SimulationResult(ulong Seed, int Steps, string? Broken, string Tail)
{
    public override string ToString() =>
        $"seed {Seed}, step {Steps}: {Broken}\n{Tail}\nreplay: LAUNCHD_SEED={Seed} dotnet test tests/Launchd.Tests --filter Simulation";
}

/// <summary>A checker found what must never be.</summary>
internal sealed class BrokenPropertyException(string message) : Exception(message);
