using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Reloading;
using Launchd.Linux;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host;

/// <summary>Puts together what runs on the loop, and holds it for those who use one another.</summary>
internal sealed class SupervisorHost : IDisposable
{
    private readonly Supervisor _core;
    private readonly ListenerUse _use;
    private readonly ListenerConnections _connections;
    private readonly Preparations _preparations;
    private readonly InstanceCommands _commands;
    private readonly InstanceTable _table;
    private readonly SupervisorSignals _signals;

    public SupervisorHost(AdoptedConfiguration configuration, HostParts parts, ControlListener control)
    {
        Configuration = configuration;
        Parts = parts;
        Defects = new Defects(parts.Logger, Counters);
        Loop.OnDefect = parts.Mailbox.OnDefect = parts.Delays.OnDefect = defect => Defects.Report("handlers-failed", defect);
        _core = new Supervisor(configuration.Definition, seed: unchecked((ulong)Clock.MonotonicNanoseconds), configuration.ExitWith);
        Provisions provisions = parts.Descriptors.Provisions;
        StoppedIntakes stopped = new();
        Guard = new ListenerGuard(Loop, parts.Descriptors, stopped, parts.Lanes, parts.Mailbox, parts.Delays, Events, Counters, parts.Journal, parts.Logger);
        _use = new ListenerUse(Loop);
        Kept = new KeptDescriptors(_core, Loop, Events, Counters);
        Listeners = new ServiceListeners(_core, provisions, Guard, _use, parts.Lanes, parts.Mailbox, Events, Counters);
        _connections = new ListenerConnections(Listeners, parts.Lanes, Events, Counters);
        Retired = new RetiredListeners(parts.Descriptors, Instances, stopped, Guard, Listeners, parts.Lanes, parts.Mailbox, parts.Logger);
        Guard.OnExchanged = Listeners.Exchange;
        Guard.OnRetired = Retired.CloseUnused;
        LastClients lastClients = new(Instances, parts.Lanes, parts.Mailbox, Events, Counters, parts.Logger);
        Reloads = new Reloads(configuration, _core, Events, Instances, parts.Descriptors, Guard, Retired, Listeners, control, parts.Mailbox, parts.Pump,
            parts.Journal, parts.Logger, parts.AdoptLog);
        Notices = new NoticeReporter(Instances, Listeners, parts.Journal, parts.Logger);
        _preparations = new Preparations(Loop, provisions, parts.PathConnects, Events);
        QueueLooks queueLooks = new(Instances, Retired, lastClients, parts.Delays, Orders, Events);
        Channels = new Channel.ChannelServer(_core, Events, Instances, Kept, Notices, provisions, Loop, parts.Lanes, parts.Mailbox, parts.Delays, Counters,
            parts.Logger);
        _commands = new InstanceCommands(Instances, parts.Launcher, parts.Births, Events, parts.Logger);
        Notifications = new NotificationReader(Instances, parts.NotifySockets, Kept, Notices, Events, Counters, parts.Logger);
        _table = new InstanceTable(Instances, _core, Events, parts.Descriptors, Guard, Retired, Channels, parts.NotifySockets, Notifications, _commands,
            parts.Launcher, parts.Births, parts.Pump, Loop, parts.Delays, Counters, Defects, parts.Logger);
        Notifications.IsOthers = _table.IsOthers;
        Notifications.OnNamed = _table.ChangeMain;
        InstanceChecks checks = new(Instances, _commands, Loop, parts.Delays, parts.PathConnects, Events, Counters, parts.Logger);
        Notices.OnReported = Channels.Note;
        Effects = new EffectRunner(_preparations, _table, _commands, checks, Timers, Listeners, _connections, queueLooks, Kept, Channels, Notices,
            Orders, parts.NotifySockets, parts.Lanes, parts.Pump);
        Events.OnEvent = new CoreSteps(_core, Effects, Events, provisions, Retired, Counters, Defects, parts.Logger).Take;
        parts.Lanes.OnEased = service =>
        {
            Channels.Ease(service);
            Notifications.Ease(service);
        };
        _signals = new SupervisorSignals(this);
        Must(Loop.Watch(_signals.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => _signals.Read()), "signals");
        Guard.Adopt();
        Must(Loop.Watch(parts.Mailbox.Wakeup, IoReadiness.Readable, LoopPriority.Control, _ => parts.Mailbox.Deliver()), "mailbox");
    }

    public AdoptedConfiguration Configuration { get; }
    public ListenerGuard Guard { get; }
    public RetiredListeners Retired { get; }
    public Reloads Reloads { get; }

    public HostParts Parts { get; }
    public Supervisor Core => _core;
    public EffectRunner Effects { get; }
    public RunningInstances Instances { get; } = new();
    public InstanceTable Table => _table;
    public NotificationReader Notifications { get; }
    public KeptDescriptors Kept { get; }
    public ServiceListeners Listeners { get; }
    public NoticeReporter Notices { get; }
    public Channel.ChannelServer Channels { get; }
    public EventLoop Loop => Parts.Loop;
    public TimerQueue Timers { get; } = new();
    public EventFeed Events { get; } = new();
    public LoopOrders Orders { get; } = new();

    public Defects Defects { get; }

    public Counters Counters { get; } = new();

    /// <summary>What SIGHUP means where no file can be read again: the terminal is gone.</summary>
    public Action? OnHangUp { get; set; }

    /// <summary>Runs until the core orders the end.</summary>
    /// <param name="pause">Of <see cref="BootReport.PauseFor"/>; ended when the boot is over.</param>
    public int Run(Config.CollectorPause pause) =>
        new SupervisorLoop(Loop, Orders, Timers, Events, _table, Notifications, Retired, Parts.Births, Defects).Run(new BootReport(this, pause));

    public void Dispose()
    {
        Parts.Lanes.Dispose();
        Reloads.Dispose();
        Channels.Dispose();
        _table.Dispose();
        _commands.Dispose();
        _preparations.Dispose();
        Listeners.Dispose();
        _use.Dispose();
        _connections.Dispose();
        Kept.Dispose();
        Retired.Dispose();
        Guard.Dispose();
        Loop.OnDefect = Parts.Mailbox.OnDefect = Parts.Delays.OnDefect = null;
        Loop.Unwatch(_signals.Descriptor);
        _signals.Dispose();
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
    public required Action<LogFormat, LogSeverity> AdoptLog { get; init; }
}
