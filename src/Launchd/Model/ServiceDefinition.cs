using System.Collections.Immutable;
using System.Globalization;

namespace Launchd.Model;

/// <summary>One <c>[services.NAME]</c> table: an immutable, validated description of a program and of how it is kept alive.</summary>
internal sealed record ServiceDefinition
{
    public required ServiceName Name { get; init; }
    public string? Description { get; init; }

    /// <summary>Program and arguments, at least one. May hold the placeholders of <see cref="Placeholders"/>.</summary>
    public required ImmutableArray<string> Command { get; init; }

    /// <summary>Keys of listeners, in the order in which they become descriptors from 3 on.</summary>
    public ImmutableArray<string> Sockets { get; init; } = [];

    /// <summary>Keys of files, which follow the listeners.</summary>
    public ImmutableArray<string> Files { get; init; } = [];
    public StartKind Start { get; init; } = StartKind.Boot;

    /// <summary>Slots of the pool, 1 to 1,000.</summary>
    public int InstanceCount { get; init; } = 1;

    /// <summary>Services that must be ready first and are started with this one.</summary>
    public ImmutableArray<ServiceName> Requires { get; init; } = [];

    /// <summary>Services that are started with this one; their failure does not matter to it.</summary>
    public ImmutableArray<ServiceName> Wants { get; init; } = [];

    /// <summary>Order only: if one of these services starts too, it is ready (or has failed) before this one starts.</summary>
    public ImmutableArray<ServiceName> After { get; init; } = [];

    /// <summary>The reverse of <see cref="After"/>.</summary>
    public ImmutableArray<ServiceName> Before { get; init; } = [];

    public required Execution Execution { get; init; }

    /// <summary>
    /// The program has a pseudo-terminal of its own as standard input, output and error. <see cref="Input"/>, <see cref="Output"/> and
    /// <see cref="Error"/> have their defaults then: what is written to the terminal is logged.
    /// </summary>
    public bool HasTerminal { get; init; }
    public InputSource Input { get; init; } = InputSource.Null.Value;
    public OutputTarget Output { get; init; } = OutputTarget.Log.Value;
    public OutputTarget Error { get; init; } = OutputTarget.Log.Value;

    public Readiness Ready { get; init; } = Readiness.Spawned.Value;

    /// <summary>Longest time from spawn to ready; after it the new instance is killed. Zero: no limit.</summary>
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether the program is to do something once, and to end.</summary>
    public bool IsJob => Ready is Readiness.Exited;
    public HealthCheck? Health { get; init; }

    /// <summary>Longest silence between two <c>WATCHDOG=1</c>. Null: off.</summary>
    public TimeSpan? Watchdog { get; init; }

    public RestartKind Restart { get; init; } = RestartKind.Always;
    public BackoffPolicy Backoff { get; init; } = BackoffPolicy.Default;
    public RateLimit StartLimit { get; init; } = new(5, TimeSpan.FromSeconds(60));

    /// <summary>Exit codes that are no failure.</summary>
    public ImmutableArray<int> SuccessCodes { get; init; } = [0];

    /// <summary>Deaths by signal that are no failure.</summary>
    public ImmutableArray<SignalNumber> SuccessSignals { get; init; } = [SignalNumber.Term];

    public StopPolicy Stop { get; init; } = StopPolicy.Default;
    public ReloadAction? Reload { get; init; }

    /// <summary>For <c>start = "demand"</c>: stop after so long without a connection. Null: never.</summary>
    public TimeSpan? IdleTimeout { get; init; }
    public required UpdateKind Update { get; init; }
    public RolloutPolicy Rollout { get; init; } = RolloutPolicy.Default;

    /// <summary>Most descriptors that an instance may leave with the supervisor.</summary>
    public int FdStoreCount { get; init; }
    public FdStoreKeep FdStoreKeep { get; init; } = FdStoreKeep.Restart;

    /// <summary>Which descriptors siblings may ask of this service: patterns of names, each with the services allowed.</summary>
    public ImmutableArray<ShareRule> Share { get; init; } = [];

    /// <summary>Which descriptors this service may ask of siblings.</summary>
    public ImmutableArray<RequestRule> Request { get; init; } = [];
    public NotifyAccess NotifyAccess { get; init; } = NotifyAccess.Main;

    /// <summary>False: descriptors are passed, but no <c>LISTEN_*</c> variable is set.</summary>
    public bool ListenEnvironment { get; init; } = true;
    public LogPolicy? Log { get; init; }

    /// <summary>How long a captured line may be, in bytes, before it is cut into pieces.</summary>
    public int LongestLineBytes { get; init; } = DefaultLongestLineBytes;

    public const int DefaultLongestLineBytes = 256 << 10;
}

