using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// Keeps new clients from a listener while its holders still accept the clients that came before, so that its queue gets empty. No client
/// that is in the queue, or has begun to connect, is turned away. Descriptors are borrowed.
/// </summary>
internal static unsafe class ListenerIntake
{
    /// <summary>
    /// Stops the intake. New clients of a TCP socket are not answered: when it is closed they are refused, when it goes on their next
    /// attempt succeeds. The path of a Unix socket leads nowhere. The queue of any other kind has one place. An inherited one goes on,
    /// because whoever has opened it will pass it to others.
    /// </summary>
    /// <param name="listener">Open.</param>
    /// <param name="endpoint">Where it is bound.</param>
    /// <returns>The name that the path has in the meantime; null: there is no path, or it leads to another socket already.</returns>
    public static OwnedPath? Stop(OpenedListener listener, ListenAddress endpoint)
    {
        switch (endpoint)
        {
            case { } when listener.Inherited is not null:
                return null;
            case ListenAddress.Tcp:
                if (PacketFilter.Attach(listener.Descriptor, SO_ATTACH_FILTER, PacketFilter.NoNewConnections) != Errno.None)
                    _ = listen(listener.Descriptor.Number, 0);
                return null;
            case ListenAddress.Udp:
                _ = PacketFilter.Attach(listener.Descriptor, SO_ATTACH_FILTER, PacketFilter.Nothing);
                return null;
            case ListenAddress.Unix { IsAbstract: false } when listener.Path is { } path:
                return UnixPath.Rename(path, $".old-{Environment.ProcessId}-{listener.Descriptor.Number}");
            case ListenAddress.Unix or ListenAddress.Vsock when endpoint.IsConnectionOriented:
                _ = listen(listener.Descriptor.Number, 0);
                return null;
            default:
                return null;
        }
    }

    /// <summary>The listener goes on as it was before <see cref="Stop"/>.</summary>
    /// <param name="listener">Open.</param>
    /// <param name="endpoint">Where it is bound.</param>
    /// <param name="backlogCount">As configured.</param>
    /// <param name="aside">What <see cref="Stop"/> returned. If another socket has the path by now, this name is unlinked.</param>
    public static void Resume(OpenedListener listener, ListenAddress endpoint, int backlogCount, OwnedPath? aside)
    {
        if (listener.Inherited is not null)
            return;
        if (endpoint is ListenAddress.Tcp or ListenAddress.Udp)
            PacketFilter.Detach(listener.Descriptor);
        if (aside is not null && UnixPath.Rename(aside, Path.GetFileName(listener.Path!.Path)) is null)
            _ = UnixPath.RemoveIfOurs(aside, out _);
        if (endpoint.IsConnectionOriented)
            _ = listen(listener.Descriptor.Number, backlogCount);
    }

    /// <summary>
    /// Shuts down a Unix socket with an abstract name, which cannot be renamed and whose queue keeps one place: no new client gets in, and
    /// the holders still accept the clients in the queue. There is no way back.
    /// </summary>
    /// <returns>Whether this did anything.</returns>
    public static bool End(OpenedListener listener, ListenAddress endpoint) =>
        endpoint is ListenAddress.Unix { IsAbstract: true } && endpoint.IsConnectionOriented && listener.Inherited is null
            && shutdown(listener.Descriptor.Number, SHUT_RD) == 0;

    /// <summary>Whether no client waits in the queue, even of a listener that was shut down. True where the kernel does not tell.</summary>
    public static bool IsQueueEmpty(OpenedListener listener) => ListenerState.ReadQueue(listener.Descriptor) is not { QueueCount: > 0 };

    /// <summary>Whether no client waits in the listener.</summary>
    /// <param name="listener">The listener whose intake has stopped.</param>
    /// <param name="endpoint">Where it is bound.</param>
    /// <param name="countsHandshakes">
    /// Whether a client that is just connecting counts as well. The kernel tells these by address alone, not by socket.
    /// </param>
    public static bool IsEmpty(OpenedListener listener, ListenAddress endpoint, bool countsHandshakes)
    {
        if (listener.Inherited is not null)
            return true; // its queue does not end with the configuration
        if (!ListenerRepair.CanBeSpoilt(endpoint))
            return true; // the others have no queue that ends with them, or none of clients
        if (!ListenerState.IsAlive(listener.Descriptor))
            return true; // nobody can accept from it any more
        if (ListenerState.IsReadable(listener.Descriptor) || !IsQueueEmpty(listener))
            return false;
        return !(countsHandshakes && endpoint is ListenAddress.Tcp && ConnectionDiagnostics.HasHandshakes(listener.Descriptor));
    }
}
