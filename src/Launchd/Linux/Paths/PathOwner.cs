namespace Launchd.Linux.Paths;

/// <summary>The owner of a file that is made. Null: the process's own user or group.</summary>
internal readonly record struct PathOwner(uint? Uid, uint? Gid)
{
    public static readonly PathOwner Own;

    public bool IsOwn => Uid is null && Gid is null;
}
