using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Reloading;
using Launchd.Linux;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host;

/// <summary>
/// The loop: turns readiness into events, gives each to the core, and has the effects carried out. Everything runs on the main thread, but
/// the log pump and what a program can make last (<see cref="SlowLane"/>). Within one wake-up notifications come first, then requests,
/// listeners, exits, and timers last.
/// </summary>
internal sealed class SupervisorHost : IDisposable
{
    private readonly Supervisor _core;
    private readonly EffectRunner _effects;
    private readonly SupervisorSignals _signals;
    private readonly Queue<Event> _results = new();
    private readonly Queue<Event> _happened = new();
    private readonly List<Effect> _todo = [];
    private bool _isFeeding;
    private static readonly Action Nothing = () => { };

    /// <summary>Turns that fail one after the other, with nothing between them that could wait: going on would only burn a processor.</summary>
    private const int MostFailedTurns = 1000;

    /// <summary>What is due beyond that is for the next turn: thousands of timers can be due together, and operators are to be answered meanwhile.</summary>
    private const int MostTimersInATurn = 64;
    private readonly List<Action> _endOfTurn = [];
    private bool _isTurnAwaited;
    private long _ownRequests;

    public SupervisorHost(AdoptedConfiguration configuration, HostParts parts)
    {
        Configuration = configuration;
        Parts = parts;
        Defects = new Defects(parts.Logger, Counters);
        Loop.OnDefect = parts.Mailbox.OnDefect = parts.Delays.OnDefect = defect => Defects.Report("handlers-failed", defect);
        Guard = new ListenerGuard(this, parts);
        Retired = new RetiredListeners(this, parts);
        LastClients = new LastClients(this, parts);
        Reloads = new Reloads(this, parts);
        _core = new Supervisor(configuration.Definition, seed: unchecked((ulong)Clock.MonotonicNanoseconds), configuration.ExitWith);
        _effects = new EffectRunner(this, parts);
        Channels = new Channel.ChannelServer(this);
        parts.Lanes.OnEased = service =>
        {
            Channels.Ease(service);
            _effects.Instances.Ease(service);
        };
        _signals = new SupervisorSignals(this);
        Must(Loop.Watch(_signals.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => _signals.Read()), "signals");
        Guard.Adopt();
        Must(Loop.Watch(parts.Mailbox.Wakeup, IoReadiness.Readable, LoopPriority.Control, _ => parts.Mailbox.Deliver()), "mailbox");
    }

    public AdoptedConfiguration Configuration { get; }
    public ListenerGuard Guard { get; }
    public RetiredListeners Retired { get; }
    public LastClients LastClients { get; }
    public Reloads Reloads { get; }

    /// <summary>Gives the control socket another mode and owner; null or why not. Set once the control server stands.</summary>
    public Func<int, PathOwner, OpenFailure?>? OnControlMode { get; set; }

    public HostParts Parts { get; }
    public Supervisor Core => _core;
    public EffectRunner Effects => _effects;
    public Channel.ChannelServer Channels { get; }
    public EventLoop Loop => Parts.Loop;
    public TimerQueue Timers { get; } = new();

    public Defects Defects { get; }

    public Counters Counters { get; } = new();

    /// <summary>What SIGHUP means where no file can be read again: the terminal is gone.</summary>
    public Action? OnHangUp { get; set; }

    /// <summary>An order of the supervisor's own. Numbers of operators' orders count upwards from 1.</summary>
    public RequestId NextOwnRequest() => new(--_ownRequests);

    /// <summary>Set by <see cref="Effect.Exit"/>.</summary>
    public int? ExitCode { get; set; }

    /// <summary>Runs until the core orders the end.</summary>
    /// <param name="pause">Of <see cref="BootReport.PauseFor"/>; ended when the boot is over.</param>
    public int Run(Config.CollectorPause pause)
    {
        LoopTurns turns = new(this, new BootReport(this, pause));
        Feed(Event.Booted.Value);
        int failures = 0;
        while (ExitCode is null)
        {
            try
            {
                turns.Take();
                failures = 0;
            }
            catch (Exception defect) when (++failures < MostFailedTurns)
            {
                // The last containment: each service is worth more than whatever this turn could not do.
                Defects.Report("turns-failed", defect);
            }
        }
        try
        {
            EndTurn();
        }
        catch (Exception defect)
        {
            // The services have ended as they were told to; what is still to be said to operators changes nothing in that.
            Defects.Report("turns-failed", defect);
        }
        return ExitCode.Value;
    }

