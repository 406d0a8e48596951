using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core.Rollouts;

/// <summary>A generation that takes over from another: what is to become, within which bounds, and what went wrong so far.</summary>
internal sealed record RolloutState
{
    /// <summary>Which takes over.</summary>
    public required int Generation { get; init; }

    /// <summary>Of that generation.</summary>
    public required ServiceDefinition Definition { get; init; }

    /// <summary>Which serves on if the new one fails: the last that was rolled out whole.</summary>
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

    /// <summary>The one slot that it is about; null: all.</summary>
    public int? OnlySlot { get; init; }

    /// <summary>It failed and turned round: the former generation is the one that takes over.</summary>
    public bool IsBack { get; init; }

    /// <summary>The first thing that went wrong.</summary>
    public Failure? Failure { get; init; }
    public InstanceId? FailedInstance { get; init; }
    public int? FailedSlot { get; init; }

    /// <summary>Slots whose holder stays, because what was to take its place failed.</summary>
    public ImmutableArray<int> GivenUp { get; init; } = [];

    public bool LeavesOut(int slot) => (OnlySlot is { } only && only != slot) || GivenUp.Contains(slot);
}

/// <summary>What became of a rollout.</summary>
/// <param name="EndedAt">Orders given before it are answered with it.</param>
/// <param name="Text">Null: it succeeded; else why not, and what serves instead.</param>
/// <param name="Failed">The instance that failed; null: none, or none ever lived.</param>
/// <param name="FailedSlot">Its place.</param>
internal sealed record RolloutResult(Moment EndedAt, string? Text, InstanceId? Failed, int? FailedSlot);
