using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Core.Rollouts;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Slots;

/// <summary>
/// The life of a service's slots: from a wish to a process, from its exit to the next attempt. Static functions over a <see cref="Draft"/>;
/// they keep nothing of their own. The end of an instance is in <see cref="Stopping"/>.
/// </summary>
internal static partial class ServiceMachine
{
    /// <summary>ETIMEDOUT, as the kernel numbers it.</summary>
    private const int TimedOut = 110;

    /// <summary>Gives a slot a new instance, of the generation that is the slot's next.</summary>
    /// <param name="d">The step.</param>
    /// <param name="service">Its number.</param>
    /// <param name="slot">A slot at rest; or the state of a new instance beside a slot, which has no key yet.</param>
    /// <param name="reason">Why.</param>
    /// <param name="connection">The connection that the instance serves; null: none.</param>
    /// <param name="source">Of the connection.</param>
    /// <param name="predecessor">The instance whose place it is to take later; null: it gets the slot at once.</param>
    public static InstanceId Start(
        Draft d, int service, SlotState slot, StartReason reason, ConnectionId? connection = null, string? source = null,
        InstanceId? predecessor = null)
    {
        ServiceState state = d[service];
        ServiceDefinition definition = slot.Definition;
        InstanceId id = new(definition.Name, d.Frame.NextInstance);
        d.Frame = d.Frame with { NextInstance = id.Number + 1 };
        TimeSpan? watchdog = definition.Watchdog is { } period && period > TimeSpan.Zero ? period : null;
        Instance instance = new()
        {
            Id = id,
            Generation = slot.Generation,
            Definition = definition,
            StartedAt = d.Now,
            Reason = reason,
            WatchdogPeriod = watchdog,
            Source = source,
            Predecessor = predecessor,
        };
        bool isPrepared = NeedsConnections(d, definition);
        Moment patience = d.Now + Limits.ConnectPatience;
        SlotState started = slot with
        {
            Phase = isPrepared ? new SlotPhase.Preparing(instance, connection, patience) : new SlotPhase.Starting(instance, Deadline: null),
            Starts = StartWindow.Add(slot.Starts, StartWindow.Either(definition.StartLimit, state.Definition.StartLimit), d.Now),
            RestartCount = reason == StartReason.Restart ? slot.RestartCount + 1 : slot.RestartCount,
        };
        if (slot.Role == SlotRole.Holder)
            d.SetSlot(service, started);
        else
            d[service] = state with { Beside = state.Beside.Add(started with { Key = id.Number }) };
        if (isPrepared)
        {
            d.Arm(TimerKind.Prepare, definition.Name, id.Number, patience);
            d.Do(new Effect.Prepare(id, slot.Slot, definition, reason, connection));
        }
        else
        {
            d.Do(Birth(state, slot.Slot, instance, connection));
        }
        return id;
    }

    private static bool NeedsConnections(Draft d, ServiceDefinition definition)
    {
        foreach (string file in definition.Files)
        {
            if (d.Graph.Connections.ContainsKey(file))
                return true;
        }
        return false;
    }

    private static Effect.Spawn Birth(ServiceState state, int slot, Instance instance, ConnectionId? connection) =>
        new(instance.Id, slot, instance.Generation, instance.Definition,
            instance.Reason, connection, connection is null ? [.. state.Stored.Take(instance.Definition.FdStoreCount)] : []);

    public static void Apply(Draft d, Event.Prepared prepared)
    {
        if (d.Find(prepared.Instance) is not (int service, SlotState slot, SlotPhase.Preparing preparing))
            return;
        Instance instance = preparing.Instance;
        d.Disarm(TimerKind.Prepare, instance.Id.Service, instance.Id.Number);
        d.SetPhase(service, slot, new SlotPhase.Starting(instance, Deadline: null));
        d.Do(Birth(d[service], slot.Slot, instance, preparing.Connection));
    }

