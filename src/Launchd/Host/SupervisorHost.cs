using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Logs;
using Launchd.Host.Reloading;
using Launchd.Interop;
using Launchd.Linux;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host;

/// <summary>
/// The loop: turns readiness into events, gives each to the core, and has the effects carried out. Everything runs on the main thread, but
/// the log pump and what a program can make last (<see cref="SlowLane"/>). Within one wake-up notifications come first, then requests,
/// listeners, exits, and timers last.
/// </summary>
internal sealed unsafe class SupervisorHost : IDisposable
{
    public const int NotifyPriority = 0, ControlPriority = 1, ListenerPriority = 2, SignalPriority = 3;
    private const int Hup = 1, Int = 2, Quit = 3, Usr1 = 10, Usr2 = 12, Term = 15, Chld = 17;

    private readonly Supervisor _core;
    private readonly EffectRunner _effects;
    private readonly FileDescriptor _signals = SignalMask.OpenDescriptor();
    private readonly Queue<Event> _results = new();
    private readonly Queue<Event> _happened = new();
    private readonly List<Effect> _todo = [];
    private readonly byte[] _signalBuffer = new byte[Libc.SignalInfoBytes * 32];
    private bool _isFeeding;
    private bool _wasInterrupted;
    private readonly List<Action> _endOfTurn = [];
    private bool _isTurnAwaited;
    private long _ownRequests;

    public SupervisorHost(SupervisorDefinition definition, HostParts parts, ServiceName? exitWith)
    {
        Definition = definition;
        ExitWith = exitWith;
        Parts = parts;
        Guard = new ListenerGuard(this, parts);
        Retired = new RetiredListeners(this, parts);
        LastClients = new LastClients(this, parts);
        Reloads = new Reloads(this, parts);
        _core = new Supervisor(definition, seed: unchecked((ulong)Clock.MonotonicNanoseconds), exitWith);
        _effects = new EffectRunner(this, parts);
        Channels = new Channel.ChannelServer(this);
        parts.Lanes.OnEased = service =>
        {
            Channels.Ease(service);
            _effects.Instances.Ease(service);
        };
        Must(Loop.Watch(_signals, IoReadiness.Readable, SignalPriority, _ => ReadSignals()), "signals");
        Guard.Adopt();
        Must(Loop.Watch(parts.Mailbox.Wakeup, IoReadiness.Readable, ControlPriority, _ => parts.Mailbox.Deliver()), "mailbox");
    }

    /// <summary>The configuration that holds; a reload puts the next one here.</summary>
    public SupervisorDefinition Definition { get; set; }

    /// <summary>The service with which the supervisor ends; null: none.</summary>
    public ServiceName? ExitWith { get; }
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

    /// <summary>What was dropped or went wrong since the start, by kind, for <c>status</c>.</summary>
    public SortedDictionary<string, long> Counters { get; } = [];

    /// <summary>What SIGHUP means where no file can be read again: the terminal is gone.</summary>
    public Action? OnHangUp { get; set; }

    /// <summary>An order of the supervisor's own. Numbers of operators' orders count upwards from 1.</summary>
    public RequestId NextOwnRequest() => new(--_ownRequests);

    /// <summary>Set by <see cref="Effect.Exit"/>.</summary>
    public int? ExitCode { get; set; }

    public static Moment Now => new(Clock.MonotonicNanoseconds);

    /// <summary>Runs until the core orders the end.</summary>
    /// <param name="pause">Of <see cref="BootReport.PauseFor"/>; ended when the boot is over.</param>
    public int Run(Config.CollectorPause pause)
    {
        BootReport boot = new(this, pause);
        HeapTrim heap = new();
        Feed(Event.Booted.Value);
        bool isUp = false;
        while (ExitCode is null)
        {
            if (!isUp && (isUp = boot.IsOver()))
                boot.Write();
            EndTurn();
            bool hasWork = Loop.Wait(_isTurnAwaited || boot.OwesCollection ? 0 : Timers.NextDelay(Now));
            // Nobody waits for the collector: neither a service that just came up, nor an operator who asks how it went.
            if (boot.OwesCollection && !hasWork && !_isTurnAwaited)
                boot.Collect();
            while (ExitCode is null && Timers.TryTakeDue(Now, out TimerKey key))
                Fire(key);
            if (ExitCode is null && _isTurnAwaited)
                BeginTurn();
            heap.Look();
        }
        EndTurn();
        return ExitCode.Value;
    }

    /// <summary>Has the core told, after everything else, that another turn has begun.</summary>
    public void AwaitTurn() => _isTurnAwaited = true;

    /// <summary>Has something done before the loop waits again, or ends.</summary>
    public void AtEndOfTurn(Action work) => _endOfTurn.Add(work);

    private void EndTurn()
    {
        for (int i = 0; i < _endOfTurn.Count; i++)
            _endOfTurn[i]();
        _endOfTurn.Clear();
    }

