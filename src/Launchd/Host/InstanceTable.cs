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
    private static readonly TimeSpan FirstProbePause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestProbePause = TimeSpan.FromSeconds(1);

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
    }

    public IEnumerable<RunningInstance> All => _instances.Values;

    public RunningInstance? Find(InstanceId id) => _instances.GetValueOrDefault(id);

    public Event Start(Effect.Spawn spawn, ServiceDefinition definition, AcceptedConnection? connection, IReadOnlyList<(string, FileDescriptor)> stored)
    {
        RunningInstance instance = new(spawn.Instance, spawn.Slot, spawn.Generation, definition);
        Failure.SpawnFailed? failure = _parts.Launcher.Start(instance, connection, stored, () => _host.Feed(new Event.ReadinessMet(spawn.Instance)));
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
        // Once to each: programs take the second signal of a kind for "at once". The main process leads its group and cannot leave it.
        if (scope == KillScope.Process && !instance.MainEnded)
            _ = instance.Process!.Signal(number.Value);
        else if (scope == KillScope.Group)
            _ = Libc.kill(-instance.Group, number.Value);
        else if (scope == KillScope.Tree)
            ProcessTree.Signal(instance.Group, instance.MainEnded ? null : instance.Process!.Pid, ProcessTree.MarkOf(instance), _isKnown, number.Value);
        // A stopped process does not act on a signal before it is continued; SIGKILL needs no such help.
        if (number == SignalNumber.Term && !instance.MainEnded)
            _ = instance.Process!.Signal(SignalNumber.Cont.Value);
    }

    public void RunCommand(InstanceId id, CommandKind kind, ImmutableArray<string> arguments)
    {
        string? refused = null;
        PidFd? process = _instances.TryGetValue(id, out RunningInstance? instance) ? _parts.Launcher.StartCommand(instance, arguments, out refused) : null;
        if (process is null)
        {
            SupervisorLog.CommandFailed(_parts.Logger, instance?.Label ?? id.ToString(), kind.ToString().ToLowerInvariant(), refused ?? "it is over");
            _host.FeedResult(new Event.CommandEnded(id, kind, Succeeded: false));
            return;
        }
        _commands.Add(process.Pid, new RunningCommand(id, process, status => CommandEnded(id, kind, status)));
    }

    public void EndCommand(InstanceId id, CommandKind kind)
    {
        foreach (RunningCommand command in _commands.Values)
        {
            if (command.Instance == id)
                _ = Libc.kill(-command.Process.Pid, SignalNumber.Kill.Value);
        }
        _ = kind;
    }

    public void StartProbe(InstanceId id)
    {
        if (!_instances.TryGetValue(id, out RunningInstance? instance) || instance.Definition.Ready is not Readiness.Probed probed)
            return;
        TimeSpan pause = FirstProbePause;
        instance.Probe = new ReadinessProbe(_host.Loop, probed.Target, isReady => Answered(instance, isReady));
        Attempt(instance, probed.Target);

        void Answered(RunningInstance of, bool isReady)
        {
            if (of.Probe is null)
                return;
            if (isReady)
            {
                _host.Feed(new Event.ReadinessMet(of.Id));
                return;
            }
            _parts.Delays.After(pause, of, () => Attempt(of, probed.Target));
            pause = pause * 2 < LongestProbePause ? pause * 2 : LongestProbePause;
        }

        void Attempt(RunningInstance of, ProbeTarget target)
        {
            if (of.Probe is null)
                return;
            if (target is ProbeTarget.Command command)
                ProbeByCommand(of, command.Arguments, Answered);
            else
                of.Probe.Begin();
        }
    }

    public void EndProbe(InstanceId id)
    {
        if (!_instances.TryGetValue(id, out RunningInstance? instance))
            return;
        instance.Probe?.Dispose();
        instance.Probe = null;
        _parts.Delays.Cancel(instance);
        EndCommand(id, CommandKind.Reload);
    }

    public void Release(InstanceId id)
    {
        if (!_instances.Remove(id, out RunningInstance? instance))
            return;
        bool hadLeftovers = _withLeftovers.Remove(instance);
        bool mayServeAgain = instance.MainEnded && instance.Access == NotifyAccess.Main && !hadLeftovers;
        _parts.Delays.Cancel(instance);
        if (instance.Process is { } process && _mains.GetValueOrDefault(process.Pid) == instance)
            _mains.Remove(process.Pid);
        if (instance.HasLogPipe)
            _parts.Pump.Close(id.Number);
        Close(instance, mayServeAgain);
    }

    /// <summary>Reads what came for an instance, a batch at a time.</summary>
    public void ReadNotifications(RunningInstance instance) => ReadNotifications(instance, Limits.MessagesPerTurn);

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
                MainEnded(instance, status);
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

    private void MainEnded(RunningInstance instance, ExitStatus status)
    {
        // Its last words count: what it sent before it died is read first, however much it is.
        if (instance.Notify is not null)
            ReadNotifications(instance, most: 1024);
        _host.Channels.ReadLast(instance);
        if (!_instances.ContainsKey(instance.Id))
            return;
        instance.MainEnded = true;
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
        _host.Feed(new Event.CommandEnded(id, kind, status is { Code: 0, Signal: 0 }));
    }

    private void ProbeByCommand(RunningInstance instance, ImmutableArray<string> arguments, Action<RunningInstance, bool> answered)
    {
        PidFd? process = _parts.Launcher.StartCommand(instance, arguments, out _);
        if (process is null)
        {
            answered(instance, false);
            return;
        }
        _commands.Add(process.Pid, new RunningCommand(instance.Id, process, status => answered(instance, status is { Code: 0, Signal: 0 })));
    }

    private void ReadNotifications(RunningInstance instance, int most)
    {
        for (int i = 0; i < most && instance.Notify is { } socket; i++)
        {
            using NotifyMessage message = socket.Receive();
            if (!message.IsThere)
                return;
            Take(instance, message);
            if (!_instances.ContainsKey(instance.Id))
                return;
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
        ImmutableArray<DescriptorId> received = [];
        if (message.Descriptors.Count > 0)
            received = [.. Enumerable.Range(0, message.Descriptors.Count).Select(i => _host.Effects.Receive(message.Descriptors.Take(i)))];
        ImmutableArray<DescriptorId> duplicates = notification.IsStore && received.Length > 0 ? _host.Effects.FindDuplicates(instance.Id.Service, null, received) : [];
        _host.Feed(new Event.Notified(instance.Id, notification, message.Pid, message.Uid, received) { Duplicates = duplicates });
        if (notification.MainPid is { } pid && pid != instance.Process?.Pid)
            _host.Count("main-pid-refused");
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
        instance.Dispose();
    }

    /// <summary>A command beside an instance. <paramref name="onEnd"/> is called on the loop when it was reaped.</summary>
    private sealed class RunningCommand(InstanceId instance, PidFd process, Action<ExitStatus> onEnd)
    {
        public InstanceId Instance => instance;
        public PidFd Process => process;

        public void End(ExitStatus status)
        {
            process.Dispose();
            onEnd(status);
        }
    }
}
