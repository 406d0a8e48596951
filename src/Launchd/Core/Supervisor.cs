using System.Collections.Immutable;
using Launchd.Core.Graph;
using Launchd.Core.Instances;
using Launchd.Core.Orders;
using Launchd.Core.Recording;
using Launchd.Core.Rollouts;
using Launchd.Core.Sharing;
using Launchd.Core.Slots;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// Decides everything; touches nothing. Rules:
/// <list type="number">
/// <item>No kernel, clock, environment or logger is known here; what happened comes in, what is to be done goes out.</item>
/// <item><c>now</c> never goes backwards; randomness (jitter) comes from one generator whose state is part of the state.</item>
/// <item>Settle, then act: a step changes wishes first, then looks again at every service that a change may concern until no wish
/// changes; only then its effects leave.</item>
/// <item>A step happens whole or not at all: state is assigned last, so one that throws leaves everything as it was. The host then
/// sends <see cref="Event.MachineFaulted"/>, and that service alone is set aside.</item>
/// <item>Results of effects (accepted, queues seen) come back before any event from outside. That of a spawn comes when it comes: until
/// then the instance has no pid, nothing comes from it, and nothing is told to it.</item>
/// <item>Within one wake-up the host sends notifications first, then requests, exits, timers: an instance that said READY and died
/// did become ready, and a watchdog fires only if nothing else spoke.</item>
/// <item>At most so many instances are started, and so many services told to end, in one turn of the host; the rest waits for
/// <see cref="Event.TurnBegan"/>.</item>
/// <item>At most one timer is armed under a key; a firing that nobody waits for changes nothing.</item>
/// <item>All that a child or a client can make grow is bounded by <see cref="Limits"/>.</item>
/// </list>
/// </summary>
internal sealed class Supervisor
{
    private readonly List<ServiceName> _changed = [];
    private readonly List<int> _changedNumbers = [];
    private SupervisorState _state;
    private Draft _draft;
    private Moment _latest;

    /// <param name="definition">What is to run.</param>
    /// <param name="seed">Of the jitter.</param>
    /// <param name="exitWith">End when this service ends; null: end on request only.</param>
    /// <param name="startsPerTurn">At least 1.</param>
    /// <param name="stopsPerTurn">At least 1.</param>
    public Supervisor(SupervisorDefinition definition, ulong seed, ServiceName? exitWith = null, int startsPerTurn = Limits.StartsPerTurn,
        int stopsPerTurn = Limits.StopsPerTurn)
    {
        DependencyGraph graph = new(definition);
        _state = new SupervisorState
        {
            Services = [.. definition.Services.Select(s => new ServiceState { Definition = s, Slots = ServiceMachine.EmptySlots(s) })],
            Frame = new SupervisorFrame
            {
                RandomState = seed,
                ShutdownTimeout = definition.ShutdownTimeout,
                Starts = new TurnBudget(startsPerTurn, startsPerTurn),
                Stops = new TurnBudget(stopsPerTurn, stopsPerTurn),
                ExitWith = exitWith is { } name ? graph.Find(name) : -1,
            },
        };
        _draft = new Draft(_state, graph);
    }

    /// <summary>A supervisor that goes on where another was, as if nothing had been.</summary>
    /// <param name="restored">What was written down of the other after its last step; it belongs to this one from now on.</param>
    /// <param name="now">Not before the other's last step.</param>
    public Supervisor(RestoredState restored, Moment now)
    {
        DependencyGraph graph = new(restored.Adopted with { Services = restored.Configured });
        _state = restored.State;
        foreach (ServiceState service in _state.Services)
        {
            if (service.IsForgotten)
                graph.Forget(service.Definition.Name);
        }
        _draft = new Draft(_state, graph);
        _latest = now;
    }

    /// <summary>The whole state as of the last step, for who writes it down.</summary>
    public SupervisorState State => _state;

    /// <summary>
    /// The definitions of the services of <see cref="State"/>, by their numbers, as the configuration has them, or as the last one had them
    /// that had the service.
    /// </summary>
    public ImmutableArray<ServiceDefinition> Configured => _draft.Graph.Services;

    /// <summary>
    /// The services as of the last step, in the order of the configuration, and behind them those
    /// that a reload took out and that still end.
    /// </summary>
    public IReadOnlyList<ServiceState> Services =>
        _state.ForgottenCount == 0 ? _state.Services : [.. _state.Services.Where(s => !s.IsForgotten)];

    public SupervisorFrame Frame => _state.Frame;

    /// <summary>
    /// Another number as soon as a service has another definition, is new or is forgotten: what was derived from the definitions of
    /// <see cref="Services"/> holds as long as the number is the same.
    /// </summary>
    public long DefinitionsVersion { get; private set; }

