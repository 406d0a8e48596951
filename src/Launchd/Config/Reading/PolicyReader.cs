using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>Reads the small tables of a service. A key that such a table lacks has the value of the defaults.</summary>
internal static class PolicyReader
{
    private const long LeastLineBytes = 1 << 10, MostLineBytes = 1 << 20;
    private const int Permissions = 0b111_111_111, OwnerWrites = 0b010_000_000;

    /// <summary>The keys of <c>log</c> that are about its file.</summary>
    private static readonly string[] FileKeys = ["path", "max_size", "keep", "timestamps", "user", "group", "mode"];

    private static readonly string[] LogKeys = [.. FileKeys, "max_line"];

    /// <summary>A burst of 0 means no limit.</summary>
    /// <param name="table">The table that has the key.</param>
    /// <param name="key">The key of <c>{ burst, interval }</c>.</param>
    /// <param name="partial">The values of missing parts.</param>
    /// <param name="fallback">The value if the key is missing.</param>
    public static RateLimit? RateLimit(TableReader table, string key, RateLimit partial, RateLimit? fallback)
    {
        if (table.Table(key, "write { burst = 5, interval = \"60s\" }") is not { } below)
            return fallback;
        int burst = below.Int("burst", partial.Burst, 0, int.MaxValue);
        TimeSpan interval = below.Duration("interval", partial.Interval);
        below.ReportUnknown(["burst", "interval"]);
        return burst == 0 || interval == TimeSpan.Zero ? Model.RateLimit.Unlimited : table.Context.Shared(new RateLimit(burst, interval));
    }

    public static BackoffPolicy Backoff(TableReader table, BackoffPolicy fallback)
    {
        if (table.Table("backoff", "write { initial = \"100ms\", max = \"30s\" }") is not { } below)
            return fallback;
        BackoffPolicy policy = new()
        {
            Initial = below.Duration("initial", fallback.Initial),
            Factor = below.Real("factor", fallback.Factor, 1, 1000),
            Max = below.Duration("max", fallback.Max),
            Jitter = below.Real("jitter", fallback.Jitter, 0, 1),
            ResetAfter = below.Duration("reset_after", fallback.ResetAfter),
        };
        if (policy.Max < policy.Initial && (below.Has("max") || below.Has("initial")))
        {
            if (below.Has("max"))
                below.Error(DiagnosticCode.Contradiction, "max", "is shorter than 'initial'");
            else
                policy = policy with { Max = policy.Initial };
        }
        below.ReportUnknown(["initial", "factor", "max", "jitter", "reset_after"]);
        return table.Context.Shared(policy);
    }

    public static StopPolicy Stop(TableReader table, StopPolicy fallback)
    {
        if (!table.HasAny(["stop_signal", "stop_timeout", "stop_command", "kill"]))
            return fallback;
        return table.Context.Shared(new StopPolicy
        {
            Signal = Signal(table, "stop_signal") ?? fallback.Signal,
            Timeout = table.Duration("stop_timeout", fallback.Timeout),
            Command = table.Command("stop_command", fallback.Command, PlaceholderUse.Instance),
            Kill = table.Choice(
                "kill", fallback.Kill, ("group", KillScope.Group), ("tree", KillScope.Tree), ("process", KillScope.Process)),
        });
    }

    public static ReloadAction? Reload(TableReader table, ReloadAction? fallback)
    {
        if (table.Table("reload", "write { signal = \"SIGHUP\" } or { command = [\"program\"] }") is not { } below)
            return fallback;
        SignalNumber? signal = Signal(below, "signal");
        ImmutableArray<string> command = below.Command("command", [], PlaceholderUse.Instance);
        below.ReportUnknown(["signal", "command"]);
        if (below.Has("signal") == below.Has("command"))
            table.Error(DiagnosticCode.Contradiction, "reload", "needs either 'signal' or 'command'");
        return signal is { } number ? new ReloadAction.Signal(number) : command.IsEmpty ? fallback : new ReloadAction.Command(command);
    }

    public static RolloutPolicy Rollout(TableReader table, RolloutPolicy fallback)
    {
        if (table.Table("rollout", "write { surge = 1, unavailable = 0 }") is not { } below)
            return fallback;
        RolloutPolicy policy = new()
        {
            SurgeCount = below.Int("surge", fallback.SurgeCount, 0, 1000),
            UnavailableCount = below.Int("unavailable", fallback.UnavailableCount, 0, 1000),
            Prove = below.Duration("prove", fallback.Prove),
            OnFailure = below.Choice(
                "on_failure", fallback.OnFailure, ("rollback", RolloutFailure.Rollback), ("continue", RolloutFailure.Continue)),
        };
        if (policy is { SurgeCount: 0, UnavailableCount: 0 })
            table.Error(DiagnosticCode.Contradiction, "rollout", "with neither 'surge' nor 'unavailable' nothing can be replaced");
        below.ReportUnknown(["surge", "unavailable", "prove", "on_failure"]);
        return table.Context.Shared(policy);
    }

