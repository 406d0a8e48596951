using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using Launchd.Addresses;
using Launchd.Config.Reading;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Comparing;

/// <summary>
/// A definition taken apart into the keys of its table, each with its value as text: by these, two definitions are
/// compared and their differences are shown. A key without a value is null, a key of one variable or limit has its name
/// behind a dot (<c>environment.PATH</c>), so that a change shows just that one. Texts are for people: different values
/// have different texts, but nothing reads the texts back.
/// </summary>
internal static class DefinitionTexts
{
    private static readonly SearchValues<char> NeedsQuotes = SearchValues.Create(" \t\n\"'\\");

    public static IEnumerable<(string Key, string? Text)> Of(ListenerDefinition listener)
    {
        SocketOptions options = listener.Options;
        yield return ("listen", List(listener.Addresses.Select(a => a.ToString())));
        yield return ("name", listener.Name);
        yield return ("backlog", Number(listener.BacklogCount));
        yield return ("mode", Mode(listener.Mode));
        yield return ("user", listener.User);
        yield return ("group", listener.Group);
        yield return ("directory_mode", Mode(listener.DirectoryMode));
        yield return ("symlinks", List(listener.Symlinks));
        yield return ("remove_on_stop", Flag(listener.RemoveOnStop));
        yield return ("keep_options", Flag(listener.KeepOptions));
        yield return ("pin_path", Flag(listener.PinPath));
        yield return ("shards", Number(listener.ShardCount));
        yield return ("ipv6_only", options.Ipv6Only is { } only ? Flag(only) : null);
        yield return ("free_bind", Flag(options.FreeBind));
        yield return ("transparent", Flag(options.Transparent));
        yield return ("bind_to_device", options.BindToDevice);
        yield return ("mark", Number(options.Mark));
        yield return ("priority", Number(options.Priority));
        yield return ("tos", Number(options.TypeOfService));
        yield return ("ttl", Number(options.TimeToLive));
        yield return ("congestion", options.Congestion);
        yield return ("no_delay", Flag(options.NoDelay));
        yield return ("keep_alive", options.KeepAlive is { } keep
            ? $"idle {Time(keep.Idle) ?? "-"}, interval {Time(keep.Interval) ?? "-"}, probes {Number(keep.ProbeCount) ?? "-"}" : null);
        yield return ("defer_accept", Time(options.DeferAccept));
        yield return ("fast_open", Number(options.FastOpenCount));
        yield return ("receive_buffer", Size(options.ReceiveBufferBytes));
        yield return ("send_buffer", Size(options.SendBufferBytes));
        yield return ("pass_credentials", Flag(options.PassCredentials));
        yield return ("pass_pidfd", Flag(options.PassPidfd));
        yield return ("pass_rights", Flag(options.PassRights));
        yield return ("non_blocking", Flag(options.NonBlocking));
        yield return ("trigger_limit", listener.TriggerLimit is { } limit ? Limit(limit) : null);
        yield return ("max_connections", Number(listener.MaxConnectionCount));
        yield return ("max_connections_per_source", Number(listener.MaxConnectionsPerSourceCount));
    }

    public static IEnumerable<(string Key, string? Text)> Of(FileDefinition file)
    {
        switch (file)
        {
            case FileDefinition.Opened opened:
                yield return ("path", opened.FilePath);
                yield return ("open", Word(opened.Access.ToString()));
                yield return ("create", opened.CreateMode is { } mode ? Mode(mode) : null);
                yield return ("truncate", Flag(opened.Truncate));
                yield return ("user", opened.User);
                yield return ("group", opened.Group);
                yield return ("reopen", Flag(opened.Reopen));
                break;
            case FileDefinition.Directory directory:
                yield return ("directory", directory.DirectoryPath);
                break;
            case FileDefinition.Memory memory:
                yield return ("memory", Size(memory.SizeBytes));
                yield return ("seal",
                    List([.. Named(memory.SealShrink, "shrink"), .. Named(memory.SealGrow, "grow"), .. Named(memory.SealWrite, "write")]));
                break;
            case FileDefinition.Connected connected:
                yield return ("connect", connected.Target.ToString());
                break;
        }
    }

    public static IEnumerable<(string Key, string? Text)> Of(SupervisorDefinition supervisor)
    {
        yield return ("name", supervisor.Name);
        yield return ("runtime_directory", supervisor.RuntimeDirectory);
        yield return ("control_mode", Mode(supervisor.ControlMode));
        yield return ("control_user", supervisor.ControlUser);
        yield return ("control_group", supervisor.ControlGroup);
        yield return ("process_name", supervisor.ProcessName);
        yield return ("log_format", Word(supervisor.LogFormat.ToString()));
        yield return ("log_level", Word(supervisor.LogLevel.ToString()));
        yield return ("shutdown_timeout", Time(supervisor.ShutdownTimeout));
        yield return ("keeper", Flag(supervisor.Keeper));
    }