    private void BeginTurn()
    {
        _isTurnAwaited = false;
        Feed(Event.TurnBegan.Value);
    }

    private void Fire(TimerKey key)
    {
        // What the instance said while we were busy, or stopped, counts: a program is not killed because its supervisor was late to listen.
        if (key.Kind is TimerKind.Watchdog or TimerKind.Ready)
            _effects.Instances.ReadNotifications(new InstanceId(key.Service, key.Subject));
        if (key.Kind is TimerKind.Stop)
            _effects.Instances.LookAtRemains(new InstanceId(key.Service, key.Subject));
        Feed(new Event.TimerFired(key));
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
                Step(next);
        }
        finally
        {
            _isFeeding = false;
        }
    }

    /// <summary>The result of an effect that is being carried out.</summary>
    public void FeedResult(Event result) => _results.Enqueue(result);

    public void Count(string what) => Counters[what] = Counters.GetValueOrDefault(what) + 1;

    public void Dispose()
    {
        Parts.Lanes.Dispose();
        Reloads.Dispose();
        Channels.Dispose();
        _effects.Dispose();
        Retired.Dispose();
        Guard.Dispose();
        Loop.Unwatch(_signals);
        _signals.Dispose();
    }

    private void Step(Event happened)
    {
        try
        {
            // The core uses its list of effects again for the next step.
            _todo.AddRange(_core.Step(happened, Now));
        }
        catch (Exception defect) when (defect is not OutOfMemoryException)
        {
            SetAside(happened, defect);
            return;
        }
        foreach (Effect effect in _todo)
            Carry(effect);
        _todo.Clear();
        // A rollout may have come to its end, after which nobody goes back to what it left.
        Retired.CloseUnused();
    }

    private void Carry(Effect effect)
    {
        try
        {
            _effects.Run(effect);
        }
        catch (Exception defect) when (defect is not OutOfMemoryException)
        {
            Count("effects-failed");
            SupervisorLog.EffectFailed(Parts.Logger, effect.GetType().Name, defect);
            // A spawn without a result would leave its slot starting for ever.
            InstanceId? unborn = effect is Effect.Spawn spawn ? spawn.Instance : effect is Effect.Prepare prepare ? prepare.Instance : null;
            if (unborn is { } id)
                FeedResult(new Event.SpawnFailed(id, new Failure.SpawnFailed("supervisor", 0, $"cannot start {id.Service}: {defect.Message}")));
        }
    }

    /// <summary>Our bug: the step did not happen; the service that it was about is set aside, the others go on.</summary>
    private void SetAside(Event happened, Exception defect)
    {
        Count("steps-failed");
        _effects.Discard(happened);
        ServiceName? service = ServiceOf(happened);
        SupervisorLog.StepFailed(Parts.Logger, happened.ToString(), service?.Text ?? "-", defect);
        if (service is { } name && happened is not Event.MachineFaulted)
            _results.Enqueue(new Event.MachineFaulted(name, defect.Message));
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

    private void ReadSignals()
    {
        bool hasChildren = false;
        nint got;
        fixed (byte* buffer = _signalBuffer)
            got = Libc.read(_signals.Number, buffer, (nuint)_signalBuffer.Length);
        for (int at = 0; at + Libc.SignalInfoBytes <= got; at += Libc.SignalInfoBytes)
        {
            int signal = BitConverter.ToInt32(_signalBuffer, at);
            if (signal == Chld)
                hasChildren = true;
            else
                Handle(signal);
        }
        if (hasChildren)
            _effects.Instances.ReapSome();
    }

    private void Handle(int signal)
    {
        switch (signal)
        {
            case Term:
                Feed(new Event.ShutdownAsked("SIGTERM", IsImmediate: false));
                break;
            case Int:
                Feed(new Event.ShutdownAsked("SIGINT", IsImmediate: _wasInterrupted));
                _wasInterrupted = true;
                break;
            case Quit:
                Feed(new Event.ShutdownAsked("SIGQUIT", IsImmediate: true));
                break;
            case Usr1:
                Parts.Pump.ReopenFiles();
                break;
            case Hup when Parts.Source is not null:
                Reloads.HangUp();
                break;
            case Hup when OnHangUp is { } hangUp:
                hangUp();
                break;
            case Hup or Usr2:
                Count("signals-ignored");
                SupervisorLog.SignalIgnored(Parts.Logger, new SignalNumber(signal).ToString());
                break;
        }
    }

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
    public required LogPump Pump { get; init; }
    public required Delays Delays { get; init; }
    public required NotifySockets NotifySockets { get; init; }
    public required SlowLanes Lanes { get; init; }
    public required Journal Journal { get; init; }
    public required ILogger Logger { get; init; }
    public required Moment StartedAt { get; init; }

    /// <summary>Where the configuration can be read again; null: it was not read from a file.</summary>
    public Config.ConfigSource? Source { get; init; }

    /// <summary>Changes the supervisor's own log.</summary>
    public Action<LogFormat, LogSeverity>? AdoptLog { get; init; }
}
