namespace Launchd.Config.Sources;

/// <summary>Everything that reading a configuration depends on: nothing is taken from the process.</summary>
internal sealed record ConfigSource
{
    /// <summary>The first file, absolute.</summary>
    public required string FilePath { get; init; }

    /// <summary>How diagnostics name the first file, as the operator wrote it; included files are named in the same way.</summary>
    public string DisplayPath { get => field ?? Path.GetFileName(FilePath); init; }

    /// <summary>
    /// The supervisor's environment: for <c>${NAME}</c>, for variables that children inherit, and for <c>XDG_RUNTIME_DIR</c>.
    /// </summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>The supervisor's effective user. 0 may change users, and reads trusted files only.</summary>
    public required uint UserId { get; init; }
    public required IConfigFiles Files { get; init; }

    /// <summary>Whether the directory that <c>XDG_RUNTIME_DIR</c> names belongs to the supervisor's user; others are passed over.</summary>
    public Func<string, bool> IsOwnDirectory { get; init; } = _ => true;
}
