using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>Questions to sock_diag(7) about the sockets of this network namespace. From any thread; nothing waits.</summary>
internal static unsafe class SockDiag
{
    private const int BufferBytes = 32 * 1024;

    /// <summary>
    /// Looks at one socket of the answer: the message with its attributes. True: it is the one that was looked for, and the search ends.
    /// </summary>
    public delegate bool Looks(ReadOnlySpan<byte> body);

    /// <summary>
    /// Whether one of the sockets in the answer is the one that is looked for. Null: refused, or the kernel was built without this.
    /// </summary>
    /// <param name="question">One of the request structures.</param>
    /// <param name="isDump">Whether the question is about all sockets, not about one.</param>
    /// <param name="looks">Called for each.</param>
    public static bool? Ask<T>(in T question, bool isDump, Looks looks)
        where T : unmanaged
    {
        int number = socket(Libc.AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, Libc.NETLINK_SOCK_DIAG);
        if (number < 0)
            return null;
        using var netlink = new FileDescriptor(number);
        Span<byte> request = stackalloc byte[sizeof(Libc.nlmsghdr) + sizeof(T)];
        MemoryMarshal.Write(request, new Libc.nlmsghdr
        {
            nlmsg_len = (uint)request.Length,
            nlmsg_type = Libc.SOCK_DIAG_BY_FAMILY,
            nlmsg_flags = (ushort)(Libc.NLM_F_REQUEST | (isDump ? Libc.NLM_F_DUMP : 0)),
        });
        MemoryMarshal.Write(request[sizeof(Libc.nlmsghdr)..], question);
        fixed (byte* bytes = request)
        {
            if (Libc.write(netlink.Number, bytes, (nuint)request.Length) < 0)
                return null;
        }
        // On the stack, because this is asked for each of thousands of sockets and should cause no garbage.
        int size = isDump ? BufferBytes : BufferBytes / 8;
        byte* buffer = stackalloc byte[size];
        while (true)
        {
            // The kernel writes the answer inside these calls of the asking thread: so there is no waiting.
            var vector = new Libc.iovec { iov_base = buffer, iov_len = (nuint)size };
            var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1 };
            nint length = Libc.recvmsg(netlink.Number, &message, MSG_DONTWAIT);
            if (length <= 0)
                return null;
            if (IsOver(new ReadOnlySpan<byte>(buffer, (int)length), looks, isDump, out bool? verdict))
                return verdict;
        }
    }

    /// <summary>About Unix sockets in these states, or about the one of that inode (0: about all).</summary>
    public static Libc.unix_diag_req AboutUnix(uint states, uint inode, uint show)
    {
        Libc.unix_diag_req question = new() { sdiag_family = Libc.AF_UNIX, udiag_states = states, udiag_ino = inode, udiag_show = show };
        // All ones: any cookie.
        question.udiag_cookie[0] = question.udiag_cookie[1] = uint.MaxValue;
        return question;
    }

    /// <summary>The first attribute of that type behind a message; empty: there is none.</summary>
    public static ReadOnlySpan<byte> Attribute(ReadOnlySpan<byte> body, int messageBytes, ushort type)
    {
        ReadOnlySpan<byte> rest = body.Length < messageBytes ? [] : body[messageBytes..];
        while (rest.Length >= sizeof(Libc.rtattr))
        {
            Libc.rtattr attribute = MemoryMarshal.Read<Libc.rtattr>(rest);
            if (attribute.rta_len < sizeof(Libc.rtattr) || attribute.rta_len > rest.Length)
                break;
            if (attribute.rta_type == type)
                return rest[sizeof(Libc.rtattr)..attribute.rta_len];
            rest = rest[Math.Min((attribute.rta_len + 3) & ~3, rest.Length)..];
        }
        return [];
    }

    /// <summary>Reads one packet of the answer. True: the answer is over, or a socket matched.</summary>
    public static bool IsOver(ReadOnlySpan<byte> messages, Looks looks, bool isDump, out bool? verdict)
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
            else if (header.nlmsg_type == Libc.SOCK_DIAG_BY_FAMILY && looks(body))
                verdict = true;
            if (verdict != false || header.nlmsg_type == Libc.NLMSG_DONE)
                return true;
            messages = messages[Math.Min(((int)header.nlmsg_len + 3) & ~3, messages.Length)..];
        }
        return !isDump;
    }
}