    /// <summary>Services whose state the last step may have changed, also those that it forgot. Valid until the next step.</summary>
    public IReadOnlyList<ServiceName> Changed => _changed;

    /// <summary>
    /// The numbers of <see cref="Changed"/> in <see cref="State"/>, unless its services are in another array than before the step: then
    /// all may have changed.
    /// </summary>
    public IReadOnlyList<int> ChangedNumbers => _changedNumbers;

    /// <summary>How many steps were taken since this object was made, without those that threw.</summary>
    public long StepCount { get; private set; }

    /// <summary>How often steps looked at services since the last reload; tests judge by it what a step costs.</summary>
    public long LookCount => _draft.LookCount;

    public ServiceState? Find(ServiceName name) => _draft.Graph.Find(name) is >= 0 and int service ? _state.Services[service] : null;

    /// <summary>
    /// Whether an instance may still be started by this very definition. Such are: the configuration's; a former one, to which a rollout
    /// may go back; that of an instance which is being born, or has not been told to end, because the next rollout would go back to it. A
    /// service that neither is wanted nor runs will start by the configuration of that time.
    /// </summary>
    public bool MayStartBy(ServiceDefinition definition)
    {
        if (Find(definition.Name) is not { } service)
            return false;
        bool isGoal = ReferenceEquals(service.Definition, definition) || ReferenceEquals(service.Rollout?.Definition, definition)
            || ReferenceEquals(service.Rollout?.Former, definition);
        return (isGoal && service.IsWanted) || Any(service, definition, service.IsWanted ? IsNext : IsServing);

        static bool IsNext(SlotState slot, ServiceDefinition definition) =>
            ReferenceEquals(slot.Definition, definition) || IsServing(slot, definition);

        static bool IsServing(SlotState slot, ServiceDefinition definition) =>
            slot.Phase is SlotPhase.Preparing or SlotPhase.Starting or SlotPhase.Ready
                && ReferenceEquals(slot.Instance!.Definition, definition);
    }

    /// <summary>Whether this very definition is its service's, or that of an instance that is not over.</summary>
    public bool Knows(ServiceDefinition definition) =>
        Find(definition.Name) is { } service
        && (ReferenceEquals(service.Definition, definition)
            || Any(service, definition, static (slot, d) => ReferenceEquals(slot.Instance?.Definition, d)));

    /// <summary>The phase of an instance that is prepared, runs, or ends; null: it is over, or nobody knows it.</summary>
    public SlotPhase.Live? PhaseOf(InstanceId id)
    {
        if (Find(id.Service) is not { } service)
            return null;
        foreach (SlotState slot in service.Slots)
        {
            if (slot.Phase is SlotPhase.Live live && live.Instance.Id == id)
                return live;
        }
        foreach (SlotState beside in service.Beside)
        {
            if (beside.Phase is SlotPhase.Live live && live.Instance.Id == id)
                return live;
        }
        return null;
    }

    /// <summary>As <see cref="OwnOrders.WhyInVain"/>.</summary>
    public string? WhyInVain(Verb verb, ServiceName service, InstanceId caller, bool isStopCommand) =>
        OwnOrders.WhyInVain(_draft.Graph, _state.Services, verb, service, caller, isStopCommand);

    private static bool Any(ServiceState service, ServiceDefinition definition, Func<SlotState, ServiceDefinition, bool> isBy)
    {
        foreach (SlotState slot in service.Slots)
        {
            if (isBy(slot, definition))
                return true;
        }
        foreach (SlotState beside in service.Beside)
        {
            if (isBy(beside, definition))
                return true;
        }
        return false;
    }

    /// <summary>Takes one event and returns what is to be done, valid until the next call.</summary>
    public IReadOnlyList<Effect> Step(Event happened, Moment now)
    {
        if (now < _latest)
            throw new ArgumentOutOfRangeException(nameof(now), "time went backwards");
        _changed.Clear();
        _changedNumbers.Clear();
        _draft.Begin(now);
        if (_state.Frame.Shutdown is { IsOver: true })
            return _draft.Effects;
        (SupervisorState state, Draft d) = happened is Event.Reloaded { Next: { } next } && _state.Frame.Shutdown is null
            ? Reload.Renumber(_state, _draft.Graph, next, now)
            : (_state, _draft);
        Apply(d, happened);
        Settle(d);
        if (d.Commit() || !ReferenceEquals(_state, state))
            DefinitionsVersion++;
        foreach (int service in d.Touched)
            _changed.Add(d.Graph.Services[service].Name);
        _changedNumbers.AddRange(d.Touched);
        _latest = now;
        StepCount++;
        (_state, _draft) = (state, d);
        int known = KnownCount(_state);
        if (_state.LeavingCount > 0 && _state.Frame.Shutdown is null)
            (_state, _draft) = Reload.Forget(_state, _draft, now);
        if (KnownCount(_state) != known)
            DefinitionsVersion++;
        return d.Effects;
    }

