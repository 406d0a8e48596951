using Launchd.Client;
using Launchd.Config.Loading;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Lanes;
using Launchd.Host.Launching;
using Launchd.Host.Lifecycle;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Manager;
using Launchd.Host.Notices;
using Launchd.Host.Operators;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Host.Steps;
using Launchd.Host.Upgrading;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Startup;

/// <summary>
/// Makes the objects that run on the loop, gives each the objects that it uses, and disposes all of them again. This is the only class that
/// knows them all: every other takes the few that it needs. Where two need each other, one of them has a callback, which is set here.
/// </summary>
internal sealed class HostComposition : IDisposable
{
    /// <summary>Shorter absences are not told: a busy machine has many.</summary>
    private static readonly TimeSpan TellableAbsence = TimeSpan.FromSeconds(1);

    private readonly AdoptedConfiguration _configuration;
    private readonly ListenerGuard _guard;
    private readonly ListenerPaths _paths;
    private readonly RuntimeDirectoryKeeper _directory;
    private readonly ListenerUse _use;
    private readonly AcceptWatch _accepts;
    private readonly LeftHolders _leftHolders;
    private readonly KeptDescriptors _kept;
    private readonly ListenerConnections _connections;
    private readonly RetiredListeners _retired;
    private readonly Reloads _reloads;
    private readonly Preparations _preparations;
    private readonly ChannelServer _channels;
    private readonly InstanceCommands _commands;
    private readonly InstanceTable _table;
    private readonly ManagerReports? _manager;
    private readonly ManagerStore? _store;
    private readonly StateWriter? _state;
    private readonly Restoration? _restoration;
    private readonly SupervisorLoop _loop;
    private TurnTimer? _turns;
    private readonly UpgradeEnd? _upgradeEnd;
    private readonly ControlConnection? _upgradeCaller;

