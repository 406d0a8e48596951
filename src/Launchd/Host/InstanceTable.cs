using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Interop;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>The running instances and the commands beside them: their birth, their notifications, their signals, their end.</summary>
internal sealed unsafe class InstanceTable : IDisposable
{
    private readonly SupervisorHost _host;
    private readonly HostParts _parts;
    private readonly Dictionary<InstanceId, RunningInstance> _instances = [];
    private readonly Dictionary<int, RunningInstance> _mains = [];
    private readonly Dictionary<int, RunningCommand> _commands = [];
    private readonly List<RunningInstance> _withLeftovers = [];
    private readonly List<Reaped> _reaped = [];
    private readonly Func<int, bool> _isKnown;

    public InstanceTable(SupervisorHost host, HostParts parts)
    {
        _host = host;
        _parts = parts;
        _isKnown = pid => _mains.ContainsKey(pid) || _commands.ContainsKey(pid);
        Checks = new InstanceChecks(host, parts, this);
    }

    public InstanceChecks Checks { get; }

    public IEnumerable<RunningInstance> All => _instances.Values;

    public RunningInstance? Find(InstanceId id) => _instances.GetValueOrDefault(id);

    public Event Start(Effect.Spawn spawn, AcceptedConnection? connection, Preparations.Preparation prepared, IReadOnlyList<(string, FileDescriptor)> stored)
    {
        ServiceDefinition definition = spawn.Definition;
        RunningInstance instance = new(spawn.Instance, spawn.Slot, spawn.Generation, definition);
        // What was given to others may have been spoilt by them: looked at before it is handed out again.
        if (connection is null)
            _host.Guard.Check(definition, spawn.Slot);
        Failure.SpawnFailed? failure = _parts.Launcher.Start(instance, connection, prepared, stored, () => _host.Feed(new Event.ReadinessMet(spawn.Instance)));
        if (failure is not null)
        {
            Close(instance, mayServeAgain: true);
            return new Event.SpawnFailed(spawn.Instance, failure);
        }
        _instances.Add(instance.Id, instance);
        _mains.Add(instance.Process!.Pid, instance);
        _host.Channels.Open(instance);
        if (instance.ReadyPipe is { } pipe)
            _ = _host.Loop.Watch(pipe, IoReadiness.Readable, SupervisorHost.NotifyPriority, _ => ReadReadyPipe(instance));
        return new Event.Spawned(spawn.Instance, instance.Process.Pid);
    }

    public void Signal(InstanceId id, SignalNumber number, KillScope scope)
    {
        if (!_instances.TryGetValue(id, out RunningInstance? instance))
            return;
        Signal(instance, number, scope, _isKnown);
        // A stopped process does not act on a signal before it is continued; SIGKILL needs no such help. Where more than the main process is
        // to end, the others must be able to hear it from the main one, so they go on as well.
        if (number == SignalNumber.Term || number == SignalNumber.Abrt || number == instance.Definition.Stop.Signal)
        {
            bool reachesMore = scope == KillScope.Process && instance.Definition.Stop.Kill != KillScope.Process;
            Signal(instance, SignalNumber.Cont, reachesMore ? KillScope.Group : scope, _isKnown);
        }
    }

    public void RunCommand(InstanceId id, CommandKind kind, ImmutableArray<string> arguments)
    {
        string? refused = null;
        PidFd? process = _instances.TryGetValue(id, out RunningInstance? instance) ? _parts.Launcher.StartCommand(instance, arguments, out refused) : null;
        if (process is null)
        {
            SupervisorLog.CommandFailed(_parts.Logger, instance?.Label ?? id.ToString(), kind.ToString().ToLowerInvariant(), refused ?? "it is over");
            _host.FeedResult(new Event.CommandEnded(id, kind, Succeeded: false, $"cannot be run: {refused}"));
            return;
        }
        _commands.Add(process.Pid, new RunningCommand(id, kind, process, status => CommandEnded(id, kind, status)));
    }

