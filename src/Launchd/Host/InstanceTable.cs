using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Linux;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>The running instances and the commands beside them: their birth, their notifications, their signals, their end.</summary>
internal sealed unsafe partial class InstanceTable : IDisposable
{
    private readonly SupervisorHost _host;
    private readonly HostParts _parts;
    private readonly RunningInstances _running;
    private readonly Dictionary<int, RunningInstance> _mains = [];
    private readonly Dictionary<int, RunningCommand> _commands = [];
    private readonly Func<int, bool> _isKnown;
    private readonly Action<int, int, int> _onStop;
    private readonly Func<RunningInstance, int, bool> _isOthers;

    public InstanceTable(SupervisorHost host, HostParts parts)
    {
        _host = host;
        _onStop = parts.Births.NoteStop;
        _parts = parts;
        _running = host.Instances;
        _isKnown = pid => _mains.ContainsKey(pid) || _commands.ContainsKey(pid) || parts.Births.IsUnderWay(pid);
        // The commands beside an instance speak for it, as what they start does.
        _isOthers = (instance, pid) => _isKnown(pid) && !(_commands.TryGetValue(pid, out RunningCommand? command) && command.Instance == instance.Id);
        Checks = new InstanceChecks(host, parts, this);
        _trees = new ProcessTrees(parts.Delays, () => parts.Loop.TurnCount, _isKnown, () => parts.Births.IsCloning, LookAtLeftovers,
            (pid, name, why) => SupervisorLog.Stray(parts.Logger, pid, name, why));
        if (ProcFile.Fault is { } fault)
        {
            host.Counters.Count("proc-not-ours");
            SupervisorLog.ForeignProc(parts.Logger, fault);
        }
    }

    public InstanceChecks Checks { get; }

    public void Signal(InstanceId id, SignalNumber number, KillScope scope)
    {
        if (_running.Find(id) is not { } instance)
        {
            if (number == SignalNumber.Kill && _unborn.TryGetValue(id, out BirthOrder? unborn))
                _parts.Births.GiveUp(unborn, "it is to end");
            return;
        }
        // A stopped process does not act on a signal before it is continued; SIGKILL needs no such help. Where more than the main process is
        // to end, the others must be able to hear it from the main one, so they go on as well.
        bool asksToEnd = number == SignalNumber.Term || number == SignalNumber.Abrt || number == instance.Definition.Stop.Signal;
        bool reachesMore = scope == KillScope.Process && instance.Definition.Stop.Kill != KillScope.Process;
        _trees.Signal(instance, number.Value, scope, asksToEnd && !reachesMore);
        if (asksToEnd && reachesMore)
            _trees.Signal(instance, SignalNumber.Cont.Value, KillScope.Group);
        if (number == SignalNumber.Kill)
            WatchForEnd(instance);
    }

    public void Release(InstanceId id)
    {
        if (_unborn.TryGetValue(id, out BirthOrder? unborn))
            _parts.Births.GiveUp(unborn, "it is over");
        if (_running.Remove(id) is not { } instance)
            return;
        bool hadLeftovers = _withLeftovers.Remove(instance);
        bool mayServeAgain = instance.MainEnded && instance.Access == NotifyAccess.Main && !hadLeftovers && HasSlot(instance);
        _parts.Delays.Cancel(instance);
        if (instance.Process is { } process && _mains.GetValueOrDefault(process.Pid) == instance)
            _mains.Remove(process.Pid);
        if (instance.HasLogPipe || instance.AwaitsLine)
            _parts.Pump.Close(id.Number);
        _trees.Remove(instance);
        Close(instance, mayServeAgain);
        if (!HasSlot(instance))
            _parts.NotifySockets.Forget(id.Service, instance.Slot);
        _host.Guard.HolderEnded();
        _host.Retired.CloseUnused();
    }

    /// <summary>Whether a next instance may fill its slot: a pool may have shrunk, and the service may be gone.</summary>
    private bool HasSlot(RunningInstance instance) => _host.Core.Find(instance.Id.Service) is { IsLeaving: false } service
        && (service.IsPerConnection || service.Slots.Any(s => s.Slot == instance.Slot));

    /// <summary>Reads what came for an instance, a batch at a time.</summary>
    public void ReadNotifications(RunningInstance instance) => ReadNotifications(instance, Limits.MessagesPerTurn);

    /// <summary>All that it has said so far; nothing if it is over.</summary>
    public void ReadNotifications(InstanceId id)
    {
        if (_running.Find(id) is { } instance)
            ReadNotifications(instance, most: 1024);
    }

    /// <summary>What a service sent is closed again: its notifications may be read.</summary>
    public void Ease(ServiceName service) =>
        _parts.NotifySockets.Ease(service, _running.All.Where(i => i.Id.Service == service).Select(i => i.Notify).OfType<NotifySocket>());

    public void Dispose()
    {
        foreach (RunningInstance instance in _running.All)
        {
            Close(instance, mayServeAgain: false);
        }
        foreach (RunningCommand command in _commands.Values)
            command.Dispose();
    }

    private void ReadNotifications(RunningInstance instance, int most)
    {
        int descriptors = 0;
        for (int i = 0; i < most && instance.Notify is { } socket; i++)
        {
            // Each costs some calls: more of them come up in the next turn. Of one that has ended all is read at once, and bounded by its queue.
            if (_parts.NotifySockets.IsHeldUp(socket) || (most == Limits.MessagesPerTurn && descriptors >= Limits.DescriptorsPerTurn))
                return;
            using NotifyMessage message = socket.Receive();
            if (!message.IsThere)
                return;
            descriptors += message.Descriptors.Count;
            TakeContained(instance, message);
            if (!_running.Contains(instance.Id))
                return;
        }
    }

