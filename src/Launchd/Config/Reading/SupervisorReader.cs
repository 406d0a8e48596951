using System.Text;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>The values of <c>[supervisor]</c>.</summary>
internal sealed record SupervisorSettings
{
    public string? RuntimeDirectory { get; init; }
    public int ControlMode { get; init; } = 0b110_000_000;
    public string? ControlUser { get; init; }
    public string? ControlGroup { get; init; }
    public string ProcessName { get; init; } = "launchd-cs";
    public LogFormat LogFormat { get; init; } = LogFormat.Pretty;
    public LogSeverity LogLevel { get; init; } = LogSeverity.Information;
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(90);
    public bool Keeper { get; init; } = true;
}

/// <summary>Reads <c>[supervisor]</c>.</summary>
internal static class SupervisorReader
{
    // prctl(2), PR_SET_NAME: 16 bytes with the NUL.
    private const int LongestProcessNameBytes = 15;

    public static SupervisorSettings Read(TableReader table)
    {
        SupervisorSettings defaults = new();
        SupervisorSettings settings = new()
        {
            RuntimeDirectory = table.FullPath("runtime_directory", null),
            ControlMode = table.Mode("control_mode", defaults.ControlMode),
            ControlUser = table.String("control_user", null),
            ControlGroup = table.String("control_group", null),
            ProcessName = ReadProcessName(table, defaults.ProcessName),
            LogFormat = table.Choice(
                "log_format", defaults.LogFormat, ("pretty", LogFormat.Pretty), ("json", LogFormat.Json), ("systemd", LogFormat.Systemd)),
            LogLevel = table.Choice(
                "log_level", defaults.LogLevel, ("trace", LogSeverity.Trace), ("debug", LogSeverity.Debug),
                ("information", LogSeverity.Information), ("warning", LogSeverity.Warning), ("error", LogSeverity.Error),
                ("critical", LogSeverity.Critical)),
            ShutdownTimeout = table.Duration("shutdown_timeout", defaults.ShutdownTimeout),
            Keeper = table.Bool("keeper", defaults.Keeper),
        };
        if (settings.ControlUser is { } user && !UserRule.MayUse(table.Context.Source, user))
            table.Error(DiagnosticCode.NeedsRoot, "control_user", $"only root can give the socket to user '{user}'", UserRule.Hint);
        table.ReportUnknown(KnownKeys.Supervisor);
        return settings;
    }

    private static string ReadProcessName(TableReader table, string fallback)
    {
        string name = table.String("process_name", null) ?? fallback;
        if (Encoding.UTF8.GetByteCount(name) <= LongestProcessNameBytes)
            return name;
        table.Error(DiagnosticCode.OutOfRange, "process_name", $"'{name}' has more than {LongestProcessNameBytes} bytes");
        return fallback;
    }
}

/// <summary>Which users the supervisor may switch to, or give files to.</summary>
internal static class UserRule
{
    public const string Hint = "leave it out, or start the supervisor as root";

    /// <summary>Root may use every user; others only themselves.</summary>
    public static bool MayUse(ConfigSource source, string user) =>
        source.UserId == 0 || user == source.UserId.ToString() || user == source.Environment.GetValueOrDefault("USER");
}
