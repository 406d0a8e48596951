using System.Runtime.InteropServices;

// Structs keep the kernel's names, which are lower case.
#pragma warning disable CS8981

namespace Launchd.Interop;

// socket(7), unix(7), ip(7), tcp(7), netlink(7), vsock(7), sock_diag(7)
internal static unsafe partial class Libc
{
    public const int AF_UNIX = 1;
    public const int AF_INET = 2;
    public const int AF_INET6 = 10;
    public const int AF_NETLINK = 16;
    public const int AF_VSOCK = 40;

    public const int SOCK_STREAM = 1;
    public const int SOCK_DGRAM = 2;
    public const int SOCK_SEQPACKET = 5;

    /// <summary>Linux 6.5; attach the sender's pidfd to each message.</summary>
    public const int SO_PASSPIDFD = 76;

    /// <summary>Linux 6.5; pidfd of the process that connected.</summary>
    public const int SO_PEERPIDFD = 77;

    /// <summary>Linux 6.16; 0 makes a sendmsg(2) with descriptors to this socket fail with EPERM.</summary>
    public const int SO_PASSRIGHTS = 83;

    public const int IPPROTO_MPTCP = 262;

    /// <summary>State of a listening socket in <see cref="tcp_info_head.tcpi_state"/> and in /proc/net/tcp.</summary>
    public const int TCP_LISTEN = 10;

    public const int NETLINK_SOCK_DIAG = 4;
    public const ushort SOCK_DIAG_BY_FAMILY = 20;
    public const ushort NLMSG_ERROR = 2;
    public const ushort NLM_F_REQUEST = 1;
    public const uint UDIAG_SHOW_VFS = 2;
    public const uint UDIAG_SHOW_RQLEN = 0x10;
    public const ushort UNIX_DIAG_VFS = 1;
    public const ushort UNIX_DIAG_RQLEN = 4;

    public const uint VMADDR_CID_ANY = uint.MaxValue;

    [LibraryImport("libc", SetLastError = true)]
    public static partial int accept4(int sockfd, void* addr, uint* addrlen, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint recvmsg(int sockfd, msghdr* msg, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint sendmsg(int sockfd, msghdr* msg, int flags);

    /// <summary>As glibc has it on 64-bit: lengths are <c>size_t</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct msghdr
    {
        public void* msg_name;
        public uint msg_namelen;
        public iovec* msg_iov;
        public nuint msg_iovlen;
        public void* msg_control;
        public nuint msg_controllen;
        public int msg_flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct iovec
    {
        public void* iov_base;
        public nuint iov_len;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ucred
    {
        public int pid;
        public uint uid;
        public uint gid;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct sockaddr_nl
    {
        public ushort nl_family;
        public ushort nl_pad;
        public uint nl_pid;
        public uint nl_groups;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct sockaddr_vm
    {
        public ushort svm_family;
        public ushort svm_reserved1;
        public uint svm_port;
        public uint svm_cid;
        public byte svm_flags;
        public fixed byte svm_zero[3];
    }

    /// <summary>
    /// The head of <c>struct tcp_info</c>. For a listener <c>tcpi_unacked</c> is the queue and <c>tcpi_sacked</c> the backlog.
    /// </summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct tcp_info_head
    {
        public byte tcpi_state;
        public byte tcpi_ca_state;
        public byte tcpi_retransmits;
        public byte tcpi_probes;
        public byte tcpi_backoff;
        public byte tcpi_options;
        public byte tcpi_wscale;
        public byte tcpi_delivery;
        public uint tcpi_rto;
        public uint tcpi_ato;
        public uint tcpi_snd_mss;
        public uint tcpi_rcv_mss;
        public uint tcpi_unacked;
        public uint tcpi_sacked;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct nlmsghdr
    {
        public uint nlmsg_len;
        public ushort nlmsg_type;
        public ushort nlmsg_flags;
        public uint nlmsg_seq;
        public uint nlmsg_pid;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct unix_diag_req
    {
        public byte sdiag_family;
        public byte sdiag_protocol;
        public ushort pad;
        public uint udiag_states;
        public uint udiag_ino;
        public uint udiag_show;
        public fixed uint udiag_cookie[2];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct unix_diag_msg
    {
        public byte udiag_family;
        public byte udiag_type;
        public byte udiag_state;
        public byte pad;
        public uint udiag_ino;
        public fixed uint udiag_cookie[2];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct rtattr
    {
        public ushort rta_len;
        public ushort rta_type;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct unix_diag_rqlen
    {
        public uint udiag_rqueue;
        public uint udiag_wqueue;
    }

    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_NOSIGNAL = 0x4000;

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint send(int sockfd, ref readonly byte buf, nuint len, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int setsockopt(int fd, int level, int name, void* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getsockopt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int bind(int fd, void* address, uint length);
}
