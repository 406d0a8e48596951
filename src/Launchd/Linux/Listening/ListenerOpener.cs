using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.Linux.Listening;

/// <summary>One opened endpoint. Whoever holds it owns <see cref="Descriptor"/>.</summary>
internal sealed record OpenedListener
{
    public required FileDescriptor Descriptor { get; init; }

    /// <summary>As it is bound, with the port that the kernel picked: <c>tcp://127.0.0.1:41234</c>.</summary>
    public required string Address { get; init; }

    /// <summary>The index of its endpoint in the request.</summary>
    public int EndpointIndex { get; init; }

    /// <summary>Its number among the shards of that endpoint, from 0.</summary>
    public int ShardIndex { get; init; }

    /// <summary>The path that was made for it; null: none was made.</summary>
    public OwnedPath? Path { get; init; }

    /// <summary>
    /// A supervisor before this one has opened it, and somebody keeps a copy: if the start is refused, its path stays for the next one.
    /// </summary>
    public bool IsAdopted { get; init; }

    /// <summary>
    /// Where it is bound, if the service manager has opened it, who has it too: it is not stopped, closed for others or made anew. Null: it
    /// is the supervisor's own.
    /// </summary>
    public ListenAddress? Inherited { get; init; }
}

/// <summary>All that one request opened: the listeners in the order of the endpoints, shards of one endpoint together.</summary>
internal sealed record OpenedListeners(ImmutableArray<OpenedListener> Listeners, ImmutableArray<OwnedPath> Aliases)
{
    /// <summary>Undoes the opening: unlinks paths that are still ours and closes everything.</summary>
    public void Undo()
    {
        foreach (OwnedPath alias in Aliases)
            _ = UnixPath.RemoveIfOurs(alias, out _);
        foreach (OpenedListener listener in Listeners)
            ListenerOpener.Undo(listener);
    }
}

/// <summary>
/// Opens listeners of every kind. Either everything of a request is open afterwards, or nothing is and nothing is left on disk. All
/// descriptors are close-on-exec from birth.
/// </summary>
internal static class ListenerOpener
{
    /// <param name="request">All that is to be open.</param>
    /// <param name="adopt">
    /// Gives the listener of an endpoint and shard that is open already, for the result to own, or says why it cannot be used; null: it is
    /// to be opened.
    /// </param>
    public static OpenResult<OpenedListeners> Open(
        ListenerRequest request, Func<ListenAddress, int, int, OpenResult<OpenedListener>?>? adopt = null)
    {
        var opened = new List<OpenedListener>();
        OpenFailure? failure = null;
        for (int i = 0; i < request.Endpoints.Length && failure is null; i++)
            failure = OpenShards(request.Endpoints[i], i, request, opened, adopt);
        var aliases = new List<OwnedPath>();
        if (failure is null)
            failure = MakeAliases(request, opened, aliases);
        var result = new OpenedListeners([.. opened], [.. aliases]);
        if (failure is null)
            return result;
        result.Undo();
        return failure;
    }

    /// <summary>One socket for one endpoint, with the request's other fields.</summary>
    public static OpenResult<OpenedListener> OpenOne(ListenAddress endpoint, ListenerRequest request)
    {
        string subject = $"cannot listen on {endpoint}";
        return endpoint switch
        {
            ListenAddress.Tcp tcp => OpenInternet(tcp.Host, tcp.Port, tcp.DualStack, Libc.SOCK_STREAM, endpoint, request),
            ListenAddress.Udp udp => OpenInternet(udp.Host, udp.Port, udp.DualStack, Libc.SOCK_DGRAM, endpoint, request),
            ListenAddress.Unix unix => OpenUnix(unix, request, subject),
            ListenAddress.Vsock vsock => OpenVsock(vsock, request, subject),
            ListenAddress.Netlink netlink => OpenNetlink(netlink, request, subject),
            ListenAddress.Fifo fifo => FifoOpener.Open(fifo, request),
            ListenAddress.MessageQueue queue => MessageQueueOpener.Open(queue, request),
            ListenAddress.Special special => SpecialOpener.Open(special, request),
            ListenAddress.Inherited => new OpenFailure("sd_listen_fds", $"cannot take {endpoint}", Errno.ENOENT, "nobody has passed it"),
            _ => throw new ArgumentException($"no opener for {endpoint}", nameof(endpoint)),
        };
    }

    /// <summary>Unlinks the path while it is ours and was made in this life, then closes.</summary>
    internal static void Undo(OpenedListener listener)
    {
        if (listener is { Path: { } path, IsAdopted: false })
            _ = UnixPath.RemoveIfOurs(path, out _);
        listener.Descriptor.Dispose();
    }

