using System.Net;

namespace Launchd.Model;

/// <summary>One address of a listener, a closed family. <see cref="ToString"/> gives the configuration's spelling.</summary>
internal abstract record ListenAddress
{
    private ListenAddress()
    {
    }

    /// <summary>Whether connections are accepted from it (as against datagrams or bytes read from it).</summary>
    public virtual bool IsConnectionOriented => false;

    /// <summary>The file system path it makes, or null.</summary>
    public virtual string? Path => null;

    /// <summary>TCP. Port 0: the kernel picks. <see cref="IPAddress.IPv6Any"/> with <paramref name="DualStack"/> for <c>*</c>.</summary>
    internal sealed record Tcp(IPAddress Host, int Port, bool DualStack = false) : ListenAddress
    {
        public override bool IsConnectionOriented => true;
        public override string ToString() => "tcp://" + HostAndPort(Host, Port, DualStack);
    }

    internal sealed record Udp(IPAddress Host, int Port, bool DualStack = false) : ListenAddress
    {
        public override string ToString() => "udp://" + HostAndPort(Host, Port, DualStack);
    }

    /// <summary>A Unix socket: an absolute path, or the abstract name behind <c>@</c>.</summary>
    internal sealed record Unix(UnixKind Kind, string Name, bool IsAbstract) : ListenAddress
    {
        public override bool IsConnectionOriented => Kind != UnixKind.Datagram;
        public override string? Path => IsAbstract ? null : Name;

        public override string ToString() => Kind switch
        {
            UnixKind.Stream => "unix:",
            UnixKind.Datagram => "unix-dgram:",
            _ => "unix-seqpacket:",
        } + (IsAbstract ? "@" : "") + Name;
    }

    /// <summary>vsock. A null <paramref name="Cid"/> is any.</summary>
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

    /// <summary>A netlink socket of a protocol number, joined to one multicast group (0: none).</summary>
    internal sealed record Netlink(string FamilyName, int Family, uint Group) : ListenAddress
    {
        public override string ToString() => Group == 0 ? "netlink:" + FamilyName : $"netlink:{FamilyName}:{Group}";
    }

    /// <summary>A POSIX message queue, its name with the slash.</summary>
    internal sealed record MessageQueue(string Name) : ListenAddress
    {
        public override string ToString() => "mqueue:" + Name;
    }

    /// <summary>A character device, or a file in /proc or /sys, opened for reading.</summary>
    internal sealed record Special(string SpecialPath) : ListenAddress
    {
        public override string ToString() => "special:" + SpecialPath;
    }

    private static string HostAndPort(IPAddress host, int port, bool dualStack) =>
        dualStack ? $"*:{port}" : new IPEndPoint(host, port).ToString();
}

/// <summary>The three kinds of Unix socket.</summary>
internal enum UnixKind { Stream, Datagram, SeqPacket }
