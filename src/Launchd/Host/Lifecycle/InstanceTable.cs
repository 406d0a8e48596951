using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Launching;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Lifecycle;

/// <summary>The running instances: their birth, their signals, their end.</summary>
internal sealed partial class InstanceTable : IDisposable
{
    private const int MostParents = 256;

    private readonly RunningInstances _running;
    private readonly Supervisor _core;
    private readonly EventFeed _events;
    private readonly DescriptorTable _descriptors;
    private readonly ListenerGuard _guard;
    private readonly RetiredListeners _retired;
    private readonly ChannelServer _channels;
    private readonly NotifySockets _notifySockets;
    private readonly NotificationReader _notifications;
    private readonly InstanceCommands _commands;
    private readonly Launcher _launcher;
    private readonly Births _births;
    private readonly LogPump _pump;
    private readonly EventLoop _loop;
    private readonly Delays _delays;
    private readonly Clues _clues;
    private readonly Counters _counters;
    private readonly Defects _defects;
    private readonly ILogger _logger;
    private readonly Dictionary<int, RunningInstance> _mains = [];
    private readonly Func<int, bool> _isKnown;
    private readonly Action<int, int, int> _onStop;

    public InstanceTable(RunningInstances running, Supervisor core, EventFeed events, DescriptorTable descriptors, ListenerGuard guard,
        RetiredListeners retired, ChannelServer channels, NotifySockets notifySockets, NotificationReader notifications,
        InstanceCommands commands, Launcher launcher, Births births, LogPump pump, EventLoop loop, Delays delays, Clues clues,
        Counters counters, Defects defects, ILogger logger)
    {
        _running = running;
        _core = core;
        _events = events;
        _descriptors = descriptors;
        _guard = guard;
        _retired = retired;
        _channels = channels;
        _notifySockets = notifySockets;
        _notifications = notifications;
        _commands = commands;
        _launcher = launcher;
        _births = births;
        _pump = pump;
        _loop = loop;
        _delays = delays;
        _clues = clues;
        _counters = counters;
        _defects = defects;
        _logger = logger;
        _onStop = births.NoteStop;
        _isKnown = pid => _mains.ContainsKey(pid) || commands.IsKnown(pid) || births.IsUnderWay(pid);
        _trees = new ProcessTrees(delays, () => loop.TurnCount, _isKnown, () => births.IsCloning, LookAtLeftovers,
            (pid, name, why) => SupervisorLog.Stray(logger, pid, name, why));
        if (ProcFile.Fault is { } fault)
        {
            counters.Count("proc-not-ours");
            SupervisorLog.ForeignProc(logger, fault);
        }
    }

    /// <summary>Writes down what the supervisor after this one must know; null: there will be none.</summary>
    public StateWriter? State { get; set; }

    /// <summary>The parent of this process, which has the children of a supervisor before it; null: there is none.</summary>
    public IFosterParent? Foster { get; set; }

    /// <summary>The orphans of adopted instances. Taken.</summary>
    public ForeignOrphans? Foreign
    {
        get => _trees.Orphans.Foreign;
        set
        {
            _trees.Orphans.Foreign = value;
            value?.OnEnded = ForeignEnded;
        }
    }

    /// <summary>Told of an instance that is over, before what it holds is released.</summary>
    public Action<RunningInstance>? OnOver { get; set; }

    /// <summary>
    /// Whether a process is a known child and does not belong to the instance. The commands beside an
    /// instance belong to it, as their children do.
    /// </summary>
    public bool IsOthers(RunningInstance instance, int pid) => _isKnown(pid) && !_commands.IsOf(pid, instance.Id);

    /// <summary>Sends a signal, and tells the core what became of it where it waits for that.</summary>
    public void Signal(Effect.Signal order)
    {
        string? refusal = Send(order);
        if (refusal is not null || order.Request is not null)
            _events.FeedResult(new Event.SignalSent(order.Instance, order.Number, order.Request, refusal));
    }

    private string? Send(Effect.Signal order)
    {
        (InstanceId id, SignalNumber number, KillScope scope) = (order.Instance, order.Number, order.Scope);
        // Whoever asked for a signal is to know that nobody got it. For an end it is enough that nobody is left.
        string? ended = order.Request is null ? null : "it has just ended";
        if (_running.Find(id) is not { } instance)
        {
            if (number == SignalNumber.Kill && _unborn.TryGetValue(id, out BirthOrder? unborn))
                _births.GiveUp(unborn, "it is to end");
            return ended;
        }
        // A stopped process acts on a signal only when it is continued; on SIGKILL it acts anyhow. Where the whole group or tree is to end
        // but only the main process gets the signal, the main process must be able to tell the others, so the group is continued as well.
        bool asksToEnd = number == SignalNumber.Term || number == SignalNumber.Abrt || number == instance.Definition.Stop.Signal;
        bool reachesMore = scope == KillScope.Process && instance.Definition.Stop.Kill != KillScope.Process;
        Errno refused = _trees.Signal(instance, number.Value, scope, asksToEnd && !reachesMore);
        // With the word that the signal was sent, right after this: until then another supervisor would send it once more.
        State?.Put(instance);
        if (asksToEnd && reachesMore)
            _ = _trees.Signal(instance, SignalNumber.Cont.Value, KillScope.Group);
        if (number == SignalNumber.Kill)
            WatchForEnd(instance);
        if (refused == Errno.None || refused == Errno.ESRCH)
            return refused == Errno.None ? null : ended;
        // Where some processes have got it, their end is worth the wait.
        bool isInVain = number != SignalNumber.Kill || scope != instance.Definition.Stop.Kill || _trees.IsOutOfReach(instance);
        return isInVain ? _trees.WhyRefused(instance, refused) : null;
    }