    private static int KnownCount(SupervisorState state) => state.Services.Length - state.ForgottenCount;

    private static void Apply(Draft d, Event happened)
    {
        switch (happened)
        {
            case Event.Booted: Boot(d); break;
            case Event.TurnBegan e: Turns.Begin(d, e.Kind); break;
            case Event.Prepared e: ServiceMachine.Apply(d, e); break;
            case Event.Spawned e: ServiceMachine.Apply(d, e); break;
            case Event.SpawnFailed e: ServiceMachine.Apply(d, e); break;
            case Event.MainExited e: Stopping.Apply(d, e); break;
            case Event.LeftoversEnded e: Stopping.Apply(d, e); break;
            case Event.RemainsSeen e: Stopping.Apply(d, e); break;
            case Event.QueuesSeen e: Stopping.Apply(d, e); break;
            case Event.Notified e: Notifications.Apply(d, e); break;
            case Event.ReadinessMet e: ServiceMachine.Apply(d, e); break;
            case Event.ClueFound e: ServiceMachine.Apply(d, e); break;
            case Event.MainProcessChanged e: ServiceMachine.Apply(d, e); break;
            case Event.TimerFired e: Fire(d, e.Key); break;
            case Event.SignalSent e: Signals.Apply(d, e); break;
            case Event.CommandEnded e: Stopping.Apply(d, e); break;
            case Event.WasAway e: Absence.Apply(d, e); break;
            case Event.Requested e: Requests.Apply(d, e); break;
            case Event.ClientLeft e: Requests.Apply(d, e); break;
            case Event.ListenerReadable e: Activation.Apply(d, e); break;
            case Event.ConnectionAccepted e: Activation.Apply(d, e); break;
            case Event.AcceptFailed e: Activation.Apply(d, e); break;
            case Event.ListenerUsed e: Idling.Apply(d, e); break;
            case Event.UseSeen e: Idling.Apply(d, e); break;
            case Event.DescriptorHungUp e: DescriptorStore.Apply(d, e); break;
            case Event.StoreAsked e: DescriptorStore.Apply(d, e); break;
            case Event.UnstoreAsked e: DescriptorStore.Apply(d, e); break;
            case Event.StateSaved e: DescriptorStore.Apply(d, e); break;
            case Event.ShutdownAsked e: Shutdown.Apply(d, e, d.Frame.ShutdownTimeout); break;
            case Event.MachineFaulted e: SetAside(d, e); break;
            case Event.Reloaded e: Reload.Apply(d, e); break;
            case Event.HealthFailed e: Health.Apply(d, e); break;
            case Event.DrainProgress e: Health.Apply(d, e); break;
            case Event.ChannelWatched e: ServiceReload.Apply(d, e); break;
            default: throw new System.Diagnostics.UnreachableException(happened.GetType().Name);
        }
    }

    private static void Fire(Draft d, TimerKey key)
    {
        InstanceId instance = new(key.Service, key.Subject);
        switch (key.Kind)
        {
            case TimerKind.Prepare: ServiceMachine.PrepareTimerFired(d, instance); break;
            case TimerKind.Ready: ServiceMachine.ReadyTimerFired(d, instance); break;
            case TimerKind.Reload: ServiceReload.TimerFired(d, instance); break;
            case TimerKind.Watchdog: ServiceMachine.WatchdogFired(d, instance); break;
            case TimerKind.Stop: Stopping.TimerFired(d, instance); break;
            case TimerKind.Queue: Stopping.QueueTimerFired(d, instance); break;
            case TimerKind.Prove: Rollout.ProveTimerFired(d, instance); break;
            case TimerKind.Backoff: ServiceMachine.BackoffFired(d, key); break;
            case TimerKind.Activation: Activation.TimerFired(d, key); break;
            case TimerKind.Idle: Idling.TimerFired(d, key); break;
            case TimerKind.Shutdown: Shutdown.TimerFired(d); break;
        }
    }

