using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Core.Orders;
using Launchd.Core.Rollouts;
using Launchd.Model;

namespace Launchd.Core.Slots;

/// <summary>One run of a service's program, as the core knows it.</summary>
internal sealed record Instance
{
    public required InstanceId Id { get; init; }
    public required int Generation { get; init; }

    /// <summary>The definition of its generation: an instance lives and ends by the rules it was born with.</summary>
    public required ServiceDefinition Definition { get; init; }

    /// <summary>The instance that is to take its place, or has taken it; null: there is none. See <see cref="Succession"/>.</summary>
    public InstanceId? Successor { get; init; }

    /// <summary>The instance whose place it takes or has taken; null: none lives. See <see cref="Succession"/>.</summary>
    public InstanceId? Predecessor { get; init; }

    /// <summary>When a rollout counts the instance as good, if it is still ready then; null: it has nothing to prove (any more).</summary>
    public Moment? ProvenAt { get; init; }

    /// <summary>Whether its health check runs.</summary>
    public bool IsChecked { get; init; }

    /// <summary>When the instance was asked to finish; null: it was not.</summary>
    public Moment? DrainingSince { get; init; }

    /// <summary>How much it still has to do before it ends, as the program says; null: it said nothing.</summary>
    public int? RemainingCount { get; init; }

    /// <summary>0 until spawned.</summary>
    public int Pid { get; init; }
    public required Moment StartedAt { get; init; }
    public StartReason Reason { get; init; }

    /// <summary>Null until it was ready.</summary>
    public Moment? ReadyAt { get; init; }

    /// <summary>A reload that it owes to an operator; null: none.</summary>
    public InstanceReload? Reload { get; init; }

    /// <summary>
    /// The last signal that told it to reload; null: none did. It outlives <see cref="Reload"/>, since a program may say that it has
    /// reloaded, or be taken for one that says nothing, and then end of the signal all the same.
    /// </summary>
    public ReloadSignal? ReloadSignal { get; init; }
    public string StatusText { get; init; } = "";
    public bool IsReloading { get; init; }

    /// <summary>Whether its program reads the events of its channel.</summary>
    public bool WatchesChannel { get; init; }

    /// <summary>Null: the watchdog is off.</summary>
    public TimeSpan? WatchdogPeriod { get; init; }
    public Moment LastPing { get; init; }

    /// <summary>What the host has found out about why it is not ready, or has ended early; null: nothing.</summary>
    public string? Clue { get; init; }

    /// <summary>The source of its connection, for <c>start = "connection"</c>.</summary>
    public string? Source { get; init; }
}

/// <summary>What an instance is to its slot.</summary>
internal enum SlotRole
{
    /// <summary>The one instance that fills the slot.</summary>
    Holder,

    /// <summary>Started beside the holder, to take its place once it has proven itself.</summary>
    Successor,

    /// <summary>Its place was taken; it finishes what it has.</summary>
    Retiring,
}

/// <summary>
/// A place in a pool, which one instance after the other fills; with another role than holder, an instance that lives beside that one.
/// </summary>
internal sealed record SlotState
{
    public required int Slot { get; init; }
    public SlotRole Role { get; init; }

    /// <summary>For an instance beside a slot: its number; 0 for the slot itself.</summary>
    public long Key { get; init; }

    /// <summary>Of the next instance; the present one has its own.</summary>
    public required int Generation { get; init; }

    /// <summary>Of the next instance; the present one has its own.</summary>
    public required ServiceDefinition Definition { get; init; }
    public SlotPhase Phase { get; init; } = SlotPhase.Idle.Value;

    /// <summary>Failed or ended runs in a row: the exponent of the back-off.</summary>
    public int Attempt { get; init; }

    /// <summary>Starts within the start limit's interval.</summary>
    public ImmutableArray<Moment> Starts { get; init; } = [];

    /// <summary>Instances after the first since the operator's last start.</summary>
    public long RestartCount { get; init; }

    public Instance? Instance => (Phase as SlotPhase.Live)?.Instance;
}

/// <summary>An opaque state, in one descriptor, of the instances of one slot.</summary>
internal sealed record SavedState(int Slot, DescriptorId Descriptor);

/// <summary>A client that was accepted when no process could be made for it.</summary>
/// <param name="Connection">Held by the host.</param>
/// <param name="Source">For the limit per source.</param>
internal sealed record HeldConnection(ConnectionId Connection, string Source);

/// <summary>All that is known of one service.</summary>
internal sealed record ServiceState
{
    /// <summary>The definition of <see cref="Generation"/>: the configuration's, unless the last rollout failed and went back.</summary>
    public required ServiceDefinition Definition { get; init; }

    /// <summary>Whether the service is meant to run (or to listen).</summary>
    public bool IsWanted { get; init; }

    /// <summary>For a demand service: a client came, so that the slots are wanted and not only the listener.</summary>
    public bool IsActivated { get; init; }

    /// <summary>Whether its listeners are watched.</summary>
    public bool IsWatching { get; init; }

    /// <summary>Activation pauses until then, because its limit was reached.</summary>
    public Moment? PausedUntil { get; init; }

    /// <summary>Activations within the trigger limit's interval: the count, and when the interval began.</summary>
    public int TriggerCount { get; init; }
    public Moment TriggerSince { get; init; }