    /// <summary>The file, if there is one, and how long a line may be, which holds without a file too.</summary>
    public static (LogPolicy? File, int LongestLineBytes) Log(TableReader table, ServiceDefinition fallback)
    {
        if (table.Table("log", "write { path = \"/var/log/app.log\" }") is not { } below)
            return (fallback.Log, fallback.LongestLineBytes);
        int longest = (int)below.Size("max_line", fallback.LongestLineBytes, LeastLineBytes, MostLineBytes)!;
        LogPolicy defaults = fallback.Log ?? new LogPolicy { FilePath = "" };
        LogPolicy policy = new()
        {
            FilePath = below.FullPath("path", null, PlaceholderUse.Slot) ?? defaults.FilePath,
            MaxSizeBytes = below.Size("max_size", defaults.MaxSizeBytes, 0, long.MaxValue - 1) ?? defaults.MaxSizeBytes,
            KeepCount = below.Int("keep", defaults.KeepCount, 0, 10_000),
            Timestamps = below.Bool("timestamps", defaults.Timestamps),
            User = below.String("user", defaults.User),
            Group = below.String("group", defaults.Group),
            Mode = below.ModeOrNull("mode") ?? defaults.Mode,
        };
        if (below.Has("mode") && policy.Mode is { } mode && (mode > Permissions || (mode & OwnerWrites) == 0))
            below.Error(DiagnosticCode.OutOfRange, "mode", "lets the owner write (0200), and is at most 0777");
        if (below.Has("user") && policy.User is { } user && !UserRule.MayUse(table.Context.Source, user))
            below.Error(DiagnosticCode.NeedsRoot, "user", $"only root can give the file to user '{user}'", UserRule.Hint);
        bool isForAll = below.Has("max_line") && !FileKeys.Any(below.Has);
        if (policy.FilePath.Length == 0 && !isForAll && below.Lacks("path", LogKeys))
            table.Error(DiagnosticCode.KeyMissing, "log", "the key 'path' is missing", "write path = \"/var/log/app.log\", for instance");
        if (below.Has("path") && IsOwnStream(policy.FilePath))
        {
            below.Error(DiagnosticCode.Contradiction, "path", $"{policy.FilePath} is the supervisor's own output, not a file",
                "leave 'log' out: the lines go to the supervisor's output anyway; or write output = \"inherit\"");
        }
        below.ReportUnknown(LogKeys);
        return (policy.FilePath.Length == 0 ? null : policy, longest);
    }

    // They lead to descriptors of whoever opens them, by a link that is not followed in the last part of a log's path.
    private static bool IsOwnStream(string path) => path is "/dev/stdout" or "/dev/stderr" or "/dev/stdin"
        || path.StartsWith("/dev/fd/", StringComparison.Ordinal) || path.StartsWith("/proc/self/", StringComparison.Ordinal)
        || (path.StartsWith("/proc/", StringComparison.Ordinal) && path.Contains("/fd/", StringComparison.Ordinal));

    public static CgroupPolicy? Cgroup(TableReader table, CgroupPolicy? fallback)
    {
        if (table.Table("cgroup", "write { memory_max = \"512MiB\" }") is not { } below)
            return fallback;
        CgroupPolicy policy = new()
        {
            MemoryMax = CgroupBytes(below, "memory_max") ?? fallback?.MemoryMax,
            MemoryHigh = CgroupBytes(below, "memory_high") ?? fallback?.MemoryHigh,
            CpuMax = CgroupText(below, "cpu_max") ?? fallback?.CpuMax,
            PidsMax = CgroupText(below, "pids_max") ?? fallback?.PidsMax,
            IoWeight = CgroupText(below, "io_weight") ?? fallback?.IoWeight,
        };
        below.ReportUnknown(["memory_max", "memory_high", "cpu_max", "pids_max", "io_weight"]);
        return policy;
    }

    /// <summary>The exit codes and signals that are no failure.</summary>
    public static (ImmutableArray<int> Codes, ImmutableArray<SignalNumber> Signals) SuccessExit(
        TableReader table, ServiceDefinition fallback)
    {
        if (!table.Has("success_exit"))
            return (fallback.SuccessCodes, fallback.SuccessSignals);
        List<int> codes = [];
        List<SignalNumber> signals = [];
        foreach (TomlValue item in table.Elements("success_exit"))
        {
            if (item.Kind == TomlKind.Integer)
            {
                if (item.Number is >= 0 and <= 255)
                    codes.Add((int)item.Number);
                else
                    table.Error(DiagnosticCode.OutOfRange, "success_exit", item, $"{item.Number} is out of range 0-255");
            }
            else if (SignalOf(table, "success_exit", item) is { } signal)
            {
                signals.Add(signal);
            }
        }
        return ([.. codes.Distinct()], [.. signals.Distinct()]);
    }

    public static SignalNumber? Signal(TableReader table, string key) =>
        table.Take(key) is { } found ? SignalOf(table, key, found) : null;

    private static SignalNumber? SignalOf(TableReader table, string key, TomlValue found)
    {
        string? text = found.Kind == TomlKind.Integer ? found.Number.ToString() : table.TextOf(key, found, form: "write \"SIGTERM\"");
        if (text is null)
            return null;
        if (SignalNumber.Parse(text) is { } signal)
            return signal;
        string bare = text.StartsWith("SIG", StringComparison.OrdinalIgnoreCase) ? text[3..] : text;
        string? near = Suggestion.Nearest(bare, SignalNumber.AllNames);
        table.Error(DiagnosticCode.BadForm, key, found, $"there is no signal '{text}'",
            near is null ? "write a name such as \"SIGTERM\", or a number from 1 to 64" : $"did you mean 'SIG{near}'?");
        return null;
    }

    private static string? CgroupBytes(TableReader table, string key)
    {
        if (table.Take(key) is not { } found)
            return null;
        if (found.Kind == TomlKind.String && found.Text == "max")
            return "max";
        return table.Size(key, null, 0, long.MaxValue - 1)?.ToString();
    }

    private static string? CgroupText(TableReader table, string key)
    {
        if (table.Take(key) is not { } found)
            return null;
        if (found.Kind != TomlKind.Integer)
            return table.NonEmpty(key, found);
        if (found.Number >= 0)
            return found.Number.ToString();
        table.Error(DiagnosticCode.OutOfRange, key, found, $"{found.Number} is negative");
        return null;
    }
}
