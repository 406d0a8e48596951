using System.Collections.Immutable;

namespace Launchd.Core;

/// <summary>What is done by so much in a turn of the host.</summary>
internal enum TurnKind
{
    /// <summary>Instances are started.</summary>
    Starts,

    /// <summary>Services that are not wanted any more are told to end.</summary>
    Stops,
}

/// <summary>What a burst may do in one turn of the host, and who waits for the next.</summary>
/// <param name="PerTurn">At least 1.</param>
/// <param name="Left">How much more may be done in this turn.</param>
internal sealed record TurnBudget(int PerTurn, int Left)
{
    /// <summary>Services that could do more, in a later turn.</summary>
    public ImmutableSortedSet<int> PutOff { get; init; } = [];

    /// <summary>Services were put off, and the host was asked to say when it has looked at everything else.</summary>
    public bool IsTurnAwaited { get; init; }
}
