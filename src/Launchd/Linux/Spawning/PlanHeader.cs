namespace Launchd.Linux.Spawning;

/// <summary>What parent and child share; the child writes the last two when it fails.</summary>
internal unsafe struct PlanHeader
{
    public Step* Steps;
    public int Count;
    public nint ExitNumber;

    /// <summary>
    /// Where the last two are written as well, by <see cref="WriteNumber"/>, when the parent does not see this memory; 0: nowhere.
    /// </summary>
    public int Report;
    public nint WriteNumber;
    public SpawnStage Stage;
    public int Errno;
}
