using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>One run of a service's program, as the core knows it.</summary>
internal sealed record Instance
{
    public required InstanceId Id { get; init; }
    public required int Generation { get; init; }

    /// <summary>0 until spawned.</summary>
    public int Pid { get; init; }
    public required Moment StartedAt { get; init; }
    public StartReason Reason { get; init; }

    /// <summary>Null until it was ready.</summary>
    public Moment? ReadyAt { get; init; }

    /// <summary>Whether its reload command runs.</summary>
    public bool RunsReloadCommand { get; init; }
    public string StatusText { get; init; } = "";
    public bool IsReloading { get; init; }

    /// <summary>Null: the watchdog is off.</summary>
    public TimeSpan? WatchdogPeriod { get; init; }
    public Moment LastPing { get; init; }

    /// <summary>For <c>start = "connection"</c>.</summary>
    public string? Source { get; init; }
}

/// <summary>A place in a pool, which successive instances fill.</summary>
internal sealed record SlotState
{
    public required int Slot { get; init; }
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

/// <summary>All that is known of one service.</summary>
internal sealed record ServiceState
{
    public required ServiceDefinition Definition { get; init; }

    /// <summary>Whether it is meant to run (or to listen).</summary>
    public bool IsWanted { get; init; }

    /// <summary>For demand: somebody asked and the slots are wanted, not only the listener.</summary>
    public bool IsActivated { get; init; }

    /// <summary>Whether its listeners are watched.</summary>
    public bool IsWatching { get; init; }

    /// <summary>Activation rests until then, because its limit was reached.</summary>
    public Moment? PausedUntil { get; init; }

    /// <summary>Activations within the trigger limit's interval: the count, and when the interval began.</summary>
    public int TriggerCount { get; init; }
    public Moment TriggerSince { get; init; }

    /// <summary>For a running demand service with <c>idle_timeout</c>: the end of the window within which somebody must come. Null: no window.</summary>
    public Moment? IdleUntil { get; init; }

    /// <summary>Whether somebody came within that window.</summary>
    public bool WasUsed { get; init; }

    /// <summary>Attempts in a row to accept that failed for want of descriptors or memory.</summary>
    public int ShortageCount { get; init; }

    /// <summary>It would listen, but what it requires has failed.</summary>
    public bool IsHindered { get; init; }

    /// <summary>A step about it threw: nothing of it runs or listens before an operator starts or stops it.</summary>
    public bool IsSetAside { get; init; }

    public int Generation { get; init; }
    public ImmutableArray<SlotState> Slots { get; init; } = [];

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
            return false;
        }
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
        SlotPhase.Idle or SlotPhase.Ended => PublicState.Stopped,
        SlotPhase.Waiting => PublicState.Waiting,
        SlotPhase.Starting => PublicState.Starting,
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
        _ => 7,
    };
}
