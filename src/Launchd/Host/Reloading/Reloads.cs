using System.Collections.Immutable;
using System.Text;
using Launchd.Config.Comparing;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Reloading;

/// <summary>A caller who asked for a reload or a plan. The actions are called on the loop, exactly one of them, once.</summary>
/// <param name="Refused">Nothing was changed.</param>
/// <param name="Applied">
/// The new configuration holds. Returns the request with which the core answers what became of the services; null: nobody waits
/// for that. For a plan: gets what a reload would change.
/// </param>
internal sealed record ReloadCaller(Action<ReloadRefusal> Refused, Func<DefinitionDifference, RequestId?> Applied);

/// <summary>
/// Reloads the configuration as one transaction: everything is read, checked and opened beside the loop, and then the loop
/// switches within one turn, or nothing has changed. One reload at a time; callers that ask meanwhile wait, and the file is read
/// anew for each, because it may have been written since.
/// </summary>
internal sealed class Reloads(
    AdoptedConfiguration configuration, Supervisor core, EventFeed events, RunningInstances instances, DescriptorTable descriptors,
    ListenerGuard guard, RetiredListeners retired, ServiceListeners listeners, ControlListener control, Mailbox mailbox, LogPump pump,
    Journal journal, ILogger logger, Action<LogFormat, LogSeverity> adoptLog, Action<Action> onFirstThread)
    : IDisposable
{
    /// <summary>Callers that may wait for their turn.</summary>
    private const int MostWaiting = 32;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly Offload _offload = new(mailbox);
    private readonly Queue<Action> _waiting = new();
    private PreparedReload? _prepared;
    private bool _hangUpWaits;

    /// <summary>Called when a reload begins, not a plan. <see cref="OnOver"/> follows.</summary>
    public Action? OnBegun { get; set; }

    /// <summary>Called when a reload is over, with the reason why nothing was changed; null: the new configuration holds.</summary>
    public Action<string?>? OnOver { get; set; }

    /// <summary>The file that the supervisor was started with; null: there was none.</summary>
    public string? FilePath => configuration.Source?.FilePath;

    /// <summary>Reads the file that the supervisor was started with, and makes that configuration the present one.</summary>
    public void Ask(ReloadCaller caller) => Enqueue(caller, () => Begin(caller, null, opens: true));

    /// <summary>Tells what <see cref="Ask"/> would change.</summary>
    /// <param name="caller">Gets the answer.</param>
    /// <param name="file">Absolute path of another file that is to stand for the supervisor's own; null: that one.</param>
    public void Plan(ReloadCaller caller, string? file) => Enqueue(caller, () => Begin(caller, file, opens: false));

    /// <summary>
    /// SIGHUP asks for a reload: nobody waits for the answer, which is in the log. Several signals that come
    /// before the first is acted on count as one.
    /// </summary>
    public void HangUp()
    {
        if (_hangUpWaits)
            return;
        _hangUpWaits = true;
        ReloadCaller nobody = new(_ => { }, _ => null);
        // Above the limit too: only one waits, and who sent the signal may wait for the answer.
        _waiting.Enqueue(() =>
        {
            _hangUpWaits = false;
            Begin(nobody, null, opens: true);
        });
        Next();
    }

    public void Dispose()
    {
        _waiting.Clear();
        if (!descriptors.IsAboutToChange)
            return;
        // Sockets that were opened for a configuration that will never hold must not leave their paths behind.
        if (_offload.Join(Patience))
            Volatile.Read(ref _prepared)?.Descriptors?.Undo();
    }

    private void Enqueue(ReloadCaller caller, Action begin)
    {
        if (_waiting.Count >= MostWaiting)
        {
            caller.Refused(new ReloadRefusal($"{MostWaiting} reloads wait already: try again later", ExitCode.TimedOut));
            return;
        }
        _waiting.Enqueue(begin);
        Next();
    }

    private void Next()
    {
        if (!descriptors.IsAboutToChange && _waiting.TryDequeue(out Action? begin))
            begin();
    }

    private void Begin(ReloadCaller caller, string? file, bool opens)
    {
        if (opens)
            OnBegun?.Invoke();
        if (Hindrance() is { } hindrance)
        {
            Refuse(caller, hindrance, opens);
            Next();
            return;
        }
        ConfigSource own = configuration.Source!;
        ConfigSource source = own with { FilePath = file ?? own.FilePath, DisplayPath = file ?? own.FilePath };
        ReloadBasis basis = new(source, configuration.Definition, [.. descriptors.Sockets], [.. descriptors.Retired],
            [.. descriptors.Files], descriptors.Inherited, configuration.ExitWith, RolledBack());
        descriptors.IsAboutToChange = true;
        bool isBegun = _offload.TryRun(
            () => Prepare(basis, opens),
            defect => (null, RefusalFor(defect)),
            result =>
            {
                descriptors.IsAboutToChange = false;
                _prepared = null;
                Finish(caller, result.Prepared, result.Refusal, opens);
                retired.CloseUnused();
                Next();
            });
        if (isBegun)
            return;
        descriptors.IsAboutToChange = false;
        Refuse(caller, Worker.Refusal, opens);
        Next();
    }

    /// <summary>
    /// Services that run by another definition than the configuration's, because their last roll-out failed: a reload tries it again.
    /// </summary>
    private ImmutableHashSet<ServiceName> RolledBack()
    {
        Dictionary<ServiceName, ServiceDefinition> configured = configuration.Definition.Services.ToDictionary(d => d.Name);
        return [.. core.Services.Where(s => s is { Rollout: null, Reborn: null, IsLeaving: false }
            && configured.TryGetValue(s.Definition.Name, out ServiceDefinition? said) && !ReferenceEquals(said, s.Definition))
            .Select(s => s.Definition.Name)];
    }

    private (PreparedReload? Prepared, ReloadRefusal? Refusal) Prepare(ReloadBasis basis, bool opens)
    {
        PreparedReload? prepared = ReloadPreparation.Prepare(basis, opens, out ReloadRefusal? refusal);
        Volatile.Write(ref _prepared, prepared);
        return (prepared, refusal);
    }

    private static ReloadRefusal RefusalFor(Exception defect) =>
        new($"the supervisor met an error of its own: {Defect.DescribeWithStack(defect)}", ExitCode.InternalError);

    private string? Hindrance()
    {
        if (core.Frame.Shutdown is not null)
            return "the supervisor is shutting down";
        return configuration.Source is null ? "this supervisor was started without a file" : null;
    }

    private void Finish(ReloadCaller caller, PreparedReload? prepared, ReloadRefusal? refusal, bool opens)
    {
        if (prepared is null)
        {
            Refuse(caller, refusal!, opens);
            return;
        }
        if (!opens)
        {
            _ = caller.Applied(prepared.Difference);
            return;
        }
        string? reason = Hindrance();
        if (reason is not null)
            prepared.Descriptors!.Undo();
        reason ??= Switch(prepared, caller);
        if (reason is not null)
            Refuse(caller, new ReloadRefusal(reason, ExitCode.Failed), opens);
        else
            OnOver?.Invoke(null);
    }

    /// <summary>The turn of the loop in which the new configuration begins to hold.</summary>
    private string? Switch(PreparedReload prepared, ReloadCaller caller)
    {
        SupervisorDefinition before = configuration.Definition;
        if (control.Change(prepared.Definition.ControlMode, prepared.ControlOwner) is { } noMode)
        {
            prepared.Descriptors!.Undo();
            return $"supervisor.control_mode: {noMode}";
        }
        retired.ServeLast(prepared.Descriptors!.Leaving(descriptors));
        if (prepared.Descriptors.Commit(descriptors, out ImmutableArray<(string Key, OpenedListener Listener)> opened) is { } refused)
        {
            retired.ResumeAll();
            PathOwner owner = descriptors.Users.OwnerOf("supervisor.control_user", before.ControlUser, before.ControlGroup);
            _ = control.Change(before.ControlMode, owner);
            return refused;
        }
        foreach (Listener revived in prepared.Descriptors.Revived)
            retired.Resume(revived);
        configuration.Definition = prepared.Definition;
        Adopt(before, prepared, opened);
        RequestId request = caller.Applied(prepared.Difference) ?? events.NextOwnRequest();
        if (!prepared.Difference.IsEmpty)
        {
            // Before the core's step, so that its orders about an instance are carried out by the instance's new policies.
            AdoptQuiet(before, prepared);
            events.Feed(new Event.Reloaded(prepared.Definition, request) { Quiet = prepared.Quiet });
        }
        listeners.Rewatch();
        guard.Adopt();
        guard.HolderEnded();
        return null;
    }

    private void Adopt(SupervisorDefinition before, PreparedReload prepared, ImmutableArray<(string Key, OpenedListener Listener)> opened)
    {
        SupervisorDefinition next = prepared.Definition;
        if (before.LogFormat != next.LogFormat || before.LogLevel != next.LogLevel)
            adoptLog(next.LogFormat, next.LogLevel);
        if (before.ProcessName != next.ProcessName)
            onFirstThread(() => ProcessName(next.ProcessName));
        pump.KnowServices(next.Services.Select(s => (s.Name.Text, s.InstanceCount)));
        foreach (Diagnostic warning in prepared.Warnings)
            SupervisorLog.Configuration(logger, warning.ToString());
        foreach ((string key, OpenedListener listener) in opened)
            journal.Add(new ListenerOpened(key, listener.Address));
        ConfigurationReloaded reloaded = ConfigurationReloaded.Of(prepared.Difference);
        journal.Add(reloaded);
        SupervisorLog.Reloaded(logger, next.ConfigPath, reloaded.Added.Length, reloaded.Changed.Length, reloaded.Removed.Length);
    }

    /// <summary>Gives running instances the new policies: how they are stopped, and how they are looked after.</summary>
    private void AdoptQuiet(SupervisorDefinition before, PreparedReload prepared)
    {
        HashSet<ServiceName> quiet = [.. prepared.Quiet];
        Dictionary<ServiceName, ServiceDefinition> former = before.Services.Where(s => quiet.Contains(s.Name)).ToDictionary(s => s.Name);
        Dictionary<ServiceName, ServiceDefinition> next =
            prepared.Definition.Services.Where(s => quiet.Contains(s.Name)).ToDictionary(s => s.Name);
        foreach (RunningInstance instance in instances.All.Where(i => quiet.Contains(i.Id.Service)))
        {
            // An instance of an older generation ends by the rules that it began with.
            if (ReferenceEquals(instance.Definition, former[instance.Id.Service]))
                instance.Provision = descriptors.Provisions[next[instance.Id.Service]];
        }
    }

    private void Refuse(ReloadCaller caller, string reason, bool opens) =>
        Refuse(caller, new ReloadRefusal(reason, ExitCode.Failed), opens);

    private void Refuse(ReloadCaller caller, ReloadRefusal refusal, bool opens)
    {
        if (opens)
        {
            journal.Add(new ReloadRefused(refusal.Reason));
            SupervisorLog.ReloadRefused(logger, refusal.Reason);
            // Whoever reads only the log has to see what to mend.
            foreach (string line in refusal.Diagnostics?.TrimEnd('\n').Split('\n') ?? [])
                SupervisorLog.Configuration(logger, line);
        }
        caller.Refused(refusal);
        if (opens)
            OnOver?.Invoke(refusal.Reason);
    }

    // prctl(2) names the thread that calls it, and a process is called what its first thread is. The file of /proc that names another
    // thread belongs to root while the supervisor is not dumpable.
    private static unsafe void ProcessName(string name)
    {
        fixed (byte* text = Encoding.UTF8.GetBytes(name + "\0"))
            _ = Libc.prctl(Libc.PR_SET_NAME, (nuint)text, 0, 0, 0);
    }
}
