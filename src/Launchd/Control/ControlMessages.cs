using System.Text.Json;
using System.Text.Json.Serialization;

namespace Launchd.Control;

/// <summary>Names of the control socket's interface, in Varlink's form.</summary>
internal static class ControlNames
{
    public const string Interface = "org.launchd-cs.Supervisor";
    public const string NoSuchService = Interface + ".NoSuchService";
    public const string NotPermitted = Interface + ".NotPermitted";
    public const string ShuttingDown = Interface + ".ShuttingDown";
    public const string UpgradeRefused = Interface + ".UpgradeRefused";
    public const string LimitReached = Interface + ".LimitReached";
    public const string BadConfiguration = Interface + ".BadConfiguration";
    public const string ReloadRefused = Interface + ".ReloadRefused";
    public const string NoSuchDescriptor = Interface + ".NoSuchDescriptor";
    public const string NotRunning = Interface + ".NotRunning";
    public const string NoTerminal = Interface + ".NoTerminal";
    public const string NotPermittedByKernel = Interface + ".NotPermittedByKernel";
    public const string MethodNotFound = "org.varlink.service.MethodNotFound";
    public const string InterfaceNotFound = "org.varlink.service.InterfaceNotFound";
    public const string InvalidParameter = "org.varlink.service.InvalidParameter";
}

/// <summary>One call of a client: the envelope of Varlink.</summary>
internal sealed record ControlCall(string Method, JsonElement? Parameters = null, bool More = false, bool Oneway = false);

/// <summary>One answer. <c>Continues</c>: more of them follow for the same call.</summary>
internal sealed record ControlAnswer(JsonElement? Parameters = null, string? Error = null, bool Continues = false);

/// <summary>
/// Parameters of Start, Stop, Restart, ReloadService, Signal and Scale. Services are names or shell patterns (<c>*</c>, <c>?</c>).
/// </summary>
/// <param name="Services">Null is none.</param>
/// <param name="All">Every service.</param>
/// <param name="Wait">False: answered as soon as the order is accepted.</param>
/// <param name="Signal">For Signal: its name.</param>
/// <param name="Count">For Scale: slots of the pool.</param>
/// <param name="Update">For Restart: <c>replace</c> or <c>overlap</c> instead of the service's <c>update</c>.</param>
internal sealed record ServicesRequest(
    string[]? Services = null, bool All = false, bool Wait = true, string? Signal = null, string? Update = null, int? Count = null)
{
    // The serializer honours defaults of parameters, not of properties that are only initialised.
    [JsonPropertyOrder(-1)]
    public string[] Services { get; init; } = Services ?? [];
}

/// <summary>
/// Answer of Start, Stop, Restart, ReloadService, Signal. Called with <c>more</c>, answers with <c>Progress</c> come first; the last
/// has <c>Results</c>.
/// </summary>
internal sealed record ServicesReply
{
    public ServiceProgress? Progress { get; init; }
    public ServiceResult[]? Results { get; init; }
}

/// <summary>A change of state on the way to the outcome.</summary>
internal sealed record ServiceProgress(string Service, int Slot, string State, string? Text);

/// <summary>What became of one service.</summary>
internal sealed record ServiceResult
{
    public required string Service { get; init; }
    public required bool Ok { get; init; }

    /// <summary>Public state afterwards.</summary>
    public required string State { get; init; }

    /// <summary>For a failure the reason in one sentence; else null, or a remark.</summary>
    public string? Text { get; init; }

    /// <summary>The time from the request to the outcome.</summary>
    public long ElapsedMs { get; init; }

    /// <summary>Last lines that the failing instance wrote.</summary>
    public string[]? Output { get; init; }
}

/// <summary>Parameters of Status and Descriptors: a service's name or pattern; null for all.</summary>
internal sealed record FilterRequest(string? Service = null);

/// <summary>Parameters of <c>org.varlink.service.GetInterfaceDescription</c>.</summary>
internal sealed record InterfaceRequest(string? Interface = null);

internal sealed record StatusReply
{
    public required SupervisorStatus Supervisor { get; init; }
    public required ServiceStatus[] Services { get; init; }
    public required SocketStatus[] Sockets { get; init; }
}

internal sealed record SupervisorStatus
{
    public required string Name { get; init; }
    public required string Version { get; init; }
    public required int Pid { get; init; }
    public required string ConfigPath { get; init; }
    public required string RuntimeDirectory { get; init; }

    /// <summary><c>running</c> or <c>shutting-down</c>.</summary>
    public required string State { get; init; }
    public required long UptimeMs { get; init; }

    /// <summary>Pid of the keeper; null: there is none.</summary>
    public int? Keeper { get; init; }

    /// <summary>True: the keeper has ended, so that nobody holds anything for the supervisor any more; null: it has not.</summary>
    public bool? KeeperEnded { get; init; }

    /// <summary>The supervisor before this one, and how it ended, if this one goes on in its place.</summary>
    public string? After { get; init; }

