namespace Launchd.Addresses;

/// <summary>
/// Options that are set on a socket before or after bind. Null or false: the kernel's default stays. An option is set only on kinds of
/// sockets that have it, so that one set of options serves addresses of several kinds; a refusal is an error.
/// </summary>
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

    /// <summary>TCP_FASTOPEN: length of the queue of TCP Fast Open. 0: off.</summary>
    public int FastOpenCount { get; init; }
    public long? ReceiveBufferBytes { get; init; }
    public long? SendBufferBytes { get; init; }
    public bool PassCredentials { get; init; }
    public bool PassPidfd { get; init; }

    /// <summary>False: peers cannot attach descriptors to messages; a peer that tries gets EPERM (SO_PASSRIGHTS, Linux 6.16).</summary>
    public bool PassRights { get; init; } = true;

    /// <summary>O_NONBLOCK of the open file description, which every holder shares: never flipped under one. Off, as systemd has it,
    /// because a program that was not written for it ends at its first accept (docs/adr/0007).</summary>
    public bool NonBlocking { get; init; }
}

/// <summary>TCP keep-alive. Null: the kernel's value. Times are rounded up to whole seconds.</summary>
internal sealed record KeepAlive(TimeSpan? Idle, TimeSpan? Interval, int? ProbeCount);
