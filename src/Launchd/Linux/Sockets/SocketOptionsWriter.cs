using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>
/// Sets the options of a <see cref="SocketOptions"/> on one socket, each at its moment; a refusal names option, error and remedy. The first
/// refusal stops the rest, unless the caller wants to be told of all of them.
/// </summary>
internal ref struct SocketOptionsWriter
{
    private readonly FileDescriptor _socket;
    private readonly SocketOptions _options;
    private readonly string _endpoint;
    private readonly int _family;
    private readonly bool _isDualStack;
    private readonly Action<string, OpenFailure>? _onRefusal;

    /// <param name="socket">Borrowed.</param>
    /// <param name="family">Its address family.</param>
    /// <param name="options">What to set.</param>
    /// <param name="endpoint">For sentences.</param>
    /// <param name="isDualStack">An IPv6 socket that serves IPv4 as well.</param>
    /// <param name="onRefusal">Told each refusal, with the option's name, instead of <see cref="Failure"/>.</param>
    public SocketOptionsWriter(FileDescriptor socket, int family, SocketOptions options, string endpoint, bool isDualStack = false,
        Action<string, OpenFailure>? onRefusal = null)
    {
        _onRefusal = onRefusal;
        _socket = socket;
        _family = family;
        _options = options;
        _endpoint = endpoint;
        _isDualStack = isDualStack;
    }

    /// <summary>Null until an option is refused.</summary>
    public OpenFailure? Failure { get; private set; }

    private readonly bool IsV6 => _family == Libc.AF_INET6;

    /// <summary>Everything for an IP socket, before bind(2).</summary>
    public void SetAll(bool isTcp, bool isSharded)
    {
        // socket(7): without it a port with connections in TIME-WAIT cannot be bound for a minute.
        if (isTcp)
            Set(SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", null);
        if (isSharded)
            Set(SOL_SOCKET, SO_REUSEPORT, 1, "shards", null);
        // ip(7): IP_TOS changes the priority, so it goes first.
        SetInternet();
        SetCommon();
        if (isTcp)
            SetTcp();
    }

    /// <summary>Options of every kind of socket. Buffers come before listen(2): the TCP window scale is fixed at the handshake.</summary>
    public void SetCommon()
    {
        if (_options.PassCredentials && _family == Libc.AF_NETLINK)
            Set(SOL_SOCKET, SO_PASSCRED, 1, "pass_credentials", null);
        if (_options.BindToDevice is { } device && _family is (Libc.AF_INET or Libc.AF_INET6))
        {
            SetText(SOL_SOCKET, SO_BINDTODEVICE, device, "bind_to_device", refused => refused == Errno.ENODEV
                ? $"there is no network interface '{device}'" : refused == Errno.EPERM ? "needs CAP_NET_RAW" : null);
        }
        if (_options.Mark is { } mark)
            Set(SOL_SOCKET, SO_MARK, mark, "mark", "needs CAP_NET_ADMIN");
        if (_options.Priority is { } priority)
            Set(SOL_SOCKET, SO_PRIORITY, priority, "priority", "a priority above 6 needs CAP_NET_ADMIN");
        if (_options.ReceiveBufferBytes is { } receive)
            SetBuffer(SO_RCVBUFFORCE, SO_RCVBUF, receive, "receive_buffer", "net.core.rmem_max");
        if (_options.SendBufferBytes is { } send)
            SetBuffer(SO_SNDBUFFORCE, SO_SNDBUF, send, "send_buffer", "net.core.wmem_max");
    }

    /// <summary>ip(7) and ipv6(7), before bind(2).</summary>
    public void SetInternet()
    {
        if (IsV6 && (_isDualStack || _options.Ipv6Only is not null))
            Set(IPPROTO_IPV6, IPV6_V6ONLY, !_isDualStack && _options.Ipv6Only == true ? 1 : 0, "ipv6_only", null);
        if (_options.FreeBind)
            Set(IsV6 ? IPPROTO_IPV6 : IPPROTO_IP, IsV6 ? IPV6_FREEBIND : IP_FREEBIND, 1, "free_bind", null);
        if (_options.Transparent)
        {
            Set(IsV6 ? IPPROTO_IPV6 : IPPROTO_IP, IsV6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1, "transparent",
                "needs CAP_NET_ADMIN or CAP_NET_RAW");
        }
        if (_options.TypeOfService is { } tos)
        {
            if (IsV6)
                Set(IPPROTO_IPV6, IPV6_TCLASS, tos, "tos", null);
            if (!IsV6 || _isDualStack)
                Set(IPPROTO_IP, IP_TOS, tos, "tos", null);
        }
        if (_options.TimeToLive is { } ttl)
        {
            if (IsV6)
                Set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl, "ttl", "1 to 255");
            if (!IsV6 || _isDualStack)
                Set(IPPROTO_IP, IP_TTL, ttl, "ttl", "1 to 255");
        }
    }

    /// <summary>tcp(7), before listen(2); accepted connections inherit them.</summary>
    public void SetTcp()
    {
        if (_options.Congestion is { } algorithm)
            SetText(IPPROTO_TCP, TCP_CONGESTION, algorithm, "congestion", _ => CongestionRemedy());
        if (_options.NoDelay)
            Set(IPPROTO_TCP, TCP_NODELAY, 1, "no_delay", null);
        if (_options.KeepAlive is { } keepAlive)
        {
            Set(SOL_SOCKET, SO_KEEPALIVE, 1, "keep_alive", null);
            if (keepAlive.Idle is { } idle)
                Set(IPPROTO_TCP, TCP_KEEPIDLE, WholeSeconds(idle), "keep_alive.idle", "1 to 32767 seconds");
            if (keepAlive.Interval is { } interval)
                Set(IPPROTO_TCP, TCP_KEEPINTVL, WholeSeconds(interval), "keep_alive.interval", "1 to 32767 seconds");
            if (keepAlive.ProbeCount is { } probes)
                Set(IPPROTO_TCP, TCP_KEEPCNT, probes, "keep_alive.probes", "1 to 127");
        }
        if (_options.DeferAccept is { } defer)
            Set(IPPROTO_TCP, TCP_DEFER_ACCEPT, WholeSeconds(defer), "defer_accept", null);
        if (_options.FastOpenCount > 0)
            Set(IPPROTO_TCP, TCP_FASTOPEN, _options.FastOpenCount, "fast_open", null);
    }

    /// <summary>unix(7), before bind(2): a message may come as soon as the path is there.</summary>
    public void SetUnix()
    {
        if (_options.PassCredentials)
            Set(SOL_SOCKET, SO_PASSCRED, 1, "pass_credentials", null);
        if (_options.PassPidfd)
            Set(SOL_SOCKET, Libc.SO_PASSPIDFD, 1, "pass_pidfd", "needs Linux 6.5");
        if (!_options.PassRights)
            Set(SOL_SOCKET, Libc.SO_PASSRIGHTS, 0, "pass_rights", "needs Linux 6.16");
    }

    /// <summary>Sets an option that does not come from the configured options.</summary>
    public unsafe void Set(int level, int option, int value, string name, string? remedy)
    {
        if (Failure is null && setsockopt(_socket.Number, level, option, &value, sizeof(int)) < 0)
            Refuse(name, value.ToString(), Errno.Last, remedy);
    }

    /// <summary>Makes the receive buffer as large as the kernel lets this process; less than asked is no error here.</summary>
    public static unsafe void RaiseReceiveBuffer(FileDescriptor socket, int bytes)
    {
        if (setsockopt(socket.Number, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(int)) < 0)
            _ = setsockopt(socket.Number, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(int));
    }

    // socket(7): the kernel doubles the value, and without privilege cuts it at its limit without a word; so it is read back.
    private unsafe void SetBuffer(int forced, int plain, long bytes, string name, string limit)
    {
        if (Failure is not null)
            return;
        const int largest = int.MaxValue / 2;
        if (bytes is <= 0 or > largest)
        {
            Refuse(name, bytes.ToString(), Errno.EINVAL, $"1 to {largest} bytes");
            return;
        }
        int value = (int)bytes;
        if (setsockopt(_socket.Number, SOL_SOCKET, forced, &value, sizeof(int)) == 0)
            return;
        int actual = 0;
        socklen_t length = sizeof(int);
        if (setsockopt(_socket.Number, SOL_SOCKET, plain, &value, sizeof(int)) < 0
            || getsockopt(_socket.Number, SOL_SOCKET, plain, &actual, &length) < 0)
        {
            Refuse(name, bytes.ToString(), Errno.Last, null);
            return;
        }
        if (actual < 2 * value)
            Refuse(name, bytes.ToString(), Errno.EPERM, $"only {actual / 2} bytes were granted; raise {limit} or give CAP_NET_ADMIN");
    }

    private unsafe void SetText(int level, int option, string value, string name, Func<Errno, string?> remedy)
    {
        if (Failure is not null)
            return;
        byte[] text = CString.From(value);
        fixed (byte* start = text)
        {
            if (setsockopt(_socket.Number, level, option, start, (uint)(text.Length - 1)) < 0)
                Refuse(name, $"'{value}'", Errno.Last, remedy(Errno.Last));
        }
    }

    private void Refuse(string name, string value, Errno refused, string? remedy)
    {
        OpenFailure failure = new("setsockopt", $"cannot set {name} = {value} on {_endpoint}", refused, remedy);
        if (_onRefusal is { } tell)
            tell(name, failure);
        else
            Failure = failure;
    }

    private static string CongestionRemedy() =>
        $"available: {Files.ReadText("/proc/sys/net/ipv4/tcp_available_congestion_control")?.Trim() ?? "unknown"}; " +
        $"without CAP_NET_ADMIN: {Files.ReadText("/proc/sys/net/ipv4/tcp_allowed_congestion_control")?.Trim() ?? "unknown"}";

    private static int WholeSeconds(TimeSpan time) => (int)Math.Min(int.MaxValue, Math.Ceiling(time.TotalSeconds));
}
