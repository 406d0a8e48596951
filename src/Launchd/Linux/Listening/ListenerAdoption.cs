using System.Buffers.Binary;
using System.Net;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.Linux.Listening;

/// <summary>
/// Makes a listener of a socket that this process was started with and that a supervisor before it had opened: clients in its queue are
/// served, and nobody is refused meanwhile. It gets the settings that a new socket would get.
/// </summary>
internal static unsafe class ListenerAdoption
{
    /// <summary>
    /// Adopts a socket of TCP, UDP or Unix. Null: it is of another kind, is bound elsewhere, or cannot be mended; then it stays the
    /// caller's. Else the descriptor becomes part of the result.
    /// </summary>
    /// <param name="socket">Open, of any kind.</param>
    /// <param name="endpoint">Where it is to listen.</param>
    /// <param name="request">Its settings.</param>
    public static OpenedListener? TryAdopt(FileDescriptor socket, ListenAddress endpoint, ListenerRequest request)
    {
        if (Find(socket, endpoint) is not { } listener
            || SharedOptions.Sample(endpoint, SharedOptions.DomainOf(socket), request) is not { } options || !options.FitKindOf(socket))
        {
            return null;
        }
        ListenAddress bound = ListenerRepair.Bound(endpoint, listener);
        ListenerFault fault = ListenerRepair.Look(listener, bound, request.BacklogCount);
        if (!ListenerRepair.TryMend(listener, bound, fault, request.BacklogCount))
            return null;
        _ = options.PutBack(socket, sharesPort: false);
        bool listens = !endpoint.IsConnectionOriented || listen(socket.Number, request.BacklogCount) == 0;
        bool isPathRight = listener.Path is null || UnixPath.Change(listener.Path, request.Mode, request.Owner) is null;
        return listens && isPathRight ? listener with { IsAdopted = true } : null;
    }

    /// <summary>
    /// Ends a socket that is not adopted, for all who have it: else it would be in the way of one that is opened at its address, as long as
    /// anybody has a copy.
    /// </summary>
    public static void Discard(FileDescriptor socketTaken)
    {
        // ENOTCONN of UDP: there it changes nothing.
        _ = shutdown(socketTaken.Number, SHUT_RDWR);
        socketTaken.Dispose();
    }

    /// <summary>A socket that the service manager has opened, as it is.</summary>
    /// <param name="socketTaken">Becomes part of the result; closed if there is none.</param>
    /// <param name="endpoint">By which name it was passed.</param>
    /// <param name="request">
    /// Only the length of the queue counts, and whether the supervisor itself accepts from it (<see cref="SocketOptions.NonBlocking"/>).
    /// </param>
    public static OpenResult<OpenedListener> Take(FileDescriptor socketTaken, ListenAddress.Inherited endpoint, ListenerRequest request)
    {
        string subject = $"cannot take {endpoint}";
        OpenFailure? failure = null;
        if (PlaceOf(socketTaken) is not { } place)
            failure = new OpenFailure("getsockname", subject, Errno.EINVAL, "it is no bound socket of TCP, UDP, Unix or vsock");
        else if (request.Options.NonBlocking && !place.IsConnectionOriented)
            failure = new OpenFailure("accept", subject, Errno.EOPNOTSUPP, $"no connections come to {place}, which 'start' asks for");
        else if (request.Options.NonBlocking && Files.SetNonBlocking(socketTaken, isNonBlocking: true) is { Value: not 0 } refused)
            failure = new OpenFailure("fcntl", subject, refused);
        else if (place.IsConnectionOriented && listen(socketTaken.Number, request.BacklogCount) != 0)
            failure = new OpenFailure("listen", subject, Errno.Last);
        else
            return new OpenedListener { Descriptor = socketTaken, Address = place.ToString(), Inherited = place };
        socketTaken.Dispose();
        return failure;
    }

