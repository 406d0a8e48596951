namespace Launchd.Config.Tables;

/// <summary>Every key of every table, for did-you-mean hints and for the test that compares them with the documentation.</summary>
internal static class KnownKeys
{
    public static readonly string[] Root = ["name", "include", "supervisor", "defaults", "sockets", "files", "services"];

    public static readonly string[] Supervisor =
    [
        "runtime_directory", "control_mode", "control_user", "control_group", "process_name", "log_format", "log_level", "shutdown_timeout",
        "keeper",
    ];

    public static readonly string[] Socket =
    [
        "listen", "name", "backlog", "mode", "user", "group", "directory_mode", "symlinks", "remove_on_stop", "shards", "ipv6_only",
        "free_bind", "transparent", "bind_to_device", "mark", "priority", "tos", "ttl", "congestion", "no_delay", "keep_alive",
        "defer_accept", "fast_open", "receive_buffer", "send_buffer", "pass_credentials", "pass_pidfd", "pass_rights", "non_blocking",
        "keep_options", "pin_path", "trigger_limit", "max_connections", "max_connections_per_source",
    ];

    public static readonly string[] File =
        ["path", "open", "create", "truncate", "user", "group", "reopen", "memory", "seal", "directory", "connect"];

    /// <summary>Keys of a service that <c>[defaults]</c> does not take.</summary>
    public static readonly string[] ServiceOnly = ["command", "sockets", "files"];

    public static readonly string[] Execution =
    [
        "environment", "environment_files", "pass_environment", "working_directory", "umask", "user", "group", "supplementary_groups",
        "limits", "nice", "oom_score_adjust", "capabilities", "ambient_capabilities", "no_new_privileges", "parent_death_signal", "cgroup",
        "ignore_sigpipe",
    ];

    public static readonly string[] Defaults =
    [
        "description", "start", "instances", "requires", "wants", "after", "before", .. Execution, "terminal", "input", "output", "error",
        "ready", "ready_timeout", "health", "watchdog", "restart", "backoff", "start_limit", "success_exit", "stop_signal", "stop_timeout",
        "stop_command", "kill", "reload", "idle_timeout", "update", "rollout", "fd_store", "fd_store_keep", "share", "request",
        "notify_access", "listen_environment", "log",
    ];

    public static readonly string[] Service = [.. ServiceOnly, .. Defaults];

    /// <summary>So few keys are listed where an unknown one resembles none of them.</summary>
    private const int MostListed = 11;

    // What supervisord, systemd, compose, pm2 and circus call the keys of a service.
    private static readonly Dictionary<string, string> Foreign = new(StringComparer.OrdinalIgnoreCase)
    {
        ["autostart"] = "start", ["autorestart"] = "restart", ["respawn"] = "restart", ["directory"] = "working_directory",
        ["cwd"] = "working_directory", ["chdir"] = "working_directory", ["numprocs"] = "instances", ["numprocesses"] = "instances",
        ["replicas"] = "instances", ["scale"] = "instances", ["startretries"] = "start_limit", ["max_restarts"] = "start_limit",
        ["startsecs"] = "rollout", ["stopwaitsecs"] = "stop_timeout", ["stop_grace_period"] = "stop_timeout",
        ["graceful_timeout"] = "stop_timeout", ["kill_timeout"] = "stop_timeout", ["exitcodes"] = "success_exit",
        ["stdout_logfile"] = "log", ["stderr_logfile"] = "log", ["redirect_stderr"] = "log", ["depends_on"] = "requires",
        ["healthcheck"] = "health", ["env_file"] = "environment_files", ["env"] = "environment", ["ports"] = "sockets",
        ["listen"] = "sockets", ["script"] = "command", ["args"] = "command", ["exec"] = "command", ["cmd"] = "command",
        ["ExecStart"] = "command", ["ExecReload"] = "reload", ["ExecStop"] = "stop_command", ["EnvironmentFile"] = "environment_files",
        ["Type"] = "ready", ["RestartSec"] = "backoff", ["TimeoutStopSec"] = "stop_timeout", ["TimeoutStartSec"] = "ready_timeout",
        ["killasgroup"] = "kill", ["stopasgroup"] = "kill", ["KillMode"] = "kill", ["priority"] = "after",
    };

    /// <summary>A hint for a key that other supervisors have, or null.</summary>
    public static string? HintForForeign(string key, ReadOnlySpan<string> known) =>
        Foreign.TryGetValue(key, out string? ours) && known.Contains(ours) ? $"here '{ours}' is for that" : null;

    /// <summary>A hint that lists all keys, or null if these are many.</summary>
    public static string? ListOf(ReadOnlySpan<string> known) =>
        known.Length <= MostListed ? $"there is {string.Join(", ", known.ToArray())}" : null;
}