    public void EndCommand(InstanceId id, CommandKind kind)
    {
        foreach (RunningCommand command in _commands.Values)
        {
            if (command.Instance == id && command.Kind == kind)
                command.Kill();
        }
    }

    /// <summary>Starts a command whose exit code is an answer about the instance.</summary>
    public IProbeCommand? StartBeside(RunningInstance instance, ImmutableArray<string> arguments, Action<ExitStatus> ended, out string? refused)
    {
        PidFd? process = _parts.Launcher.StartCommand(instance, arguments, out refused);
        if (process is null)
            return null;
        RunningCommand command = new(instance.Id, null, process, ended);
        _commands.Add(process.Pid, command);
        return command;
    }

    public void Release(InstanceId id)
    {
        if (!_instances.Remove(id, out RunningInstance? instance))
            return;
        bool hadLeftovers = _withLeftovers.Remove(instance);
        bool mayServeAgain = instance.MainEnded && instance.Access == NotifyAccess.Main && !hadLeftovers && HasSlot(instance);
        _parts.Delays.Cancel(instance);
        if (instance.Process is { } process && _mains.GetValueOrDefault(process.Pid) == instance)
            _mains.Remove(process.Pid);
        if (instance.HasLogPipe)
            _parts.Pump.Close(id.Number);
        Close(instance, mayServeAgain);
        if (!HasSlot(instance))
            _parts.NotifySockets.Forget(id.Service, instance.Slot);
        _host.Guard.HolderEnded();
        _host.Retired.CloseUnused();
    }

    /// <summary>Whether a next instance may fill its slot: a pool may have shrunk, and the service may be gone.</summary>
    private bool HasSlot(RunningInstance instance) => _host.Core.Find(instance.Id.Service) is { IsLeaving: false } service
        && (service.IsPerConnection || service.Slots.Any(s => s.Slot == instance.Slot));

    /// <summary>Whether an instance that still runs was given this descriptor.</summary>
    public bool IsHeld(FileDescriptor descriptor) => _instances.Values.Any(i => i.Given.Contains(descriptor));

    /// <summary>Reads what came for an instance, a batch at a time.</summary>
    public void ReadNotifications(RunningInstance instance) => ReadNotifications(instance, Limits.MessagesPerTurn);

    /// <summary>All that it has said so far; nothing if it is over.</summary>
    public void ReadNotifications(InstanceId id)
    {
        if (_instances.TryGetValue(id, out RunningInstance? instance))
            ReadNotifications(instance, most: 1024);
    }

    /// <summary>What a service sent is closed again: its notifications may be read.</summary>
    public void Ease(ServiceName service) =>
        _parts.NotifySockets.Ease(service, _instances.Values.Where(i => i.Id.Service == service).Select(i => i.Notify).OfType<NotifySocket>());

    /// <summary>Reaps every child that has ended, and tells the core of those that it knows.</summary>
    public void ReapAll()
    {
        _reaped.Clear();
        while (Reaper.TryReap(out Reaped reaped))
            _reaped.Add(reaped);
        foreach (Reaped reaped in _reaped)
        {
            ExitStatus status = new(reaped.Code, reaped.Signal, reaped.DumpedCore);
            if (_mains.Remove(reaped.Pid, out RunningInstance? instance))
                MainEnded(instance, reaped.Pid, status);
            else if (_commands.Remove(reaped.Pid, out RunningCommand? command))
                command.End(status);
        }
        for (int i = _withLeftovers.Count - 1; i >= 0; i--)
        {
            RunningInstance instance = _withLeftovers[i];
            if (ProcessTree.HasLeftovers(instance.Group, ProcessTree.MarkOf(instance), _isKnown))
                continue;
            _withLeftovers.RemoveAt(i);
            _host.Feed(new Event.LeftoversEnded(instance.Id));
        }
    }

