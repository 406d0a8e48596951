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
/// may be a holder's choice, and it is never changed under that holder (<see cref="SharedOptions"/>). Descriptors are borrowed.
/// </summary>
internal static unsafe class ListenerRepair
{
    /// <summary>Whether an endpoint is a socket at all whose state a holder can spoil.</summary>
    public static bool CanBeSpoilt(ListenAddress endpoint) =>
        endpoint.IsConnectionOriented || endpoint is ListenAddress.Udp or ListenAddress.Unix;

    /// <param name="listener">Open.</param>
    /// <param name="endpoint">Where it was bound.</param>
    /// <param name="backlogCount">As configured; null: the length of the queue is not looked at.</param>
    /// <param name="queues">For a caller that looks at many listeners; null: the kernel is asked about this one.</param>
    public static ListenerFault Look(OpenedListener listener, ListenAddress endpoint, int? backlogCount, UnixQueues? queues = null)
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
        bool isShort = backlogCount is { } count && endpoint.IsConnectionOriented && IsShort(socket, count, queues);
        return isShort ? ListenerFault.BacklogShrunk : ListenerFault.None;
    }

    /// <summary>
    /// Mends the fault, and further faults that it hid, on the same open socket, so that it serves every holder
    /// again. False: the socket has to be made anew.
    /// </summary>
    public static bool TryMend(OpenedListener listener, ListenAddress endpoint, ListenerFault fault, int backlogCount)
    {
        // Each kind of fault is mended once: if it is there again right after its cure, a holder has done it anew.
        for (int cured = 0; fault != ListenerFault.None && (cured & (1 << (int)fault)) == 0; fault = Look(listener, endpoint, backlogCount))
        {
            if (!TryCure(listener, endpoint, fault, backlogCount))
                return false;
            cured |= 1 << (int)fault;
        }
        return true;
    }

    /// <summary>The endpoint where it is bound: with its port, and of an inherited one what it is.</summary>
    public static ListenAddress Bound(ListenAddress endpoint, OpenedListener listener) => endpoint switch
    {
        ListenAddress.Tcp { Port: 0 } tcp => tcp with { Port = PortOf(listener) },
        ListenAddress.Udp { Port: 0 } udp => udp with { Port = PortOf(listener) },
        ListenAddress.Inherited => listener.Inherited ?? endpoint,
        _ => endpoint,
    };

    /// <summary>The port in the listener's address; 0 if it has none.</summary>
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
                return Disconnect(socket);
            case ListenerFault.ShutDown when endpoint is not ListenAddress.Tcp || IsElsewhere(listener, endpoint):
                return false;
            case ListenerFault.ShutDown:
                SocketAddress? address = SocketAddress.OfSocket(socket);
                // A shutdown(2) of a socket that does not listen any more stays behind the next listen(2), and is handed down to what is
                // accepted, which then reads an end before its client has spoken (Linux 6.18). Not if a holder has listened again by now:
                // its queue would be lost.
                if (!ConnectionDiagnostics.TakesConnections(socket))
                    _ = Disconnect(socket);
                // A socket whose port the kernel had picked has lost the port and is bound again; any other is bound still,
                // and this call fails with EINVAL, as it should.
                _ = address?.Bind(socket);
                return listen(socket.Number, backlogCount) == 0 && !IsElsewhere(listener, endpoint);
            default:
                return listen(socket.Number, backlogCount) == 0;
        }
    }

    /// <summary>connect(2): AF_UNSPEC takes the peer away, and what a shutdown has left; a port of our choice stays.</summary>
    private static bool Disconnect(FileDescriptor socket)
    {
        sockaddr_storage unspecified = default;
        return connect(socket.Number, (sockaddr*)&unspecified, (uint)sizeof(sockaddr_storage)) == 0;
    }

    private static bool IsElsewhere(OpenedListener listener, ListenAddress endpoint) =>
        endpoint is ListenAddress.Tcp or ListenAddress.Udp && SocketAddress.OfSocket(listener.Descriptor)?.Port != PortOf(listener);

    private static bool IsShort(FileDescriptor listener, int backlogCount, UnixQueues? queues)
    {
        if (ListenerState.ReadQueue(listener, queues?.All) is not { BacklogCount: var actual } || actual >= backlogCount)
            return false;
        // The kernel cuts the asked length (listen(2)); the file with its limit is read only if that may be the reason.
        return !int.TryParse(Files.ReadText("/proc/sys/net/core/somaxconn")?.Trim(), out int most) || actual < Math.Min(backlogCount, most);
    }
}
