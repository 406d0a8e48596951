using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>One thing that keeps a listener from being opened here.</summary>
/// <param name="Option">The key of the socket that is refused; null: the address itself.</param>
/// <param name="Index">The index of the endpoint in the request, or of the alias.</param>
/// <param name="Failure">The failure with which opening it would end.</param>
/// <param name="MayPass">Whether it may pass by itself: an interface comes up, or the process with the address ends.</param>
internal sealed record OpenProblem(string? Option, int Index, OpenFailure Failure, bool MayPass);

/// <summary>
/// Whether a request could be opened, asked of the kernel itself without taking anything: sockets are made, get their options and are bound
/// to addresses, and are closed at once; they never listen. No path is made; those that are there are only looked at.
/// </summary>
internal sealed class ListenerTrial
{
    private readonly ListenerRequest _request;
    private readonly bool _looksForHolders;
    private readonly List<OpenProblem> _problems = [];

    private ListenerTrial(ListenerRequest request, bool looksForHolders)
    {
        _request = request;
        _looksForHolders = looksForHolders;
    }

    /// <summary>All problems, in the order of the endpoints.</summary>
    /// <param name="request">What would be opened.</param>
    /// <param name="looksForHolders">
    /// Whether an address that is taken counts as a problem; not if a supervisor runs with this configuration and has it itself.
    /// </param>
    public static IReadOnlyList<OpenProblem> Run(ListenerRequest request, bool looksForHolders)
    {
        ListenerTrial trial = new(request, looksForHolders);
        for (int i = 0; i < request.Endpoints.Length; i++)
            trial.Try(request.Endpoints[i], i);
        for (int i = 0; i < request.Aliases.Length; i++)
            trial.Tell("symlinks", i, UnixPath.LookAtAlias(request.Aliases[i], ListenerOpener.PathAmong(request.Endpoints)));
        return trial._problems;
    }

    private void Try(ListenAddress endpoint, int index)
    {
        string subject = $"cannot listen on {endpoint}";
        switch (endpoint)
        {
            case ListenAddress.Tcp tcp:
                TryInternet(index, SocketAddress.Internet(tcp.Host, tcp.Port), tcp.DualStack, isTcp: true, tcp.Port, subject);
                break;
            case ListenAddress.Udp udp:
                TryInternet(index, SocketAddress.Internet(udp.Host, udp.Port), udp.DualStack, isTcp: false, udp.Port, subject);
                break;
            case ListenAddress.Unix unix:
                TryUnix(unix, index, subject);
                break;
            case ListenAddress.Vsock vsock:
                TryOther(index, Libc.AF_VSOCK, Libc.SOCK_STREAM, 0, "vsock", SocketAddress.Vsock(vsock.Cid, vsock.Port), subject);
                break;
            case ListenAddress.Netlink netlink:
                TryOther(index, Libc.AF_NETLINK, SOCK_RAW, netlink.Family, $"netlink family {netlink.FamilyName}",
                    SocketAddress.Netlink(netlink.GroupMask), subject);
                break;
            case ListenAddress.Fifo fifo:
                TellOwner(index, FifoOpener.Look(fifo, _request));
                break;
            case ListenAddress.Special special:
                Tell(null, index, SpecialOpener.Look(special));
                break;
        }
    }

    private void TryInternet(int index, SocketAddress address, bool isDualStack, bool isTcp, int port, string subject)
    {
        int type = isTcp ? Libc.SOCK_STREAM : Libc.SOCK_DGRAM;
        int family = isDualStack ? Libc.AF_INET6 : address.Family;
        OpenResult<FileDescriptor> made = ListenerOpener.MakeSocket(
            family, type, 0, _request.Options, subject, family == Libc.AF_INET6 ? "IPv6" : "IPv4");
        if (isDualStack && made.Failure is { } missing && missing.Errno == Errno.EAFNOSUPPORT)
        {
            // Where there is no IPv6, the any-address of both families is that of IPv4.
            TryInternet(index, SocketAddress.Internet(System.Net.IPAddress.Any, port), isDualStack: false, isTcp, port, subject);
            return;
        }
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
        {
            Tell(null, index, failure);
            return;
        }
        using FileDescriptor held = socket;
        Writer(socket, family, index, isDualStack).SetAll(isTcp, _request.ShardCount > 0);
        SocketAddress bound = isDualStack ? SocketAddress.Internet(System.Net.IPAddress.IPv6Any, port) : address;
        Bind(bound, socket, index, subject, refused => BindRemedy.For(refused, port, isTcp ? "tcp" : "udp"));
    }

