using Launchd.Linux.Paths;

namespace Launchd.Linux.Spawning;

/// <summary>Everything that the birth of one child needs, resolved: no names, no look-ups, absolute paths only.</summary>
internal sealed record SpawnRequest
{
    public required IReadOnlyList<string> Arguments { get; init; }

    /// <summary>Absolute paths, tried in order as execvp(3) does.</summary>
    public required IReadOnlyList<string> Candidates { get; init; }

    /// <summary><c>NAME=VALUE</c>, the whole of it.</summary>
    public required IReadOnlyList<string> Environment { get; init; }

    /// <summary>Variables that the child sets to its own pid.</summary>
    public IReadOnlyList<string> PidVariables { get; init; } = [];

    /// <summary>Variable that the child sets to the inode of its own pidfd, where the kernel has such; null: none.</summary>
    public string? PidfdVariable { get; init; }

    /// <summary>The child's whole table, targets in ascending order. Borrowed; 0, 1 and 2 belong in it.</summary>
    public required IReadOnlyList<DescriptorMapping> Descriptors { get; init; }

    /// <summary>
    /// The child's table has room for so many descriptors from the beginning, if its limit allows: a process with threads that outgrows its
    /// table waits until all processors have come by (an RCU grace period in the kernel's expand_fdtable, some 20 ms). 0: as it comes.
    /// </summary>
    public int TableRoom { get; init; }

    /// <summary>Descriptor 0 is a terminal, and becomes the controlling terminal of the child's session.</summary>
    public bool TakesTerminal { get; init; }
    public required string WorkingDirectory { get; init; }

    /// <summary>The working directory is entered with the rights of <see cref="Credentials"/>, which are set then.</summary>
    public bool EntersAsUser { get; init; }
    public int Umask { get; init; } = 0b000_010_010;

    /// <summary>
    /// Files that the child sees as mount points (mount_namespaces(7)), so that nothing in it can remove or rename them. If there are
    /// any, it gets a mount namespace of its own, into which mounts of the supervisor's come and from which none go.
    /// </summary>
    public IReadOnlyList<PinnedPath> PinnedPaths { get; init; } = [];

    /// <summary>The child's user and groups; null: those of the supervisor.</summary>
    public Credentials? Credentials { get; init; }
    public IReadOnlyList<(int Resource, ulong Soft, ulong Hard)> Limits { get; init; } = [];
    public int? Nice { get; init; }
    public int? OomScoreAdjust { get; init; }

    /// <summary>Capabilities that stay in the bounding set, as bits; null: all.</summary>
    public ulong? BoundingSet { get; init; }
    public ulong AmbientSet { get; init; }
    public bool NoNewPrivileges { get; init; }

    /// <summary>The signal that the child gets when the supervisor ends; 0: none.</summary>
    public int ParentDeathSignal { get; init; }
    public bool IgnoreSigpipe { get; init; } = true;

    /// <summary>Signals that the program begins with blocked, as bits from 0 for signal 1; 0: none.</summary>
    public ulong BlockedSignals { get; init; }
}

/// <summary>Descriptor <paramref name="Source"/> of the supervisor becomes <paramref name="Target"/> of the child.</summary>
internal readonly record struct DescriptorMapping(int Source, int Target);

/// <summary>
/// A file that the child gets as a mount point, on itself. The birth fails with ESTALE when another file lies at the path.
/// </summary>
/// <param name="Path">Absolute.</param>
/// <param name="Device">As in <see cref="FileStatus"/>.</param>
/// <param name="Inode">With the device, the identity of the file.</param>
internal readonly record struct PinnedPath(string Path, ulong Device, ulong Inode);

/// <summary>Where in its birth a child failed; order is that of the steps.</summary>
internal enum SpawnStage
{
    None,
    Clone,
    Signals,
    Session,
    Descriptors,
    Terminal,
    PinnedPaths,
    Limits,
    OomScore,
    Nice,
    WorkingDirectory,
    Capabilities,
    Groups,
    Group,
    User,
    Verify,
    ParentDeath,
    NoNewPrivileges,
    Identity,
    Exec,
}