    public static void PrepareTimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Preparing preparing))
            return;
        if (preparing.Deadline > d.Now)
        {
            d.Arm(TimerKind.Prepare, id.Service, id.Number, preparing.Deadline);
            return;
        }
        string[] awaited = [.. preparing.Instance.Definition.Files.Where(d.Graph.Connections.ContainsKey)
            .Select(f => $"file \"{f}\": cannot connect to {d.Graph.Connections[f]}")];
        FailToStart(d, service, slot, preparing, new Failure.SpawnFailed("file", TimedOut,
            $"cannot start {id.Service}: {string.Join(", or ", awaited)}: no answer within {Spans.Show(Limits.ConnectPatience)}"));
    }

    /// <summary>Takes back what belongs to an instance that is being prepared; its client is sent away, or kept and returned.</summary>
    public static ConnectionId? EndPreparing(Draft d, SlotPhase.Preparing preparing, bool keepsConnection = false)
    {
        d.Disarm(TimerKind.Prepare, preparing.Instance.Id.Service, preparing.Instance.Id.Number);
        if (preparing.Connection is { } connection && !keepsConnection)
            d.Do(new Effect.CloseConnection(connection));
        return keepsConnection ? preparing.Connection : null;
    }

    public static void Apply(Draft d, Event.Spawned spawned)
    {
        if (d.Find(spawned.Instance) is not (int service, SlotState slot, SlotPhase.Live { Instance.Pid: 0 } phase))
            return;
        Instance instance = phase.Instance with { Pid = spawned.Pid };
        if (phase is SlotPhase.Stopping { Status: null } aside)
        {
            Stopping.KillNewborn(d, service, slot, aside with { Instance = instance });
            return;
        }
        if (phase is not SlotPhase.Starting starting)
            return;
        BeBorn(d, service, slot, instance);
        if (starting.EndsFor is { } cause && d.Find(instance.Id) is (_, SlotState born, _))
            Stopping.BeginWithNewborn(d, service, born, cause);
    }

    private static void BeBorn(Draft d, int service, SlotState slot, Instance instance)
    {
        ServiceDefinition definition = instance.Definition;
        if (d[service].ShortageCount != 0)
            d[service] = d[service] with { ShortageCount = 0 };
        d.Report(new Notice.Spawned(instance.Id, slot.Slot, instance.Generation, instance.Pid, instance.Reason));
        instance = Succession.NoteSpawn(d, service, slot, instance);
        if (definition.Ready is Readiness.Spawned || d[service].IsPerConnection)
        {
            BecomeReady(d, service, slot, instance);
            return;
        }
        Moment? deadline = definition.ReadyTimeout > TimeSpan.Zero ? d.Now + definition.ReadyTimeout : null;
        d.SetPhase(service, slot, new SlotPhase.Starting(instance, deadline));
        if (deadline is { } due)
            d.Arm(TimerKind.Ready, definition.Name, instance.Id.Number, due);
        if (definition.Ready is Readiness.Probed)
            d.Do(new Effect.StartProbe(instance.Id));
    }

    public static void Apply(Draft d, Event.SpawnFailed failed)
    {
        if (d.Find(failed.Instance) is not (int service, SlotState slot, SlotPhase.Live { Instance.Pid: 0 } phase))
            return;
        if (phase is SlotPhase.Stopping { Status: null } aside)
            Stopping.NoteUnborn(d, service, slot, aside);
        else if (phase is SlotPhase.Starting or SlotPhase.Preparing)
            FailToStart(d, service, slot, phase, failed.Failure, failed.Connection);
    }

    private static void FailToStart(
        Draft d, int service, SlotState slot, SlotPhase.Live phase, Failure.SpawnFailed failure, ConnectionId? unserved = null)
    {
        Instance instance = phase.Instance;
        if (phase is SlotPhase.Preparing preparing)
            unserved = EndPreparing(d, preparing, failure.IsShortage);
        d.Report(new Notice.ExecFailed(instance.Id, slot.Slot, instance.Generation, failure));
        d.Do(new Effect.Release(instance.Id));
        RecordFailure(d, service, failure, instance.Id);
        Rollout.NoteFailure(d, service, slot, phase, failure);
        if (slot.Role != SlotRole.Holder)
        {
            d.RemoveBeside(service, slot);
            return;
        }
        if (d[service].IsPerConnection)
        {
            Activation.RemoveConnectionSlot(d, service, slot);
            if (unserved is { } connection)
                Activation.Hold(d, service, new HeldConnection(connection, instance.Source!));
            return;
        }
        if (phase is SlotPhase.Starting { EndsFor: { } cause })
        {
            Follow(d, service, slot, instance, new ExitStatus(0), cause);
            return;
        }
        bool counts = !failure.IsShortage || slot.Starts.IsEmpty;
        Retry(d, service, counts ? slot : slot with { Starts = slot.Starts[..^1] }, failure, failure.ToString());
    }

    public static void Apply(Draft d, Event.ReadinessMet met)
    {
        if (d.Find(met.Instance) is (int service, SlotState slot, SlotPhase.Starting { IsBeingSpawned: false } starting)
            && !starting.Instance.Definition.IsJob)
        {
            BecomeReady(d, service, slot, starting.Instance);
        }
    }

    public static void Apply(Draft d, Event.MainProcessChanged changed)
    {
        if (d.Find(changed.Instance) is (int service, SlotState slot, SlotPhase.Live live)
            && live is not SlotPhase.Stopping { Status: not null })
        {
            d.SetPhase(service, slot, live with { Instance = live.Instance with { Pid = changed.Pid } });
        }
    }

    public static void Apply(Draft d, Event.ClueFound found)
    {
        if (d.Find(found.Instance) is (int service, SlotState slot, SlotPhase.Live live))
            d.SetPhase(service, slot, live with { Instance = live.Instance with { Clue = found.Text } });
    }

    public static void BecomeReady(Draft d, int service, SlotState slot, Instance instance)
    {
        ServiceDefinition definition = instance.Definition;
        Instance ready = instance with
        {
            Clue = null, ReadyAt = d.Now, LastPing = d.Now, ProvenAt = Rollout.ProvenAt(d, service, instance),
        };
        if (slot.Phase is SlotPhase.Starting { Instance.Pid: > 0 } starting)
            EndStarting(d, starting);
        if (definition.Health is not null)
        {
            ready = ready with { IsChecked = true };
            d.Do(new Effect.StartHealth(instance.Id));
        }
        d.SetPhase(service, slot, new SlotPhase.Ready(ready));
        if (ready.ProvenAt is { } proven)
            d.Arm(TimerKind.Prove, definition.Name, instance.Id.Number, proven);
        if (ready.WatchdogPeriod is { } period)
            d.Arm(TimerKind.Watchdog, definition.Name, instance.Id.Number, d.Now + period);
        d.Report(new Notice.Ready(instance.Id, slot.Slot, instance.Generation, instance.Pid, d.Now - instance.StartedAt));
    }

    /// <summary>Ends the waiting for readiness: the timer, and the probe.</summary>
    public static void EndStarting(Draft d, SlotPhase.Starting starting)
    {
        InstanceId id = starting.Instance.Id;
        if (starting.Deadline is not null)
            d.Disarm(TimerKind.Ready, id.Service, id.Number);
        if (starting.Instance.Definition.Ready is Readiness.Probed && starting.Instance.Pid > 0)
            d.Do(new Effect.EndProbe(id));
    }

    public static void ReadyTimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Starting { Deadline: { } due } starting))
            return;
        if (due > d.Now)
        {
            d.Arm(TimerKind.Ready, id.Service, id.Number, due);
            return;
        }
        Stopping.Begin(d, service, slot, new StopCause.Failed(
            new Failure.NotReadyInTime(starting.Instance.Definition.ReadyTimeout, starting.Instance.Definition.IsJob)
            {
                Clue = starting.Instance.Clue,
            }));
    }

    public static void WatchdogFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Ready ready) || ready.Instance.WatchdogPeriod is not { } period)
            return;
        Moment due = ready.Instance.LastPing + period;
        if (due > d.Now)
        {
            d.Arm(TimerKind.Watchdog, id.Service, id.Number, due);
            return;
        }
        Stopping.Begin(d, service, slot, new StopCause.Failed(new Failure.WatchdogSilent(period)));
    }

    /// <summary>An instance ended and nothing of it is left: decides what becomes of its slot.</summary>
    public static void Follow(Draft d, int service, SlotState slot, Instance instance, ExitStatus status, StopCause cause)
    {
        ServiceState state = d[service];
        if (state.IsPerConnection)
        {
            Activation.RemoveConnectionSlot(d, service, slot);
            return;
        }
        switch (cause)
        {
            case StopCause.Wish:
                d.SetSlot(service, slot with { Phase = SlotPhase.Idle.Value, Attempt = 0 });
                d.Report(new Notice.Stopped(state.Definition.Name, slot.Slot, instance.Generation));
                return;
            case StopCause.Replace:
                StartReason reason = state.Rollout?.Reason ?? StartReason.Request;
                d.SetSlot(service,
                    slot with { Phase = new SlotPhase.Waiting(reason), Attempt = 0, Starts = Rollout.StartsAfter(slot, reason) });
                return;
            case StopCause.Unused:
                // Not idle: an idle slot would be started at once if clients have come to the listener while the instance stopped.
                d.SetSlot(service, slot with { Phase = new SlotPhase.Ended(status), Attempt = 0, Starts = [] });
                d.Report(new Notice.Stopped(state.Definition.Name, slot.Slot, instance.Generation));
                return;
            case StopCause.Failed(var failure):
                RecordFailure(d, service, failure, instance.Id);
                Retry(d, service, Forgive(d, slot, instance), failure, failure.ToString());
                return;
            case StopCause.ByItself(var wasReady):
                FollowOwnEnd(d, service, slot, instance, status, wasReady);
                return;
        }
    }

    private static void FollowOwnEnd(Draft d, int service, SlotState slot, Instance instance, ExitStatus status, bool wasReady)
    {
        ServiceDefinition definition = instance.Definition;
        Failure? failure = EndedWell(definition, status, wasReady) ? null
            : wasReady || definition.IsJob ? new Failure.Exited(status) { Clue = instance.Clue }
            : new Failure.ExitedEarly(status) { Clue = instance.Clue };
        if (failure is not null)
            RecordFailure(d, service, failure, instance.Id);
        bool rests = failure is null && (definition.Restart != RestartKind.Always || d[service].IsOnDemand);
        if (rests && d[service].IsWanted && !d.IsShuttingDown)
        {
            // A demand service that served and went comes back for the next client: good runs do not count towards the limit.
            SlotPhase.Ended ended = new(status) { IsCompleted = definition.IsJob };
            d.SetSlot(service, slot with { Phase = ended, Attempt = 0, Starts = [] });
            if (ended.IsCompleted)
                d.Report(new Notice.Completed(instance.Id, slot.Slot, instance.Generation, instance.Pid, d.Now - instance.StartedAt));
            return;
        }
        string? why = failure is null && instance.Clue is { } clue ? $"{status}: {clue}" : failure?.ToString();
        Retry(d, service, Forgive(d, slot, instance), failure, why);
    }

    /// <summary>An instance that was ready long enough starts the count of the back-off anew.</summary>
    private static SlotState Forgive(Draft d, SlotState slot, Instance instance) =>
        instance.ReadyAt is { } ready && d.Now - ready >= instance.Definition.Backoff.ResetAfter ? slot with { Attempt = 0 } : slot;

    /// <summary>
    /// Whether an instance that ended by itself has done what it was started for. The end of a job is what makes it ready; any other
    /// program must have been ready before.
    /// </summary>
    public static bool EndedWell(ServiceDefinition definition, ExitStatus status, bool wasReady) =>
        (wasReady || definition.IsJob) && IsSuccess(definition, status);

    public static bool IsSuccess(ServiceDefinition definition, ExitStatus status) =>
        status.IsBySignal
            ? definition.SuccessSignals.Contains(new SignalNumber(status.Signal))
            : definition.SuccessCodes.Contains(status.Code);

    /// <param name="definition">Whose limit it is.</param>
    /// <param name="last">Why the last run ended; null: well.</param>
    public static Failure LimitReached(ServiceDefinition definition, string? last) =>
        new Failure.StartLimitReached(definition.StartLimit.Burst, definition.StartLimit.Interval, last);

    /// <summary>A failure that is not tried again; a demand service goes on listening, or its port would be closed for good.</summary>
    public static void Fail(Draft d, int service, SlotState slot, Failure failure)
    {
        ServiceState state = d[service];
        InstanceId? failed = failure is Failure.DependencyFailed ? null : state.LastFailedInstance;
        d[service] = state with { LastFailure = failure, LastFailedInstance = failed };
        d.SetPhase(service, slot with { Attempt = 0 }, new SlotPhase.Failed(failure));
        d.Report(new Notice.Failed(state.Definition.Name, slot.Slot, slot.Generation, failure));
    }

    private static void RecordFailure(Draft d, int service, Failure failure, InstanceId instance) =>
        d[service] = d[service] with { LastFailure = failure, LastFailedInstance = instance };

    /// <summary>Idle slots as the pool has them, for a service that never ran.</summary>
    public static ImmutableArray<SlotState> EmptySlots(ServiceDefinition definition, int generation = 0) =>
        definition.Start == StartKind.Connection
            ? []
            : [.. Enumerable.Range(0, definition.InstanceCount).Select(i => EmptySlot(definition, generation, i))];

    public static SlotState EmptySlot(ServiceDefinition definition, int generation, int slot) =>
        new() { Slot = slot, Generation = generation, Definition = definition };
}