    private void TryUnix(ListenAddress.Unix endpoint, int index, string subject)
    {
        OpenResult<FileDescriptor> made = ListenerOpener.MakeSocket(
            Libc.AF_UNIX, UnixSocket.TypeOf(endpoint.Kind), 0, _request.Options, subject, "Unix sockets");
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
        {
            Tell(null, index, failure);
            return;
        }
        using FileDescriptor held = socket;
        SocketOptionsWriter settings = Writer(socket, Libc.AF_UNIX, index);
        settings.SetCommon();
        settings.SetUnix();
        if (endpoint.IsAbstract)
        {
            if (SocketAddress.UnixAbstract(endpoint.Name) is { } address)
                Bind(address, socket, index, subject, _ => PortHolder.FindUnix("@" + endpoint.Name)?.ToString());
            return;
        }
        TellOwner(index, UnixPath.Look(endpoint.Name, subject));
        if (_looksForHolders && PortHolder.FindUnix(endpoint.Name) is { } holder)
        {
            _problems.Add(
                new OpenProblem(null, index, new OpenFailure("bind", subject, Errno.EADDRINUSE, holder.ToString()), MayPass: true));
        }
    }

    private void TryOther(int index, int family, int type, int protocol, string familyName, SocketAddress address, string subject)
    {
        OpenResult<FileDescriptor> made = ListenerOpener.MakeSocket(family, type, protocol, _request.Options, subject, familyName);
        if (!made.TryGet(out FileDescriptor? socket, out OpenFailure? failure))
        {
            Tell(null, index, failure);
            return;
        }
        using FileDescriptor held = socket;
        Writer(socket, family, index).SetCommon();
        Bind(address, socket, index, subject, refused => ListenerOpener.RemedyForBind(family, refused));
    }

    private void Bind(SocketAddress address, FileDescriptor socket, int index, string subject, Func<Errno, string?> remedy)
    {
        Errno refused = address.Bind(socket);
        if (refused == Errno.None || (refused == Errno.EADDRINUSE && !_looksForHolders))
            return;
        bool mayPass = refused == Errno.EADDRINUSE || (refused == Errno.EADDRNOTAVAIL && address.Family is Libc.AF_INET or Libc.AF_INET6);
        _problems.Add(new OpenProblem(null, index, new OpenFailure("bind", subject, refused, remedy(refused)), mayPass));
    }

    private SocketOptionsWriter Writer(FileDescriptor socket, int family, int index, bool isDualStack = false) => new(
        socket, family, _request.Options, _request.Endpoints[index].ToString(), isDualStack, onRefusal: (option, failure) =>
            _problems.Add(new OpenProblem(option, index, failure, MayPass: failure.Errno == Errno.ENODEV)));

    private void TellOwner(int index, OpenFailure? failure)
    {
        Tell(null, index, failure);
        if (failure is null && _request.Owner.Gid is { } group && !Identity.MayGiveTo(group))
        {
            Tell("group", index, new OpenFailure("fchownat", $"cannot give {_request.Endpoints[index]} to group {group}", Errno.EPERM,
                Remedy.ForOwner(Errno.EPERM)));
        }
    }

    private void Tell(string? option, int index, OpenFailure? failure)
    {
        if (failure is not null)
            _problems.Add(new OpenProblem(option, index, failure, MayPass: false));
    }
}
