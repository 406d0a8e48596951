using System.Net;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>
/// Whether connections that came by a listener are still open, as sock_diag(7) tells of this network namespace. Unix sockets that nobody
/// has accepted yet are not told; that the listener is readable tells of them. Listeners are borrowed.
/// </summary>
internal static unsafe class ConnectionDiagnostics
{
    private const int BufferBytes = 32 * 1024;
    private const uint Served = 1u << Libc.TCP_ESTABLISHED | Handshakes | 1u << Libc.TCP_CLOSE_WAIT;

    // As users know it, and as the kernel names those that have no socket of their own yet.
    private const uint Handshakes = 1u << Libc.TCP_SYN_RECV | 1u << Libc.TCP_NEW_SYN_RECV;

    // The server has closed its half or all of it: a connection only as long as it still reads, that is, has the socket open.
    private const uint HalfClosed = 1u << Libc.TCP_FIN_WAIT1 | 1u << Libc.TCP_FIN_WAIT2 | 1u << Libc.TCP_CLOSING | 1u << Libc.TCP_LAST_ACK;

    /// <summary>Null: the kernel was built without what tells it. False for what takes no connections.</summary>
    public static bool? HasConnections(FileDescriptor listener)
    {
        if (Option(listener, SO_ACCEPTCONN) != 1)
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
    /// Whether somebody is just connecting to its address by TCP: the kernel has answered and waits for the last word. False where it does
    /// not tell.
    /// </summary>
    public static bool HasHandshakes(FileDescriptor listener)
    {
        if (OfInternet(listener, Handshakes) == true)
            return true;
        // One that takes both protocols: a handshake by the older one has the older family.
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
        return Dump(MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.inet_diag_req_v2>(in question)), isDump: true, body =>
        {
            if (body.Length < sizeof(Libc.inet_diag_msg))
                return false;
            Libc.inet_diag_msg socket = MemoryMarshal.Read<Libc.inet_diag_msg>(body);
            // The kernel passes over other ports already; an old one may not.
            bool isIts = socket.id.idiag_sport == question.id.idiag_sport
                && (isAny || new ReadOnlySpan<byte>(socket.id.idiag_src, address.Length).SequenceEqual(address));
            return isIts && ((1u << socket.idiag_state & Served) != 0 || socket.idiag_inode != 0);
        });
    }

    // An accepted socket has the name and the path of its listener (unix(7)); its peer has none.
    private static bool? OfUnix(FileDescriptor listener)
    {
        if (FileStatus.Read(listener, out FileStatus status) != Errno.None)
            return null;
        byte[]? place = null;
        byte[] own = UnixQuestion(uint.MaxValue, unchecked((uint)status.Inode));
        bool? found = Dump(own, isDump: false, body => (place = PlaceOf(body)) is not null);
        if (found != true)
            return found is null ? null : false;
        return Dump(UnixQuestion(1u << Libc.TCP_ESTABLISHED, inode: 0), isDump: true, body => PlaceOf(body) is { } its && its.AsSpan().SequenceEqual(place));
    }