    private static OpenFailure? OpenShards(ListenAddress endpoint, int index, ListenerRequest request, List<OpenedListener> opened,
        Func<ListenAddress, int, int, OpenResult<OpenedListener>?>? adopt)
    {
        if (request.ShardCount > 0 && endpoint is not (ListenAddress.Tcp or ListenAddress.Udp))
            return new OpenFailure("setsockopt", $"cannot listen on {endpoint}", Errno.EINVAL, "shards are for tcp and udp only");
        for (int shard = 0; shard < Math.Max(1, request.ShardCount); shard++)
        {
            OpenResult<OpenedListener> one = adopt?.Invoke(endpoint, index, shard) ?? OpenOne(endpoint, request);
            if (!one.TryGet(out OpenedListener? listener, out OpenFailure? failure))
                return failure;
            opened.Add(listener with { EndpointIndex = index, ShardIndex = shard });
            // The other shards are bound to the port that the kernel picked for the first.
            int port = SocketAddress.OfSocket(listener.Descriptor)?.Port ?? 0;
            endpoint = endpoint switch
            {
                ListenAddress.Tcp tcp => tcp with { Port = port },
                ListenAddress.Udp udp => udp with { Port = port },
                _ => endpoint,
            };
        }
        return null;
    }

    private static OpenFailure? MakeAliases(ListenerRequest request, List<OpenedListener> opened, List<OwnedPath> aliases)
    {
        if (request.Aliases.IsEmpty)
            return null;
        string? target = PathAmong(request.Endpoints);
        if (target is null)
        {
            return new OpenFailure("symlink", $"cannot make {request.Aliases[0]}", Errno.EINVAL,
                $"none of the {opened.Count} listeners has a path");
        }
        foreach (string alias in request.Aliases)
        {
            if (!UnixPath.MakeAlias(alias, target, request.DirectoryMode).TryGet(out OwnedPath? made, out OpenFailure? failure))
                return failure;
            aliases.Add(made);
        }
        return null;
    }

    /// <summary>The path to which aliases lead.</summary>
    internal static string? PathAmong(ImmutableArray<ListenAddress> endpoints) =>
        endpoints.Select(e => e.Path).FirstOrDefault(path => path is not null);

    private static OpenResult<OpenedListener> OpenInternet(
        IPAddress host, int port, bool isDualStack, int type, ListenAddress endpoint, ListenerRequest request)
    {
        OpenResult<OpenedListener> opened = OpenFamily(host, port, isDualStack, type, endpoint, request);
        // For the any-address of both families: where there is no IPv6, IPv4 alone serves.
        bool isV6Missing = opened.Failure is { Call: "socket" or "bind", Errno: var refused }
            && (refused == Errno.EAFNOSUPPORT || refused == Errno.EADDRNOTAVAIL);
        return isDualStack && isV6Missing ? OpenFamily(IPAddress.Any, port, isDualStack: false, type, endpoint, request) : opened;
    }

    private static OpenResult<OpenedListener> OpenFamily(
        IPAddress host, int port, bool isDualStack, int type, ListenAddress endpoint, ListenerRequest request)
    {
        string subject = $"cannot listen on {endpoint}";
        bool isTcp = type == Libc.SOCK_STREAM;
        int family = isDualStack || host.AddressFamily == AddressFamily.InterNetworkV6 ? Libc.AF_INET6 : Libc.AF_INET;
        OpenResult<FileDescriptor> made = MakeSocket(family, type, 0, request.Options, subject, family == Libc.AF_INET6 ? "IPv6" : "IPv4");
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
            return failure;

        var settings = new SocketOptionsWriter(socket, family, request.Options, endpoint.ToString(), isDualStack);
        settings.SetAll(isTcp, request.ShardCount > 0);
        failure = settings.Failure;
        if (failure is null)
        {
            Errno refused = SocketAddress.Internet(isDualStack ? IPAddress.IPv6Any : host, port).Bind(socket);
            if (refused != Errno.None)
                failure = new OpenFailure("bind", subject, refused) { Look = () => BindRemedy.For(refused, port, isTcp ? "tcp" : "udp") };
        }
        if (failure is null && isTcp)
            failure = Listen(socket, request.BacklogCount, subject, port);
        if (failure is not null)
        {
            socket.Dispose();
            return failure;
        }
        SocketAddress bound = SocketAddress.OfSocket(socket) ?? throw new SystemCallException("getsockname", endpoint.ToString(),
            Errno.Last);
        string text = ListenAddress.HostAndPort(bound.Host, bound.Port, isDualStack);
        return new OpenedListener { Descriptor = socket, Address = (isTcp ? "tcp://" : "udp://") + text };
    }

