namespace Launchd.Host.Operators;

/// <summary>What closing a connection costs its peer. The connections with the first of these ranks are closed first.</summary>
internal enum PlaceRank
{
    /// <summary>Nothing is under way.</summary>
    Idle,

    /// <summary>A part of a call has come.</summary>
    Half,

    /// <summary>The peer has not read an answer.</summary>
    Unread,

    /// <summary>The peer follows log lines or events.</summary>
    Follows,

    /// <summary>The peer waits for the outcome of an order, which goes on without it.</summary>
    Waits,
}

/// <summary>What matters of a connection at the control socket for its place.</summary>
internal interface IControlPlace
{
    public ControlPeer Peer { get; }
    public PlaceRank Rank { get; }
}

/// <summary>
/// Decides which connections have a place at the control socket. Root and the supervisor's own user have places of their own, and always
/// get one; of the places for others no user can take more than a share, and the user with most connections makes room.
/// </summary>
internal static class ControlPlaces
{
    public const int OfOwners = 64, OfOthers = 64, OfOneUser = 24;

    /// <summary>Whether a newcomer gets a place.</summary>
    /// <param name="present">The connections, in the order in which they came.</param>
    /// <param name="newcomer">Who connects.</param>
    /// <param name="leaves">The connection that must be closed for it; null: none.</param>
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

    /// <summary>The connection that can be closed without loss when the supervisor itself is short of descriptors; null: none.</summary>
    public static T? FirstThatWaitsForNothing<T>(IReadOnlyList<T> present)
        where T : class, IControlPlace => First(present) is { Rank: <= PlaceRank.Unread } found ? found : null;

    // Among equal ranks a process with many connections loses one before a process with few, so that a flood from one process hits itself;
    // of the rest MinBy takes the first, which is the oldest.
    private static T? First<T>(IReadOnlyList<T> places)
        where T : class, IControlPlace
    {
        Dictionary<int, int> ofProcess = places.GroupBy(p => p.Peer.Pid).ToDictionary(g => g.Key, g => g.Count());
        return places.MinBy(p => (p.Rank, -ofProcess[p.Peer.Pid]));
    }
}