    private void TakeContained(RunningInstance instance, NotifyMessage message)
    {
        try
        {
            Take(instance, message);
        }
        catch (Exception defect)
        {
            // Our bug, met by this message alone: what a child sends never ends the supervisor.
            _host.Counters.Count("notifications-failed");
            SupervisorLog.EffectFailed(_parts.Logger, "notification", defect);
        }
    }

    private void Take(RunningInstance instance, NotifyMessage message)
    {
        if (!message.IsSound)
        {
            _host.Counters.Count("notifications-unsound");
            return;
        }
        Notification? notification = message.Parse();
        if (notification is null)
        {
            _host.Counters.Count("notifications-unreadable");
            return;
        }
        bool isAllowed = NotifySender.MaySpeak(instance, message, _isOthers);
        if (isAllowed)
            message.Vouch(instance.Notify!.Lane);
        // A barrier is answered by closing its pipe, which disposing the message does: everything sent before it is handled by now.
        if (notification.IsBarrier)
            return;
        if (!isAllowed)
        {
            _host.Counters.Count("notifications-refused");
            return;
        }
        if (notification.Access is { } access)
            NotifySender.Change(instance, access);
        ChangeMain(instance, notification, message);
        ImmutableArray<DescriptorId> received = message.Descriptors.Count > 0 ? ReceiveAll(instance, notification, message) : [];
        ImmutableArray<DescriptorId> duplicates =
            notification.IsStore && received.Length > 0 ? _host.Kept.FindDuplicates(instance.Id.Service, null, received) : [];
        _host.Events.Feed(new Event.Notified(instance.Id, notification, message.Pid, message.Uid, received) { Duplicates = duplicates });
    }

    /// <summary>Takes what came along; what nobody may keep stays with the message and is closed with it.</summary>
    private ImmutableArray<DescriptorId> ReceiveAll(RunningInstance instance, Notification notification, NotifyMessage message)
    {
        ImmutableArray<DescriptorId>.Builder received = ImmutableArray.CreateBuilder<DescriptorId>(message.Descriptors.Count);
        for (int i = 0; i < message.Descriptors.Count; i++)
        {
            if (message.Descriptors[i] is not { } descriptor)
                continue;
            if (notification.IsStore && Channel.ChannelMethods.WhyNotKept(descriptor) is { } kind)
            {
                _host.Notices.Report(new Notice.Stored(instance.Id, instance.Slot, instance.Generation, instance.Process!.Pid,
                    notification.DescriptorName ?? DescriptorStore.UnnamedName, $"{kind} cannot be stored"));
                continue;
            }
            received.Add(_host.Kept.Receive(message.Descriptors.Take(i)));
        }
        return received.ToImmutable();
    }

    /// <summary>Another process becomes the main one, if the sender may say so: before anything else that the message says.</summary>
    private void ChangeMain(RunningInstance instance, Notification notification, NotifyMessage message)
    {
        if (instance.MainEnded || !NamedProcess.IsNamed(notification, instance))
            return;
        PidFd? next = NamedProcess.Open(instance, notification, message, _isKnown, out string? reason);
        // No child of ours, or not yet: its end shows on its pidfd.
        Errno refused = next is not { HasDescriptor: true } ? Errno.None : _host.Loop.Watch(
            next.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => NamedMainEnded(instance, next));
        if (next is null || refused != Errno.None)
        {
            next?.Dispose();
            _host.Counters.Count("main-pid-refused");
            SupervisorLog.MainRefused(_parts.Logger, instance.Label, reason ?? refused.Text);
            return;
        }
        PidFd former = instance.Process!;
        _mains.Remove(former.Pid);
        _host.Loop.Unwatch(former.Descriptor);
        instance.Become(next);
        _mains.Add(next.Pid, instance);
        _trees.Orphans.Forget(next.Pid);
        _trees.Orphans.Add(instance);
        SupervisorLog.MainChanged(_parts.Logger, instance.Label, next.Pid);
        _host.Events.Feed(new Event.MainProcessChanged(instance.Id, next.Pid));
    }

    // By the log pump: whoever has the other end of a pipe can keep its reader waiting, and the loop waits for nobody.
    private void AwaitLine(RunningInstance instance, FileDescriptor pipeTaken)
    {
        instance.ReadyPipe = null;
        instance.AwaitsLine = true;
        OutputSource source = new() { InstanceId = instance.Id.Number, Service = instance.Id.Service.Text, Slot = instance.Slot, Stream = "ready" };
        _parts.Pump.WatchReady(source, pipeTaken, () =>
        {
            instance.AwaitsLine = false;
            if (_running.Contains(instance.Id))
                _host.Events.Feed(new Event.ReadinessMet(instance.Id));
        });
    }

    private void Close(RunningInstance instance, bool mayServeAgain)
    {
        if (instance.Notify is { } notify)
            _parts.NotifySockets.Return(instance, notify, mayServeAgain);
        instance.Notify = null;
        _parts.Descriptors.TakeBack(instance);
        _host.Channels.End(instance);
        if (instance.Process is { } process)
            _host.Loop.Unwatch(process.Descriptor);
        instance.Dispose();
    }
}
