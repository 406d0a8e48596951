namespace Launchd.Linux.Paths;

/// <summary>User, group and the whole list of supplementary groups.</summary>
internal sealed record Credentials(uint Uid, uint Gid, IReadOnlyList<uint> Groups);
