using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>What sock_diag(7) tells about a Unix socket of this network namespace.</summary>
internal static unsafe class UnixDiagnostics
{
    /// <summary>
    /// Connections waiting on a listening Unix socket and the length of its queue; false where the kernel was built without unix_diag.
    /// </summary>
    public static bool TryReadQueue(FileDescriptor listener, out int queueCount, out int backlogCount)
    {
        queueCount = backlogCount = 0;
        if (FileStatus.Read(listener, out FileStatus status) != Errno.None)
            return false;
        int number = socket(Libc.AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, Libc.NETLINK_SOCK_DIAG);
        if (number < 0)
            return false;
        using var netlink = new FileDescriptor(number);
        Span<byte> reply = stackalloc byte[1024];
        int length = Ask(netlink, unchecked((uint)status.Inode), reply);
        return length > 0 && TryFindQueue(reply[..length], out queueCount, out backlogCount);
    }

    private static int Ask(FileDescriptor netlink, uint inode, Span<byte> reply)
    {
        int headerBytes = sizeof(Libc.nlmsghdr);
        Span<byte> request = stackalloc byte[sizeof(Libc.nlmsghdr) + sizeof(Libc.unix_diag_req)];
        var header = new Libc.nlmsghdr
        {
            nlmsg_len = (uint)request.Length,
            nlmsg_type = Libc.SOCK_DIAG_BY_FAMILY,
            nlmsg_flags = Libc.NLM_F_REQUEST,
        };
        var question = new Libc.unix_diag_req
        {
            sdiag_family = Libc.AF_UNIX,
            udiag_states = uint.MaxValue,
            udiag_ino = inode,
            udiag_show = Libc.UDIAG_SHOW_RQLEN,
        };
        // All ones: any cookie, the inode is enough.
        question.udiag_cookie[0] = question.udiag_cookie[1] = uint.MaxValue;
        MemoryMarshal.Write(request, header);
        MemoryMarshal.Write(request[headerBytes..], question);
        fixed (byte* bytes = request, answer = reply)
        {
            if (Libc.write(netlink.Number, bytes, (nuint)request.Length) < 0)
                return 0;
            // The answer is there when the question has been taken: sock_diag works in the sender's context. So no waiting.
            var vector = new Libc.iovec { iov_base = answer, iov_len = (nuint)reply.Length };
            var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1 };
            return (int)Math.Max(0, Libc.recvmsg(netlink.Number, &message, MSG_DONTWAIT));
        }
    }

    private static bool TryFindQueue(ReadOnlySpan<byte> reply, out int queueCount, out int backlogCount)
    {
        queueCount = backlogCount = 0;
        int start = sizeof(Libc.nlmsghdr) + sizeof(Libc.unix_diag_msg);
        if (reply.Length < start || MemoryMarshal.Read<Libc.nlmsghdr>(reply).nlmsg_type != Libc.SOCK_DIAG_BY_FAMILY)
            return false;
        ReadOnlySpan<byte> rest = reply[start..];
        while (rest.Length >= sizeof(Libc.rtattr))
        {
            Libc.rtattr attribute = MemoryMarshal.Read<Libc.rtattr>(rest);
            if (attribute.rta_len < sizeof(Libc.rtattr) || attribute.rta_len > rest.Length)
                return false;
            if (attribute.rta_type == Libc.UNIX_DIAG_RQLEN && attribute.rta_len >= sizeof(Libc.rtattr) + sizeof(Libc.unix_diag_rqlen))
            {
                Libc.unix_diag_rqlen queue = MemoryMarshal.Read<Libc.unix_diag_rqlen>(rest[sizeof(Libc.rtattr)..]);
                queueCount = unchecked((int)queue.udiag_rqueue);
                backlogCount = unchecked((int)queue.udiag_wqueue);
                return true;
            }
            rest = rest[Math.Min((attribute.rta_len + 3) & ~3, rest.Length)..];
        }
        return false;
    }
}
