using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Instances;
using Launchd.Host.Launching;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// The commands beside instances: those that the core orders, and probes. They are ordered here, born on other threads,
/// and known when the loop is told of their birth.
/// </summary>
internal sealed class InstanceCommands(
    RunningInstances instances, Launcher launcher, Births births, EventFeed events, ILogger logger) : IDisposable
{
    private readonly Dictionary<int, RunningCommand> _commands = [];
    private readonly HashSet<RunningCommand> _unborn = [];

    /// <summary>Told when a reload command has ended.</summary>
    public Action<InstanceId>? OnReloaded { get; init; }

    /// <summary>Whether all commands that were born have ended.</summary>
    public bool HaveEnded => _commands.Count == 0;

    /// <summary>A command runs, or is being born, for whose outcome the core waits.</summary>
    public bool AreAwaited => _commands.Values.Concat(_unborn).Any(c => c.Kind is not null);

    public bool IsKnown(int pid) => _commands.ContainsKey(pid);

    /// <summary>The instance beside which a command runs, and its kind; null: a process is no command's.</summary>
    public (InstanceId Instance, CommandKind? Kind)? Find(int pid) =>
        _commands.TryGetValue(pid, out RunningCommand? command) ? (command.Instance, command.Kind) : null;

    /// <summary>Whether a process is the main one of a command beside this instance.</summary>
    public bool IsOf(int pid, InstanceId instance) =>
        _commands.TryGetValue(pid, out RunningCommand? command) && command.Instance == instance;

    public void Run(InstanceId id, CommandKind kind, ImmutableArray<string> arguments)
    {
        string? refused = null;
        RunningInstance? instance = instances.Find(id);
        if (instance is not null)
            _ = Begin(instance, kind, arguments, status => TellEnd(id, kind, status), Refuse, out refused);
        else
            refused = "it is over";
        if (refused is not null)
            events.FeedResult(Failed(refused));

        void Refuse(string why) => events.Feed(Failed(why));

        Event.CommandEnded Failed(string why)
        {
            SupervisorLog.CommandFailed(logger, instance?.Label ?? id.ToString(), kind.ToString().ToLowerInvariant(), why);
            return new Event.CommandEnded(id, kind, Succeeded: false, $"cannot be run: {why}");
        }
    }

    /// <summary>Kills a command; its end is told as usual.</summary>
    public void Kill(InstanceId id, CommandKind kind)
    {
        foreach (RunningCommand command in _commands.Values.Concat(_unborn).Where(c => c.Instance == id && c.Kind == kind).ToArray())
            command.Kill();
    }

    public void KillAll()
    {
        foreach (RunningCommand command in _commands.Values.Concat(_unborn).ToArray())
            command.Kill();
    }

    /// <summary>Starts a command whose exit code is an answer about the instance.</summary>
    /// <param name="instance">The instance beside which the command runs.</param>
    /// <param name="arguments">Program and arguments.</param>
    /// <param name="ended">Called on the loop, once, when the command was reaped.</param>
    /// <param name="failed">Called on the loop, once, instead, when the command could not be started.</param>
    /// <param name="refused">Why null is returned; neither action is called then.</param>
    public IProbeCommand? StartBeside(
        RunningInstance instance, ImmutableArray<string> arguments, Action<ExitStatus> ended, Action<string> failed, out string? refused) =>
        Begin(instance, kind: null, arguments, ended, failed, out refused);

    /// <summary>A child was reaped: ends its command. False: it is no command.</summary>
    public bool TryEnd(int pid, ExitStatus status)
    {
        if (!_commands.Remove(pid, out RunningCommand? command))
            return false;
        command.End(status);
        return true;
    }

    public void Dispose()
    {
        foreach (RunningCommand command in _commands.Values)
            command.Dispose();
    }

    private RunningCommand? Begin(RunningInstance instance, CommandKind? kind, ImmutableArray<string> arguments, Action<ExitStatus> ended,
        Action<string> failed, out string? refused)
    {
        RunningCommand command = new(instance.Id, kind, ended);
        if (launcher.OrderCommand(instance, arguments, Born, out refused) is not { } order)
            return null;
        command.OnKillUnborn = () => births.GiveUp(order, "it is to end");
        _unborn.Add(command);
        births.Begin(order);
        return command;

        void Born(BirthOrder birth)
        {
            _unborn.Remove(command);
            if (birth.Failure is { } failure)
            {
                failed(Launcher.ReasonOf(instance.Id.Service, failure));
                return;
            }
            ProcessHandle process = birth.Child!;
            command.Process = process;
            _commands.Add(process.Pid, command);
            if (births.EarlyEndOf(birth) is { } early)
                _ = TryEnd(early.Pid, ExitStatusOf(early));
        }
    }

    private static ExitStatus ExitStatusOf(Reaped reaped) => new(reaped.Code, reaped.Signal, reaped.DumpedCore);

    private void TellEnd(InstanceId id, CommandKind kind, ExitStatus status)
    {
        bool succeeded = status is { Code: 0, Signal: 0 };
        if (!succeeded && instances.Find(id) is { } instance)
            SupervisorLog.CommandFailed(logger, instance.Label, kind.ToString().ToLowerInvariant() + " command", status.ToString());
        events.Feed(new Event.CommandEnded(id, kind, succeeded, succeeded ? null : status.ToString()));
        if (kind == CommandKind.Reload)
            OnReloaded?.Invoke(id);
    }

    /// <summary>
    /// A command beside an instance; its kind is null for a probe. <paramref name="onEnd"/> is called
    /// on the loop when the command was reaped.
    /// </summary>
    private sealed class RunningCommand(InstanceId instance, CommandKind? kind, Action<ExitStatus> onEnd) : IProbeCommand, IDisposable
    {
        public InstanceId Instance => instance;
        public CommandKind? Kind => kind;

        /// <summary>Null until it is born.</summary>
        public ProcessHandle? Process { get; set; }

        /// <summary>Gives up the birth of the command.</summary>
        public Action? OnKillUnborn { get; set; }

        // Before Linux 6.9 the group is killed by its number, which still means it, because the command was not reaped.
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
