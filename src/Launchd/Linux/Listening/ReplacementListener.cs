using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>
/// A second socket at an address of open listeners, opened while they still serve, so that no client is ever refused. An internet port
/// is shared for the time of the change by SO_REUSEPORT, which the kernel (socket(7)) also takes on sockets that are bound already; a
/// path is bound beside its place and changes places with the old one in <see cref="Take"/>. Owns the new socket until
/// <see cref="Finish"/> or <see cref="Undo"/>; the old ones are borrowed.
/// </summary>
internal sealed unsafe class ReplacementListener
{
    private const int SO_ATTACH_REUSEPORT_CBPF = 51;
    private const int SO_DETACH_REUSEPORT_BPF = 68;

    private readonly List<FileDescriptor> _shared = [];
    private readonly OpenedListener _opened;
    private readonly string? _path;
    private readonly OpenedListener? _former;
    private bool _isExchanged;
    private bool _isInPlace;

    private ReplacementListener(OpenedListener openedTaken, string? path, OpenedListener? former)
    {
        _opened = openedTaken;
        _path = path;
        _former = former;
    }

    /// <summary>The listener as it is once it has taken the place.</summary>
    public OpenedListener Listener => _path is null ? _opened : _opened with
    {
        Address = _opened.Address.Replace(_opened.Path!.Path, _path, StringComparison.Ordinal), Path = _opened.Path with { Path = _path },
    };

    /// <summary>Opens at an address that overlaps with sockets of ours.</summary>
    /// <param name="endpoint">The address, with the real port where the kernel had picked it.</param>
    /// <param name="request">Settings, mode and owner; its other fields are not used.</param>
    /// <param name="former">
    /// The socket at just this address, from which clients are turned away to the new one; null: there is none.
    /// </param>
    /// <param name="beside">Other listeners of the supervisor with the same port, borrowed.</param>
    public static OpenResult<ReplacementListener> Open(
        ListenAddress endpoint, ListenerRequest request, OpenedListener? former, IReadOnlyList<OpenedListener> beside)
    {
        if (former?.Inherited is not null)
        {
            return new OpenFailure("bind", $"cannot make {former.Address} anew", Errno.EADDRINUSE,
                "it was inherited: restart what has opened it, such as its socket unit");
        }
        if (endpoint is ListenAddress.Unix { IsAbstract: false } unix)
            return OpenPath(unix, request, former);
        if (endpoint is ListenAddress.Fifo)
            return OpenFifo(endpoint, request, former);
        if (endpoint is not (ListenAddress.Tcp or ListenAddress.Udp))
        {
            return new OpenFailure("bind", $"cannot open {endpoint} anew while it is open", Errno.EADDRINUSE,
                "give it another address, or restart the supervisor");
        }
        List<FileDescriptor> shared = [];
        foreach (OpenedListener listener in former is null ? beside : [former, .. beside])
        {
            if (Option(listener.Descriptor, SO_REUSEPORT) == 0 && Set(listener.Descriptor, SO_REUSEPORT, 1) == Errno.None)
                shared.Add(listener.Descriptor);
        }
        OpenResult<OpenedListener> opened = ListenerOpener.OpenOne(endpoint, request with { ShardCount = Math.Max(1, request.ShardCount) });
        if (!opened.TryGet(out OpenedListener? listenerTaken, out OpenFailure? failure))
        {
            Unshare(shared);
            return failure;
        }
        ReplacementListener replacement = new(listenerTaken, null, former);
        replacement._shared.AddRange(shared);
        return replacement;
    }

    /// <summary>
    /// From now on new clients come to the new socket; clients in the old socket's queue wait for its holders. <see cref="Undo"/> takes it
    /// back; after <see cref="Finish"/> the listener is the caller's.
    /// </summary>
    /// <param name="isAlone">
    /// Whether the new socket will be the only one at the port: then the kernel is told to give it all new clients, past the old one.
    /// </param>
    public OpenFailure? Take(bool isAlone)
    {
        if (_path is not null)
            return Exchange();
        if (isAlone && _former is not null)
            _ = Steer(_opened.Descriptor);
        if (isAlone)
            _ = Set(_opened.Descriptor, SO_REUSEPORT, 0);
        return null;
    }

    /// <summary>Makes the change final: unlinks the name beside the path, where the old socket's node lies now.</summary>
    public void Finish()
    {
        if (_isExchanged && ParentDirectory.Open(_opened.Path!.Path, directoryMode: null, "").TryGet(out ParentDirectory? parent, out _))
        {
            using ParentDirectory held = parent;
            _ = Files.Unlink(parent.Directory, parent.Name);
        }
    }

