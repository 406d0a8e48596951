using System.Collections.Immutable;
using System.Globalization;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Sockets;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>An option of a socket that a holder had changed.</summary>
/// <param name="Name">As in socket(7), tcp(7), ip(7) or fcntl(2).</param>
/// <param name="Was">As the configuration and the kernel have it, in words.</param>
/// <param name="Found">As the holder left it, in words.</param>
/// <param name="IsPutBack">False: the kernel refused to take it back.</param>
internal sealed record OptionChange(string Name, string Was, string Found, bool IsPutBack);

/// <summary>
/// The options and flags of a listening socket that belong to its open file description, and so are what the last program
/// made of them for all that come after it: with TCP_DEFER_ACCEPT left behind a server that speaks first greets a second
/// late, with SO_LINGER it cuts off its answers. Immutable.
/// </summary>
/// <remarks>
/// How they should be is read from a socket that nobody but this process ever had: one of the same kind, on which the configured options
/// are set and which is closed again. Sockets with the same options share one such sample.
/// </remarks>
internal sealed unsafe class SharedOptions
{
    private const int IPPROTO_IP = 0, IPPROTO_TCP = 6, IPPROTO_IPV6 = 41;
    private const int SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33;
    private const long None = long.MinValue;

    // In the order in which they are put back: IP_TOS changes SO_PRIORITY, and a buffer's size fixes it (SO_BUF_LOCK, Linux 5.14).
    private static readonly ImmutableArray<Option> All =
    [
        new("IP_TOS", IPPROTO_IP, 1, Of.Internet), new("IP_TTL", IPPROTO_IP, 2, Of.Internet), new("IP_PKTINFO", IPPROTO_IP, 8, Of.Internet),
        new("IP_MTU_DISCOVER", IPPROTO_IP, 10, Of.Internet), new("IP_RECVERR", IPPROTO_IP, 11, Of.Internet),
        new("IP_RECVTTL", IPPROTO_IP, 12, Of.Internet), new("IP_RECVTOS", IPPROTO_IP, 13, Of.Internet),
        new("IP_FREEBIND", IPPROTO_IP, 15, Of.Internet), new("IP_TRANSPARENT", IPPROTO_IP, 19, Of.Internet),
        new("IPV6_UNICAST_HOPS", IPPROTO_IPV6, 16, Of.V6), new("IPV6_MTU_DISCOVER", IPPROTO_IPV6, 23, Of.V6),
        new("IPV6_RECVERR", IPPROTO_IPV6, 25, Of.V6),
        new("IPV6_RECVPKTINFO", IPPROTO_IPV6, 49, Of.V6), new("IPV6_TCLASS", IPPROTO_IPV6, 67, Of.V6),
        new("SO_DONTROUTE", 1, 5, Of.Internet), new("SO_BROADCAST", 1, 6, Of.Internet), new("SO_KEEPALIVE", 1, 9, Of.Internet),
        new("SO_OOBINLINE", 1, 10, Of.Internet), new("SO_PRIORITY", 1, 12, Of.Internet), new("SO_MARK", 1, 36, Of.Internet),
        new("SO_REUSEPORT", 1, 15, Of.Internet), new("SO_LINGER", 1, 13, Of.Any, Shape.Linger), new("SO_RCVLOWAT", 1, 18, Of.Any),
        new("SO_RCVTIMEO", 1, 20, Of.Any, Shape.Time), new("SO_SNDTIMEO", 1, 21, Of.Any, Shape.Time),
        new("SO_TIMESTAMP", 1, 29, Of.Any), new("SO_PASSCRED", 1, 16, Of.Unix), new("SO_PASSSEC", 1, 34, Of.Unix),
        new("SO_PASSPIDFD", 1, 76, Of.Unix), new("SO_PASSRIGHTS", 1, 83, Of.Unix),
        new("SO_RCVBUF", 1, 8, Of.Any, Shape.Buffer), new("SO_SNDBUF", 1, 7, Of.Any, Shape.Buffer), new("SO_BUF_LOCK", 1, 72, Of.Any),
        new("TCP_NODELAY", IPPROTO_TCP, 1, Of.Tcp), new("TCP_CORK", IPPROTO_TCP, 3, Of.Tcp), new("TCP_KEEPIDLE", IPPROTO_TCP, 4, Of.Tcp),
        new("TCP_KEEPINTVL", IPPROTO_TCP, 5, Of.Tcp),
        new("TCP_KEEPCNT", IPPROTO_TCP, 6, Of.Tcp), new("TCP_LINGER2", IPPROTO_TCP, 8, Of.Tcp),
        new("TCP_DEFER_ACCEPT", IPPROTO_TCP, 9, Of.Tcp), new("TCP_USER_TIMEOUT", IPPROTO_TCP, 18, Of.Tcp),
        new("TCP_FASTOPEN", IPPROTO_TCP, 23, Of.Tcp), new("TCP_NOTSENT_LOWAT", IPPROTO_TCP, 25, Of.Tcp),
    ];

