using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Interop;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>How instances, and commands beside them, come to live: ordered here, born on other threads, and known from when that is told.</summary>
internal sealed unsafe partial class InstanceTable
{
    private readonly Dictionary<InstanceId, BirthOrder> _unborn = [];
    private readonly HashSet<RunningCommand> _unbornCommands = [];

    /// <summary>
    /// Orders the birth of an instance. <see cref="Event.Spawned"/> or <see cref="Event.SpawnFailed"/> follows, as a result if it is refused at once.
    /// </summary>
    /// <param name="spawn">The core's order.</param>
    /// <param name="connectionTaken">Accepted for it; null: none.</param>
    /// <param name="preparedTaken">Made for it.</param>
    /// <param name="stored">Of its service's store, borrowed.</param>
    /// <param name="keep">Takes the connection back, of an instance for which there is no room; its number for the core.</param>
    public void Begin(Effect.Spawn spawn, AcceptedConnection? connectionTaken, Preparations.Preparation preparedTaken,
        IReadOnlyList<(string, FileDescriptor)> stored, Func<AcceptedConnection, ConnectionId> keep)
    {
        Provision provision = _parts.Descriptors.Provisions[spawn.Definition];
        RunningInstance instance = new(spawn.Instance, spawn.Slot, spawn.Generation, provision);
        AcceptedConnection? connection = connectionTaken;
        // What was given to others may have been spoilt by them: looked at before it is handed out again.
        if (connection is null)
            _host.Guard.Check(provision, spawn.Slot);
        BirthOrder? order = null;
        try
        {
            order = _parts.Launcher.Order(instance, connection, preparedTaken, stored, () => ReadyByOutput(instance),
                birth => Born(instance, birth, Refused), Clean, out Failure.SpawnFailed? refusal);
            if (order is null)
                _host.Events.FeedResult(Refused(refusal!));
        }
        finally
        {
            // Also of what threw, whose failure is told by who called.
            if (order is null)
            {
                Close(instance, mayServeAgain: true);
                Clean();
            }
        }
        if (order is null)
            return;
        _unborn.Add(instance.Id, order);
        _parts.Births.Begin(order);

        Event.SpawnFailed Refused(Failure.SpawnFailed failure)
        {
            if (!failure.IsShortage || connection is null)
                return new Event.SpawnFailed(spawn.Instance, failure);
            ConnectionId kept = keep(connection);
            connection = null;
            return new Event.SpawnFailed(spawn.Instance, failure, kept);
        }

        // The child has copies of both: a connection must end when the child closes it.
        void Clean()
        {
            connection?.Dispose();
            preparedTaken.Dispose();
        }
    }

    /// <summary>What hangs is not waited for any longer.</summary>
    public void EndBirth(InstanceId id)
    {
        if (_unborn.TryGetValue(id, out BirthOrder? order))
            order.IsToEnd = true;
    }

    private void Born(RunningInstance instance, BirthOrder birth, Func<Failure.SpawnFailed, Event.SpawnFailed> refused)
    {
        _unborn.Remove(instance.Id);
        if (birth.Failure is { } failure)
        {
            Close(instance, mayServeAgain: true);
            _host.Events.Feed(refused(failure));
            return;
        }
        PidFd process = birth.Child!;
        instance.Process = process;
        instance.Group = process.Pid;
        _running.Add(instance);
        _mains.Add(process.Pid, instance);
        _trees.Orphans.Forget(process.Pid);
        _trees.Orphans.Add(instance);
        _host.Channels.Open(instance);
        if (instance.ReadyPipe is { } pipe)
            AwaitLine(instance, pipe);
        _host.Events.Feed(new Event.Spawned(instance.Id, process.Pid));
        if (instance.WasReadyUnborn)
            _host.Events.Feed(new Event.ReadinessMet(instance.Id));
        if (instance.Notify is { } notify)
            _parts.NotifySockets.Listen(notify);
        NoteEarlyEnd(birth, process);
    }

    public void RunCommand(InstanceId id, CommandKind kind, ImmutableArray<string> arguments)
    {
        string? refused = null;
        RunningInstance? instance = _running.Find(id);
        if (instance is not null)
            _ = Begin(instance, kind, arguments, status => CommandEnded(id, kind, status), Refuse, out refused);
        else
            refused = "it is over";
        if (refused is not null)
            _host.Events.FeedResult(Failed(refused));

        void Refuse(string why) => _host.Events.Feed(Failed(why));

        Event.CommandEnded Failed(string why)
        {
            SupervisorLog.CommandFailed(_parts.Logger, instance?.Label ?? id.ToString(), kind.ToString().ToLowerInvariant(), why);
            return new Event.CommandEnded(id, kind, Succeeded: false, $"cannot be run: {why}");
        }
    }