    /// <summary>The old socket is closed: new clients need not be led past it any more.</summary>
    public static void EndSteering(FileDescriptor listener)
    {
        // ENOENT: there was no program. The kernel ignores a program that picks a socket which is gone, in any case.
        _ = Set(listener, SO_DETACH_REUSEPORT_BPF, 0);
    }

    /// <summary>Closes the new socket and leaves everything as it was.</summary>
    public void Undo()
    {
        if (_isExchanged)
            _ = Rename(_opened.Path!.Path, _path!, Libc.RENAME_EXCHANGE);
        ListenerOpener.Undo(_isInPlace && !_isExchanged ? Listener : _opened);
        if (_former is not null)
            EndSteering(_former.Descriptor);
        Unshare(_shared);
    }

    private static OpenResult<ReplacementListener> OpenPath(ListenAddress.Unix endpoint, ListenerRequest request, OpenedListener? former)
    {
        // Where nobody can connect at present, no client is lost by binding at the very path. A socket that is bound beside and moved keeps
        // the name under which it was bound (getsockname(2)), by which programs know what they were given: Twisted ends for want of it.
        if (former?.Path is { } path && (!ListenerState.IsAlive(former.Descriptor) || !UnixPath.LooksOurs(path)))
        {
            _ = UnixPath.RemoveIfOurs(path, out _);
            OpenResult<OpenedListener> direct = ListenerOpener.OpenOne(endpoint, request);
            return direct.TryGet(out OpenedListener? alone, out OpenFailure? hindrance)
                ? new ReplacementListener(alone, null, null)
                : hindrance;
        }
        int slash = endpoint.Name.LastIndexOf('/');
        string beside =
            endpoint.Name[..(slash + 1)] + ".new-" + Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture)
            + "-" + Path.GetFileName(endpoint.Name);
        OpenResult<OpenedListener> opened = ListenerOpener.OpenOne(endpoint with { Name = beside }, request);
        return opened.TryGet(out OpenedListener? listener, out OpenFailure? failure)
            ? new ReplacementListener(listener, endpoint.Name, former)
            : failure;
    }

    // Where the former one is still at its name there is nothing to be opened anew.
    private static OpenResult<ReplacementListener> OpenFifo(ListenAddress endpoint, ListenerRequest request, OpenedListener? former)
    {
        if (former?.Path is { } path && UnixPath.LooksOurs(path))
            return new OpenFailure("mkfifo", $"cannot open {endpoint} anew while it is open", Errno.EADDRINUSE, "give it another address");
        OpenResult<OpenedListener> opened = ListenerOpener.OpenOne(endpoint, request);
        return opened.TryGet(out OpenedListener? listener, out OpenFailure? failure)
            ? new ReplacementListener(listener, null, null)
            : failure;
    }

    private OpenFailure? Exchange()
    {
        string beside = _opened.Path!.Path;
        // The exchange takes away what lies there: a path that somebody else has by now stays his.
        if (_former?.Path is { } former && UnixPath.LookForOthers(former) is { } taken)
            return taken;
        Errno refused = Rename(beside, _path!, Libc.RENAME_EXCHANGE);
        _isExchanged = refused == Errno.None;
        // The path was removed meanwhile, or the file system cannot exchange two names: the new socket
        // takes the place of whatever is there.
        if (refused == Errno.ENOENT || refused == Errno.EINVAL || refused == Errno.ENOSYS)
            refused = Rename(beside, _path!, 0);
        if (refused != Errno.None)
            return new OpenFailure("rename", $"cannot put the new socket at {_path}", refused, Remedy.ForPath(refused));
        _isInPlace = true;
        return null;
    }

    // Both names lie in one directory, which is held open, so that nobody can redirect the renaming elsewhere.
    private static Errno Rename(string from, string to, uint flags)
    {
        if (!ParentDirectory.Open(to, directoryMode: null, to).TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure.Errno;
        using ParentDirectory held = parent;
        return Files.Rename(parent.Directory, Path.GetFileName(from), parent.Name, flags);
    }

    // The program picks the second socket of the group: that is the new one, because it joined the old one alone.
    private static Errno Steer(FileDescriptor newcomer) =>
        PacketFilter.Attach(newcomer, SO_ATTACH_REUSEPORT_CBPF, [PacketFilter.Answer(1)]);

    private static void Unshare(List<FileDescriptor> shared)
    {
        foreach (FileDescriptor listener in shared)
            _ = Set(listener, SO_REUSEPORT, 0);
    }

    private static Errno Set(FileDescriptor socket, int option, int value) =>
        setsockopt(socket.Number, SOL_SOCKET, option, &value, sizeof(int)) < 0 ? Errno.Last : Errno.None;

    private static int Option(FileDescriptor socket, int option)
    {
        int value = 0;
        Tmds.Linux.socklen_t length = sizeof(int);
        return getsockopt(socket.Number, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
    }
}
