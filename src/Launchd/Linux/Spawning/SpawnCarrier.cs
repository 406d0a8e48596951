namespace Launchd.Linux.Spawning;

/// <summary>In what process the plan of a birth is carried out.</summary>
internal enum SpawnCarrier
{
    /// <summary>A clone in the supervisor's own memory: half a millisecond.</summary>
    Clone,

    /// <summary>A helper, which is this program once more, executed for it: some milliseconds, tens of them under the JIT.</summary>
    Exec,
}