    private static byte[] UnixQuestion(uint states, uint inode)
    {
        var question = new Libc.unix_diag_req
        {
            sdiag_family = Libc.AF_UNIX,
            udiag_states = states,
            udiag_ino = inode,
            udiag_show = Libc.UDIAG_SHOW_NAME | Libc.UDIAG_SHOW_VFS,
        };
        // All ones: any cookie.
        question.udiag_cookie[0] = question.udiag_cookie[1] = uint.MaxValue;
        return MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.unix_diag_req>(in question)).ToArray();
    }

    /// <summary>Device and inode of its path, which a name that was bound by a detour does not tell; else its abstract name.</summary>
    private static byte[]? PlaceOf(ReadOnlySpan<byte> body)
    {
        byte[]? name = null;
        ReadOnlySpan<byte> rest = body.Length < sizeof(Libc.unix_diag_msg) ? [] : body[sizeof(Libc.unix_diag_msg)..];
        while (rest.Length >= sizeof(Libc.rtattr))
        {
            Libc.rtattr attribute = MemoryMarshal.Read<Libc.rtattr>(rest);
            if (attribute.rta_len < sizeof(Libc.rtattr) || attribute.rta_len > rest.Length)
                return name;
            ReadOnlySpan<byte> value = rest[sizeof(Libc.rtattr)..attribute.rta_len];
            if (attribute.rta_type == Libc.UNIX_DIAG_VFS)
                return value.ToArray();
            if (attribute.rta_type == Libc.UNIX_DIAG_NAME && value.Length > 0)
                name = value.ToArray();
            rest = rest[Math.Min((attribute.rta_len + 3) & ~3, rest.Length)..];
        }
        return name;
    }

    private static bool? OfVsock(FileDescriptor listener)
    {
        if (SocketAddress.OfSocket(listener) is not { Family: Libc.AF_VSOCK } bound)
            return null;
        Libc.sockaddr_vm address = MemoryMarshal.Read<Libc.sockaddr_vm>(bound.Bytes);
        var question = new Libc.vsock_diag_req { sdiag_family = Libc.AF_VSOCK, vdiag_states = 1u << Libc.TCP_ESTABLISHED };
        return Dump(MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.vsock_diag_req>(in question)), isDump: true, body =>
            body.Length >= sizeof(Libc.vsock_diag_msg) && MemoryMarshal.Read<Libc.vsock_diag_msg>(body).vdiag_src_port == address.svm_port);
    }

    private delegate bool Matches(ReadOnlySpan<byte> body);

    /// <summary>Whether one of the sockets in the answer matches. Null: refused.</summary>
    private static bool? Dump(ReadOnlySpan<byte> question, bool isDump, Matches matches)
    {
        int number = socket(Libc.AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, Libc.NETLINK_SOCK_DIAG);
        if (number < 0)
            return null;
        using var netlink = new FileDescriptor(number);
        int headerBytes = sizeof(Libc.nlmsghdr);
        Span<byte> request = stackalloc byte[headerBytes + question.Length];
        MemoryMarshal.Write(request, new Libc.nlmsghdr
        {
            nlmsg_len = (uint)request.Length,
            nlmsg_type = Libc.SOCK_DIAG_BY_FAMILY,
            nlmsg_flags = (ushort)(Libc.NLM_F_REQUEST | (isDump ? Libc.NLM_F_DUMP : 0)),
        });
        question.CopyTo(request[headerBytes..]);
        fixed (byte* bytes = request)
        {
            if (Libc.write(netlink.Number, bytes, (nuint)request.Length) < 0)
                return null;
        }
        byte[] buffer = new byte[BufferBytes];
        while (true)
        {
            nint length;
            // The kernel answers in the context of the one who asks and reads: so there is no waiting.
            fixed (byte* bytes = buffer)
            {
                var vector = new Libc.iovec { iov_base = bytes, iov_len = BufferBytes };
                var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1 };
                length = Libc.recvmsg(netlink.Number, &message, MSG_DONTWAIT);
            }
            if (length <= 0)
                return null;
            if (Look(buffer.AsSpan(0, (int)length), matches, isDump, out bool? verdict))
                return verdict;
        }
    }

    /// <summary>True when the answer is over, or one matched.</summary>
    private static bool Look(ReadOnlySpan<byte> messages, Matches matches, bool isDump, out bool? verdict)
    {
        verdict = false;
        while (messages.Length >= sizeof(Libc.nlmsghdr))
        {
            Libc.nlmsghdr header = MemoryMarshal.Read<Libc.nlmsghdr>(messages);
            if (header.nlmsg_len < sizeof(Libc.nlmsghdr) || header.nlmsg_len > messages.Length)
                return true;
            ReadOnlySpan<byte> body = messages[sizeof(Libc.nlmsghdr)..(int)header.nlmsg_len];
            if (header.nlmsg_type == Libc.NLMSG_ERROR)
                verdict = null;
            else if (header.nlmsg_type == Libc.SOCK_DIAG_BY_FAMILY && matches(body))
                verdict = true;
            if (verdict != false || header.nlmsg_type == Libc.NLMSG_DONE)
                return true;
            messages = messages[Math.Min(((int)header.nlmsg_len + 3) & ~3, messages.Length)..];
        }
        return !isDump;
    }

    private static int? Option(FileDescriptor socket, int option)
    {
        int value = 0;
        socklen_t length = sizeof(int);
        return getsockopt(socket.Number, SOL_SOCKET, option, &value, &length) < 0 ? null : value;
    }
}