    /// <summary>
    /// For a running demand service with <c>idle_timeout</c>: the end of the window within which a client must come. Null: no window.
    /// </summary>
    public Moment? IdleUntil { get; init; }

    /// <summary>Whether a client came within that window.</summary>
    public bool WasUsed { get; init; }

    /// <summary>
    /// Attempts in a row to accept a client, or to start an instance for it, that failed for want of descriptors or memory.
    /// </summary>
    public int ShortageCount { get; init; }

    /// <summary>
    /// Accepted clients that are served first when activation resumes, in this order; at most as many
    /// as there were instances in preparation.
    /// </summary>
    public ImmutableArray<HeldConnection> Held { get; init; } = [];

    /// <summary>The service would listen, but a service that it requires has failed.</summary>
    public bool IsHindered { get; init; }

    /// <summary>A step about the service threw: nothing of it runs or listens before an operator starts or stops it.</summary>
    public bool IsSetAside { get; init; }

    /// <summary>The generation that is being rolled out or was last; counted from 1, 0: never started.</summary>
    public int Generation { get; init; }

    /// <summary>The highest number that a generation ever had: after a failed rollout more than <see cref="Generation"/>.</summary>
    public int NewestGeneration { get; init; }

    /// <summary>The slots; slot i is at place i, except that services which serve connections leave gaps.</summary>
    public ImmutableArray<SlotState> Slots { get; init; } = [];

    /// <summary>Live instances that fill no slot: successors, and retiring ones.</summary>
    public ImmutableArray<SlotState> Beside { get; init; } = [];

    /// <summary>The rollout under way; null: none.</summary>
    public RolloutState? Rollout { get; init; }

    /// <summary>What became of the last rollout.</summary>
    public RolloutResult? LastRollout { get; init; }

    /// <summary>What became of the last <c>reload-service</c>, or has so far.</summary>
    public ReloadResult? Reload { get; init; }

    /// <summary>A reload took the service out of the configuration: it ends and is then forgotten.</summary>
    public bool IsLeaving { get; init; }

    /// <summary>Nothing of the service is left and it is not found any more; its number stays taken while others are leaving.</summary>
    public bool IsForgotten { get; init; }

    /// <summary>
    /// The definition that the service gets once nothing of it runs, because no rollout leads there (another kind of start).
    /// </summary>
    public ServiceDefinition? Reborn { get; init; }

    /// <summary>The fd store, oldest first.</summary>
    public ImmutableArray<StoredDescriptor> Stored { get; init; } = [];

    /// <summary>What instances left for the next one of their slot.</summary>
    public ImmutableArray<SavedState> SavedStates { get; init; } = [];

    public Failure? LastFailure { get; init; }

    /// <summary>The instance that failed last, whose last output a reply may show.</summary>
    public InstanceId? LastFailedInstance { get; init; }

    public bool IsPerConnection => Definition.Start == StartKind.Connection;

    public bool IsOnDemand => Definition.Start == StartKind.Demand;

    public bool HasLiveInstance
    {
        get
        {
            foreach (SlotState slot in Slots)
            {
                if (slot.Phase is SlotPhase.Live)
                    return true;
            }
            return !Beside.IsEmpty;
        }
    }

    /// <summary>The instance started beside the holder of a slot.</summary>
    public SlotState? SuccessorOf(int slot)
    {
        foreach (SlotState beside in Beside)
        {
            if (beside.Slot == slot && beside.Role == SlotRole.Successor)
                return beside;
        }
        return null;
    }

    /// <summary>The state of the least advanced slot.</summary>
    public PublicState PublicState
    {
        get
        {
            if (IsSetAside && !HasLiveInstance)
                return PublicState.Faulted;
            if (Slots.IsEmpty)
                return IsWanted ? PublicState.Waiting : PublicState.Stopped;
            PublicState least = Publish(Slots[0].Phase);
            for (int i = 1; i < Slots.Length; i++)
                least = Rank(Publish(Slots[i].Phase)) < Rank(least) ? Publish(Slots[i].Phase) : least;
            return least == PublicState.Stopped && IsWatching ? PublicState.Waiting : least;
        }
    }

    /// <summary>The table from internal phases to public states.</summary>
    public static PublicState Publish(SlotPhase phase) => phase switch
    {
        SlotPhase.Ended { IsCompleted: true } => PublicState.Completed,
        SlotPhase.Idle or SlotPhase.Ended => PublicState.Stopped,
        SlotPhase.Waiting => PublicState.Waiting,
        SlotPhase.Preparing or SlotPhase.Starting => PublicState.Starting,
        SlotPhase.Ready => PublicState.Ready,
        SlotPhase.Stopping => PublicState.Draining,
        SlotPhase.BackingOff => PublicState.BackingOff,
        SlotPhase.Failed { Failure: Failure.Faulted } => PublicState.Faulted,
        SlotPhase.Failed => PublicState.Failed,
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private static int Rank(PublicState state) => state switch
    {
        PublicState.Faulted => 0,
        PublicState.Failed => 1,
        PublicState.BackingOff => 2,
        PublicState.Stopped => 3,
        PublicState.Waiting => 4,
        PublicState.Draining => 5,
        PublicState.Starting => 6,
        PublicState.Completed => 7,
        _ => 8,
    };
}
