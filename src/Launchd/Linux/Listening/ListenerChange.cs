using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// Changes the settings of an open listener without opening it anew. Some settings need a new socket: those that the
/// kernel takes at socket(2) or bind(2), O_NONBLOCK, which belongs to all holders, and a buffer size that is no longer
/// configured (socket(7): a size once set stays set).
/// </summary>
internal static unsafe class ListenerChange
{
    public static bool NeedsNewSocket(SocketOptions old, SocketOptions next) =>
        old.Ipv6Only != next.Ipv6Only || old.FreeBind != next.FreeBind
        || old.Transparent != next.Transparent || old.BindToDevice != next.BindToDevice
        || old.NonBlocking != next.NonBlocking || (old.ReceiveBufferBytes is not null && next.ReceiveBufferBytes is null)
        || (old.SendBufferBytes is not null && next.SendBufferBytes is null);

    /// <summary>Whether anything is to be done at all.</summary>
    public static bool IsNeeded(ListenerRequest old, ListenerRequest next) =>
        old.BacklogCount != next.BacklogCount || old.Mode != next.Mode || old.Owner != next.Owner || old.Options != next.Options
        || (old.ShardCount > 0) != (next.ShardCount > 0);

    /// <summary>Brings a listener from one request's settings to another's. A second call with the two exchanged takes it back.</summary>
    public static OpenFailure? Apply(OpenedListener listener, ListenAddress endpoint, ListenerRequest old, ListenerRequest next)
    {
        endpoint = listener.Inherited ?? endpoint;
        if (endpoint is ListenAddress.MessageQueue or ListenAddress.Special)
        {
            return old.Mode == next.Mode && old.Owner == next.Owner ? null
                : new OpenFailure("fchmod", $"cannot change {endpoint} while it is open",
                    Errno.EOPNOTSUPP, "give it another name, or restart the supervisor");
        }
        if (endpoint is not ListenAddress.Fifo && Options(listener, endpoint, old, next) is { } refused)
            return refused;
        return listener.Path is null || (old.Mode == next.Mode && old.Owner == next.Owner)
            ? null
            : UnixPath.Change(listener.Path, next.Mode, next.Owner);
    }

    private static OpenFailure? Options(OpenedListener listener, ListenAddress endpoint, ListenerRequest old, ListenerRequest next)
    {
        SocketOptions was = old.Options, to = next.Options;
        int family = endpoint switch
        {
            ListenAddress.Unix => Libc.AF_UNIX,
            ListenAddress.Netlink => Libc.AF_NETLINK,
            ListenAddress.Vsock => Libc.AF_VSOCK,
            _ => SocketAddress.OfSocket(listener.Descriptor)?.Family ?? Libc.AF_INET,
        };
        bool isInternet = family is Libc.AF_INET or Libc.AF_INET6;
        bool isDualStack = endpoint is ListenAddress.Tcp { DualStack: true } or ListenAddress.Udp { DualStack: true }
            && family == Libc.AF_INET6;
        // Only options that differ; an option that is no longer configured gets the value that the kernel gives to a new socket.
        SocketOptions changed = new()
        {
            Mark = Changed(was.Mark, to.Mark, 0),
            Priority = Changed(was.Priority, to.Priority, 0),
            TypeOfService = Changed(was.TypeOfService, to.TypeOfService, 0),
            TimeToLive = Changed(was.TimeToLive, to.TimeToLive, -1),
            Congestion = was.Congestion == to.Congestion
                ? null
                : to.Congestion ?? Files.ReadText("/proc/sys/net/ipv4/tcp_congestion_control")?.Trim(),
            NoDelay = to.NoDelay && !was.NoDelay,
            KeepAlive = was.KeepAlive == to.KeepAlive || to.KeepAlive is null ? null : Filled(to.KeepAlive),
            DeferAccept = was.DeferAccept == to.DeferAccept ? null : to.DeferAccept,
            FastOpenCount = was.FastOpenCount == to.FastOpenCount ? 0 : to.FastOpenCount,
            ReceiveBufferBytes = was.ReceiveBufferBytes == to.ReceiveBufferBytes ? null : to.ReceiveBufferBytes,
            SendBufferBytes = was.SendBufferBytes == to.SendBufferBytes ? null : to.SendBufferBytes,
            PassCredentials = to.PassCredentials && !was.PassCredentials,
            PassPidfd = to.PassPidfd && !was.PassPidfd,
            PassRights = to.PassRights || to.PassRights == was.PassRights,
        };
        SocketOptionsWriter writer = new(listener.Descriptor, family, changed, endpoint.ToString());
        writer.SetCommon();
        if (isInternet)
            writer.SetInternet();
        if (isDualStack && changed.TypeOfService is { } tos)
            writer.Set(IPPROTO_IP, IP_TOS, tos, "tos", null);
        if (isDualStack && changed.TimeToLive is { } ttl)
            writer.Set(IPPROTO_IP, IP_TTL, ttl, "ttl", null);
        if (endpoint is ListenAddress.Tcp)
            TakeBackTcp(ref writer, was, to);
        if (endpoint is ListenAddress.Unix)
            TakeBackUnix(ref writer, was, to);
        if (isInternet && old.ShardCount == 0 && next.ShardCount > 0)
            writer.Set(SOL_SOCKET, SO_REUSEPORT, 1, "shards", null);
        return writer.Failure ?? Backlog(listener, endpoint, old, next);
    }