    /// <summary>One turn of the loop after the other.</summary>
    private sealed class LoopTurns(SupervisorHost host, BootReport boot)
    {
        private readonly HeapTrim _heap = new();
        private bool _isUp;

        public void Take()
        {
            if (!_isUp && boot.IsOver())
            {
                _isUp = true;
                boot.Write();
            }
            host.EndTurn();
            host.Retired.CloseUnused();
            bool hasWork = host.Loop.Wait(host.MayBeginTurn || boot.OwesCollection ? 0 : host.Timers.NextDelay(HostClock.Now));
            // Nobody waits for the collector: neither a service that just came up, nor an operator who asks how it went.
            if (boot.OwesCollection && !hasWork && !host._isTurnAwaited)
                boot.Collect();
            for (int i = 0; i < MostTimersInATurn && host.ExitCode is null && host.Timers.TryTakeDue(HostClock.Now, out TimerKey key); i++)
                host.Fire(key);
            if (host.ExitCode is null && host.MayBeginTurn)
                host.BeginTurn();
            _heap.Look();
        }
    }

    /// <summary>Has the core told, after everything else, that another turn has begun.</summary>
    public void AwaitTurn() => _isTurnAwaited = true;

    /// <summary>Has something done before the loop waits again, or ends.</summary>
    public void AtEndOfTurn(Action work) => _endOfTurn.Add(work);

    private void EndTurn()
    {
        for (int i = 0; i < _endOfTurn.Count; i++)
        {
            // Taken out before it is called: what throws is not called again.
            Action work = _endOfTurn[i];
            _endOfTurn[i] = Nothing;
            work();
        }
        _endOfTurn.Clear();
    }

    // More births are ordered when those before are about to begin; the end of one wakes the loop.
    private bool MayBeginTurn => _isTurnAwaited && Parts.Births.HasRoom;

    private void BeginTurn()
    {
        _isTurnAwaited = false;
        Feed(Event.TurnBegan.Value);
    }

    private void Fire(TimerKey key)
    {
        // What the instance said while we were busy, or stopped, counts: a program is not killed because its supervisor was late to listen.
        try
        {
            if (key.Kind is TimerKind.Watchdog or TimerKind.Ready)
                _effects.Instances.ReadNotifications(new InstanceId(key.Service, key.Subject));
            if (key.Kind is TimerKind.Stop)
                _effects.Instances.LookAtRemains(new InstanceId(key.Service, key.Subject));
        }
        finally
        {
            // It was taken out of the queue, and will not come again.
            Feed(new Event.TimerFired(key));
        }
    }

    /// <summary>Something happened. Steps at once, or after the step that is under way.</summary>
    public void Feed(Event happened)
    {
        _happened.Enqueue(happened);
        if (_isFeeding)
            return;
        _isFeeding = true;
        try
        {
            // Results of effects first: nothing from outside may come between a spawn and its result.
            while (_results.TryDequeue(out Event? next) || _happened.TryDequeue(out next))
                StepContained(next);
        }
        finally
        {
            _isFeeding = false;
        }
    }

    /// <summary>The result of an effect that is being carried out.</summary>
    public void FeedResult(Event result) => _results.Enqueue(result);

    public void Dispose()
    {
        Parts.Lanes.Dispose();
        Reloads.Dispose();
        Channels.Dispose();
        _effects.Dispose();
        Retired.Dispose();
        Guard.Dispose();
        Loop.OnDefect = Parts.Mailbox.OnDefect = Parts.Delays.OnDefect = null;
        Loop.Unwatch(_signals.Descriptor);
        _signals.Dispose();
    }

    // The core and each effect are contained by themselves; here is what remains, with the queues of what else happened still to be gone through.
    private void StepContained(Event happened)
    {
        try
        {
            Step(happened);
        }
        catch (Exception defect)
        {
            _todo.Clear();
            Defects.Report("steps-failed", defect);
        }
    }

    private void Step(Event happened)
    {
        try
        {
            // The core uses its list of effects again for the next step.
            _todo.AddRange(_core.Step(happened, HostClock.Now));
        }
        catch (Exception defect)
        {
            // The core gives its effects at the end of a step: none of this one exists.
            _todo.Clear();
            SetAside(happened, defect);
            return;
        }
        // Before its effects: whoever is told to end empties what nobody else will ever accept from.
        Parts.Descriptors.Provisions.Prune(_core);
        foreach (Effect effect in _todo)
            CarryContained(effect);
        _todo.Clear();
        // A rollout may have come to its end, after which nobody goes back to what it left.
        Retired.CloseUnused();
    }