    // What belongs to the kind of a socket, and to how it is bound: it cannot be changed any more, so it is not put back.
    private static readonly Option Type = new("SO_TYPE", 1, 3, Of.Any), Ipv6Only = new("IPV6_V6ONLY", IPPROTO_IPV6, 26, Of.V6),
        Device = new("SO_BINDTOIFINDEX", 1, 62, Of.Internet);

    private readonly long[] _values;
    private readonly int _flags;
    private readonly (long Type, long Ipv6Only, long Device) _kind;

    private SharedOptions(long[] values, int flags, (long Type, long Ipv6Only, long Device) kind) =>
        (_values, _flags, _kind) = (values, flags, kind);

    [Flags]
    private enum Of
    {
        V4 = 1, V6 = 2, Unix = 4, Tcp = 8, Internet = V4 | V6, Any = Internet | Unix,
    }

    private enum Shape { Number, Buffer, Linger, Time }

    /// <summary>
    /// How the options of a socket should be. Null: it is of a kind that is not looked at, or no sample can be made at present.
    /// </summary>
    /// <param name="endpoint">A socket of the internet or of Unix.</param>
    /// <param name="domain">Its family, as <see cref="DomainOf"/> tells it: an address of both families may be an IPv4 socket.</param>
    /// <param name="request">As it was opened.</param>
    public static SharedOptions? Sample(ListenAddress endpoint, int domain, ListenerRequest request)
    {
        int type = endpoint switch
        {
            ListenAddress.Tcp => SOCK_STREAM,
            ListenAddress.Udp => SOCK_DGRAM,
            ListenAddress.Unix unix => UnixSocket.TypeOf(unix.Kind),
            _ => 0,
        };
        if (type == 0)
            return null;
        int number = socket(domain, type | SOCK_CLOEXEC | (request.Options.NonBlocking ? SOCK_NONBLOCK : 0), 0);
        if (number < 0)
            return null;
        using FileDescriptor sample = new(number);
        SocketOptionsWriter settings = new(
            sample, domain, request.Options, endpoint.ToString(), IsDualStack(endpoint) && domain == AF_INET6);
        if (domain == AF_UNIX)
        {
            settings.SetCommon();
            settings.SetUnix();
        }
        else
        {
            settings.SetAll(type == SOCK_STREAM, request.ShardCount > 0);
        }
        if (settings.Failure is not null)
            return null;
        Of kind = domain == AF_UNIX ? Of.Unix : (domain == AF_INET6 ? Of.V6 : Of.V4) | (type == SOCK_STREAM ? Of.Tcp : 0);
        return new SharedOptions([.. All.Select(o => o.AppliesTo(kind) ? Read(sample, o) : None)], Flags(sample), KindOf(sample));
    }

