using System.Collections.Immutable;

namespace Launchd.Model;

/// <summary>The surroundings in which a service's programs run: environment, credentials, limits.</summary>
internal sealed record Execution
{
    /// <summary>
    /// The child's whole environment before the protocol variables are added; no name twice. May hold placeholders.
    /// With a <see cref="User"/>, HOME and USER are in it only if the configuration names them; else they are added at
    /// the child's start, where the user is looked up.
    /// </summary>
    public required ImmutableArray<EnvironmentVariable> Environment { get; init; }

    /// <summary>Read at each start, in order, before <see cref="Environment"/>. A leading <c>-</c> in the file (kept in
    /// <see cref="EnvironmentFile.IsOptional"/>) means it may be missing.</summary>
    public ImmutableArray<EnvironmentFile> EnvironmentFiles { get; init; } = [];

    /// <summary>Absolute path.</summary>
    public required string WorkingDirectory { get; init; }
    public int Umask { get; init; } = 0b000_010_010;

    /// <summary>Name or number; null: the supervisor's own.</summary>
    public string? User { get; init; }
    public string? Group { get; init; }
    public ImmutableArray<string> SupplementaryGroups { get; init; } = [];
    public ImmutableArray<ResourceLimit> Limits { get; init; } = [];

    /// <summary>-20 to 19.</summary>
    public int? Nice { get; init; }

    /// <summary>-1000 to 1000.</summary>
    public int? OomScoreAdjust { get; init; }

    /// <summary>Bits of the bounding set that stay; null: all.</summary>
    public ulong? Capabilities { get; init; }

    /// <summary>Bits raised in the ambient set, so that a program without file capabilities has them.</summary>
    public ulong AmbientCapabilities { get; init; }
    public bool NoNewPrivileges { get; init; }

    /// <summary>Sent to the main process when the supervisor dies.</summary>
    public SignalNumber? ParentDeathSignal { get; init; }
    public bool IgnoreSigpipe { get; init; } = true;

    /// <summary>Null: the supervisor's cgroup.</summary>
    public CgroupPolicy? Cgroup { get; init; }
}

/// <summary>One variable of a child's environment.</summary>
internal readonly record struct EnvironmentVariable(string Name, string Value)
{
    /// <summary>Taken from the supervisor's own environment, not written in the configuration: a variable of the same name in one of
    /// <see cref="Execution.EnvironmentFiles"/> wins over it.</summary>
    public bool IsPassed { get; init; }

    /// <summary>
    /// Whether a variable may have this name: one rule for <c>environment</c>, <c>pass_environment</c> and the lines of
    /// <c>environment_files</c>. The kernel refuses nothing, so that programs have names with dots, dashes and brackets; a name with a
    /// blank in it is a mistake, as in <c>export NAME=VALUE</c>.
    /// </summary>
    public static bool IsName(string name)
    {
        foreach (char c in name)
        {
            if (c is '=' or Placeholders.Mark || char.IsWhiteSpace(c) || char.IsControl(c))
                return false;
        }
        return name.Length > 0;
    }
}

/// <summary>A file of NAME=VALUE lines.</summary>
internal readonly record struct EnvironmentFile(string FilePath, bool IsOptional);

/// <summary>One limit of setrlimit(2). <see cref="Infinity"/> for none.</summary>
internal readonly record struct ResourceLimit(ResourceKind Kind, ulong Soft, ulong Hard)
{
    public const ulong Infinity = ulong.MaxValue;
}

/// <summary>The resources, by their numbers in the kernel's generic table (x86-64, arm64).</summary>
internal enum ResourceKind
{
    Cpu = 0, Fsize = 1, Data = 2, Stack = 3, Core = 4, Rss = 5, Nproc = 6, Nofile = 7, Memlock = 8, As = 9, Locks = 10, Sigpending = 11,
    Msgqueue = 12, Nice = 13, Rtprio = 14, Rttime = 15,
}

/// <summary>Controls of a cgroup v2 of the service's own. Texts are written to the kernel's files as they stand.</summary>
internal sealed record CgroupPolicy
{
    public string? MemoryMax { get; init; }
    public string? MemoryHigh { get; init; }
    public string? CpuMax { get; init; }
    public string? PidsMax { get; init; }
    public string? IoWeight { get; init; }
}
