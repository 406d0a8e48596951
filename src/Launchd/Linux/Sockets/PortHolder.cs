using System.Globalization;
using Launchd.Client;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Sockets;

/// <summary>A process that has an address open. Best effort, for a sentence: by the time it is read it may be gone.</summary>
/// <param name="Pid">0 when the socket was found but its process could not be seen.</param>
/// <param name="Command">What /proc/PID/comm says.</param>
internal sealed record PortHolder(int Pid, string Command)
{
    private const int MaxTableBytes = 4 * 1024 * 1024;

    /// <summary>TCP_LISTEN for <c>tcp</c>, and the state in which an unconnected <c>udp</c> socket stands.</summary>
    private const string ListenState = "0A";
    private const string UnconnectedState = "07";

    public override string ToString() =>
        Pid == Environment.ProcessId ? "held by this process itself" : Pid == 0 ? "held by a process that this user may not see"
            : $"held by {Command}, pid {Pid}";

    /// <summary>Who listens on a port; null when the tables show nobody.</summary>
    /// <param name="protocol"><c>tcp</c> or <c>udp</c>.</param>
    /// <param name="port">Port in host order.</param>
    public static PortHolder? Find(string protocol, int port)
    {
        string state = protocol == "tcp" ? ListenState : UnconnectedState;
        string? inode = InternetInode($"/proc/net/{protocol}", port, state) ?? InternetInode($"/proc/net/{protocol}6", port, state);
        return inode is null ? null : OfInode(inode);
    }

    /// <summary>Who has a Unix socket bound to a path; null when the table shows nobody.</summary>
    public static PortHolder? FindUnix(string path)
    {
        foreach (string line in Lines("/proc/net/unix"))
        {
            // Num RefCount Protocol Flags Type St Inode Path; only the path may hold spaces.
            string[] fields = line.Split(' ', 8, StringSplitOptions.RemoveEmptyEntries);
            // A connection that nobody has accepted yet has the listener's path too, but no inode.
            if (fields.Length == 8 && fields[7] == path && fields[6] != "0")
                return OfInode(fields[6]);
        }
        return null;
    }

    /// <summary>
    /// Who listens at the other end of a Unix socket that was just connected, as the kernel noted it at listen(2); null: it does not tell.
    /// </summary>
    /// <param name="connection">Borrowed.</param>
    public static PortHolder? OfPeer(FileDescriptor connection) =>
        PeerCredentials.TryRead(connection, out PeerCredentials peer, out _)
            ? new PortHolder(peer.Pid, peer.Pid == 0 ? "" : SocketHolders.CommandOf(peer.Pid))
            : null;

    private static string? InternetInode(string table, int port, string state)
    {
        foreach (string line in Lines(table))
        {
            // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
            string[] fields = line.Split(' ', 11, StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length < 10 || fields[3] != state)
                continue;
            int colon = fields[1].LastIndexOf(':');
            if (int.TryParse(fields[1].AsSpan(colon + 1), NumberStyles.HexNumber, null, out int local) && local == port)
                return fields[9];
        }
        return null;
    }

    private static string[] Lines(string table) => Files.ReadText(table, MaxTableBytes)?.Split('\n') ?? [];

    private static PortHolder OfInode(string inode) =>
        ulong.TryParse(inode, CultureInfo.InvariantCulture, out ulong number) && SocketHolders.FirstOf(number) is { } pid
            ? new PortHolder(pid, SocketHolders.CommandOf(pid))
            // A process that has ended meanwhile, or belongs to somebody else.
            : new PortHolder(0, "");
}
