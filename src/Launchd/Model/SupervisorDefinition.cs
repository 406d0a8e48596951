using System.Collections.Immutable;

namespace Launchd.Model;

/// <summary>The whole configuration, validated. Only <c>Config/</c> makes one.</summary>
internal sealed record SupervisorDefinition
{
    /// <summary>Names the runtime directory and the control socket.</summary>
    public required string Name { get; init; }

    /// <summary>Absolute path of the file it was read from.</summary>
    public required string ConfigPath { get; init; }

    /// <summary>Absolute path. Created if missing; holds the control socket, the notify sockets and the lock.</summary>
    public required string RuntimeDirectory { get; init; }

    /// <summary>Permission bits of the control socket.</summary>
    public int ControlMode { get; init; } = 0b110_000_000;
    public string? ControlUser { get; init; }
    public string? ControlGroup { get; init; }

    /// <summary>What <c>/proc/PID/comm</c> says: at most 15 bytes.</summary>
    public string ProcessName { get; init; } = "launchd-cs";
    public LogFormat LogFormat { get; init; } = LogFormat.Pretty;
    public LogSeverity LogLevel { get; init; } = LogSeverity.Information;

    /// <summary>From the order to end until everything that still runs is killed. Zero: only the services' own limits hold.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>Whether a keeper process holds for the supervisor; true unless the file says otherwise.</summary>
    public bool Keeper { get; init; } = true;

    /// <summary>In the order of the file.</summary>
    public required ImmutableArray<ListenerDefinition> Listeners { get; init; }
    public required ImmutableArray<FileDefinition> Files { get; init; }
    public required ImmutableArray<ServiceDefinition> Services { get; init; }
}

/// <summary>How the supervisor's own log is written to its standard error.</summary>
internal enum LogFormat { Pretty, Json, Systemd }

/// <summary>The least severe message of the supervisor's own log that is written.</summary>
internal enum LogSeverity { Trace, Debug, Information, Warning, Error, Critical }