    public void EndCommand(InstanceId id, CommandKind kind)
    {
        foreach (RunningCommand command in _commands.Values.Concat(_unbornCommands).Where(c => c.Instance == id && c.Kind == kind).ToArray())
            command.Kill();
    }

    /// <summary>Starts a command whose exit code is an answer about the instance.</summary>
    /// <param name="instance">Beside which.</param>
    /// <param name="arguments">Program and arguments.</param>
    /// <param name="ended">Called on the loop, once, when it was reaped.</param>
    /// <param name="failed">Called on the loop, once, instead: it never ran.</param>
    /// <param name="refused">Why null is returned; nothing is called then.</param>
    public IProbeCommand? StartBeside(
        RunningInstance instance, ImmutableArray<string> arguments, Action<ExitStatus> ended, Action<string> failed, out string? refused) =>
        Begin(instance, kind: null, arguments, ended, failed, out refused);

    private RunningCommand? Begin(RunningInstance instance, CommandKind? kind, ImmutableArray<string> arguments, Action<ExitStatus> ended,
        Action<string> failed, out string? refused)
    {
        RunningCommand command = new(instance.Id, kind, ended);
        if (_parts.Launcher.OrderCommand(instance, arguments, Born, out refused) is not { } order)
            return null;
        command.OnKillUnborn = () => _parts.Births.GiveUp(order, "it is to end");
        _unbornCommands.Add(command);
        _parts.Births.Begin(order);
        return command;

        void Born(BirthOrder birth)
        {
            _unbornCommands.Remove(command);
            if (birth.Failure is { } failure)
            {
                failed(Launcher.ReasonOf(instance.Id.Service, failure));
                return;
            }
            PidFd process = birth.Child!;
            command.Process = process;
            _commands.Add(process.Pid, command);
            NoteEarlyEnd(birth, process);
        }
    }

    // Its first line may come by the pump before its birth is told.
    private void ReadyByOutput(RunningInstance instance)
    {
        if (_unborn.ContainsKey(instance.Id))
            instance.WasReadyUnborn = true;
        else
            _host.Events.Feed(new Event.ReadinessMet(instance.Id));
    }

    private void NoteEarlyEnd(BirthOrder birth, PidFd process)
    {
        if (birth.Ended is { } early)
            Ended(early);
        else if (_parts.Births.Carrier == SpawnCarrier.Exec && process.Signal(0) == Errno.ESRCH)
            Ended(new Reaped(process.Pid, 0, 0, DumpedCore: false)); // reaped before its helper's pid was known
    }

    private void CommandEnded(InstanceId id, CommandKind kind, ExitStatus status)
    {
        bool succeeded = status is { Code: 0, Signal: 0 };
        if (!succeeded && _running.Find(id) is { } instance)
            SupervisorLog.CommandFailed(_parts.Logger, instance.Label, kind.ToString().ToLowerInvariant() + " command", status.ToString());
        _host.Events.Feed(new Event.CommandEnded(id, kind, succeeded, succeeded ? null : status.ToString()));
    }

    /// <summary>A command beside an instance; its kind is null for a probe. <paramref name="onEnd"/> is called on the loop when it was reaped.</summary>
    private sealed class RunningCommand(InstanceId instance, CommandKind? kind, Action<ExitStatus> onEnd) : IProbeCommand, IDisposable
    {
        public InstanceId Instance => instance;
        public CommandKind? Kind => kind;

        /// <summary>Null until it is born.</summary>
        public PidFd? Process { get; set; }

        /// <summary>Gives up its birth.</summary>
        public Action? OnKillUnborn { get; set; }

        // Before Linux 6.9 by the number, which is still its own: it was not reaped.
        public void Kill()
        {
            if (Process is not { } process)
                OnKillUnborn?.Invoke();
            else if (process.SignalGroup(SignalNumber.Kill.Value) == Errno.EINVAL)
                _ = Libc.kill(-process.Pid, SignalNumber.Kill.Value);
        }

        public void End(ExitStatus status)
        {
            Process?.Dispose();
            onEnd(status);
        }

        public void Dispose() => Process?.Dispose();
    }
}
