using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// Keeps new clients from a listener while its holders still accept those who came before, so that its queue gets empty. Nobody who
/// is in the queue, or of whom the kernel has heard, is turned away. Descriptors are borrowed.
/// </summary>
internal static unsafe class ListenerIntake
{
    /// <summary>
    /// New clients of a TCP socket are not answered (when it is closed they are refused, when it goes on they come in by their next
    /// attempt), a path leads nowhere, and of other kinds the queue has one place.
    /// </summary>
    /// <param name="listener">Open.</param>
    /// <param name="endpoint">Where it is bound.</param>
    /// <returns>The name that its path has for that time; null: it has none, or it leads to another socket already.</returns>
    public static OwnedPath? Stop(OpenedListener listener, ListenAddress endpoint)
    {
        switch (endpoint)
        {
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
    /// <param name="aside">What Stop returned. Its place may be another's by now: then it is unlinked.</param>
    public static void Resume(OpenedListener listener, ListenAddress endpoint, int backlogCount, OwnedPath? aside)
    {
        if (endpoint is ListenAddress.Tcp or ListenAddress.Udp)
            PacketFilter.Detach(listener.Descriptor);
        if (aside is not null && UnixPath.Rename(aside, Path.GetFileName(listener.Path!.Path)) is null)
            _ = UnixPath.RemoveIfOurs(aside, out _);
        if (endpoint.IsConnectionOriented)
            _ = listen(listener.Descriptor.Number, backlogCount);
    }

    /// <summary>
    /// An abstract name cannot be taken away, and its queue keeps one place: shut down, it lets nobody in any more, and its holders still
    /// accept who is in the queue. There is no way back.
    /// </summary>
    /// <returns>Whether this did anything.</returns>
    public static bool End(OpenedListener listener, ListenAddress endpoint) =>
        endpoint is ListenAddress.Unix { IsAbstract: true } && endpoint.IsConnectionOriented
            && shutdown(listener.Descriptor.Number, SHUT_RD) == 0;

    /// <summary>Whether nobody waits in its queue, even if it was shut down. True where the kernel does not tell.</summary>
    public static bool IsQueueEmpty(OpenedListener listener) => ListenerState.ReadQueue(listener.Descriptor) is not { QueueCount: > 0 };

    /// <summary>Whether nobody waits in it.</summary>
    /// <param name="listener">Whose intake has stopped.</param>
    /// <param name="endpoint">Where it is bound.</param>
    /// <param name="countsHandshakes">
    /// Whether a client that is just connecting counts as well. The kernel tells them by address alone.
    /// </param>
    public static bool IsEmpty(OpenedListener listener, ListenAddress endpoint, bool countsHandshakes)
    {
        if (!ListenerRepair.CanBeSpoilt(endpoint))
            return true; // the others have no queue that ends with them, or none of clients
        if (!ListenerState.IsAlive(listener.Descriptor))
            return true; // nobody can accept from it any more
        if (ListenerState.IsReadable(listener.Descriptor) || !IsQueueEmpty(listener))
            return false;
        return !(countsHandshakes && endpoint is ListenAddress.Tcp && ConnectionDiagnostics.HasHandshakes(listener.Descriptor));
    }
}