    /// <param name="configuration">The configuration that holds at the start.</param>
    /// <param name="parts">Borrowed.</param>
    /// <param name="control">Where operators speak; borrowed.</param>
    public HostComposition(AdoptedConfiguration configuration, HostParts parts, ControlListener control)
    {
        _configuration = configuration;
        Parts = parts;
        EventLoop loop = parts.Loop;
        Mailbox mailbox = parts.Mailbox;
        Delays delays = parts.Delays;
        SlowLanes lanes = parts.Lanes;
        DescriptorTable descriptors = parts.Descriptors;
        Journal journal = parts.Journal;
        ILogger logger = parts.Logger;

        // These know none of the other objects.
        Counters counters = new();
        Defects defects = new(logger, counters);
        TimerQueue timers = new();
        LoopOrders orders = new();
        RunningInstances instances = new();
        StoppedIntakes stopped = new();
        Events = new EventFeed();
        loop.OnDefect = mailbox.OnDefect = delays.OnDefect = defect => defects.Report("handlers-failed", defect);
        loop.OnAsking = refused =>
        {
            counters.Count("watches-refused");
            SupervisorLog.Hindered(logger, EventLoop.DescribeAsking(refused));
        };
        loop.OnAway = away =>
        {
            counters.Count("absences");
            if (away >= TellableAbsence)
                SupervisorLog.WasAway(logger, Spans.Show(away));
            delays.Allow(away);
            parts.Births.Allow(away);
            Events.Feed(new Event.WasAway(away));
        };
        RestoredState? restored = parts.Heritage?.State;
        string? formerVersion = parts.Heritage?.FormerVersion;
        Core = restored is not null ? new Supervisor(restored, HostClock.Now)
            : new Supervisor(configuration.Definition, seed: unchecked((ulong)Clock.MonotonicNanoseconds), configuration.ExitWith);

        // Listeners and descriptors.
        _paths = new ListenerPaths(loop, descriptors, parts.Directory.Links, lanes, mailbox, delays, counters, logger);
        _guard = new ListenerGuard(loop, descriptors, stopped, _paths, lanes, mailbox, delays, Events, counters, journal, logger);
        _use = new ListenerUse(loop);
        PortsWatch ports = new(descriptors, mailbox, counters, journal, logger);
        _accepts = new AcceptWatch(loop, descriptors, instances, lanes, mailbox, delays, ports, counters, journal, logger);
        _leftHolders = new LeftHolders(loop, descriptors, instances, mailbox, delays, counters, journal, logger);
        _kept = new KeptDescriptors(Core, loop, Events);
        Listeners = new ServiceListeners(Core, descriptors, _guard, _use, _accepts, lanes, mailbox, Events, counters);
        _connections = new ListenerConnections(Listeners, lanes, Events, counters);
        _retired = new RetiredListeners(descriptors, instances, stopped, _guard, Listeners, lanes, mailbox, logger);
        _paths.OnHappened = _guard.PathHappened;
        _guard.OnExchanged = Listeners.Exchange;
        _guard.OnRetired = _retired.CloseUnused;
        _reloads = new Reloads(configuration, Core, Events, instances, descriptors, _guard, _retired, Listeners, control, mailbox,
            parts.Pump, journal, logger, parts.AdoptLog, parts.LoopSeat.OnFirstThread);

        // Instances.
        NoticeReporter notices = new(instances, Listeners, journal, logger);
        _preparations = new Preparations(loop, descriptors.Provisions, parts.PathConnects, Events);
        _channels = new ChannelServer(
            Core, Events, instances, _kept, notices, descriptors.Provisions, loop, lanes, mailbox, delays, counters, logger);
        _manager = parts.Manager is { } link ? new ManagerReports(link, parts.Offer, Core, delays) : null;
        _store = parts.Manager is not null && parts.Offer.StoreCount > 0
            ? new ManagerStore(parts.Manager, parts.Offer.StoreCount, descriptors, delays) : null;
        if (_store is not null)
            KeepListeners(_store, parts);
        _reloads.OnBegun = _manager is null ? null : _manager.NoteReload;
        _reloads.OnOver = _manager is null ? null : _manager.NoteReloaded;
        notices.OnReported = notice =>
        {
            _channels.Note(notice);
            _manager?.Note(notice);
            if (notice is Notice.Ready ready && instances.Find(ready.Instance) is { } instance)
            {
                _guard.LookSoon(instance);
                _accepts.LookAt(instance);
            }
            else if (notice is Notice.Notified said && said.Lines.Contains("READY=1"))
            {
                _accepts.SaidReady(said.Instance);
            }
        };
        _commands = new InstanceCommands(instances, parts.Launcher, parts.Births, Events, logger) { OnReloaded = _accepts.LookAfterReload };
        NotificationReader notifications = new(
            instances, parts.NotifySockets, _kept, notices, Events, isGoneOnWith: parts.Keeper is not null, counters, logger);
        Clues clues = new(Core, instances, parts.Pump, delays, Events);
        _table = new InstanceTable(instances, Core, Events, descriptors, _guard, _retired, _channels, parts.NotifySockets,
            notifications, _commands, parts.Launcher, parts.Births, parts.Pump, loop, delays, clues, counters, defects, logger);
        _table.Foreign = new ForeignOrphans(loop, parts.Directory.Mark);
        _table.OnOver = over =>
        {
            _guard.LookSoon(over);
            _leftHolders.NoteEnd(over);
        };
        _leftHolders.IsKnown = pid => _commands.IsKnown(pid) || parts.Births.IsUnderWay(pid);
        _leftHolders.Keeper = parts.Keeper?.KeeperPid ?? 0;
        notifications.IsOthers = _table.IsOthers;
        notifications.OnNamed = _table.ChangeMain;
        parts.NotifySockets.OnReadable = notifications.Read;
        lanes.OnEased = service =>
        {
            _channels.Ease(service);
            notifications.Ease(service);
        };

        // The core, and what carries out what it orders.
        InstanceChecks checks = new(instances, _commands, loop, delays, parts.PathConnects, Events, counters, logger);
        LastClients lastClients = new(instances, lanes, mailbox, Events, counters, logger);
        QueueLooks queueLooks = new(instances, _retired, lastClients, delays, orders, Events);
        EffectRunner effects = new(_preparations, _table, _commands, checks, timers, Listeners, _accepts, _connections, queueLooks, _kept,
            _channels, notices, orders, parts.NotifySockets, lanes, parts.Pump);
        CoreSteps steps = new(Core, effects, Events, descriptors.Provisions, _retired, counters, defects, logger);
        Events.OnEvent = steps.Take;
        KeeperLink? keeper = parts.Keeper;
        if (Records.Open(parts) is { } records)
        {
            if (restored is null && keeper is not null)
                parts.Heritage?.DropLeft(keeper);
            _state = new StateWriter(records, keeper, () => configuration.Definition, instances, counters, logger);
            Records.Name(_state, parts);
            steps.State = _table.State = _state;
            keeper?.Orders = orders;
            lastClients.OnBegun = _state.Note;
            _kept.Keeper = _state;
            // They are bound anew where nobody has held them.
            parts.NotifySockets.Keeper = keeper;
            parts.Launcher.OnOpened = _state.Hold;
            if (parts.Heritage is { IsAdopted: true } alone)
                alone.GiveTo(_state);
            HeldDescriptors held = new(_state, descriptors);
            held.Update();
            descriptors.OnChanged += held.Update;
            if (keeper is not null)
                Serve(keeper, parts, counters);
            if (restored is not null)
            {
                _state.Resume(restored, Core);
                foreach (ServiceDefinition former in restored.Definitions.Values)
                    descriptors.AdoptFormer(former);
                _restoration = new Restoration(parts.Heritage!, restored, Core, _table, descriptors, _kept, steps, Events,
                    parts.Directory, _state, logger);
            }
        }

        Upgrades upgrades = new(parts.Keeper, _state, FindDistrust, mailbox, delays, orders, journal, logger)
        {
            IsShuttingDown = () => Core.Frame.Shutdown is not null,
            UnderWay = WhatIsUnderWay,
            Drain = parts.Drain,
        };
        if (keeper is not null)
            keeper.OnTried = upgrades.Note;

        // What wakes the loop.
        Signals = new SupervisorSignals(Events, _table, _reloads, configuration, parts.Pump, counters, logger)
        {
            OnUpgradeAsked = () => upgrades.Ask(null, new SignalCaller()),
        };
        Must(loop.Watch(Signals.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => Signals.Read()), "signals");
        _guard.Adopt();
        Must(loop.Watch(mailbox.Wakeup, IoReadiness.Readable, LoopPriority.Control, _ => mailbox.Deliver()), "mailbox");
        _loop = new SupervisorLoop(loop, orders, timers, Events, _table, notifications, _retired, parts.Births, parts.LoopSeat, clues,
            defects);

        // Operators.
        StatusReporter reporter = new(
            configuration, Core, instances, descriptors, _kept, _channels, parts.Pump, journal, counters, parts.StartedAt)
        {
            Keeper = parts.Keeper?.KeeperPid,
            HasKeeperEnded = () => parts.Keeper?.IsGone == true,
            After = parts.Heritage?.FormerEnd,
        };
        DescriptorFetch fetch = new(Core, instances, descriptors.Provisions, _channels, lanes, notices);
        ControlMethods methods = new(
            Core, Events, _reloads, Listeners, parts.Pump, journal, reporter, new DescriptorLooks(mailbox, delays), fetch,
            new TerminalAttach(Core, instances, parts.Pump, notices), upgrades);
        effects.OnReply = methods.Reply;
        methods.CallerOf = _table.OwnerOf;
        Control = new ControlServer(control, methods, configuration, loop, orders, lanes, mailbox, delays, counters, logger);
        _directory = new RuntimeDirectoryKeeper(parts.Directory, control, Control, parts.NotifySockets, instances, _paths, configuration,
            descriptors, loop, mailbox, delays, journal, counters, logger)
        {
            OnDirectoryRestored = () =>
            {
                parts.Keeper?.Store(RuntimeDirectory.HeldLock, parts.Directory.Lock);
                if (_state is not null)
                    Records.Name(_state, parts);
            },
        };
        Signals.OnReloadAsked = _directory.Look;
        if (parts.Heritage is not { } heritage)
            return;
        _upgradeEnd = UpgradeEnd.Of(heritage.Answer.History, formerVersion, isAwaited: heritage.UpgradeCaller is not null);
        if (heritage.UpgradeCaller is { } caller)
            _upgradeCaller = Control.Adopt(caller);
    }