    public void Dispose()
    {
        foreach (RunningInstance instance in _instances.Values)
        {
            Close(instance, mayServeAgain: false);
        }
        foreach (RunningCommand command in _commands.Values)
            command.Process.Dispose();
    }

    private static void Signal(RunningInstance instance, SignalNumber number, KillScope scope, Func<int, bool> isKnown)
    {
        // Once to each: programs take the second signal of a kind for "at once".
        int? main = instance.MainEnded ? null : instance.Process!.Pid;
        switch (scope)
        {
            case KillScope.Process:
                if (main is not null)
                    _ = instance.Process!.Signal(number.Value);
                break;
            case KillScope.Group:
                ProcessTree.SignalGroup(instance.Group, number.Value);
                if (main is not null && !instance.IsInGroup)
                    _ = instance.Process!.Signal(number.Value);
                break;
            case KillScope.Tree:
                ProcessTree.Signal(instance.Group, main, ProcessTree.MarkOf(instance), isKnown, number.Value);
                if (main is not null && !instance.IsInGroup)
                    _ = instance.Process!.Signal(number.Value);
                break;
        }
    }

    private void MainEnded(RunningInstance instance, int pid, ExitStatus status)
    {
        // Its last words count: what it sent before it died is read first, however much it is.
        if (instance.Notify is not null)
            ReadNotifications(instance, most: 1024);
        _host.Channels.ReadLast(instance);
        // They may have been that another process is the main one now.
        if (!_instances.ContainsKey(instance.Id) || instance.Process!.Pid != pid)
            return;
        instance.MainEnded = true;
        _host.Loop.Unwatch(instance.Process.Descriptor);
        bool hasLeftovers = instance.Definition.Stop.Kill != KillScope.Process && ProcessTree.HasLeftovers(instance.Group,
            ProcessTree.MarkOf(instance), _isKnown);
        if (hasLeftovers)
            _withLeftovers.Add(instance);
        _host.Feed(new Event.MainExited(instance.Id, status, hasLeftovers));
    }

    private void CommandEnded(InstanceId id, CommandKind kind, ExitStatus status)
    {
        if (status is not { Code: 0, Signal: 0 } && _instances.TryGetValue(id, out RunningInstance? instance))
            SupervisorLog.CommandFailed(_parts.Logger, instance.Label, kind.ToString().ToLowerInvariant() + " command", status.ToString());
        bool succeeded = status is { Code: 0, Signal: 0 };
        _host.Feed(new Event.CommandEnded(id, kind, succeeded, succeeded ? null : status.ToString()));
    }

    private void ReadNotifications(RunningInstance instance, int most)
    {
        for (int i = 0; i < most && instance.Notify is { } socket; i++)
        {
            if (_parts.NotifySockets.IsHeldUp(socket))
                return;
            using NotifyMessage message = socket.Receive();
            if (!message.IsThere)
                return;
            TakeContained(instance, message);
            if (!_instances.ContainsKey(instance.Id))
                return;
        }
    }

    private void TakeContained(RunningInstance instance, NotifyMessage message)
    {
        try
        {
            Take(instance, message);
        }
        catch (Exception defect) when (defect is not OutOfMemoryException)
        {
            // Our bug, met by this message alone: what a child sends never ends the supervisor.
            _host.Count("notifications-failed");
            SupervisorLog.EffectFailed(_parts.Logger, "notification", defect);
        }
    }

