using System.Collections.Frozen;
using System.Globalization;
using System.Net;
using Launchd.Addresses;
using Launchd.Config.Diagnostics;

namespace Launchd.Config.Values;

/// <summary>An address, or what is wrong with its text.</summary>
internal readonly record struct AddressResult(ListenAddress? Address, DiagnosticCode Code, string Problem, string? Hint)
{
    public static AddressResult Of(ListenAddress address) => new(address, default, "", null);

    public static AddressResult Wrong(string problem, string? hint = null, DiagnosticCode code = DiagnosticCode.BadAddress) =>
        new(null, code, problem, hint);
}

/// <summary>Reads the addresses of <c>listen</c> and <c>connect</c>, and the endpoints of probes.</summary>
internal static class AddressParser
{
    /// <summary>
    /// The longest path of Linux (PATH_MAX with its NUL). Above the 107 bytes of sun_path, a socket is bound relative to its directory.
    /// </summary>
    private const int LongestPathBytes = 4095;

    /// <summary>unix(7): sun_path is 108 bytes, of which an abstract name leaves one for its leading NUL.</summary>
    private const int LongestAbstractBytes = 107;

    private const string Forms =
        "write tcp://HOST:PORT, udp://HOST:PORT, unix:/path, unix-dgram:/path, unix-seqpacket:/path, vsock://CID:PORT, fifo:/path, "
        + "netlink:FAMILY, mqueue:/name, special:/path or inherited:NAME";

    private static readonly string[] Schemes =
        ["tcp://", "udp://", "unix:", "unix-dgram:", "unix-seqpacket:", "vsock://", "fifo:", "netlink:", "mqueue:", "special:",
            "inherited:"];