    private static void TakeBackTcp(ref SocketOptionsWriter writer, SocketOptions was, SocketOptions to)
    {
        writer.SetTcp();
        if (was.NoDelay && !to.NoDelay)
            writer.Set(IPPROTO_TCP, TCP_NODELAY, 0, "no_delay", null);
        if (was.KeepAlive is not null && to.KeepAlive is null)
            writer.Set(SOL_SOCKET, SO_KEEPALIVE, 0, "keep_alive", null);
        if (was.DeferAccept is not null && to.DeferAccept is null)
            writer.Set(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, "defer_accept", null);
        if (was.FastOpenCount > 0 && to.FastOpenCount == 0)
            writer.Set(IPPROTO_TCP, TCP_FASTOPEN, 0, "fast_open", null);
    }

    private static void TakeBackUnix(ref SocketOptionsWriter writer, SocketOptions was, SocketOptions to)
    {
        writer.SetUnix();
        if (was.PassCredentials && !to.PassCredentials)
            writer.Set(SOL_SOCKET, SO_PASSCRED, 0, "pass_credentials", null);
        if (was.PassPidfd && !to.PassPidfd)
            writer.Set(SOL_SOCKET, Libc.SO_PASSPIDFD, 0, "pass_pidfd", null);
        if (!was.PassRights && to.PassRights)
            writer.Set(SOL_SOCKET, Libc.SO_PASSRIGHTS, 1, "pass_rights", null);
    }

    // listen(2): called again it changes nothing but the length of the queue.
    private static OpenFailure? Backlog(OpenedListener listener, ListenAddress endpoint, ListenerRequest old, ListenerRequest next)
    {
        if (old.BacklogCount == next.BacklogCount || !endpoint.IsConnectionOriented
            || listen(listener.Descriptor.Number, next.BacklogCount) == 0)
        {
            return null;
        }
        return new OpenFailure("listen", $"cannot change the backlog of {endpoint}", Errno.Last);
    }

    private static int? Changed(int? was, int? to, int kernels) => was == to ? null : to ?? kernels;

    // A part that is not configured has the kernel's value, which comes from the system's settings (tcp(7)).
    private static KeepAlive Filled(KeepAlive wanted) => new(
        wanted.Idle ?? TimeSpan.FromSeconds(System("tcp_keepalive_time", 7200)),
        wanted.Interval ?? TimeSpan.FromSeconds(System("tcp_keepalive_intvl", 75)),
        wanted.ProbeCount ?? System("tcp_keepalive_probes", 9));

    private static int System(string name, int otherwise) =>
        int.TryParse(Files.ReadText("/proc/sys/net/ipv4/" + name)?.Trim(), out int value) ? value : otherwise;
}
