using System.Runtime.InteropServices;

// Structs keep the kernel's names, which are lower case.
#pragma warning disable CS8981

namespace Launchd.Interop;

// sock_diag(7), netlink(7); linux/inet_diag.h, linux/vm_sockets_diag.h
internal static unsafe partial class Libc
{
    public const ushort NLM_F_DUMP = 0x300;
    public const ushort NLMSG_DONE = 3;

    public const uint UDIAG_SHOW_NAME = 1;
    public const ushort UNIX_DIAG_NAME = 0;

    public const byte TCP_ESTABLISHED = 1;
    public const byte TCP_SYN_RECV = 3;
    public const byte TCP_FIN_WAIT1 = 4;
    public const byte TCP_FIN_WAIT2 = 5;
    public const byte TCP_CLOSE_WAIT = 8;
    public const byte TCP_LAST_ACK = 9;
    public const byte TCP_CLOSING = 11;
    public const byte TCP_NEW_SYN_RECV = 12;

    /// <summary>Ports and addresses in network order; IPv4 in the first word.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct inet_diag_sockid
    {
        public ushort idiag_sport;
        public ushort idiag_dport;
        public fixed byte idiag_src[16];
        public fixed byte idiag_dst[16];
        public uint idiag_if;
        public fixed uint idiag_cookie[2];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct inet_diag_req_v2
    {
        public byte sdiag_family;
        public byte sdiag_protocol;
        public byte idiag_ext;
        public byte pad;
        public uint idiag_states;
        public inet_diag_sockid id;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct inet_diag_msg
    {
        public byte idiag_family;
        public byte idiag_state;
        public byte idiag_timer;
        public byte idiag_retrans;
        public inet_diag_sockid id;
        public uint idiag_expires;
        public uint idiag_rqueue;
        public uint idiag_wqueue;
        public uint idiag_uid;
        public uint idiag_inode;
    }

    /// <summary>The counters of <c>struct tcp_info</c> that are read here, since Linux 4.6.</summary>
    [StructLayout(LayoutKind.Explicit)]
    public struct tcp_info_counts
    {
        [FieldOffset(0)]
        public byte tcpi_state;

        [FieldOffset(128)]
        public ulong tcpi_bytes_received;

        [FieldOffset(156)]
        public uint tcpi_data_segs_out;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct unix_diag_vfs
    {
        public uint udiag_vfs_ino;
        public uint udiag_vfs_dev;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct vsock_diag_req
    {
        public byte sdiag_family;
        public byte sdiag_protocol;
        public ushort pad;
        public uint vdiag_states;
        public uint vdiag_ino;
        public uint vdiag_show;
        public fixed uint vdiag_cookie[2];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct vsock_diag_msg
    {
        public byte vdiag_family;
        public byte vdiag_type;
        public byte vdiag_state;
        public byte vdiag_shutdown;
        public uint vdiag_src_cid;
        public uint vdiag_src_port;
        public uint vdiag_dst_cid;
        public uint vdiag_dst_port;
        public uint vdiag_ino;
        public fixed uint vdiag_cookie[2];
    }
}