    private static OpenResult<OpenedListener> OpenUnix(ListenAddress.Unix endpoint, ListenerRequest request, string subject)
    {
        OpenResult<FileDescriptor> made = MakeSocket(Libc.AF_UNIX, UnixSocket.TypeOf(endpoint.Kind), 0, request.Options, subject,
            "Unix sockets");
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
            return failure;
        var settings = new SocketOptionsWriter(socket, Libc.AF_UNIX, request.Options, endpoint.ToString());
        settings.SetCommon();
        settings.SetUnix();
        failure = settings.Failure;
        OwnedPath? path = null;
        if (failure is null && endpoint.IsAbstract)
            failure = BindAbstract(socket, endpoint.Name, subject);
        else if (failure is null)
            _ = UnixPath.Bind(socket, endpoint.Kind, endpoint.Name, request, subject).TryGet(out path, out failure);
        if (failure is null && endpoint.Kind != UnixSocketKind.Datagram)
            failure = Listen(socket, request.BacklogCount, subject, port: 0);
        var opened = new OpenedListener { Descriptor = socket, Address = endpoint.ToString(), Path = path };
        if (failure is null)
            return opened;
        Undo(opened);
        return failure;
    }

    private static OpenFailure? BindAbstract(FileDescriptor socket, string name, string subject)
    {
        if (SocketAddress.UnixAbstract(name) is not { } address)
            return new OpenFailure("bind", subject, Errno.ENAMETOOLONG, "107 bytes at most");
        Errno refused = address.Bind(socket);
        if (refused == Errno.None)
            return null;
        return new OpenFailure("bind", subject, refused)
        {
            Look = () => refused == Errno.EADDRINUSE ? PortHolder.FindUnix("@" + name)?.ToString() : null,
        };
    }

    private static OpenResult<OpenedListener> OpenVsock(ListenAddress.Vsock endpoint, ListenerRequest request, string subject)
    {
        OpenResult<FileDescriptor> made = MakeSocket(Libc.AF_VSOCK, Libc.SOCK_STREAM, 0, request.Options, subject, "vsock");
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
            return failure;
        var settings = new SocketOptionsWriter(socket, Libc.AF_VSOCK, request.Options, endpoint.ToString());
        settings.SetCommon();
        failure = settings.Failure ?? Bind(socket, SocketAddress.Vsock(endpoint.Cid, endpoint.Port), subject,
            refused => RemedyForBind(Libc.AF_VSOCK, refused));
        failure ??= Listen(socket, request.BacklogCount, subject, port: 0);
        if (failure is null)
            return new OpenedListener { Descriptor = socket, Address = $"vsock://{SocketAddress.OfSocket(socket)}" };
        socket.Dispose();
        return failure;
    }

    private static OpenResult<OpenedListener> OpenNetlink(ListenAddress.Netlink endpoint, ListenerRequest request, string subject)
    {
        OpenResult<FileDescriptor> made = MakeSocket(
            Libc.AF_NETLINK, SOCK_RAW, endpoint.Family, request.Options, subject, $"netlink family {endpoint.FamilyName}");
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
            return failure;
        var settings = new SocketOptionsWriter(socket, Libc.AF_NETLINK, request.Options, endpoint.ToString());
        settings.SetCommon();
        failure = settings.Failure ?? Bind(socket, SocketAddress.Netlink(endpoint.GroupMask), subject,
            refused => RemedyForBind(Libc.AF_NETLINK, refused));
        if (failure is null)
            return new OpenedListener { Descriptor = socket, Address = endpoint.ToString() };
        socket.Dispose();
        return failure;
    }

    internal static string? RemedyForBind(int family, Errno refused) => (family, refused.Value) switch
    {
        (Libc.AF_VSOCK, 99) => "this machine has no such context id",
        (Libc.AF_NETLINK, 1) => "joining groups of this family needs CAP_NET_ADMIN",
        _ => null,
    };

    internal static OpenResult<FileDescriptor> MakeSocket(
        int family, int type, int protocol, SocketOptions options, string subject, string familyName)
    {
        int number = socket(family, type | SOCK_CLOEXEC | (options.NonBlocking ? SOCK_NONBLOCK : 0), protocol);
        if (number >= 0)
            return new FileDescriptor(number);
        Errno refused = Errno.Last;
        return new OpenFailure("socket", subject, refused, Remedy.ForSocket(refused, familyName));
    }

    private static OpenFailure? Bind(FileDescriptor socket, SocketAddress address, string subject, Func<Errno, string?> remedy)
    {
        Errno refused = address.Bind(socket);
        return refused == Errno.None ? null : new OpenFailure("bind", subject, refused, remedy(refused));
    }

    private static OpenFailure? Listen(FileDescriptor socket, int backlogCount, string subject, int port)
    {
        if (listen(socket.Number, backlogCount) == 0)
            return null;
        // With SO_REUSEADDR two sockets may be bound to one port; listen(2) refuses the second.
        Errno refused = Errno.Last;
        return new OpenFailure("listen", subject, refused, port == 0 ? null : BindRemedy.For(refused, port, "tcp"));
    }
}