    private void Take(RunningInstance instance, NotifyMessage message)
    {
        if (!message.IsSound)
        {
            _host.Count("notifications-unsound");
            return;
        }
        Notification? notification = message.Parse();
        if (notification is null)
        {
            _host.Count("notifications-unreadable");
            return;
        }
        // A barrier is answered by closing its pipe, which disposing the message does: everything sent before it is handled by now.
        if (notification.IsBarrier)
            return;
        if (!message.IsAllowed(instance.Access, instance.Process!.Pid))
        {
            _host.Count("notifications-refused");
            return;
        }
        if (notification.Access is { } access)
            instance.Access = access;
        ChangeMain(instance, notification, message);
        ImmutableArray<DescriptorId> received = message.Descriptors.Count > 0 ? ReceiveAll(instance, notification, message) : [];
        ImmutableArray<DescriptorId> duplicates =
            notification.IsStore && received.Length > 0 ? _host.Effects.FindDuplicates(instance.Id.Service, null, received) : [];
        _host.Feed(new Event.Notified(instance.Id, notification, message.Pid, message.Uid, received) { Duplicates = duplicates });
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
                _host.Effects.Report(new Notice.Stored(instance.Id, instance.Slot, instance.Generation, instance.Process!.Pid,
                    notification.DescriptorName ?? DescriptorStore.UnnamedName, $"{kind} cannot be stored"));
                continue;
            }
            received.Add(_host.Effects.Receive(message.Descriptors.Take(i)));
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
        Errno refused = next is null ? Errno.None : _host.Loop.Watch(next.Descriptor, IoReadiness.Readable, SupervisorHost.SignalPriority,
            _ => NamedMainEnded(instance, next));
        if (next is null || refused != Errno.None)
        {
            next?.Dispose();
            _host.Count("main-pid-refused");
            SupervisorLog.MainRefused(_parts.Logger, instance.Label, reason ?? refused.Text);
            return;
        }
        PidFd former = instance.Process!;
        _mains.Remove(former.Pid);
        _host.Loop.Unwatch(former.Descriptor);
        former.Dispose();
        instance.Become(next);
        _mains.Add(next.Pid, instance);
        SupervisorLog.MainChanged(_parts.Logger, instance.Label, next.Pid);
        _host.Feed(new Event.MainProcessChanged(instance.Id, next.Pid));
    }

    private void NamedMainEnded(RunningInstance instance, PidFd process)
    {
        // By now it may be our child, an orphan's end tells how it ended.
        ReapAll();
        if (instance.Process != process || instance.MainEnded || !_mains.Remove(process.Pid))
            return;
        // Somebody else's child: nobody tells us how it ended, and an end of which nothing bad is known is taken for a good one, as systemd does.
        MainEnded(instance, process.Pid, new ExitStatus(0));
    }

    private void ReadReadyPipe(RunningInstance instance)
    {
        byte* buffer = stackalloc byte[256];
        nint got = Libc.read(instance.ReadyPipe!.Number, buffer, 256);
        if (got < 0 && Errno.Last == Errno.EAGAIN)
            return;
        bool isReady = got > 0 && new ReadOnlySpan<byte>(buffer, (int)got).Contains((byte)'\n');
        if (isReady)
            _host.Feed(new Event.ReadinessMet(instance.Id));
        if ((isReady || got <= 0) && instance.ReadyPipe is { } pipe)
        {
            _host.Loop.Unwatch(pipe);
            pipe.Dispose();
            instance.ReadyPipe = null;
        }
    }

    private void Close(RunningInstance instance, bool mayServeAgain)
    {
        if (instance.Notify is { } notify)
            _parts.NotifySockets.Return(instance, notify, mayServeAgain);
        instance.Notify = null;
        _host.Channels.End(instance);
        if (instance.ReadyPipe is { } pipe)
            _host.Loop.Unwatch(pipe);
        if (instance.Process is { } process)
            _host.Loop.Unwatch(process.Descriptor);
        instance.Dispose();
    }

    /// <summary>A command beside an instance; its kind is null for a probe. <paramref name="onEnd"/> is called on the loop when it was reaped.</summary>
    private sealed class RunningCommand(InstanceId instance, CommandKind? kind, PidFd process, Action<ExitStatus> onEnd) : IProbeCommand
    {
        public InstanceId Instance => instance;
        public CommandKind? Kind => kind;
        public PidFd Process => process;

        public void Kill() => ProcessTree.SignalGroup(process.Pid, SignalNumber.Kill.Value);

        public void End(ExitStatus status)
        {
            process.Dispose();
            onEnd(status);
        }
    }
}
