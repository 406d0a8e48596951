using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>A service with the table from which it was read, for checks that need to know places.</summary>
/// <param name="Definition">As read, before the checks across services.</param>
/// <param name="Table">Its own table.</param>
/// <param name="Defaults">The table <c>[defaults]</c>, if there is one.</param>
internal sealed record ServiceEntry(ServiceDefinition Definition, TableReader Table, TableReader? Defaults)
{
    /// <summary>
    /// The table with the key that holds for this service: its own table or the defaults; its own if neither has the key.
    /// </summary>
    public TableReader TableWith(string key) => !Table.Has(key) && Defaults is { } defaults && defaults.Has(key) ? defaults : Table;

    public bool Has(string key) => TableWith(key).Has(key);
}

/// <summary>
/// Reads <c>[services.NAME]</c> and <c>[defaults]</c>. The defaults are read once into a definition on which every service is based, so
/// that services which do not differ share its parts.
/// </summary>
internal static class ServiceReader
{
    /// <summary>The values of a configuration without <c>[defaults]</c>. An empty working directory: that of the service's file.</summary>
    public static ServiceDefinition BuiltIn(ConfigSource source) => new()
    {
        Name = default,
        Command = [],
        Execution = new Execution { Environment = ExecutionReader.BaseEnvironment(source), WorkingDirectory = "" },
        Update = UpdateKind.Replace,
    };

    /// <summary>Reads <c>[defaults]</c>.</summary>
    public static ServiceDefinition ReadDefaults(TableReader table, ServiceDefinition builtIn)
    {
        foreach (string key in KnownKeys.ServiceOnly.Where(key => table.Take(key) is not null))
            table.Error(DiagnosticCode.KeyNotAllowedHere, key, "belongs to one service", $"write it into [services.NAME]");
        ServiceDefinition read = ReadKeys(table, builtIn, new OwnKeys { Name = default, Command = [] });
        // Only a written working directory is one for all: else each service starts in the directory of its own file.
        if (!table.Has("working_directory"))
            read = read with { Execution = read.Execution with { WorkingDirectory = "" } };
        NotBuiltYet.CheckService(table);
        table.ReportUnknown(KnownKeys.Defaults);
        return read;
    }

    /// <summary>Reads one service.</summary>
    /// <param name="table">Its table.</param>
    /// <param name="based">The values of keys that the table does not have.</param>
    /// <param name="defaults">The table from which <paramref name="based"/> was read.</param>
    public static ServiceEntry Read(TableReader table, ServiceDefinition based, TableReader? defaults)
    {
        bool Lacks(string key) => !table.Has(key) && defaults?.Has(key) != true;
        OwnKeys own = new()
        {
            Name = new ServiceName(table.Context.Shared(table.Name)!),
            Command = table.Command("command", [], PlaceholderUse.Instance),
            Sockets = ReadNames(table, "sockets"),
            Files = ReadNames(table, "files"),
            FollowsSockets = Lacks("update"),
            FollowsNotifications = Lacks("ready"),
            FollowsOutput = Lacks("error"),
        };
        ServiceDefinition service = ReadKeys(table, based, own);
        if (service.IsJob)
            service = AsJob(service, Lacks);
        if (service.Log is { } log)
            service = service with { Log = log.Of(service.Name) };
        if (table.Lacks("command", KnownKeys.Service))
            table.ErrorHere(DiagnosticCode.KeyMissing, "the key 'command' is missing", "write command = [\"program\", \"argument\"]");
        NotBuiltYet.CheckService(table);
        table.ReportUnknown(KnownKeys.Service);
        return new ServiceEntry(service, table, defaults);
    }

    /// <summary>
    /// What is written nowhere means something else for a job: it is not started again, may take its time, and has not succeeded if a
    /// signal ended it. It is exchanged in its place, and a failed one is not followed by the former one, which would run once more.
    /// </summary>
    private static ServiceDefinition AsJob(ServiceDefinition service, Func<string, bool> lacks) => service with
    {
        Restart = lacks("restart") ? RestartKind.Never : service.Restart,
        ReadyTimeout = lacks("ready_timeout") ? TimeSpan.Zero : service.ReadyTimeout,
        SuccessSignals = lacks("success_exit") ? [] : service.SuccessSignals,
        Update = lacks("update") ? UpdateKind.Replace : service.Update,
        Rollout = service.Rollout with { OnFailure = RolloutFailure.Continue },
    };

