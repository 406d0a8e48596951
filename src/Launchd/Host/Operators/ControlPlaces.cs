namespace Launchd.Host.Operators;

/// <summary>What a connection costs whoever is behind it when it must go: the first are the first to go.</summary>
internal enum PlaceRank
{
    /// <summary>Nothing is under way.</summary>
    Idle,

    /// <summary>Half of a call has come.</summary>
    Half,

    /// <summary>An answer was not read.</summary>
    Unread,

    /// <summary>It follows what happens.</summary>
    Follows,

    /// <summary>It waits for the outcome of an order, which goes on without it.</summary>
    Waits,
}

/// <summary>A connection at the control socket, as far as places go.</summary>
internal interface IControlPlace
{
    public ControlPeer Peer { get; }
    public PlaceRank Rank { get; }
}

/// <summary>
/// Who has a place at the control socket. Root and the supervisor's own user have places of their own, and always get one; of the others
/// nobody can take more than a share of theirs, and whoever has most makes room.
/// </summary>
internal static class ControlPlaces
{
    public const int OfOwners = 64, OfOthers = 64, OfOneUser = 24;

    /// <summary>Whether a newcomer gets a place.</summary>
    /// <param name="present">In the order in which they came.</param>
    /// <param name="newcomer">Who connects.</param>
    /// <param name="leaves">Who must go for it; null: nobody.</param>
    public static bool TryChoose<T>(IReadOnlyList<T> present, ControlPeer newcomer, out T? leaves)
        where T : class, IControlPlace
    {
        T[] rivals = [.. present.Where(p => p.Peer.IsOwner == newcomer.IsOwner)];
        T[] own = [.. rivals.Where(p => p.Peer.Uid == newcomer.Uid)];
        leaves = null;
        if (!newcomer.IsOwner && own.Length >= OfOneUser)
        {
            leaves = First(own);
            return true;
        }
        if (rivals.Length < (newcomer.IsOwner ? OfOwners : OfOthers))
            return true;
        T[] most = rivals.GroupBy(p => p.Peer.Uid).Select(g => g.ToArray()).MaxBy(g => g.Length)!;
        if (newcomer.IsOwner || most.Length > own.Length + 1)
            leaves = First(newcomer.IsOwner ? rivals : most);
        else
            leaves = FirstThatWaitsForNothing(rivals);
        return leaves is not null;
    }

    /// <summary>Who can be let go without loss where the supervisor itself is short of descriptors; null: nobody.</summary>
    public static T? FirstThatWaitsForNothing<T>(IReadOnlyList<T> present)
        where T : class, IControlPlace => First(present) is { Rank: <= PlaceRank.Unread } found ? found : null;

    // Of equals a process with many connections goes before one with few, so that a flood from one hits itself; MinBy keeps the first
    // of those that are left, who has been there longest.
    private static T? First<T>(IReadOnlyList<T> places)
        where T : class, IControlPlace
    {
        Dictionary<int, int> ofProcess = places.GroupBy(p => p.Peer.Pid).ToDictionary(g => g.Key, g => g.Count());
        return places.MinBy(p => (p.Rank, -ofProcess[p.Peer.Pid]));
    }
}