/// <summary>When a service is started.</summary>
internal enum StartKind { Boot, Demand, Connection, Manual }

/// <summary>When an instance that ended is replaced.</summary>
internal enum RestartKind { Always, OnFailure, Never }

/// <summary>How a new generation takes over.</summary>
internal enum UpdateKind { Overlap, Replace }

/// <summary>Which processes of a service may send notifications.</summary>
internal enum NotifyAccess { Main, All, None }

/// <summary>How long stored descriptors are kept: while the service is wanted, or as long as the supervisor lives.</summary>
internal enum FdStoreKeep { Restart, Always }

/// <summary>The pause before the next attempt: <c>Initial × Factor^n</c>, at most <c>Max</c>, ± <c>Jitter</c> (0 to 1) of it.</summary>
internal sealed record BackoffPolicy
{
    public static readonly BackoffPolicy Default = new();

    public TimeSpan Initial { get; init; } = TimeSpan.FromMilliseconds(100);
    public double Factor { get; init; } = 2;
    public TimeSpan Max { get; init; } = TimeSpan.FromSeconds(30);
    public double Jitter { get; init; } = 0.1;

    /// <summary>When an instance was ready for so long, the count of attempts starts anew.</summary>
    public TimeSpan ResetAfter { get; init; } = TimeSpan.FromSeconds(60);
}

/// <summary>How an instance is ended.</summary>
internal sealed record StopPolicy
{
    public static readonly StopPolicy Default = new();

    public SignalNumber Signal { get; init; } = SignalNumber.Term;

    /// <summary>From the stop signal to SIGKILL. Zero: no limit.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Run before the signal; its end, or the timeout, is followed by the signal. Empty: none.</summary>
    public ImmutableArray<string> Command { get; init; } = [];
    public KillScope Kill { get; init; } = KillScope.Tree;
}

/// <summary>Whom SIGKILL reaches at the end: the main process, its process group, or every descendant.</summary>
internal enum KillScope { Process, Group, Tree }

/// <summary>How a running instance is told to read its configuration again.</summary>
internal abstract record ReloadAction
{
    private ReloadAction()
    {
    }

    internal sealed record Signal(SignalNumber Number) : ReloadAction;

    internal sealed record Command(ImmutableArray<string> Arguments) : ReloadAction;
}

/// <summary>The bounds of a rollout.</summary>
internal sealed record RolloutPolicy
{
    public static readonly RolloutPolicy Default = new();

    /// <summary>How many instances more than the pool's size may live.</summary>
    public int SurgeCount { get; init; } = 1;

    /// <summary>How many slots may be without a ready instance.</summary>
    public int UnavailableCount { get; init; }

    /// <summary>How long a new instance must stay ready before the rollout counts it.</summary>
    public TimeSpan Prove { get; init; } = TimeSpan.FromSeconds(5);
    public RolloutFailure OnFailure { get; init; } = RolloutFailure.Rollback;
}

/// <summary>What follows after a failed rollout.</summary>
internal enum RolloutFailure { Rollback, Continue }

/// <summary>Siblings in <paramref name="Services"/> may ask for descriptors whose name matches <paramref name="Pattern"/>.</summary>
internal sealed record ShareRule(string Pattern, ImmutableArray<string> Services);

/// <summary>This service may ask <paramref name="Service"/> for names that match <paramref name="Pattern"/>.</summary>
internal sealed record RequestRule(string Service, string Pattern);

/// <summary>A file of a service's own output, rotated by size.</summary>
internal sealed record LogPolicy
{
    private const string Service = "service", Slot = "slot";

    /// <summary>Where each slot has a file of its own, with a placeholder for it (<see cref="Placeholders"/>).</summary>
    public required string FilePath { get; init; }
    public long MaxSizeBytes { get; init; } = 10 << 20;

    /// <summary>Rotated files kept beside the current one.</summary>
    public int KeepCount { get; init; } = 5;
    public bool Timestamps { get; init; } = true;

    /// <summary>Owner of a file that is made. Null: as the file before it, or the supervisor's user.</summary>
    public string? User { get; init; }
    public string? Group { get; init; }

    /// <summary>Permission bits of a file that is made. Null: as the file before it, or 0640.</summary>
    public int? Mode { get; init; }

    /// <summary>The policy of one service, by one that may stand for several.</summary>
    public LogPolicy Of(ServiceName service) => Replace(Service, service.Text);

    /// <summary>The policy of one slot's file.</summary>
    public LogPolicy In(int slot) => Replace(Slot, slot.ToString(CultureInfo.InvariantCulture));

    private LogPolicy Replace(string placeholder, string value) => Placeholders.AreIn(FilePath)
        ? this with { FilePath = Placeholders.Resolve(FilePath, name => name == placeholder ? value : Placeholders.Store(name)) }
        : this;
}