    private static ServiceDefinition ReadKeys(TableReader table, ServiceDefinition based, in OwnKeys own)
    {
        (ImmutableArray<int> successCodes, ImmutableArray<SignalNumber> successSignals) = PolicyReader.SuccessExit(table, based);
        StandardStreams streams = StandardStreamReader.Read(table, based, own.FollowsOutput);
        TimeSpan? watchdog = table.DurationOrNone("watchdog", based.Watchdog);
        int fdStoreCount = table.Int("fd_store", based.FdStoreCount, 0, 1024);
        (LogPolicy? log, int longestLineBytes) = PolicyReader.Log(table, based);
        bool notifies = own.FollowsNotifications && (watchdog is not null || fdStoreCount > 0);
        return based with
        {
            Name = own.Name,
            Command = own.Command,
            Sockets = own.Sockets,
            Files = own.Files,
            Description = table.String("description", based.Description),
            Start = table.Choice(
                "start", based.Start, ("boot", StartKind.Boot), ("demand", StartKind.Demand), ("connection", StartKind.Connection),
                ("manual", StartKind.Manual)),
            InstanceCount = table.Int("instances", based.InstanceCount, 1, 1000),
            Requires = ReadServices(table, "requires", based.Requires),
            Wants = ReadServices(table, "wants", based.Wants),
            After = ReadServices(table, "after", based.After),
            Before = ReadServices(table, "before", based.Before),
            Execution = ExecutionReader.Read(table, based.Execution),
            HasTerminal = streams.AreTerminal,
            Input = streams.Input,
            Output = streams.Output,
            Error = streams.Error,
            Ready = notifies ? Readiness.Notify.Value : ReadinessReader.Read(table) ?? based.Ready,
            ReadyTimeout = table.Duration("ready_timeout", based.ReadyTimeout),
            Health = ReadinessReader.ReadHealth(table, based.Health),
            Watchdog = watchdog,
            Restart = table.Choice(
                "restart", based.Restart, ("always", RestartKind.Always),
                ("on-failure", RestartKind.OnFailure), ("never", RestartKind.Never)),
            Backoff = PolicyReader.Backoff(table, based.Backoff),
            StartLimit = PolicyReader.RateLimit(table, "start_limit", based.StartLimit, based.StartLimit)!,
            SuccessCodes = successCodes,
            SuccessSignals = successSignals,
            Stop = PolicyReader.Stop(table, based.Stop),
            Reload = PolicyReader.Reload(table, based.Reload),
            IdleTimeout = table.DurationOrNone("idle_timeout", based.IdleTimeout),
            Update = own.FollowsSockets && !own.Sockets.IsEmpty
                ? UpdateKind.Overlap
                : table.Choice("update", based.Update, ("overlap", UpdateKind.Overlap), ("replace", UpdateKind.Replace)),
            Rollout = PolicyReader.Rollout(table, based.Rollout),
            FdStoreCount = fdStoreCount,
            FdStoreKeep = table.Choice(
                "fd_store_keep", based.FdStoreKeep, ("restart", FdStoreKeep.Restart), ("always", FdStoreKeep.Always)),
            Share = SharingReader.Share(table, based.Share),
            Request = SharingReader.Request(table, based.Request),
            NotifyAccess = table.Choice(
                "notify_access", based.NotifyAccess, ("main", NotifyAccess.Main), ("all", NotifyAccess.All), ("none", NotifyAccess.None)),
            ListenEnvironment = table.Bool("listen_environment", based.ListenEnvironment),
            Log = log,
            LongestLineBytes = longestLineBytes,
        };
    }

    private static ImmutableArray<ServiceName> ReadServices(TableReader table, string key, ImmutableArray<ServiceName> fallback) =>
        table.Has(key) ? [.. ReadNames(table, key).Select(n => new ServiceName(n))] : fallback;

    private static ImmutableArray<string> ReadNames(TableReader table, string key)
    {
        if (!table.Has(key))
            return [];
        List<string> names = [];
        foreach (TomlValue item in table.Elements(key))
        {
            if (table.NonEmpty(key, item) is not { } name)
                continue;
            if (names.Contains(name))
                table.Error(DiagnosticCode.RepeatedEntry, key, item, $"'{name}' stands there twice");
            else
                names.Add(name);
        }
        return [.. names];
    }

    /// <summary>The keys that a service has itself, and which keys are written nowhere and follow from others.</summary>
    private readonly record struct OwnKeys()
    {
        public required ServiceName Name { get; init; }
        public required ImmutableArray<string> Command { get; init; }
        public ImmutableArray<string> Sockets { get; init; } = [];
        public ImmutableArray<string> Files { get; init; } = [];

        /// <summary><c>update</c>: overlap with sockets.</summary>
        public bool FollowsSockets { get; init; }

        /// <summary><c>ready</c>: by notification with a watchdog or stored descriptors.</summary>
        public bool FollowsNotifications { get; init; }

        /// <summary><c>error</c>: where <c>output</c> goes.</summary>
        public bool FollowsOutput { get; init; }
    }
}
