using System.Net;

namespace Launchd.Addresses;

/// <summary>
/// One address to listen on or to connect to, a closed family. <see cref="ToString"/> gives the configuration's spelling.
/// </summary>
internal abstract record ListenAddress
{
    private ListenAddress()
    {
    }

    /// <summary>Whether connections are accepted from it, and not datagrams or bytes read from it.</summary>
    public virtual bool IsConnectionOriented => false;

    /// <summary>The file system path it makes, or null.</summary>
    public virtual string? Path => null;

    /// <summary>
    /// TCP. Port 0: the kernel picks. With <paramref name="DualStack"/>, for <c>*</c>, the host is
    /// <see cref="IPAddress.IPv6Any"/> and means the any-address of both families.
    /// </summary>
    internal sealed record Tcp(IPAddress Host, int Port, bool DualStack = false) : ListenAddress
    {
        public override bool IsConnectionOriented => true;
        public override string ToString() => "tcp://" + HostAndPort(Host, Port, DualStack);
    }

    internal sealed record Udp(IPAddress Host, int Port, bool DualStack = false) : ListenAddress
    {
        public override string ToString() => "udp://" + HostAndPort(Host, Port, DualStack);
    }

    /// <summary>A Unix socket: an absolute path, or a name in the abstract namespace without its <c>@</c>.</summary>
    internal sealed record Unix(UnixSocketKind Kind, string Name, bool IsAbstract) : ListenAddress
    {
        public override bool IsConnectionOriented => Kind != UnixSocketKind.Datagram;
        public override string? Path => IsAbstract ? null : Name;

        public override string ToString() => Kind switch
        {
            UnixSocketKind.Stream => "unix:",
            UnixSocketKind.Datagram => "unix-dgram:",
            _ => "unix-seqpacket:",
        } + (IsAbstract ? "@" : "") + Name;
    }

    /// <summary>vsock: a stream socket between virtual machines and their host. A null <paramref name="Cid"/> is any.</summary>
    internal sealed record Vsock(uint? Cid, uint Port) : ListenAddress
    {
        public override bool IsConnectionOriented => true;
        public override string ToString() => $"vsock://{(Cid is { } cid ? cid.ToString() : "*")}:{Port}";
    }

    /// <summary>A FIFO at an absolute path, opened for reading and writing so that it never sees end-of-file.</summary>
    internal sealed record Fifo(string FifoPath) : ListenAddress
    {
        public override string Path => FifoPath;
        public override string ToString() => "fifo:" + FifoPath;
    }

    /// <summary>
    /// netlink(7): protocol number, and the groups joined at bind as the bit mask <c>nl_groups</c> (0: none). A mask, because systemd hands
    /// the number of <c>ListenNetlink=</c> to the kernel as it is, and its own units write masks (<c>route 1361</c>).
    /// </summary>
    internal sealed record Netlink(string FamilyName, int Family, uint GroupMask) : ListenAddress
    {
        public override string ToString() => GroupMask == 0 ? "netlink:" + FamilyName : $"netlink:{FamilyName}:{GroupMask}";
    }

    /// <summary>A POSIX message queue, mq_overview(7); the name with its slash.</summary>
    internal sealed record MessageQueue(string Name) : ListenAddress
    {
        public override string ToString() => "mqueue:" + Name;
    }

    /// <summary>A character device, or a file in /proc or /sys, opened for reading.</summary>
    internal sealed record Special(string SpecialPath) : ListenAddress
    {
        public override string ToString() => "special:" + SpecialPath;
    }

    /// <summary>
    /// A socket that the service manager has opened and passed (sd_listen_fds(3)), by its name and its number among those of that name,
    /// from 1. Where it is bound, and whether connections come to it, is seen when the supervisor starts.
    /// </summary>
    internal sealed record Inherited(string Name, int Number) : ListenAddress
    {
        public override bool IsConnectionOriented => true;
        public override string ToString() => Number == 1 ? "inherited:" + Name : $"inherited:{Name}#{Number}";
    }

    internal static string HostAndPort(IPAddress host, int port, bool dualStack) =>
        dualStack ? $"*:{port}" : new IPEndPoint(host, port).ToString();
}

/// <summary>The three kinds of Unix socket.</summary>
internal enum UnixSocketKind { Stream, Datagram, SeqPacket }