    public static IEnumerable<(string Key, string? Text)> Of(ServiceDefinition service) =>
        Surface(service).Concat(Of(service.Execution)).Concat(Policy(service));

    private static IEnumerable<(string Key, string? Text)> Surface(ServiceDefinition service)
    {
        yield return ("description", service.Description);
        yield return ("command", Command(service.Command));
        yield return ("sockets", List(service.Sockets));
        yield return ("files", List(service.Files));
        yield return ("start", Word(service.Start.ToString()));
        yield return ("instances", Number(service.InstanceCount));
        yield return ("requires", List(service.Requires.Select(n => n.Text)));
        yield return ("wants", List(service.Wants.Select(n => n.Text)));
        yield return ("after", List(service.After.Select(n => n.Text)));
        yield return ("before", List(service.Before.Select(n => n.Text)));
        yield return ("terminal", Flag(service.HasTerminal));
        yield return ("input", service.Input switch
        {
            InputSource.File file => "file:" + file.FilePath,
            InputSource.Socket => "socket",
            InputSource.Open => "open",
            _ => "null",
        });
        yield return ("output", Output(service.Output));
        yield return ("error", Output(service.Error));
        yield return ("ready", Ready(service.Ready));
        yield return ("watchdog", Time(service.Watchdog));
        yield return ("fd_store", Number(service.FdStoreCount));
        yield return ("notify_access", Word(service.NotifyAccess.ToString()));
        yield return ("listen_environment", Flag(service.ListenEnvironment));
        yield return ("log", (service.Log is { } log
            ? $"{Spelled(log.FilePath)}, max_size {Size(log.MaxSizeBytes)}, keep {log.KeepCount}, timestamps {Flag(log.Timestamps)}, "
                + string.Concat(((string[])[.. Pair("user", log.User), .. Pair("group", log.Group),
                    .. Pair("mode", log.Mode is { } mode ? Mode(mode) : null)]).Select(p => p + ", ")) : "")
            + $"max_line {Size(service.LongestLineBytes)}");
    }

    private static IEnumerable<(string Key, string? Text)> Of(Execution execution)
    {
        // Values of variables may be secrets: they are compared and never shown.
        foreach (EnvironmentVariable variable in execution.Environment)
            yield return (DefinitionDifference.SecretPrefix + variable.Name, (variable.IsPassed ? "passed " : "") + variable.Value);
        yield return ("environment_files", List(execution.EnvironmentFiles.Select(f => (f.IsOptional ? "-" : "") + f.FilePath)));
        yield return ("working_directory", execution.WorkingDirectory);
        yield return ("umask", Mode(execution.Umask));
        yield return ("user", execution.User);
        yield return ("group", execution.Group);
        yield return ("supplementary_groups", List(execution.SupplementaryGroups));
        foreach (ResourceLimit limit in execution.Limits)
        {
            string soft = Resource(limit.Soft), hard = Resource(limit.Hard);
            yield return ("limits." + Word(limit.Kind.ToString()), soft == hard ? soft : $"{soft}:{hard}");
        }
        yield return ("nice", Number(execution.Nice));
        yield return ("oom_score_adjust", Number(execution.OomScoreAdjust));
        yield return ("capabilities", execution.Capabilities is { } set ? CapabilityParser.Show(set) ?? "none" : null);
        yield return ("ambient_capabilities", CapabilityParser.Show(execution.AmbientCapabilities));
        yield return ("no_new_privileges", Flag(execution.NoNewPrivileges));
        yield return ("parent_death_signal", execution.ParentDeathSignal?.ToString());
        yield return ("ignore_sigpipe", Flag(execution.IgnoreSigpipe));
        yield return ("cgroup", execution.Cgroup is { } group
            ? List([.. Pair("memory_max", group.MemoryMax), .. Pair("memory_high", group.MemoryHigh),
                .. Pair("cpu_max", group.CpuMax), .. Pair("pids_max", group.PidsMax), .. Pair("io_weight", group.IoWeight)])
            : null);
    }

