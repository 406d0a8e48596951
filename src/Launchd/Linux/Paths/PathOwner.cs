namespace Launchd.Linux.Paths;

/// <summary>Owner of what is made. Null: as the process has it.</summary>
internal readonly record struct PathOwner(uint? Uid, uint? Gid)
{
    public static readonly PathOwner Own;

    public bool IsOwn => Uid is null && Gid is null;
}