    public void Release(InstanceId id)
    {
        if (_unborn.TryGetValue(id, out BirthOrder? unborn))
            _births.GiveUp(unborn, "it is over");
        if (_running.Remove(id) is not { } instance)
            return;
        bool hadLeftovers = _withLeftovers.Remove(instance);
        bool mayServeAgain = instance.MainEnded && instance.Access == NotifyAccess.Main && !hadLeftovers && HasSlot(instance);
        _delays.Cancel(instance);
        if (instance.Process is { } process && _mains.GetValueOrDefault(process.Pid) == instance)
            _mains.Remove(process.Pid);
        _trees.Remove(instance);
        OnOver?.Invoke(instance);
        Close(instance, mayServeAgain);
        if (!HasSlot(instance))
            _notifySockets.Forget(id.Service, instance.Slot);
        _guard.HolderEnded();
        _retired.CloseUnused();
    }

    /// <summary>
    /// The instance to which a process belongs by its line of parents, and whether it belongs to its stop command. Null: to none, or to one
    /// that it has left.
    /// </summary>
    public (InstanceId Instance, bool IsStopCommand)? OwnerOf(int pid)
    {
        for (int depth = 0; depth < MostParents && pid > 1; depth++)
        {
            if (_mains.TryGetValue(pid, out RunningInstance? instance))
                return (instance.Id, false);
            if (_commands.Find(pid) is var (beside, kind))
                return (beside, kind == CommandKind.Stop);
            pid = ProcessFacts.Read(pid)?.Parent ?? 0;
        }
        return null;
    }

    /// <summary>Whether another instance may fill the slot of this one: a pool may have shrunk, and the service may be gone.</summary>
    private bool HasSlot(RunningInstance instance) => _core.Find(instance.Id.Service) is { IsLeaving: false } service
        && (service.IsPerConnection || service.Slots.Any(s => s.Slot == instance.Slot));

    public void Dispose()
    {
        // What is closed now is not over for the supervisor after this one, if there is one.
        State = null;
        Foreign?.Dispose();
        foreach (RunningInstance instance in _running.All)
        {
            Close(instance, mayServeAgain: false);
        }
    }

    /// <summary>
    /// Makes another process the main one, if the sender of the message may name it. Called before the core is told of the message.
    /// </summary>
    public void ChangeMain(RunningInstance instance, Notification notification, NotifyMessage message)
    {
        if (instance.MainEnded || !NamedProcess.IsNamed(notification, instance))
            return;
        ProcessHandle? next = NamedProcess.Open(instance, notification, message, _isKnown, out string? reason);
        // The named process is no child of ours, or not yet: its end is seen at its pidfd.
        Errno refused = next is not { HasDescriptor: true } ? Errno.None : _loop.Watch(
            next.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => NamedMainEnded(instance, next));
        if (next is null || refused != Errno.None)
        {
            next?.Dispose();
            _counters.Count("main-pid-refused");
            SupervisorLog.MainRefused(_logger, instance.Label, reason ?? refused.Text);
            return;
        }
        ProcessHandle former = instance.Process!;
        _mains.Remove(former.Pid);
        _loop.Unwatch(former.Descriptor);
        instance.Become(next);
        _mains.Add(next.Pid, instance);
        _trees.Orphans.Forget(next.Pid);
        _trees.Orphans.Add(instance);
        State?.NoteBorn(instance);
        SupervisorLog.MainChanged(_logger, instance.Label, next.Pid);
        _events.Feed(new Event.MainProcessChanged(instance.Id, next.Pid));
    }

    // The log pump reads the pipe, because a process with the other end can keep its reader waiting, and the loop must never wait.
    private void AwaitLine(RunningInstance instance, FileDescriptor pipeTaken)
    {
        instance.ReadyPipe = null;
        instance.AwaitsLine = true;
        OutputSource source = new()
        {
            InstanceId = instance.Id.Number, Service = instance.Id.Service.Text, Slot = instance.Slot, Stream = "ready",
        };
        _pump.WatchReady(source, pipeTaken, () =>
        {
            instance.AwaitsLine = false;
            if (_running.Contains(instance.Id))
                _events.Feed(new Event.ReadinessMet(instance.Id));
        });
    }

    private void Close(RunningInstance instance, bool mayServeAgain)
    {
        State?.Forget(instance);
        if (instance.IsKnownToPump || instance.AwaitsLine)
            _pump.Close(instance.Id.Number);
        if (instance.Notify is { } notify)
            _notifySockets.Return(instance, notify, mayServeAgain);
        instance.Notify = null;
        _descriptors.TakeBack(instance);
        _channels.End(instance);
        if (instance.Process is { } process)
            _loop.Unwatch(process.Descriptor);
        instance.Dispose();
    }
}
