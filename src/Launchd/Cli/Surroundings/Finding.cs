namespace Launchd.Cli.Surroundings;

/// <summary>How much a finding of <c>doctor</c> matters.</summary>
internal enum FindingLevel
{
    /// <summary>Works.</summary>
    Good,

    /// <summary>Works with less than everything.</summary>
    Limited,

    /// <summary>Does not work here, and something of the product needs it.</summary>
    Missing,
}

/// <summary>One thing that this kernel and container allow or refuse.</summary>
/// <param name="Name">What was looked at: <c>pidfd_getfd</c>, <c>cgroup v2</c>.</param>
/// <param name="Level">How much it matters.</param>
/// <param name="Text">What was found, in one sentence.</param>
/// <param name="Consequence">What follows for the operator and what to do; empty if nothing.</param>
internal sealed record Finding(string Name, FindingLevel Level, string Text, string Consequence);