    /// <summary>What was dropped since the start, by kind: only those above zero.</summary>
    public Dictionary<string, long> Counters { get; init; } = [];
}

internal sealed record ServiceStatus
{
    public required string Service { get; init; }
    public string? Description { get; init; }

    /// <summary>
    /// stopped, waiting, starting, ready, draining, backing-off, failed, faulted or completed: the least advanced of its slots.
    /// </summary>
    public required string State { get; init; }

    /// <summary>Whether the service is meant to run now.</summary>
    public required bool Wanted { get; init; }

    /// <summary>
    /// Whether the service's sockets are watched: the next connection or datagram starts an instance.
    /// Only with start = demand or connection.
    /// </summary>
    public bool Listening { get; init; }
    public required int Generation { get; init; }
    public required long Restarts { get; init; }

    /// <summary>Why the service is not ready, in one sentence.</summary>
    public string? Reason { get; init; }
    public required string[] Sockets { get; init; }

    /// <summary>
    /// Descriptors that the supervisor holds for the service beyond the configuration: stored, saved as
    /// state, published, or on the way to a successor.
    /// </summary>
    public int HeldDescriptors { get; init; }

    /// <summary>Lines of the service that its log file or the supervisor's output did not take.</summary>
    public long LostLines { get; init; }

    /// <summary>Events of the service that have been dropped.</summary>
    public long LostEvents { get; init; }
    public required InstanceStatus[] Instances { get; init; }
}

/// <summary>The instance of a slot, or an instance beside it that takes its place or drains.</summary>
internal sealed record InstanceStatus
{
    public required int Slot { get; init; }
    public required int Generation { get; init; }
    public required string State { get; init; }
    public int? Pid { get; init; }
    public long? UptimeMs { get; init; }

    /// <summary>The time until the next attempt, while backing off.</summary>
    public long? RetryInMs { get; init; }

    /// <summary>The program's own <c>STATUS=</c> text, escaped.</summary>
    public string? StatusText { get; init; }
    public string? Reason { get; init; }

    /// <summary>
    /// <c>successor</c> or <c>retiring</c>: the instance lives beside the one that fills the slot. Null: it fills the slot.
    /// </summary>
    public string? Role { get; init; }

    /// <summary>The time since the instance was told to end.</summary>
    public long? DrainingMs { get; init; }

    /// <summary>How much the instance still has to do before it ends, as its program says.</summary>
    public int? RemainingCount { get; init; }

    /// <summary>The time until the rollout counts the instance as good.</summary>
    public long? ProvenInMs { get; init; }

    /// <summary>The file to which its lines are written. Null: there is none.</summary>
    public string? LogFile { get; init; }
    public int StoredDescriptors { get; init; }
}

internal sealed record SocketStatus
{
    /// <summary>Key in the configuration and name in LISTEN_FDNAMES.</summary>
    public required string Socket { get; init; }
    public required string Name { get; init; }

    /// <summary>The address as it is bound: with the port that the kernel picked.</summary>
    public required string Address { get; init; }

    /// <summary>Waiting connections, where the kernel tells; else null.</summary>
    public int? QueueCount { get; init; }
    public int? BacklogCount { get; init; }
    public required string[] Services { get; init; }

    /// <summary>Why clients may not reach it; null: nothing is known to be in their way.</summary>
    public string? Trouble { get; init; }
}

internal sealed record DescriptorsReply(DescriptorStatus[] Descriptors);

/// <summary>One descriptor that the supervisor holds or has passed.</summary>
internal sealed record DescriptorStatus
{
    public required string Name { get; init; }

    /// <summary>tcp-listener, udp-socket, unix-listener, unix-datagram, fifo, file, directory, memory, connection, stored …</summary>
    public required string Kind { get; init; }
    public required string Address { get; init; }

    /// <summary>socket, file, stored, state (what <c>SaveState</c> left), or sibling: published by its holder.</summary>
    public required string Origin { get; init; }

    /// <summary>Instances that have the descriptor: <c>web.0</c>.</summary>
    public required string[] Holders { get; init; }
    public int? Generation { get; init; }
    public int? QueueCount { get; init; }

    /// <summary>The number in the supervisor's table; of a published descriptor, the number in its holder's.</summary>
    public int? Number { get; init; }

    /// <summary>Services that may ask for the descriptor, because <c>share</c> and <c>request</c> agree.</summary>
    public string[] MayAsk { get; init; } = [];

    /// <summary>non-blocking, listening, read-only …</summary>
    public string[] Flags { get; init; } = [];
}

/// <summary>Parameters of Fetch: an operator's look into a running instance.</summary>
/// <param name="Service">Name of a service, or <c>web.1</c> for one slot of it.</param>
/// <param name="Name">The name under which the descriptor is passed, stored or published.</param>
/// <param name="Number">Instead of a name: a number in the table of the main process.</param>
internal sealed record FetchRequest(string? Service = null, string? Name = null, int? Number = null);