    private static void Boot(Draft d)
    {
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            if (d.Graph.Services[service].Start != StartKind.Manual && !d[service].IsWanted)
                Requests.Want(d, service, StartReason.Boot);
        }
    }

    /// <summary>Looks at every service that the step may concern, until nothing changes any more.</summary>
    private static void Settle(Draft d)
    {
        // Each look can move a service one phase on; more turns than this would mean that two services push each other for ever.
        int turns = 0, most = 64 + (d.Graph.Size * 16);
        for (int service = Next(d); service >= 0; service = Next(d))
        {
            if (++turns > most)
                throw new InvalidOperationException("the services' wishes do not settle");
            if (d.IsShuttingDown || !d[service].IsWanted || d[service].Reborn is not null)
                SettleUnwanted(d, service);
            else
                SettleWanted(d, service);
            Activation.Settle(d, service);
            Idling.Settle(d, service);
            DescriptorStore.Fit(d, service);
            Shutdown.NoteFailure(d, service);
        }
        Turns.Settle(d);
        // Before the supervisor ends, every operator who waits gets an answer.
        if (!d.Frame.Requests.IsEmpty)
            Requests.Settle(d);
        Shutdown.Settle(d);
    }

    private static int Next(Draft d) => d.TakeUnsettled() is >= 0 and int service ? service : Turns.Take(d);

    private static void SettleUnwanted(Draft d, int service)
    {
        bool mayStop = Dependencies.MayStop(d, service) && (!Stopping.IsToBeTold(d[service]) || Turns.TryStop(d, service));
        foreach (SlotState slot in d[service].Slots)
        {
            switch (slot.Phase)
            {
                case SlotPhase.BackingOff:
                    d.Disarm(TimerKind.Backoff, d[service].Definition.Name, slot.Slot);
                    d.SetSlot(service, slot with { Phase = SlotPhase.Idle.Value, Attempt = 0 });
                    break;
                case SlotPhase.Waiting:
                    d.SetSlot(service, slot with { Phase = SlotPhase.Idle.Value, Attempt = 0 });
                    break;
                case SlotPhase.Live when mayStop:
                case SlotPhase.Live { IsBeingSpawned: true } or SlotPhase.Preparing:
                    // Nothing can depend on an instance that is not born yet, and it would be born while others end.
                    Stopping.Begin(d, service, slot, StopCause.Wish.Value);
                    break;
            }
        }
        foreach (SlotState beside in d[service].Beside)
        {
            if (mayStop || beside.Phase is SlotPhase.Preparing or SlotPhase.Live { IsBeingSpawned: true })
                Stopping.Begin(d, service, beside, StopCause.Wish.Value);
        }
        if (d[service].HasLiveInstance)
            return;
        DescriptorStore.NoteRest(d, service);
        if (d[service].Reborn is not null)
            Reload.Rebear(d, service);
        else if (!d[service].IsWanted)
            Reload.ForgetFormer(d, service);
    }

    private static void SettleWanted(Draft d, int service)
    {
        if (d[service].IsPerConnection || d[service].IsSetAside)
            return;
        Rollout.Settle(d, service);
        ServiceState state = d[service];
        if (state.IsOnDemand && !state.IsActivated)
            return;
        DependencyVerdict? verdict = null;
        foreach (SlotState slot in state.Slots)
        {
            bool waits = slot.Phase is SlotPhase.Idle or SlotPhase.Waiting or SlotPhase.Failed { Failure: Failure.DependencyFailed };
            if (!waits || Rollout.IsCrowded(state, slot))
                continue;
            verdict ??= Dependencies.Verdict(d, service);
            StartReason reason = slot.Phase is SlotPhase.Waiting waiting ? waiting.Reason : StartReason.Request;
            bool isOverLimit = reason == StartReason.Activation && StartWindow.IsFull(slot.Starts, slot.Definition.StartLimit, d.Now);
            if (verdict == DependencyVerdict.Met && isOverLimit)
                ServiceMachine.Fail(d, service, slot, ServiceMachine.LimitReached(slot.Definition, state.LastFailure?.ToString()));
            else if (verdict == DependencyVerdict.Met && Turns.TryStart(d, service))
                ServiceMachine.Start(d, service, slot, reason);
            else if (verdict == DependencyVerdict.Failed && slot.Phase is not SlotPhase.Failed)
                ServiceMachine.Fail(d, service, slot, Dependencies.FailureOf(d, service));
            else if (verdict != DependencyVerdict.Failed && slot.Phase is not SlotPhase.Waiting)
                d.SetPhase(service, slot, new SlotPhase.Waiting(reason));
        }
    }

    private static void SetAside(Draft d, Event.MachineFaulted faulted)
    {
        int service = d.Graph.Find(faulted.Service);
        if (service < 0)
            return;
        Failure failure = new Failure.Faulted(faulted.Text);
        d[service] = d[service] with { LastFailure = failure, IsSetAside = true, Rollout = null };
        if (d[service].PausedUntil is not null)
            Activation.Resume(d, service);
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.BackingOff)
                d.Disarm(TimerKind.Backoff, faulted.Service, slot.Slot);
            if (slot.Phase is SlotPhase.Live)
                Stopping.SetAside(d, service, slot, failure);
            else if (d[service].IsWanted && slot.Phase is not SlotPhase.Failed { Failure: Failure.Faulted })
                ServiceMachine.Fail(d, service, slot, failure);
        }
        foreach (SlotState beside in d[service].Beside)
            Stopping.SetAside(d, service, beside, failure);
    }
}