    // linux/netlink.h, by the names that systemd.socket(5) takes.
    private static readonly FrozenDictionary<string, int> NetlinkFamilies = new Dictionary<string, int>
    {
        ["route"] = 0, ["firewall"] = 3, ["inet-diag"] = 4, ["sock-diag"] = 4, ["nflog"] = 5, ["xfrm"] = 6, ["selinux"] = 7, ["iscsi"] = 8,
        ["audit"] = 9, ["fib-lookup"] = 10, ["connector"] = 11, ["netfilter"] = 12, ["ip6-fw"] = 13, ["dnrtmsg"] = 14,
        ["kobject-uevent"] = 15, ["generic"] = 16, ["scsitransport"] = 18, ["ecryptfs"] = 19, ["rdma"] = 20, ["crypto"] = 21, ["smc"] = 22,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Reads one address.</summary>
    /// <param name="text">The text after substitution.</param>
    /// <param name="directory">Where relative paths start.</param>
    public static AddressResult Parse(string text, string directory)
    {
        string? scheme = Array.Find(Schemes, s => text.StartsWith(s, StringComparison.Ordinal));
        if (scheme is null)
            return UnknownScheme(text);
        string rest = text[scheme.Length..];
        return scheme switch
        {
            "tcp://" or "udp://" => ParseInternet(scheme, rest),
            "unix:" => ParseUnix(UnixSocketKind.Stream, rest, directory),
            "unix-dgram:" => ParseUnix(UnixSocketKind.Datagram, rest, directory),
            "unix-seqpacket:" => ParseUnix(UnixSocketKind.SeqPacket, rest, directory),
            "vsock://" => ParseVsock(rest),
            "fifo:" => ParsePath(rest, directory, path => new ListenAddress.Fifo(path)),
            "netlink:" => ParseNetlink(rest),
            "mqueue:" => ParseQueue(rest),
            "inherited:" => ParseInherited(rest),
            _ => ParsePath(rest, directory, path => new ListenAddress.Special(path)),
        };
    }

    /// <summary>Reads <c>HOST:PORT</c> with a port above 0, as a probe connects to it.</summary>
    public static (IPEndPoint? EndPoint, AddressResult Problem) ParseEndPoint(string text)
    {
        if (!text.Contains(':'))
            return (null, AddressResult.Wrong($"'{text}' has no port", "write HOST:PORT, such as 127.0.0.1:8080"));
        AddressResult result = ParseInternet("tcp://", text);
        return result.Address switch
        {
            ListenAddress.Tcp { DualStack: true } =>
                (null, AddressResult.Wrong("'*' is no address to connect to", "write 127.0.0.1 or [::1]")),
            ListenAddress.Tcp { Port: 0 } => (null, AddressResult.Wrong("port 0 is out of range 1-65535", null, DiagnosticCode.OutOfRange)),
            ListenAddress.Tcp tcp => (new IPEndPoint(tcp.Host, tcp.Port), result),
            _ => (null, result),
        };
    }

    private static AddressResult UnknownScheme(string text)
    {
        int colon = text.IndexOf(':');
        string? near = colon <= 0 ? null : Suggestion.Nearest(text[..colon], Schemes.Select(s => s.TrimEnd('/').TrimEnd(':')));
        if (text.StartsWith('/') || text.StartsWith("./", StringComparison.Ordinal))
            return AddressResult.Wrong($"'{text}' is no address", $"write unix:{text} for a Unix socket");
        if (text.Length is > 0 and <= 5 && text.All(char.IsAsciiDigit))
        {
            return AddressResult.Wrong(
                $"'{text}' is no address", $"write tcp://*:{text} for every address, tcp://127.0.0.1:{text} for this machine only");
        }
        string? scheme = near is null ? null : Array.Find(Schemes, s => s.TrimEnd('/').TrimEnd(':') == near);
        // A name with a port: the next thing to be said would be that names are not looked up.
        if (scheme is null && !text.Contains('/') && ParseInternet("tcp://", text) is { Code: DiagnosticCode.HostName } named)
            return named;
        const string web = "http://";
        if (text.StartsWith(web, StringComparison.Ordinal) && IsHostAndPort(text[web.Length..].TrimEnd('/')))
            return AddressResult.Wrong($"'{text}' is no address", $"write tcp://{text[web.Length..].TrimEnd('/')}");
        string hint = scheme is not null ? $"did you mean '{scheme}'?" : IsHostAndPort(text) ? $"write tcp://{text}" : Forms;
        return AddressResult.Wrong($"'{text}' is no address", hint);
    }

    private static bool IsHostAndPort(string text) => ParseInternet("tcp://", text).Address is not null;

    private static AddressResult ParseInternet(string scheme, string rest)
    {
        int colon = rest.LastIndexOf(':');
        if (colon < 0 || (rest.StartsWith('[') && !rest[..colon].EndsWith(']')))
            return AddressResult.Wrong($"'{scheme}{rest}' has no port", $"write {scheme}HOST:PORT");
        string host = rest[..colon];
        string portText = rest[(colon + 1)..];
        if (!ulong.TryParse(portText, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number))
            return AddressResult.Wrong($"'{portText}' is no port number", "write the number: names of services are not looked up");
        if (number > IPEndPoint.MaxPort)
            return AddressResult.Wrong($"port {number} is out of range 1-65535", code: DiagnosticCode.OutOfRange);
        int port = (int)number;
        bool isTcp = scheme == "tcp://";
        if (host == "*")
        {
            return AddressResult.Of(
                isTcp ? new ListenAddress.Tcp(IPAddress.IPv6Any, port, true) : new ListenAddress.Udp(IPAddress.IPv6Any, port, true));
        }
        if (ParseHost(host) is { } address)
            return AddressResult.Of(isTcp ? new ListenAddress.Tcp(address, port) : new ListenAddress.Udp(address, port));
        return WrongHost(scheme, host, port);
    }

    private static IPAddress? ParseHost(string host)
    {
        if (host == "localhost")
            return IPAddress.Loopback;
        if (host is ['[', .. string inside, ']'])
            return inside.Contains(':') && IPAddress.TryParse(inside, out IPAddress? v6) ? v6 : null;
        // IPAddress would also accept "1" and "127.1", which are mistakes here.
        return host.Count(c => c == '.') == 3 && host.All(c => char.IsAsciiDigit(c) || c == '.')
            && IPAddress.TryParse(host, out IPAddress? v4) ? v4 : null;
    }

    private static AddressResult WrongHost(string scheme, string host, int port)
    {
        if (host.Length == 0)
        {
            return AddressResult.Wrong(
                "the host is missing", $"write {scheme}*:{port} for every address, {scheme}127.0.0.1:{port} for this machine only");
        }
        if (host.Contains(':') && !host.StartsWith('[') && IPAddress.TryParse(host, out _))
            return AddressResult.Wrong($"the IPv6 address '{host}' needs brackets", $"write {scheme}[{host}]:{port}");
        if (host.All(c => char.IsAsciiDigit(c) || c == '.') || host.StartsWith('['))
            return AddressResult.Wrong($"'{host}' is no IP address");
        return AddressResult.Wrong(
            $"the host name '{host}' is not looked up",
            "write its address: a name could mean another one at the next start", DiagnosticCode.HostName);
    }

    private static AddressResult ParseUnix(UnixSocketKind kind, string rest, string directory)
    {
        if (!rest.StartsWith('@'))
            return ParsePath(rest, directory, path => new ListenAddress.Unix(kind, path, IsAbstract: false));
        string name = rest[1..];
        int bytes = ByteLength.Of(name);
        return bytes switch
        {
            0 => AddressResult.Wrong("the abstract name behind '@' is missing"),
            > LongestAbstractBytes => AddressResult.Wrong(
                $"the abstract name has {bytes} bytes, more than {LongestAbstractBytes}", code: DiagnosticCode.PathTooLong),
            _ => AddressResult.Of(new ListenAddress.Unix(kind, name, IsAbstract: true)),
        };
    }

    private static AddressResult ParsePath(string rest, string directory, Func<string, ListenAddress> make)
    {
        // Other programs write unix:///path for the same address.
        string path = rest.StartsWith("///", StringComparison.Ordinal) ? rest[2..] : rest;
        if (path.Length == 0)
            return AddressResult.Wrong("the path is missing");
        if (path.EndsWith('/'))
            return AddressResult.Wrong($"the path '{path}' names a directory");
        string full = Path.GetFullPath(path, directory);
        int bytes = ByteLength.Of(full);
        return bytes <= LongestPathBytes
            ? AddressResult.Of(make(full))
            : AddressResult.Wrong($"the path has {bytes} bytes, more than {LongestPathBytes}", code: DiagnosticCode.PathTooLong);
    }

    private static AddressResult ParseVsock(string rest)
    {
        int colon = rest.LastIndexOf(':');
        if (colon < 0)
            return AddressResult.Wrong($"'vsock://{rest}' has no port", "write vsock://CID:PORT");
        string cidText = rest[..colon];
        if (!uint.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out uint port))
            return AddressResult.Wrong($"'{rest[(colon + 1)..]}' is no vsock port", "write a number up to 4294967295");
        if (cidText == "*")
            return AddressResult.Of(new ListenAddress.Vsock(null, port));
        return uint.TryParse(cidText, NumberStyles.None, CultureInfo.InvariantCulture, out uint cid)
            ? AddressResult.Of(new ListenAddress.Vsock(cid, port))
            : AddressResult.Wrong($"'{cidText}' is no vsock context id", "write a number or *");
    }