    /// <summary>Where a socket is bound; null: it is none, of another family, or not bound.</summary>
    private static ListenAddress? PlaceOf(FileDescriptor socket)
    {
        string kind = ListenerState.Read(socket).Kind;
        if (SocketAddress.OfSocket(socket) is not { } bound)
            return null;
        bool isInternet = bound.Family is Libc.AF_INET or Libc.AF_INET6 && bound.Port != 0;
        bool isDualStack = isInternet && bound.Host.Equals(IPAddress.IPv6Any) && !SharedOptions.IsIpv6Only(socket);
        return kind switch
        {
            "tcp-listener" or "tcp-socket" when isInternet => new ListenAddress.Tcp(bound.Host, bound.Port, isDualStack),
            "udp-socket" when isInternet => new ListenAddress.Udp(bound.Host, bound.Port, isDualStack),
            "unix-listener" or "unix-socket" or "unix-datagram" when bound.UnixName is { } name => new ListenAddress.Unix(
                UnixSocket.KindOf(socket), name.StartsWith('@') ? name[1..] : name, name.StartsWith('@')),
            "vsock-listener" => VsockOf(bound),
            _ => null,
        };
    }

    private static ListenAddress.Vsock VsockOf(SocketAddress bound) =>
        new(bound.VsockCid == Libc.VMADDR_CID_ANY ? null : bound.VsockCid, bound.VsockPort);

    private static OpenedListener? Find(FileDescriptor socket, ListenAddress endpoint)
    {
        if (SocketAddress.OfSocket(socket) is not { } bound)
            return null;
        string? address = endpoint switch
        {
            ListenAddress.Tcp tcp when IsAt(bound, tcp.Host, tcp.Port, tcp.DualStack) =>
                "tcp://" + ListenAddress.HostAndPort(bound.Host, bound.Port, tcp.DualStack),
            ListenAddress.Udp udp when IsAt(bound, udp.Host, udp.Port, udp.DualStack) =>
                "udp://" + ListenAddress.HostAndPort(bound.Host, bound.Port, udp.DualStack),
            ListenAddress.Unix { IsAbstract: true } unix when bound.UnixName == "@" + unix.Name => unix.ToString(),
            ListenAddress.Unix { IsAbstract: false } => endpoint.ToString(),
            _ => null,
        };
        if (address is null)
            return null;
        OpenedListener listener = new() { Descriptor = socket, Address = address };
        if (endpoint.Path is not { } path)
            return listener;
        return OwnedPathOf(socket, path, bound) is { } owned ? listener with { Path = owned } : null;
    }

    private static bool IsAt(SocketAddress bound, IPAddress host, int port, bool isDualStack)
    {
        if (bound.Family is not (Libc.AF_INET or Libc.AF_INET6) || (port != 0 && bound.Port != port) || bound.Port == 0)
            return false;
        // Where there is no IPv6, the any-address of both families was opened for IPv4.
        return bound.Host.Equals(host) || (isDualStack && bound.Host.Equals(IPAddress.Any) && !HasIpv6());
    }

    private static bool HasIpv6()
    {
        int number = socket(Libc.AF_INET6, Libc.SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (number >= 0)
            new FileDescriptor(number).Dispose();
        return number >= 0;
    }

    /// <summary>
    /// The path as our own if it still leads to this very socket. The name in its address may be another one, by which it was bound.
    /// </summary>
    private static OwnedPath? OwnedPathOf(FileDescriptor socket, string path, SocketAddress bound)
    {
        if (FileStatus.ReadNoFollow(AT_FDCWD, path, out FileStatus status) != Errno.None || status.Kind != FileKind.Socket)
            return null;
        byte[]? place = UnixDiagnostics.PlaceOf(socket, out bool isTold);
        // struct unix_diag_vfs: the number of the inode, of which the kernel tells 32 bits, and then its device.
        bool isIts = isTold ? place is { Length: 8 } && BinaryPrimitives.ReadUInt32LittleEndian(place) == unchecked((uint)status.Inode)
            : bound.UnixName == path;
        return isIts ? new OwnedPath(PathKind.Socket, path, status.Device, status.Inode) : null;
    }
}