    // The effects behind it belong to the same step, and are owed even if this one could not even be told of.
    private void CarryContained(Effect effect)
    {
        try
        {
            Carry(effect);
        }
        catch (Exception defect)
        {
            Defects.Report("effects-failed", defect);
        }
    }

    private void Carry(Effect effect)
    {
        try
        {
            _effects.Run(effect);
        }
        catch (Exception defect)
        {
            // First of all: a spawn without a result would leave its slot starting for ever.
            InstanceId? unborn = effect is Effect.Spawn spawn ? spawn.Instance : effect is Effect.Prepare prepare ? prepare.Instance : null;
            if (unborn is { } id)
            {
                FeedResult(new Event.SpawnFailed(id, new Failure.SpawnFailed("supervisor", 0, $"cannot start {id.Service}: {Defect.Describe(defect)}")
                {
                    IsShortage = defect is OutOfMemoryException,
                }));
            }
            Counters.Count("effects-failed");
            SupervisorLog.EffectFailed(Parts.Logger, effect.GetType().Name, defect);
        }
    }

    /// <summary>Our bug: the step did not happen; the service that it was about is set aside, the others go on.</summary>
    private void SetAside(Event happened, Exception defect)
    {
        Counters.Count("steps-failed");
        _effects.Discard(happened);
        ServiceName? service = ServiceOf(happened);
        SupervisorLog.StepFailed(Parts.Logger, happened.ToString(), service?.Text ?? "-", defect);
        if (service is { } name && happened is not Event.MachineFaulted)
            _results.Enqueue(new Event.MachineFaulted(name, Defect.Describe(defect)));
    }

    private static ServiceName? ServiceOf(Event happened) => happened switch
    {
        Event.Prepared e => e.Instance.Service,
        Event.Spawned e => e.Instance.Service,
        Event.SpawnFailed e => e.Instance.Service,
        Event.MainExited e => e.Instance.Service,
        Event.LeftoversEnded e => e.Instance.Service,
        Event.RemainsSeen e => e.Instance.Service,
        Event.QueuesSeen e => e.Instance.Service,
        Event.Notified e => e.Instance.Service,
        Event.ReadinessMet e => e.Instance.Service,
        Event.MainProcessChanged e => e.Instance.Service,
        Event.TimerFired e => e.Key.Service.Text is null ? null : e.Key.Service,
        Event.CommandEnded e => e.Instance.Service,
        Event.ListenerReadable e => e.Service,
        Event.ConnectionAccepted e => e.Service,
        Event.AcceptFailed e => e.Service,
        Event.ListenerUsed e => e.Service,
        Event.UseSeen e => e.Service,
        Event.DescriptorHungUp e => e.Service,
        Event.HealthFailed e => e.Instance.Service,
        Event.ChannelWatched e => e.Instance.Service,
        Event.StoreAsked e => e.Instance.Service,
        Event.UnstoreAsked e => e.Instance.Service,
        Event.StateSaved e => e.Instance.Service,
        Event.MachineFaulted e => e.Service,
        _ => null,
    };

    private static void Must(Errno refused, string what)
    {
        if (refused != Errno.None)
            throw new SystemCallException("epoll_ctl", what, refused);
    }
}

/// <summary>What the host is put together from; whoever made them disposes them after the host.</summary>
internal sealed record HostParts
{
    public required EventLoop Loop { get; init; }
    public required Mailbox Mailbox { get; init; }
    public required RuntimeDirectory Directory { get; init; }
    public required DescriptorTable Descriptors { get; init; }
    public required Launcher Launcher { get; init; }
    public required Births Births { get; init; }
    public required LogPump Pump { get; init; }
    public required Delays Delays { get; init; }
    public required NotifySockets NotifySockets { get; init; }
    public required SlowLanes Lanes { get; init; }
    public required PathConnects PathConnects { get; init; }
    public required Journal Journal { get; init; }
    public required ILogger Logger { get; init; }
    public required Moment StartedAt { get; init; }

    /// <summary>Changes the supervisor's own log.</summary>
    public Action<LogFormat, LogSeverity>? AdoptLog { get; init; }
}