    public HostParts Parts { get; }
    public Supervisor Core { get; }
    public EventFeed Events { get; }
    public ServiceListeners Listeners { get; }
    public SupervisorSignals Signals { get; }
    public ControlServer Control { get; }

    /// <summary>Runs until the core orders the end, and returns the exit code.</summary>
    /// <param name="pause">Of <see cref="BootReport.PauseFor"/>; ended when the boot is over.</param>
    public int Run(CollectorPause pause) => _loop.Run(new BootReport(_configuration, Core, Parts.Pump, Parts.StartedAt, pause)
    {
        OnUp = _manager is null ? null : _manager.NoteUp,
        IsResumed = _restoration is not null,
    }, _restoration is null ? null : _restoration.Run, NoteRunning);

    private void Serve(KeeperLink keeper, HostParts parts, Counters counters)
    {
        _table.Foster = keeper;
        keeper.OnNotHeld = _ => counters.Count("descriptors-not-held");
        // As PID 1 it gets the orphans of everybody.
        if (parts.Heritage is { IsFirst: false } || keeper.KeeperPid == 1)
            ChildList.Adopt(keeper.KeeperPid);
        parts.Launcher.BirthSlots = Records.OpenBirthSlots(parts, keeper);
        Must(parts.Loop.Watch(keeper.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => Hear(keeper)), "keeper");
        keeper.OnPutOff = () => parts.Mailbox.Post(() => Hear(keeper));
    }

