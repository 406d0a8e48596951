using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Listening;

/// <summary>What is to be opened under one name: all endpoints, or none.</summary>
internal sealed record ListenerRequest
{
    public required ImmutableArray<ListenAddress> Endpoints { get; init; }

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

    /// <summary>Without options O_NONBLOCK is set: a socket that no definition asks for is one of the supervisor's own loop.</summary>
    public SocketOptions Options { get; init; } = new() { NonBlocking = true };
}
