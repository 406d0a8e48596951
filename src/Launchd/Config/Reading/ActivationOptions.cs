using System.Collections.Immutable;

namespace Launchd.Config.Reading;

/// <summary>What <c>activate</c> was given on its command line.</summary>
internal sealed record ActivationOptions
{
    public required ImmutableArray<string> Listen { get; init; }
    public ImmutableArray<string> Files { get; init; } = [];
    public required ImmutableArray<string> Command { get; init; }

    /// <summary>Start at once, not at the first traffic.</summary>
    public bool Now { get; init; }

    /// <summary>One instance for each connection.</summary>
    public bool Accept { get; init; }

    /// <summary>The socket is standard input and output.</summary>
    public bool Inetd { get; init; }

    /// <summary>Addresses without a scheme are datagram sockets.</summary>
    public bool Datagram { get; init; }
    public bool SeqPacket { get; init; }

    /// <summary><c>NAME=VALUE</c>, or the <c>NAME</c> of a variable of this process.</summary>
    public ImmutableArray<string> Environment { get; init; } = [];

    /// <summary>Names for LISTEN_FDNAMES, separated by colons; one name holds for all.</summary>
    public string? Names { get; init; }

    /// <summary>Files and directories; the program restarts when something of them changes.</summary>
    public ImmutableArray<string> Watch { get; init; } = [];
}
