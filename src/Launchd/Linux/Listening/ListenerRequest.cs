using System.Collections.Immutable;
using System.Net;
using Launchd.Linux.Sockets;

namespace Launchd.Linux.Listening;

/// <summary>What is to be opened under one name: all endpoints, or none.</summary>
internal sealed record ListenerRequest
{
    public required ImmutableArray<ListenerEndpoint> Endpoints { get; init; }

    /// <summary>Queue of finished handshakes; the kernel caps it at <c>net.core.somaxconn</c>.</summary>
    public int BacklogCount { get; init; } = 4096;

    /// <summary>Permission bits of the path or message queue, whatever the umask is.</summary>
    public int Mode { get; init; } = 0b110_110_110;
    public PathOwner Owner { get; init; } = PathOwner.Own;

    /// <summary>Permission bits of parent directories that have to be made.</summary>
    public int DirectoryMode { get; init; } = 0b111_101_101;

    /// <summary>Absolute paths that are made to point at the one path among the endpoints.</summary>
    public ImmutableArray<string> Aliases { get; init; } = [];

    /// <summary>0: one socket. N: N sockets on the same port with SO_REUSEPORT (TCP and UDP).</summary>
    public int ShardCount { get; init; }
    public SocketSettings Settings { get; init; } = SocketSettings.Default;
}

/// <summary>Owner of what is made. Null: as the process has it.</summary>
internal readonly record struct PathOwner(uint? Uid, uint? Gid)
{
    public static readonly PathOwner Own;

    public bool IsOwn => Uid is null && Gid is null;
}

/// <summary>
/// Socket options. Null or false: as the kernel has it. Each is set on the kinds of socket that know it and passed over on the others,
/// so that one set serves endpoints of several kinds; a refusal is an error.
/// </summary>
internal sealed record SocketSettings
{
    public static readonly SocketSettings Default = new();

    public bool? Ipv6Only { get; init; }
    public bool FreeBind { get; init; }
    public bool Transparent { get; init; }
    public string? BindToDevice { get; init; }
    public int? Mark { get; init; }
    public int? Priority { get; init; }
    public int? TypeOfService { get; init; }
    public int? TimeToLive { get; init; }
    public string? Congestion { get; init; }
    public bool NoDelay { get; init; }
    public KeepAliveSettings? KeepAlive { get; init; }

    /// <summary>Rounded up to whole seconds.</summary>
    public TimeSpan? DeferAccept { get; init; }

    /// <summary>Length of the queue of TCP Fast Open; 0: off.</summary>
    public int FastOpenCount { get; init; }
    public long? ReceiveBufferBytes { get; init; }
    public long? SendBufferBytes { get; init; }
    public bool PassCredentials { get; init; }
    public bool PassPidfd { get; init; }

    /// <summary>False: who sends descriptors gets EPERM (Linux 6.16).</summary>
    public bool PassRights { get; init; } = true;

    /// <summary>O_NONBLOCK of the open file description, shared by every holder.</summary>
    public bool NonBlocking { get; init; } = true;
}

/// <summary>TCP keep-alive; null: the kernel's value. Times are rounded up to whole seconds.</summary>
internal sealed record KeepAliveSettings(TimeSpan? Idle, TimeSpan? Interval, int? ProbeCount);

/// <summary>One thing to listen on, a closed family. <see cref="object.ToString"/> gives the configuration's spelling.</summary>
internal abstract record ListenerEndpoint
{
    private ListenerEndpoint()
    {
    }

    /// <summary>TCP. Port 0: the kernel picks. With <paramref name="DualStack"/> the host is the any address of both families.</summary>
    internal sealed record Tcp(IPAddress Host, int Port, bool DualStack = false) : ListenerEndpoint
    {
        public override string ToString() => "tcp://" + HostAndPort(Host, Port, DualStack);
    }

    internal sealed record Udp(IPAddress Host, int Port, bool DualStack = false) : ListenerEndpoint
    {
        public override string ToString() => "udp://" + HostAndPort(Host, Port, DualStack);
    }

    /// <summary>A Unix socket: an absolute path, or a name in the abstract namespace without its <c>@</c>.</summary>
    internal sealed record Unix(UnixSocketKind Kind, string Name, bool IsAbstract) : ListenerEndpoint
    {
        public override string ToString() => Kind switch
        {
            UnixSocketKind.Stream => "unix:",
            UnixSocketKind.Datagram => "unix-dgram:",
            _ => "unix-seqpacket:",
        } + (IsAbstract ? "@" : "") + Name;
    }

    /// <summary>A stream socket between virtual machines and their host. A null <paramref name="Cid"/> is any.</summary>
    internal sealed record Vsock(uint? Cid, uint Port) : ListenerEndpoint
    {
        public override string ToString() => $"vsock://{(Cid is { } cid ? cid.ToString() : "*")}:{Port}";
    }

    internal sealed record Fifo(string Path) : ListenerEndpoint
    {
        public override string ToString() => "fifo:" + Path;
    }

    /// <summary>netlink(7): protocol number, and the groups joined at bind as the bit mask <c>nl_groups</c> (0: none).</summary>
    internal sealed record Netlink(string FamilyName, int Protocol, uint GroupMask) : ListenerEndpoint
    {
        public override string ToString() => GroupMask == 0 ? "netlink:" + FamilyName : $"netlink:{FamilyName}:{GroupMask}";
    }

    /// <summary>mq_overview(7); the name with its slash.</summary>
    internal sealed record MessageQueue(string Name) : ListenerEndpoint
    {
        public override string ToString() => "mqueue:" + Name;
    }

    /// <summary>A character device, or a file in /proc or /sys, opened for reading.</summary>
    internal sealed record Special(string Path) : ListenerEndpoint
    {
        public override string ToString() => "special:" + Path;
    }

    internal static string HostAndPort(IPAddress host, int port, bool dualStack) => dualStack ? $"*:{port}"
        : new IPEndPoint(host, port).ToString();
}