/// <summary>Answer of Fetch; the descriptor comes with its first byte.</summary>
/// <param name="Name">Its name, or its number as text.</param>
/// <param name="Kind">As in <see cref="DescriptorStatus"/>.</param>
/// <param name="Address">As in <see cref="DescriptorStatus"/>.</param>
/// <param name="Way">held or taken.</param>
internal sealed record FetchReply(string Name, string Kind, string Address, string Way);

/// <summary>Parameters of Attach.</summary>
/// <param name="Service">Its name, or <c>web.1</c> for one slot.</param>
/// <param name="Columns">With <paramref name="Rows"/> the size that the terminal gets; null: it keeps its own.</param>
/// <param name="Rows">1 to 9999.</param>
/// <param name="ReadOnly">Nothing is typed.</param>
internal sealed record AttachRequest(string? Service = null, int? Columns = null, int? Rows = null, bool ReadOnly = false);

/// <summary>Answer of Attach: to what; the descriptor comes with its first byte.</summary>
internal sealed record AttachReply(string Service, int Slot, int Generation, int Pid);

/// <summary>Parameters of Logs.</summary>
/// <param name="Service">Name or pattern; null for all.</param>
/// <param name="Lines">Newest lines of each service, 0 to 10,000.</param>
/// <param name="Follow">Whether to send new lines too, as they come.</param>
internal sealed record LogsRequest(string? Service = null, int Lines = 10, bool Follow = false);

internal sealed record LogsReply(LogLine[] Lines, long Lost = 0);

/// <summary>
/// One captured line. <c>Time</c> is ISO 8601 in UTC with microseconds; <c>Text</c> is as written, without its newline; <c>Cut</c> is
/// <c>start</c>, <c>end</c> or <c>both</c>, where a line lacks something because it was too long.
/// </summary>
internal sealed record LogLine(string Time, string Service, int Slot, string Text, string? Cut = null)
{
    /// <summary>For people: the text, with a mark where it lacks something.</summary>
    public string Marked() => (Cut is "start" or "both" ? "[...] " : "") + Text + (Cut is "end" or "both" ? " [...]" : "");
}

/// <summary>Parameters of Events.</summary>
internal sealed record EventsRequest(bool Follow = false);

/// <summary>Events as the CLI prints them with <c>--json</c>. <c>Lost</c>: how many a slow reader missed before these.</summary>
internal sealed record EventsReply(JsonElement[] Events, long Lost = 0);

/// <summary>Answer of Shutdown, sent when all services have ended.</summary>
/// <param name="Stopped">How many services have ended.</param>
/// <param name="Left">What could not be ended and lives on: the service, and which process and why.</param>
internal sealed record ShutdownReply(int Stopped, string[]? Left = null);

/// <summary>Parameters of Upgrade.</summary>
/// <param name="Binary">
/// Absolute path of the program; null: that of the supervisor's own as it was started, at which there may be another file by now.
/// </param>
internal sealed record UpgradeRequest(string? Binary = null);

/// <summary>Answer of Upgrade, by the supervisor that has taken over.</summary>
/// <param name="From">The version that has handed over.</param>
/// <param name="To">The version that goes on.</param>
/// <param name="Pid">Of the supervisor that goes on.</param>
internal sealed record UpgradeReply(string From, string To, int Pid);

/// <summary>Parameters of a refusal. Members that are null are left out.</summary>
internal sealed record ErrorDetail
{
    /// <summary>One sentence that says what to do.</summary>
    public string? Text { get; init; }
    public string? Name { get; init; }
    public string? Hint { get; init; }
    public string? Parameter { get; init; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ControlCall))]
[JsonSerializable(typeof(ControlAnswer))]
[JsonSerializable(typeof(ServicesRequest))]
[JsonSerializable(typeof(ServicesReply))]
[JsonSerializable(typeof(FilterRequest))]
[JsonSerializable(typeof(InterfaceRequest))]
[JsonSerializable(typeof(StatusReply))]
[JsonSerializable(typeof(DescriptorsReply))]
[JsonSerializable(typeof(FetchRequest))]
[JsonSerializable(typeof(FetchReply))]
[JsonSerializable(typeof(AttachRequest))]
[JsonSerializable(typeof(AttachReply))]
[JsonSerializable(typeof(LogsRequest))]
[JsonSerializable(typeof(LogsReply))]
[JsonSerializable(typeof(EventsRequest))]
[JsonSerializable(typeof(EventsReply))]
[JsonSerializable(typeof(ShutdownReply))]
[JsonSerializable(typeof(ReloadRequest))]
[JsonSerializable(typeof(PlanRequest))]
[JsonSerializable(typeof(ReloadReply))]
[JsonSerializable(typeof(UpgradeRequest))]
[JsonSerializable(typeof(UpgradeReply))]
[JsonSerializable(typeof(ErrorDetail))]
internal sealed partial class ControlJson : JsonSerializerContext;