    private static AddressResult ParseNetlink(string rest)
    {
        string[] parts = rest.Split(':');
        if (!NetlinkFamilies.TryGetValue(parts[0], out int family))
        {
            string? hint = Suggestion.For(parts[0], NetlinkFamilies.Keys.Order(StringComparer.Ordinal));
            return AddressResult.Wrong($"there is no netlink family '{parts[0]}'", hint);
        }
        uint group = 0;
        if (parts.Length > 2 || (parts.Length == 2 && !uint.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out group)))
        {
            return AddressResult.Wrong(
                $"'{rest[(parts[0].Length + 1)..]}' is no netlink group", "write netlink:FAMILY or netlink:FAMILY:GROUP with a number");
        }
        return AddressResult.Of(new ListenAddress.Netlink(parts[0], family, group));
    }

    // Names of descriptors are printable ASCII without a colon, at most 255 characters (sd_pid_notify_with_fds(3)).
    private static AddressResult ParseInherited(string rest)
    {
        string name = rest;
        int number = 1;
        int mark = rest.LastIndexOf('#');
        if (mark >= 0 && int.TryParse(rest.AsSpan(mark + 1), NumberStyles.None, CultureInfo.InvariantCulture, out number))
            name = rest[..mark];
        if (mark < 0 || name.Length == rest.Length)
            number = 1;
        bool isName = name.Length is > 0 and <= 255 && name.All(c => c is >= ' ' and <= '~' and not ':');
        return isName && number is > 0 and <= 65536 ? AddressResult.Of(new ListenAddress.Inherited(name, number)) : AddressResult.Wrong(
            $"'{rest}' is no name of a passed socket",
            "write inherited:NAME with the FileDescriptorName= of the socket unit, inherited:NAME#2 for the second of that name");
    }

    // mq_overview(7): a slash, then at most 254 characters without one.
    private static AddressResult ParseQueue(string rest) =>
        rest.Length is > 1 and <= 255 && rest[0] == '/' && !rest.AsSpan(1).Contains('/')
            ? AddressResult.Of(new ListenAddress.MessageQueue(rest))
            : AddressResult.Wrong($"'{rest}' is no name of a message queue", "write mqueue:/name");
}
