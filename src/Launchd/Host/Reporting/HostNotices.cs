using System.Collections.Immutable;
using Launchd.Config.Comparing;

namespace Launchd.Host.Reporting;

/// <summary>
/// A listener that a program had spoilt is as it was. <paramref name="Remedy"/> is <c>mended</c>, <c>linked back</c> or
/// <c>put back</c> (the same open socket), or <c>made anew</c>.
/// </summary>
internal sealed record ListenerHealed(string Socket, string Address, string Fault, string Remedy)
{
    /// <summary>The instances that had it.</summary>
    public required string[] Holders { get; init; }
}

/// <summary>Something of somebody else's lies at the path of a listener, or where a link leads to it; it is not removed.</summary>
internal sealed record ListenerPathTaken(string Socket, string Address, string By);

/// <summary>Another configuration holds now: which tables were added, changed and removed, as <c>services.web</c>.</summary>
internal sealed record ConfigurationReloaded(ImmutableArray<string> Added, ImmutableArray<string> Changed, ImmutableArray<string> Removed)
{
    public static ConfigurationReloaded Of(DefinitionDifference difference) =>
        new(Paths(difference, ChangeKind.Added), Paths(difference, ChangeKind.Changed), Paths(difference, ChangeKind.Removed));

    private static ImmutableArray<string> Paths(DefinitionDifference difference, ChangeKind kind) =>
        [.. difference.Changes.Where(c => c.Kind == kind).Select(c => c.Path)];
}

/// <summary>A reload was asked for and changed nothing.</summary>
internal sealed record ReloadRefused(string Reason);

/// <summary>Somebody had removed the runtime directory, or the control socket in it; it is there again.</summary>
internal sealed record RuntimeDirectoryRestored(string Path, string What);

/// <summary>
/// An instance is ready, and for some seconds nobody has taken a client out of the queue of a listener that it was given.
/// </summary>
internal sealed record ListenerNotAccepted(string Socket, string Address, int WaitingCount, string[] Holders);

/// <summary>A service that was given sockets listens at a TCP address of its own as well.</summary>
internal sealed record ListensElsewhere(string Service, int Pid, string Address);
