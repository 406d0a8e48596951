using System.Collections.Immutable;

namespace Launchd.Model;

/// <summary>One <c>[sockets.NAME]</c> table: one or more addresses opened at start under one name and held until the end.</summary>
internal sealed record ListenerDefinition
{
    /// <summary>The table's key, by which services name it.</summary>
    public required string Key { get; init; }

    /// <summary>The name in <c>LISTEN_FDNAMES</c>: printable ASCII without a colon, at most 255 bytes.</summary>
    public required string Name { get; init; }
    public required ImmutableArray<ListenAddress> Addresses { get; init; }

    /// <summary>Queue of finished handshakes; the kernel caps it at <c>net.core.somaxconn</c>.</summary>
    public int BacklogCount { get; init; } = 4096;

    /// <summary>Permission bits, owner and group of the path of a Unix socket or FIFO.</summary>
    public int Mode { get; init; } = 0b110_110_110;
    public string? User { get; init; }
    public string? Group { get; init; }

    /// <summary>Permission bits of parent directories that have to be made.</summary>
    public int DirectoryMode { get; init; } = 0b111_101_101;

    /// <summary>Absolute alias paths that are made to point at the path.</summary>
    public ImmutableArray<string> Symlinks { get; init; } = [];
    public bool RemoveOnStop { get; init; } = true;

    /// <summary>0: one socket for all. N: N sockets with SO_REUSEPORT; slot i gets number i mod N.</summary>
    public int ShardCount { get; init; }
    public SocketOptions Options { get; init; } = SocketOptions.Default;

    /// <summary>Most activations in an interval; null: the default of the service's kind of start.</summary>
    public RateLimit? TriggerLimit { get; init; }

    /// <summary>For <c>start = "connection"</c>: most instances at a time. Above it, connections wait in the queue.</summary>
    public int MaxConnectionCount { get; init; } = 64;

    /// <summary>Most connections of one IP address or Unix uid; 0: no limit.</summary>
    public int MaxConnectionsPerSourceCount { get; init; }
}

/// <summary>What is set on a socket before or after bind. Null or false: as the kernel has it.</summary>
internal sealed record SocketOptions
{
    public static readonly SocketOptions Default = new();

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
    public KeepAlive? KeepAlive { get; init; }

    /// <summary>TCP_DEFER_ACCEPT, whole seconds for the kernel (rounded up). Null: off.</summary>
    public TimeSpan? DeferAccept { get; init; }

    /// <summary>TCP_FASTOPEN: length of its queue. 0: off.</summary>
    public int FastOpenCount { get; init; }
    public long? ReceiveBufferBytes { get; init; }
    public long? SendBufferBytes { get; init; }
    public bool PassCredentials { get; init; }
    public bool PassPidfd { get; init; }

    /// <summary>False: peers cannot attach descriptors (SO_PASSRIGHTS, Linux 6.16).</summary>
    public bool PassRights { get; init; } = true;

    /// <summary>O_NONBLOCK of the open file description, which every holder shares: set once, never flipped. Off, as systemd has it,
    /// because a program that was not written for it ends at its first accept (docs/adr/0007).</summary>
    public bool NonBlocking { get; init; }
}

/// <summary>TCP keep-alive. Null: the kernel's value.</summary>
internal sealed record KeepAlive(TimeSpan? Idle, TimeSpan? Interval, int? ProbeCount);

/// <summary>At most <paramref name="Burst"/> of something within <paramref name="Interval"/>; a burst of 0 means no limit.</summary>
internal sealed record RateLimit(int Burst, TimeSpan Interval)
{
    public static readonly RateLimit Unlimited = new(0, TimeSpan.Zero);

    public bool IsUnlimited => Burst == 0;
}
