using System.Collections.Immutable;
using System.Globalization;

namespace Launchd.Linux.Processes;

/// <summary>A descriptor that the service manager has opened, and which is open in this process from its start.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Name">As the unit names it (FileDescriptorName=, FDNAME=).</param>
internal readonly record struct OfferedDescriptor(int Number, string Name)
{
    /// <summary>How the names begin under which a supervisor has put listeners into the manager's store.</summary>
    public const string StorePrefix = "launchd-cs.";

    /// <summary>A supervisor before this one has opened it; else the manager has.</summary>
    public bool IsStored => IsStoredName(Name);

    /// <summary>Whether something of this name is a listener that a supervisor has opened.</summary>
    public static bool IsStoredName(string name) => name.StartsWith(StorePrefix, StringComparison.Ordinal);
}

/// <summary>
/// What the service manager that has started this process, systemd for example, offers it. All of it comes by variables, and each is for
/// the process that they name alone: whoever inherits them from that process is not meant.
/// </summary>
internal sealed record ManagerOffer
{
    public static readonly ManagerOffer None = new();

    private const int FirstDescriptor = 3;

    /// <summary>More are not passed by anybody: it is the default of fs.nr_open.</summary>
    private const int MostDescriptors = 1 << 20;

    /// <summary>Where notifications go (sd_notify(3)): an absolute path, or <c>@</c> with an abstract name. Null: nobody listens.</summary>
    public string? NotifySocket { get; init; }

    /// <summary>The process must give a sign of life that often (sd_watchdog_enabled(3)). Null: it need not.</summary>
    public TimeSpan? WatchdogPeriod { get; init; }

    /// <summary>
    /// How many descriptors may be stored (FileDescriptorStoreMax=, told since systemd 254). 0: none, as far as is known.
    /// </summary>
    public int StoreCount { get; init; }

    /// <summary>In the order of their numbers (sd_listen_fds(3)).</summary>
    public ImmutableArray<OfferedDescriptor> Descriptors { get; init; } = [];

    /// <summary>Reads the variables; one that makes no sense counts as absent.</summary>
    /// <param name="pid">Of this process.</param>
    /// <param name="variable">The value of a variable; null: it is not set.</param>
    public static ManagerOffer Read(int pid, Func<string, string?> variable)
    {
        string? socket = variable("NOTIFY_SOCKET");
        bool isWatched = variable("WATCHDOG_PID") is not { Length: > 0 } watched || Number(watched) == pid;
        return new ManagerOffer
        {
            NotifySocket = socket is ['/', ..] or ['@', _, ..] ? socket : null,
            WatchdogPeriod = isWatched && Number(variable("WATCHDOG_USEC")) is { } period and > 0 and < long.MaxValue / 10
                ? TimeSpan.FromMicroseconds(period) : null,
            StoreCount = Number(variable("FDSTORE")) is { } count and > 0 and <= MostDescriptors ? (int)count : 0,
            Descriptors = Number(variable("LISTEN_PID")) == pid ? DescriptorsOf(variable) : [],
        };
    }

    // sd_listen_fds_with_names(3) gives descriptors without names the name "unknown".
    private static ImmutableArray<OfferedDescriptor> DescriptorsOf(Func<string, string?> variable)
    {
        if (Number(variable("LISTEN_FDS")) is not { } count || count is < 1 or > MostDescriptors)
            return [];
        string[] names = variable("LISTEN_FDNAMES")?.Split(':') ?? [];
        if (names.Length != count)
            names = [.. Enumerable.Repeat("unknown", (int)count)];
        return [.. names.Select((name, i) => new OfferedDescriptor(FirstDescriptor + i, name))];
    }

    private static long? Number(string? text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;
}
