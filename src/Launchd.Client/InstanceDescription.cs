namespace Launchd.Client;

/// <summary>Who this program is to its supervisor; <see cref="LaunchdClient.DescribeAsync"/>.</summary>
public sealed class InstanceDescription
{
    internal InstanceDescription()
    {
    }

    /// <summary>The service's name.</summary>
    public required string Service { get; init; }

    /// <summary>The place in the pool, from 0.</summary>
    public required int Slot { get; init; }

    /// <summary>The number of the roll-out that the instance belongs to, from 1.</summary>
    public required int Generation { get; init; }

    /// <summary>The number of this run, which is never used again.</summary>
    public required long Instance { get; init; }

    /// <summary>
    /// Why it was started: <c>boot</c>, <c>activation</c>, <c>restart</c>, <c>rollout</c>, <c>reload</c> or <c>request</c>.
    /// </summary>
    public required string Reason { get; init; }

    /// <summary>The number of the instance whose place this one takes and which may hand over to it; null: there is none.</summary>
    public required long? Predecessor { get; init; }

    /// <summary>The protocol's version; it grows when something is added.</summary>
    public required int Protocol { get; init; }

    /// <summary>The supervisor's version.</summary>
    public required string Version { get; init; }
}

/// <summary>A descriptor that this program may have; <see cref="LaunchdClient.ListAsync"/>.</summary>
public sealed class AvailableDescriptor
{
    internal AvailableDescriptor()
    {
    }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is, in the supervisor's words, such as <c>tcp-listener</c> or <c>memory</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The address or path; null if it has none.</summary>
    public required string? Address { get; init; }

    /// <summary>Where it comes from: <c>socket</c>, <c>file</c>, <c>stored</c> or <c>sibling</c>.</summary>
    public required string Origin { get; init; }

    /// <summary>For a sibling's: whose it is.</summary>
    public required string? Service { get; init; }

    /// <summary>For a sibling's: of which place in the pool.</summary>
    public required int? Slot { get; init; }
}
