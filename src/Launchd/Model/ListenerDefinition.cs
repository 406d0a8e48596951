using System.Collections.Immutable;
using Launchd.Addresses;

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

    /// <summary>What a program makes of the options of the open socket stays for those that come after it.</summary>
    public bool KeepOptions { get; init; }

    /// <summary>Programs that are given the socket see its path as a mount point, which nobody of theirs can remove or rename.</summary>
    public bool PinPath { get; init; }

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

/// <summary>At most <paramref name="Burst"/> of something within <paramref name="Interval"/>; a burst of 0 means no limit.</summary>
internal sealed record RateLimit(int Burst, TimeSpan Interval)
{
    public static readonly RateLimit Unlimited = new(0, TimeSpan.Zero);

    public bool IsUnlimited => Burst == 0;
}
