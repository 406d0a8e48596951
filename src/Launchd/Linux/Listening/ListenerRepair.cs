using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>What a holder has done to a shared listener. The mildest first.</summary>
internal enum ListenerFault
{
    None,

    /// <summary>listen(2) with a shorter queue: clients are turned away in a burst.</summary>
    BacklogShrunk,

    /// <summary>A packet filter: clients wait in vain.</summary>
    Filtered,

    /// <summary>A datagram socket was connected: it hears one peer only.</summary>
    Connected,

    /// <summary>shutdown(2), connect(AF_UNSPEC), or bound to another port since: nobody can connect.</summary>
    ShutDown,
}

/// <summary>
/// Looks whether a listener still is what was opened, and mends it in place where the kernel allows that. O_NONBLOCK is not looked at: it
/// may be a holder's choice, and is never flipped. Descriptors are borrowed.
/// </summary>
internal static unsafe class ListenerRepair
{
    /// <summary>Whether an endpoint is a socket at all whose state a holder can spoil.</summary>
    public static bool CanBeSpoilt(ListenAddress endpoint) =>
        endpoint.IsConnectionOriented || endpoint is ListenAddress.Udp or ListenAddress.Unix;

    public static ListenerFault Look(OpenedListener listener, ListenAddress endpoint, int backlogCount)
    {
        FileDescriptor socket = listener.Descriptor;
        if (!CanBeSpoilt(endpoint))
            return ListenerFault.None;
        if (!ListenerState.IsAlive(socket) || IsElsewhere(listener, endpoint))
            return ListenerFault.ShutDown;
        if (!endpoint.IsConnectionOriented && SocketAddress.OfPeer(socket) is not null)
            return ListenerFault.Connected;
        if (ListenerState.IsFiltered(socket))
            return ListenerFault.Filtered;
        return endpoint.IsConnectionOriented && IsShort(socket, backlogCount) ? ListenerFault.BacklogShrunk : ListenerFault.None;
    }

    /// <summary>
    /// Mends what was found, and what it hid, on the same open socket, so that every holder is well again. False: it has to be made anew.
    /// </summary>
    public static bool TryMend(OpenedListener listener, ListenAddress endpoint, ListenerFault fault, int backlogCount)
    {
        // Each kind once: what is there again right after its cure is a holder's doing since then, and no reason for another remedy.
        for (int cured = 0; fault != ListenerFault.None && (cured & (1 << (int)fault)) == 0; fault = Look(listener, endpoint, backlogCount))
        {
            if (!TryCure(listener, endpoint, fault, backlogCount))
                return false;
            cured |= 1 << (int)fault;
        }
        return true;
    }

    /// <summary>The endpoint with the port at which it is bound.</summary>
    public static ListenAddress Bound(ListenAddress endpoint, OpenedListener listener) => endpoint switch
    {
        ListenAddress.Tcp { Port: 0 } tcp => tcp with { Port = PortOf(listener) },
        ListenAddress.Udp { Port: 0 } udp => udp with { Port = PortOf(listener) },
        _ => endpoint,
    };

    /// <summary>The port in its address; 0 for what has none.</summary>
    public static int PortOf(OpenedListener listener) =>
        int.TryParse(listener.Address.AsSpan(listener.Address.LastIndexOf(':') + 1), out int port) ? port : 0;

    private static bool TryCure(OpenedListener listener, ListenAddress endpoint, ListenerFault fault, int backlogCount)
    {
        FileDescriptor socket = listener.Descriptor;
        int none = 0;
        switch (fault)
        {
            case ListenerFault.Filtered:
                // EPERM: somebody locked the filter, and not even root takes it off (socket(7), SO_LOCK_FILTER).
                return setsockopt(socket.Number, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(int)) == 0;
            case ListenerFault.Connected:
                sockaddr_storage unspecified = default;
                return connect(socket.Number, (sockaddr*)&unspecified, (uint)sizeof(sockaddr_storage)) == 0;
            case ListenerFault.ShutDown when endpoint is not ListenAddress.Tcp || IsElsewhere(listener, endpoint):
                return false;
            case ListenerFault.ShutDown:
                // Where the kernel had picked the port, the socket lost it and is bound again; else this
                // is refused with EINVAL, as it should.
                _ = SocketAddress.OfSocket(socket)?.Bind(socket);
                return listen(socket.Number, backlogCount) == 0 && !IsElsewhere(listener, endpoint);
            default:
                return listen(socket.Number, backlogCount) == 0;
        }
    }

    private static bool IsElsewhere(OpenedListener listener, ListenAddress endpoint) =>
        endpoint is ListenAddress.Tcp or ListenAddress.Udp && SocketAddress.OfSocket(listener.Descriptor)?.Port != PortOf(listener);

    private static bool IsShort(FileDescriptor listener, int backlogCount)
    {
        if (ListenerState.ReadQueue(listener) is not { BacklogCount: var actual } || actual >= backlogCount)
            return false;
        // The kernel cuts what is asked for (listen(2)); the file is looked at only if that may be the reason.
        return !int.TryParse(Files.ReadText("/proc/sys/net/core/somaxconn")?.Trim(), out int most) || actual < Math.Min(backlogCount, most);
    }
}
