using System.Net;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>
/// Whether connections that were accepted from a listener are still open, as sock_diag(7) tells of this network namespace. Unix connections
/// that were not accepted yet are not told; for them the listener is readable. Listeners are borrowed.
/// </summary>
internal static unsafe class ConnectionDiagnostics
{
    private const uint Served = 1u << Libc.TCP_ESTABLISHED | Handshakes | 1u << Libc.TCP_CLOSE_WAIT;

    // The state of a handshake, and the kernel's internal one for handshakes without a socket of their own.
    private const uint Handshakes = 1u << Libc.TCP_SYN_RECV | 1u << Libc.TCP_NEW_SYN_RECV;

    // States after the server has closed its half or all of the connection: they count only as long as
    // it still has the socket open and reads.
    private const uint HalfClosed = 1u << Libc.TCP_FIN_WAIT1 | 1u << Libc.TCP_FIN_WAIT2 | 1u << Libc.TCP_CLOSING | 1u << Libc.TCP_LAST_ACK;

    /// <summary>Whether clients can be accepted from the socket; false also for a listener that was shut down.</summary>
    public static bool TakesConnections(FileDescriptor listener) => Option(listener, SO_ACCEPTCONN) == 1;

    /// <summary>Null: the kernel was built without the diagnostics. False for a socket that takes no connections.</summary>
    public static bool? HasConnections(FileDescriptor listener)
    {
        if (!TakesConnections(listener))
            return false;
        return Option(listener, SO_DOMAIN) switch
        {
            Libc.AF_INET or Libc.AF_INET6 => OfInternet(listener, Served | HalfClosed),
            Libc.AF_UNIX => OfUnix(listener),
            Libc.AF_VSOCK => OfVsock(listener),
            _ => null,
        };
    }

    /// <summary>
    /// Whether a client is just connecting to the listener's address by TCP: the kernel has answered and waits for the client's
    /// last packet. False where the kernel does not tell.
    /// </summary>
    public static bool HasHandshakes(FileDescriptor listener)
    {
        if (OfInternet(listener, Handshakes) == true)
            return true;
        // For a listener of both protocols: a handshake by IPv4 has the family of IPv4.
        return SocketAddress.OfSocket(listener) is { Family: Libc.AF_INET6 } bound && bound.Host.Equals(IPAddress.IPv6Any)
            && OfInternet(listener, Handshakes, Libc.AF_INET) == true;
    }

    private static bool? OfInternet(FileDescriptor listener, uint states, int? family = null)
    {
        if (SocketAddress.OfSocket(listener) is not { Port: > 0 } bound)
            return null;
        Libc.inet_diag_req_v2 question = default;
        question.sdiag_family = (byte)(family ?? bound.Family);
        question.sdiag_protocol = (byte)IPPROTO_TCP;
        question.idiag_states = states;
        question.id.idiag_sport = BitConverter.IsLittleEndian
            ? System.Buffers.Binary.BinaryPrimitives.ReverseEndianness((ushort)bound.Port) : (ushort)bound.Port;
        IPAddress host = bound.Host;
        bool isAny = host.Equals(IPAddress.Any) || host.Equals(IPAddress.IPv6Any);
        byte[] address = host.GetAddressBytes();
        return SockDiag.Ask(question, isDump: true, body =>
        {
            if (body.Length < sizeof(Libc.inet_diag_msg))
                return false;
            Libc.inet_diag_msg socket = MemoryMarshal.Read<Libc.inet_diag_msg>(body);
            // The kernel leaves out other ports already; an old kernel may not.
            bool isIts = socket.id.idiag_sport == question.id.idiag_sport
                && (isAny || new ReadOnlySpan<byte>(socket.id.idiag_src, address.Length).SequenceEqual(address));
            return isIts && ((1u << socket.idiag_state & Served) != 0 || socket.idiag_inode != 0);
        });
    }

    private static bool? OfUnix(FileDescriptor listener)
    {
        byte[]? place = UnixDiagnostics.PlaceOf(listener, out bool isTold);
        if (place is null)
            return isTold ? false : null;
        return SockDiag.Ask(
            SockDiag.AboutUnix(1u << Libc.TCP_ESTABLISHED, inode: 0, Libc.UDIAG_SHOW_NAME | Libc.UDIAG_SHOW_VFS),
            isDump: true, body => UnixDiagnostics.PlaceOf(body) is { } its && its.AsSpan().SequenceEqual(place));
    }

    private static bool? OfVsock(FileDescriptor listener)
    {
        if (SocketAddress.OfSocket(listener) is not { Family: Libc.AF_VSOCK } bound)
            return null;
        Libc.sockaddr_vm address = MemoryMarshal.Read<Libc.sockaddr_vm>(bound.Bytes);
        var question = new Libc.vsock_diag_req { sdiag_family = Libc.AF_VSOCK, vdiag_states = 1u << Libc.TCP_ESTABLISHED };
        return SockDiag.Ask(question, isDump: true, body =>
            body.Length >= sizeof(Libc.vsock_diag_msg) && MemoryMarshal.Read<Libc.vsock_diag_msg>(body).vdiag_src_port == address.svm_port);
    }

    private static int? Option(FileDescriptor socket, int option)
    {
        int value = 0;
        socklen_t length = sizeof(int);
        return getsockopt(socket.Number, SOL_SOCKET, option, &value, &length) < 0 ? null : value;
    }
}
