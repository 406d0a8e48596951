using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace Launchd.Core.Instances;

/// <summary>
/// What one sd_notify(3) datagram says. Unknown keys are ignored, values that make no sense too: a program's mistake never
/// becomes an error here.
/// </summary>
internal sealed record Notification
{
    public bool IsReady { get; private init; }
    public bool IsReloading { get; private init; }
    public bool IsStopping { get; private init; }
    public bool IsWatchdogPing { get; private init; }
    public bool IsWatchdogTrigger { get; private init; }
    public bool IsRestartReset { get; private init; }
    public bool IsStore { get; private init; }
    public bool IsStoreRemove { get; private init; }
    public bool IsBarrier { get; private init; }

    /// <summary>A pidfd of the new main process is attached to the datagram.</summary>
    public bool HasMainPidDescriptor { get; private init; }

    /// <summary>Stored descriptors are watched for hang-up, unless <c>FDPOLL=0</c>.</summary>
    public bool IsPolled { get; private init; } = true;

    /// <summary>The new status text; empty: it is cleared; null: not mentioned.</summary>
    public string? Status { get; private init; }
    public string? DescriptorName { get; private init; }
    public int? MainPid { get; private init; }
    public TimeSpan? WatchdogPeriod { get; private init; }
    public TimeSpan? ExtendTimeout { get; private init; }

    /// <summary>When the sender began to reload, on the clock of <see cref="Moment"/>.</summary>
    public long? MonotonicMicroseconds { get; private init; }
    public Model.NotifyAccess? Access { get; private init; }

    /// <summary>Every line as received, for the event that reports it.</summary>
    public required ImmutableArray<string> Lines { get; init; }

    /// <summary>The same messages, said over the instance channel.</summary>
    public static Notification Ready { get; } = new() { IsReady = true, Lines = ["READY=1"] };
    public static Notification Stopping { get; } = new() { IsStopping = true, Lines = ["STOPPING=1"] };
    public static Notification Watchdog { get; } = new() { IsWatchdogPing = true, Lines = ["WATCHDOG=1"] };

    public static Notification Says(string status) => new()
    {
        Status = status.Length > Limits.StatusTextLength ? status[..Limits.StatusTextLength] : status,
        Lines = [$"STATUS={(status.Length > Limits.StatusTextLength ? status[..Limits.StatusTextLength] : status)}"],
    };

    public static Notification Extends(long microseconds) => new()
    {
        ExtendTimeout = TimeSpan.FromMicroseconds(microseconds),
        Lines = [$"EXTEND_TIMEOUT_USEC={microseconds.ToString(CultureInfo.InvariantCulture)}"],
    };

    /// <summary>Reads a datagram. Null: not a notification (empty, a NUL inside, not one <c>KEY=VALUE</c> line).</summary>
    public static Notification? Parse(ReadOnlySpan<byte> datagram)
    {
        if (datagram.EndsWith((byte)0))
            datagram = datagram[..^1];
        if (datagram.Contains((byte)0))
            return null;
        ImmutableArray<string> lines =
            [.. Encoding.UTF8.GetString(datagram).Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line.IndexOf('=') > 0)];
        if (lines.IsEmpty)
            return null;
        Notification read = new() { Lines = lines };
        foreach (string line in lines)
        {
            int equals = line.IndexOf('=');
            read = read.With(line[..equals], line[(equals + 1)..]);
        }
        // Mixed with anything else a barrier would be ambiguous; systemd drops such a message whole.
        return read.IsBarrier && lines.Length > 1 ? null : read;
    }

    private Notification With(string key, string value) => key switch
    {
        "READY" => this with { IsReady = value == "1" },
        "RELOADING" => this with { IsReloading = value == "1" },
        "STOPPING" => this with { IsStopping = value == "1" },
        "WATCHDOG" => this with { IsWatchdogPing = value == "1", IsWatchdogTrigger = value == "trigger" },
        "WATCHDOG_USEC" => this with { WatchdogPeriod = Microseconds(value) },
        "EXTEND_TIMEOUT_USEC" => this with { ExtendTimeout = Microseconds(value) },
        "MONOTONIC_USEC" => this with
        {
            MonotonicMicroseconds = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long at) ? at : null,
        },
        "RESTART_RESET" => this with { IsRestartReset = value == "1" },
        "STATUS" => this with { Status = value.Length > Limits.StatusTextLength ? value[..Limits.StatusTextLength] : value },
        "MAINPID" => this with { MainPid = int.TryParse(value, CultureInfo.InvariantCulture, out int pid) && pid > 1 ? pid : null },
        "MAINPIDFD" => this with { HasMainPidDescriptor = value == "1" },
        "FDSTORE" => this with { IsStore = value == "1" },
        "FDSTOREREMOVE" => this with { IsStoreRemove = value == "1" },
        "FDNAME" => this with { DescriptorName = IsDescriptorName(value) ? value : null },
        "FDPOLL" => this with { IsPolled = value != "0" },
        "BARRIER" => this with { IsBarrier = value == "1" },
        "NOTIFYACCESS" => this with { Access = AccessOf(value) },
        _ => this,
    };

    /// <summary>LISTEN_FDNAMES: printable ASCII without a colon, at most 255 bytes; empty is allowed by systemd.</summary>
    public static bool IsDescriptorName(string name) => name.Length <= 255 && name.All(c => c is >= ' ' and <= '~' and not ':');

    private static TimeSpan? Microseconds(string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long microseconds)
        && microseconds < long.MaxValue / 10_000
            ? TimeSpan.FromMicroseconds(microseconds)
            : null;

    private static Model.NotifyAccess? AccessOf(string value) => value switch
    {
        "none" => Model.NotifyAccess.None,
        "main" or "exec" => Model.NotifyAccess.Main,
        "all" => Model.NotifyAccess.All,
        _ => null,
    };
}
