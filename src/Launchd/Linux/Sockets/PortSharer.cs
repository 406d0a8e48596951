using System.Net;
using System.Net.Sockets;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Linux.Sockets;

/// <summary>
/// A socket of somebody else's that listens at a port of ours: the kernel gives it a part of the clients, or all of an interface.
/// </summary>
/// <param name="Socket">Ours, by its key.</param>
/// <param name="Address">At which the other one listens.</param>
/// <param name="Holder">Whose it is.</param>
internal sealed record PortSharer(string Socket, string Address, PortHolder Holder)
{
    /// <summary>
    /// Finds them. The kernel allows it to processes of one user where both sockets have SO_REUSEPORT (socket(7)), which ours has by
    /// <c>shards</c>, or because a program has set it. Walks through /proc only if there is one, and once. From any thread, and not on the
    /// loop.
    /// </summary>
    /// <param name="ports">All that listen, by their inodes.</param>
    /// <param name="ours">Keys and addresses (<c>tcp://…</c>) of our listeners.</param>
    /// <param name="known">
    /// Inodes of sockets that are nobody else's: those that the programs with these listeners were given and have opened.
    /// </param>
    public static List<PortSharer> Find(
        Dictionary<ulong, IPEndPoint> ports, IReadOnlyList<(string Socket, string Address)> ours, IReadOnlySet<ulong> known)
    {
        ILookup<int, (string Socket, IPEndPoint At, bool IsForBoth)> byPort = ours.Select(Parse).OfType<(string, IPEndPoint, bool)>()
            .ToLookup(o => o.Item2.Port);
        HashSet<ulong>? own = null;
        Dictionary<ulong, (string Socket, IPEndPoint There)> sharing = [];
        foreach ((ulong inode, IPEndPoint there) in ports)
        {
            string? socket = byPort[there.Port].Where(o => IsSame(o.At, there, o.IsForBoth)).Select(o => o.Socket).FirstOrDefault();
            if (socket is null || known.Contains(inode))
                continue;
            // All that this process holds, retired listeners and those of other sockets of the file too.
            own ??= [.. ProcessDescriptors.Links(Libc.getpid()).Select(l => SocketHolders.InodeOf(l.Link)).OfType<ulong>()];
            if (!own.Contains(inode))
                sharing.Add(inode, (socket, there));
        }
        Dictionary<ulong, PortHolder> holders = [];
        foreach (SocketHolder holder in SocketHolders.Find(sharing.Keys.ToHashSet()))
        {
            foreach (ulong inode in holder.Inodes)
                holders.TryAdd(inode, new PortHolder(holder.Pid, holder.Command));
        }
        return [.. sharing.Select(s =>
            new PortSharer(s.Value.Socket, s.Value.There.ToString(), holders.GetValueOrDefault(s.Key) ?? new PortHolder(0, "")))];
    }

    private static (string, IPEndPoint, bool)? Parse((string Socket, string Address) ours)
    {
        const string scheme = "tcp://";
        if (!ours.Address.StartsWith(scheme, StringComparison.Ordinal))
            return null;
        string rest = ours.Address[scheme.Length..];
        bool isForBoth = rest.StartsWith('*');
        return IPEndPoint.TryParse(isForBoth ? "[::]" + rest[1..] : rest, out IPEndPoint? at) ? (ours.Socket, at, isForBoth) : null;
    }

    // Of the two families only `*` surely takes both.
    private static bool IsSame(IPEndPoint ours, IPEndPoint there, bool isForBoth) =>
        isForBoth || (ours.AddressFamily == there.AddressFamily
            && (ours.Address.Equals(there.Address) || IsAny(ours) || IsAny(there)));

    private static bool IsAny(IPEndPoint at) => at.Address.Equals(at.AddressFamily == AddressFamily.InterNetwork
        ? IPAddress.Any : IPAddress.IPv6Any);
}
