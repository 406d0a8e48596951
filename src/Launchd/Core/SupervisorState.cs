using System.Collections.Immutable;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>The core's whole state: one value that can be written down between two steps.</summary>
internal sealed class SupervisorState
{
    /// <summary>The services by their numbers.</summary>
    public required ServiceState[] Services { get; init; }

    public required SupervisorFrame Frame { get; set; }

    /// <summary>How many services a reload took out that have not been renumbered away yet; something of them may still run.</summary>
    public int LeavingCount { get; set; }

    /// <summary>How many of them were forgotten since the services were numbered.</summary>
    public int ForgottenCount { get; set; }
}

/// <summary>What belongs to no service.</summary>
internal sealed record SupervisorFrame
{
    public long NextInstance { get; init; } = 1;
    public ulong RandomState { get; init; }
    public TimeSpan ShutdownTimeout { get; init; }

    /// <summary>Instances that are started in a turn of the host.</summary>
    public required TurnBudget Starts { get; init; }

    /// <summary>Services that are told to end, because they are not wanted any more, in a turn of the host.</summary>
    public required TurnBudget Stops { get; init; }

    /// <summary>The attempts that were put off because of a shortage.</summary>
    public ShortageTurns ShortageTurns { get; init; } = ShortageTurns.None;

    /// <summary>Number of the service with which the supervisor ends; -1: none.</summary>
    public int ExitWith { get; init; } = -1;

    /// <summary>Null: running.</summary>
    public ShutdownState? Shutdown { get; init; }
    public ImmutableArray<PendingRequest> Requests { get; init; } = [];
}

/// <param name="ExitCode">The exit code of the supervisor.</param>
/// <param name="IsImmediate">Everything that still ran was killed.</param>
/// <param name="IsOver">The supervisor's exit was ordered; nothing more happens.</param>
/// <param name="FirstOpen">All services with a lower number have ended.</param>
internal sealed record ShutdownState(int ExitCode, bool IsImmediate, bool IsOver, int FirstOpen = 0)
{
    /// <summary>When everything that still runs is killed; null: no limit.</summary>
    public Moment? Deadline { get; init; }

    /// <summary>
    /// The instances that were given up because they live on after SIGKILL: those whose slots were failed for that when the shutdown began,
    /// and all since then. The slots do not tell: that of a connection, or of an instance beside its successor, goes with the instance.
    /// </summary>
    public ImmutableArray<(ServiceName Service, Failure Why)> GivenUp { get; init; } = [];
}

/// <summary>An operator's order that waits for its outcome.</summary>
internal sealed record PendingRequest
{
    public required RequestId Id { get; init; }
    public required Verb Verb { get; init; }
    public required Moment AskedAt { get; init; }

    /// <summary>The services that the order names, in its order, in which they are answered.</summary>
    public required ImmutableArray<ServiceName> Asked { get; init; }

    /// <summary>Services whose outcome is still open.</summary>
    public required ImmutableHashSet<int> Open { get; init; }

    /// <summary>Outcomes that are known, the newest first.</summary>
    public required ImmutableStack<Outcome> Settled { get; init; }

    /// <summary>Of an order to send a signal: what became of it at each instance.</summary>
    public ImmutableArray<SignalResult> Signals { get; init; } = [];
}

/// <summary>What became of an operator's signal to one instance.</summary>
/// <param name="Instance">The instance.</param>
/// <param name="Slot">Its slot.</param>
/// <param name="IsKnown">The host has tried.</param>
/// <param name="Refusal">Why it was not sent; null: it was, or that is not known yet.</param>
internal sealed record SignalResult(InstanceId Instance, int Slot, bool IsKnown = false, string? Refusal = null);
