namespace Launchd.Linux.Spawning;

/// <summary>What parent and child share; the child writes the last two fields when it fails.</summary>
internal unsafe struct PlanHeader
{
    public Step* Steps;
    public int Count;
    public nint ExitNumber;

    /// <summary>
    /// The descriptor to which the child writes the last two as well, by <see cref="WriteNumber"/>, when the
    /// parent does not share this memory; 0: none.
    /// </summary>
    public int Report;
    public nint WriteNumber;
    public SpawnStage Stage;
    public int Errno;
}
