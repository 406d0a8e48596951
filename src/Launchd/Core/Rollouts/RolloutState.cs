using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core.Rollouts;

/// <summary>A generation that takes over from another: the goal, the bounds, and what went wrong so far.</summary>
internal sealed record RolloutState
{
    /// <summary>The generation that takes over.</summary>
    public required int Generation { get; init; }

    /// <summary>The definition of that generation.</summary>
    public required ServiceDefinition Definition { get; init; }

    /// <summary>The generation that serves on if the new one fails: the last that was rolled out whole.</summary>
    public required int FormerGeneration { get; init; }

    /// <summary>The very object of <see cref="Definition"/> if only instances are exchanged.</summary>
    public required ServiceDefinition Former { get; init; }

    /// <summary>Most instances that may live beside the holders of the slots, not counting those that were told to end.</summary>
    public required int SurgeCount { get; init; }

    /// <summary>Most slots that may be without a ready instance when the next holder is told to end.</summary>
    public required int UnavailableCount { get; init; }

    /// <summary>How long a new instance must stay ready; zero: not at all.</summary>
    public required TimeSpan Prove { get; init; }
    public required StartReason Reason { get; init; }
    public required Moment BeganAt { get; init; }

    /// <summary>The only slot that is exchanged; null: all are.</summary>
    public int? OnlySlot { get; init; }

    /// <summary>The rollout failed and turned round: now the former generation takes over.</summary>
    public bool IsBack { get; init; }

    /// <summary>The first thing that went wrong.</summary>
    public Failure? Failure { get; init; }
    public InstanceId? FailedInstance { get; init; }
    public int? FailedSlot { get; init; }

    /// <summary>Slots whose holder stays, because the instance that was to take its place failed.</summary>
    public ImmutableArray<int> GivenUp { get; init; } = [];

    public bool LeavesOut(int slot) => (OnlySlot is { } only && only != slot) || GivenUp.Contains(slot);
}

/// <summary>What became of a rollout.</summary>
/// <param name="EndedAt">When it ended; orders that were given before are answered with this result.</param>
/// <param name="Text">Null: it succeeded; else why not, and what serves instead.</param>
/// <param name="Failed">The instance that failed; null: none, or none ever lived.</param>
/// <param name="FailedSlot">The slot of that instance.</param>
internal sealed record RolloutResult(Moment EndedAt, string? Text, InstanceId? Failed, int? FailedSlot);
