using Launchd.Core.Instances;

namespace Launchd.Core.Slots;

/// <summary>
/// Where one slot of a service is, a closed family that carries only what the phase needs.
/// <code>
///            ┌──────── Waiting ◀── BackingOff ◀─┐
///   Idle ────┤            │                     │ (failed or ended, restart)
///            │            ▼                     │
///            └──▶ (Preparing ──▶) Starting ──▶ Ready ──▶ Stopping ──▶ Idle | Ended | Failed | Waiting
/// </code>
/// </summary>
internal abstract record SlotPhase
{
    private SlotPhase()
    {
    }

    /// <summary>Not wanted, or (demand service) no client has come.</summary>
    internal sealed record Idle : SlotPhase
    {
        public static readonly Idle Value = new();
    }

    /// <summary>The instance ended by itself without a failure, and the policy wants no other.</summary>
    internal sealed record Ended(ExitStatus Status) : SlotPhase
    {
        /// <summary>It was a job, and has done what it was started for.</summary>
        public bool IsCompleted { get; init; }
    }

    /// <summary>Wanted; a service that comes first is not ready yet.</summary>
    internal sealed record Waiting(StartReason Reason) : SlotPhase;

    /// <summary>There is an instance: its process lives, is being spawned, or is about to be.</summary>
    internal abstract record Live(Instance Instance) : SlotPhase
    {
        /// <summary>The spawn was ordered and its result is not known yet; when it is, the service is looked at again.</summary>
        public bool IsBeingSpawned => this is Starting { Instance.Pid: 0 };
    }

    /// <summary>
    /// The connections that the instance is to be born with are not there yet. Nothing of it runs, so it can end at once.
    /// </summary>
    /// <param name="Instance">Its pid is 0.</param>
    /// <param name="Connection">The client's connection that waits for it; null: none.</param>
    /// <param name="Deadline">It has failed if it is not prepared by then.</param>
    internal sealed record Preparing(Instance Instance, ConnectionId? Connection, Moment Deadline) : Live(Instance);

    /// <param name="Instance">Its pid is 0 until the spawn's result is known.</param>
    /// <param name="Deadline">Must be ready by then; null: no limit.</param>
    internal sealed record Starting(Instance Instance, Moment? Deadline) : Live(Instance)
    {
        /// <summary>Why the instance is to end once it is born, since an unborn one cannot be told; null: it is not to end.</summary>
        public StopCause? EndsFor { get; init; }
    }

    internal sealed record Ready(Instance Instance) : Live(Instance);

    /// <param name="Instance">Its main process may have ended already (<see cref="StopStage.Leftovers"/>).</param>
    /// <param name="Cause">Why it ends, which decides what follows.</param>
    /// <param name="Stage">How far the escalation went.</param>
    /// <param name="Deadline">The next stage comes then; null: no limit.</param>
    /// <param name="Status">How the main process ended, once it has.</param>
    internal sealed record Stopping(Instance Instance, StopCause Cause, StopStage Stage, Moment? Deadline, ExitStatus? Status)
        : Live(Instance)
    {
        /// <summary>
        /// In <see cref="StopStage.Emptying"/>: when the instance's queues are looked at again; null: a look is under way.
        /// </summary>
        public Moment? LookAt { get; init; }

        /// <summary>How often clients were seen in the queues.</summary>
        public int LookCount { get; init; }

        /// <summary>After SIGKILL: which processes live on. Null: the host has not looked.</summary>
        public string? Remains { get; init; }
    }

    internal sealed record BackingOff(Moment Until, string? Reason) : SlotPhase;

    internal sealed record Failed(Failure Failure) : SlotPhase;
}

/// <summary>Why an instance is stopped, which decides what comes after it. A closed family.</summary>
internal abstract record StopCause
{
    private StopCause()
    {
    }

    /// <summary>Its service is not wanted any more.</summary>
    internal sealed record Wish : StopCause
    {
        public static readonly Wish Value = new();
    }

    /// <summary>Another instance shall take its place at once.</summary>
    internal sealed record Replace : StopCause
    {
        public static readonly Replace Value = new();
    }

    /// <summary>No client used the service for so long: it rests until one comes.</summary>
    internal sealed record Unused(TimeSpan For) : StopCause;

    internal sealed record Failed(Failure Failure) : StopCause;

    /// <summary>Another instance has taken its place, or its place is gone: nothing follows.</summary>
    /// <param name="Why">For people: "generation 4 has taken its place".</param>
    internal sealed record Retire(string Why) : StopCause;

    /// <summary>It ended by itself or said <c>STOPPING=1</c>: the restart policy decides.</summary>
    internal sealed record ByItself(bool WasReady) : StopCause;
}

/// <summary>How far the end of an instance went.</summary>
internal enum StopStage
{
    /// <summary>
    /// The instance is not told yet: first it accepts the clients in listeners from which no instance will accept after it.
    /// </summary>
    Emptying,

    /// <summary>The stop command runs.</summary>
    Command,

    /// <summary>SIGABRT was sent, for a silent watchdog, and is sent once more if the process lives on.</summary>
    Aborted,

    /// <summary>The stop signal was sent, or the second SIGABRT.</summary>
    Signalled,

    /// <summary>The main process ended, others of the instance were sent the signal.</summary>
    Leftovers,

    /// <summary>SIGKILL was sent.</summary>
    Killed,
}

/// <summary>The states that people and programs see.</summary>
internal enum PublicState { Stopped, Waiting, Starting, Ready, Draining, BackingOff, Failed, Faulted, Completed }