    private static IEnumerable<(string Key, string? Text)> Policy(ServiceDefinition service)
    {
        yield return ("ready_timeout", Time(service.ReadyTimeout));
        yield return ("health", service.Health is { } health
            ? $"{Target(health.Target)}, interval {Time(health.Interval)}, timeout {Time(health.Timeout)}, "
                + $"failures {health.FailureCount}"
            : null);
        yield return ("restart", Word(service.Restart.ToString()));
        BackoffPolicy backoff = service.Backoff;
        yield return ("backoff", string.Create(CultureInfo.InvariantCulture,
            $"initial {Time(backoff.Initial)}, factor {backoff.Factor}, max {Time(backoff.Max)}, jitter {backoff.Jitter}, " +
            $"reset_after {Time(backoff.ResetAfter)}"));
        yield return ("start_limit", Limit(service.StartLimit));
        yield return ("success_exit",
            List([.. service.SuccessCodes.Select(c => Number(c)!), .. service.SuccessSignals.Select(s => s.ToString())]));
        yield return ("stop_signal", service.Stop.Signal.ToString());
        yield return ("stop_timeout", Time(service.Stop.Timeout));
        yield return ("stop_command", Command(service.Stop.Command));
        yield return ("kill", Word(service.Stop.Kill.ToString()));
        yield return ("reload", service.Reload switch
        {
            ReloadAction.Signal signal => signal.Number.ToString(),
            ReloadAction.Command command => Command(command.Arguments),
            _ => null,
        });
        yield return ("idle_timeout", Time(service.IdleTimeout));
        yield return ("update", Word(service.Update.ToString()));
        RolloutPolicy rollout = service.Rollout;
        yield return ("rollout",
            $"surge {rollout.SurgeCount}, unavailable {rollout.UnavailableCount}, prove {Time(rollout.Prove)}, "
                + $"on_failure {Word(rollout.OnFailure.ToString())}");
        yield return ("fd_store_keep", Word(service.FdStoreKeep.ToString()));
        yield return ("share", List(service.Share.Select(s => $"{s.Pattern} to {string.Join('+', s.Services)}")));
        yield return ("request", List(service.Request.Select(r => $"{r.Service}/{r.Pattern}")));
    }

    /// <summary><c>/usr/bin/web --name "a b" ${slot}</c>.</summary>
    public static string? Command(ImmutableArray<string> words) => words.IsEmpty ? null : string.Join(' ', words.Select(w =>
    {
        string word = Spelled(w);
        return word.Length == 0 || word.AsSpan().ContainsAny(NeedsQuotes) ? Quoted(word) : word;
    }));

    /// <summary>As in the file, where a literal dollar is written as two.</summary>
    private static string Spelled(string text) =>
        Placeholders.Resolve(text.Replace("$", "$$", StringComparison.Ordinal), name => $"${{{name}}}");

    private static string Ready(Readiness ready) => ready switch
    {
        Readiness.Notify => "notify",
        Readiness.Exited => "exited",
        Readiness.Descriptor descriptor => $"descriptor {descriptor.Number}",
        Readiness.Output output => $"output \"{output.Pattern}\"",
        Readiness.Probed probed => Target(probed.Target),
        _ => "spawned",
    };

    private static string Target(ProbeTarget target) => target switch
    {
        ProbeTarget.Http { IsLocalhost: true } http => $"http://{http.Host}{http.PathAndQuery}",
        ProbeTarget.Http http =>
            $"http://{http.Host}{http.PathAndQuery}" + (http.Host == http.EndPoint.ToString() ? "" : $" at {http.EndPoint}"),
        ProbeTarget.Tcp { IsLocalhost: true } tcp => $"tcp://localhost:{tcp.EndPoint.Port}",
        ProbeTarget.Tcp tcp => $"tcp://{tcp.EndPoint}",
        ProbeTarget.Unix unix => $"unix:{unix.SocketPath}",
        ProbeTarget.Command command => Command(command.Arguments)!,
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private static string Output(OutputTarget output) => output switch
    {
        OutputTarget.File file => "file:" + file.FilePath,
        OutputTarget.Inherit => "inherit",
        OutputTarget.Null => "null",
        OutputTarget.Socket => "socket",
        _ => "log",
    };

    private static string Limit(RateLimit limit) => limit.IsUnlimited ? "none" : $"{limit.Burst} within {Time(limit.Interval)}";

    private static string Resource(ulong value) =>
        value == ResourceLimit.Infinity ? "infinity" : value.ToString(CultureInfo.InvariantCulture);

    private static string Mode(int mode) => Convert.ToString(mode, 8).PadLeft(4, '0');

    private static string? Number(long? number) => number?.ToString(CultureInfo.InvariantCulture);

    private static string Flag(bool isOn) => isOn ? "true" : "false";

    private static string? List(IEnumerable<string> items) =>
        string.Join(", ", items.Select(i => i.AsSpan().ContainsAny(",\"") ? Quoted(i) : i)) is { Length: > 0 } list ? list : null;

    private static string Quoted(string text) =>
        $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    private static IEnumerable<string> Named(bool isThere, string name) => isThere ? [name] : [];

    private static IEnumerable<string> Pair(string name, string? value) => value is null ? [] : [$"{name} {value}"];

    private static string? Time(TimeSpan? time) => time is { } span ? Quantities.Show(span) : null;

    private static string? Size(long? bytes) => bytes is { } size ? Quantities.ShowSize(size) : null;

    /// <summary>OnFailure to <c>on-failure</c>.</summary>
    private static string Word(string name) =>
        string.Concat(name.Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : c.ToString()));
}