    private void Hear(KeeperLink keeper)
    {
        keeper.ReadHints(_table.ReapFosterChildren, count => SupervisorLog.Hindered(
            Parts.Logger, $"the keeper has no room for {count} descriptors, which a death of the supervisor would close: raise its limit "
                + "of open files (ulimit -Hn)"));
        if (!keeper.IsGone)
            return;
        Parts.Loop.Unwatch(keeper.Descriptor);
        _table.LoseFosterParent(keeper.KeeperPid);
    }

    // From here on an end is one that was wanted, or a death.
    private void NoteRunning()
    {
        Parts.Descriptors.OwnsAdoptedPaths = _store is null && Parts.Heritage is not null;
        if (Parts.Keeper is not { } keeper)
            return;
        _turns = TurnTimer.TryOpen(HangWatch.Period);
        if (_turns is not null)
        {
            keeper.WatchTurns(_turns);
            Parts.Loop.Turns = _turns;
        }
        keeper.BeginToRing();
        keeper.Running();
        if (_upgradeEnd is null)
            return;
        _upgradeEnd.Tell(Parts.Journal, Parts.Logger);
        if (_upgradeCaller is not null)
            UpgradeMethods.Answer(_upgradeCaller, _upgradeEnd);
        UpgradeEnd.Forget(keeper);
    }

    private string? WhatIsUnderWay() =>
        !Parts.Births.IsIdle ? "the birth of a program"
        : _commands.AreAwaited ? "a command of a service"
        : Core.Services.Any(s => !s.Held.IsEmpty) ? "a client's wait for a program of its own"
        : null;

    private static string? FindDistrust(string path) => new DiskConfigFiles(
        p => FileStatus.ReadFollow(p, out FileStatus status) == Errno.None ? status.Uid : null, Libc.geteuid()).FindDistrust(path);

    public void Dispose()
    {
        // An end may take its time.
        Parts.Loop.Turns = null;
        _turns?.Dispose();
        _directory.Dispose();
        Control.Dispose();
        Parts.Lanes.Dispose();
        _reloads.Dispose();
        _store?.Dispose();
        _manager?.Dispose();
        _channels.Dispose();
        _table.Dispose();
        _commands.Dispose();
        _preparations.Dispose();
        Listeners.Dispose();
        _use.Dispose();
        _accepts.Dispose();
        _leftHolders.Dispose();
        _connections.Dispose();
        _kept.Dispose();
        _retired.Dispose();
        _guard.Dispose();
        _paths.Dispose();
        Parts.Loop.OnAway = null;
        Parts.Loop.OnDefect = Parts.Mailbox.OnDefect = Parts.Delays.OnDefect = null;
        Parts.Loop.Unwatch(Signals.Descriptor);
        if (Parts.Keeper is not null)
            Parts.Loop.Unwatch(Parts.Keeper.Descriptor);
        _state?.Dispose();
        Signals.Dispose();
    }

    private static void KeepListeners(ManagerStore store, HostParts parts)
    {
        int told = 0;
        store.OnLeftOut = count =>
        {
            if (count != told)
            {
                SupervisorLog.Hindered(parts.Logger, $"the service manager's store has no room for {count} listeners, which a crash of "
                    + $"the supervisor would close: raise FileDescriptorStoreMax= from {parts.Offer.StoreCount}, and keep the names of "
                    + "sockets short (100 KiB in all)");
            }
            told = count;
        };
        store.Begin(parts.Inherited.Stored);
        parts.Descriptors.OnChanged += store.NoteChange;
        parts.Descriptors.LeavesPaths = true;
    }

    private static void Must(Errno refused, string what)
    {
        if (refused != Errno.None)
            throw new SystemCallException("epoll_ctl", what, refused);
    }
}