    /// <summary>The address family of a socket; told without a lock. 0: it is no socket.</summary>
    public static int DomainOf(FileDescriptor socket)
    {
        int domain = 0;
        socklen_t length = sizeof(int);
        return getsockopt(socket.Number, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ? 0 : domain;
    }

    /// <summary>
    /// Whether a socket has the type, the families and the network interface that it was to be made with. Not looked at: the address.
    /// </summary>
    public bool FitKindOf(FileDescriptor socket) => KindOf(socket) == _kind;

    /// <summary>Whether a socket of IPv6 takes no clients of IPv4 (ipv6(7)).</summary>
    public static bool IsIpv6Only(FileDescriptor socket) => Read(socket, Ipv6Only) == 1;

    private static (long Type, long Ipv6Only, long Device) KindOf(FileDescriptor socket) =>
        (Read(socket, Type), Read(socket, Ipv6Only), Read(socket, Device));

    /// <summary>Compares, and puts back what is different. May wait for a lock that a holder has.</summary>
    /// <param name="socket">Borrowed.</param>
    /// <param name="sharesPort">Another socket of the supervisor's has the same port at present, for which SO_REUSEPORT is needed.</param>
    public IReadOnlyList<OptionChange> PutBack(FileDescriptor socket, bool sharesPort)
    {
        List<OptionChange>? changes = null;
        int flags = Flags(socket);
        if (flags >= 0 && flags != _flags)
            (changes ??= []).Add(PutFlagsBack(socket, flags));
        for (int i = 0; i < All.Length; i++)
        {
            if (_values[i] == None || (sharesPort && All[i].Name == "SO_REUSEPORT"))
                continue;
            Option option = All[i];
            long found = Read(socket, option);
            if (found == None || found == _values[i])
                continue;
            Write(socket, option, _values[i]);
            (changes ??= []).Add(
                new OptionChange(option.Name, Words(option, _values[i]), Words(option, found), Read(socket, option) == _values[i]));
        }
        return changes ?? (IReadOnlyList<OptionChange>)[];
    }

    private static bool IsDualStack(ListenAddress endpoint) =>
        endpoint is ListenAddress.Tcp { DualStack: true } or ListenAddress.Udp { DualStack: true };

    private OptionChange PutFlagsBack(FileDescriptor socket, int found)
    {
        const int changeable = 0x800 | 0x2000; // O_NONBLOCK, O_ASYNC
        int all = fcntl(socket.Number, F_GETFL);
        bool isPutBack = all >= 0 && fcntl(socket.Number, F_SETFL, (all & ~changeable) | _flags) == 0;
        return new OptionChange("O_NONBLOCK", FlagWords(_flags), FlagWords(found), isPutBack);
    }

    private static string FlagWords(int flags) =>
        ((flags & O_NONBLOCK) != 0 ? "on" : "off") + ((flags & ~O_NONBLOCK) != 0 ? " with O_ASYNC" : "");

    private static int Flags(FileDescriptor socket)
    {
        int flags = fcntl(socket.Number, F_GETFL);
        return flags < 0 ? -1 : flags & (O_NONBLOCK | 0x2000);
    }

    private static long Read(FileDescriptor socket, Option option)
    {
        long* value = stackalloc long[2];
        (value[0], value[1]) = (0, 0);
        socklen_t length = (socklen_t)option.Bytes;
        if (getsockopt(socket.Number, option.Level, option.Number, value, &length) < 0)
            return None;
        return option.Shape switch
        {
            Shape.Linger => (long)*(int*)value == 0 ? -1 : ((int*)value)[1],
            Shape.Time => (value[0] * 1_000_000) + value[1],
            _ => *(int*)value,
        };
    }

    private static void Write(FileDescriptor socket, Option option, long wanted)
    {
        long* value = stackalloc long[2];
        (value[0], value[1]) = (0, 0);
        int* numbers = (int*)value;
        switch (option.Shape)
        {
            case Shape.Linger:
                (numbers[0], numbers[1]) = (wanted < 0 ? 0 : 1, (int)Math.Max(wanted, 0));
                break;
            case Shape.Time:
                (value[0], value[1]) = (wanted / 1_000_000, wanted % 1_000_000);
                break;
            case Shape.Buffer:
                // socket(7): the kernel doubles what is set.
                numbers[0] = (int)(wanted / 2);
                if (setsockopt(socket.Number, option.Level, option.Number == 8 ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, value, sizeof(int)) == 0)
                    return;
                break;
            default:
                numbers[0] = (int)wanted;
                break;
        }
        // Whether it had an effect is read back.
        _ = setsockopt(socket.Number, option.Level, option.Number, value, (uint)option.Bytes);
    }

    private static string Words(Option option, long value) => option.Shape switch
    {
        Shape.Linger => value < 0 ? "off" : $"{value} s",
        Shape.Time => $"{(value / 1000).ToString(CultureInfo.InvariantCulture)} ms",
        _ => value.ToString(CultureInfo.InvariantCulture),
    };

    private readonly record struct Option(string Name, int Level, int Number, Of Kinds, Shape Shape = Shape.Number)
    {
        /// <summary>struct linger is two ints, struct timeval two longs.</summary>
        public int Bytes => Shape switch { Shape.Linger => 8, Shape.Time => 16, _ => sizeof(int) };

        public bool AppliesTo(Of kind) => (Kinds & kind) != 0;
    }
}
