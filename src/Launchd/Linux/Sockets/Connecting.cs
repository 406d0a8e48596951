using System.Net.Sockets;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>How far a connection is.</summary>
internal enum ConnectStage
{
    /// <summary>The connection is made.</summary>
    Connected,

    /// <summary>The far end has not answered yet: the descriptor becomes writable when it has, or has refused.</summary>
    Awaited,

    /// <summary>
    /// Only a thread that waits in connect(2) can go on (<see cref="Connecting.ConnectOnThread"/>): a path has to be looked up, on a file
    /// system that may not answer, or the far end's queue is full.
    /// </summary>
    NeedsThread,
}

/// <summary>
/// A connection in the making, for a caller that must not wait: Unix (any kind), TCP, UDP and vsock; for UDP only the peer is fixed.
/// Owns what it has open until <see cref="Take"/>.
/// </summary>
internal sealed unsafe class Connecting : IDisposable
{
    private readonly FileDescriptor _socket;
    private readonly SocketAddress? _address;
    private readonly string _subject;
    private FileDescriptor? _node;
    private bool _isTaken;

    private Connecting(FileDescriptor socketTaken, SocketAddress? address, string? path, string subject)
    {
        _socket = socketTaken;
        _address = address;
        Path = path;
        _subject = subject;
    }

    /// <summary>The path of a Unix socket in the file system; null: the target is none.</summary>
    public string? Path { get; }

    public ConnectStage Stage { get; private set; }

    /// <summary>To watch for writability while it is <see cref="ConnectStage.Awaited"/>.</summary>
    public FileDescriptor Descriptor => _socket;

    /// <summary>Begins without waiting for anybody.</summary>
    public static OpenResult<Connecting> Begin(ListenAddress target)
    {
        string subject = $"cannot connect to {target}";
        (int family, int type, SocketAddress? address) = target switch
        {
            ListenAddress.Tcp tcp => (FamilyOf(tcp.Host.AddressFamily), Libc.SOCK_STREAM, SocketAddress.Internet(tcp.Host, tcp.Port)),
            ListenAddress.Udp udp => (FamilyOf(udp.Host.AddressFamily), Libc.SOCK_DGRAM, SocketAddress.Internet(udp.Host, udp.Port)),
            ListenAddress.Vsock vsock => (Libc.AF_VSOCK, Libc.SOCK_STREAM, SocketAddress.Vsock(vsock.Cid, vsock.Port)),
            ListenAddress.Unix unix => (Libc.AF_UNIX, UnixSocket.TypeOf(unix.Kind),
                unix.IsAbstract ? SocketAddress.UnixAbstract(unix.Name) : SocketAddress.UnixPath(unix.Name)),
            _ => throw new ArgumentException($"{target} is nothing to connect to", nameof(target)),
        };

        string? path = target is ListenAddress.Unix { IsAbstract: false } named ? named.Name : null;
        if (address is null && path is null)
            return new OpenFailure("connect", subject, Errno.ENAMETOOLONG);
        int number = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (number < 0)
        {
            Errno refused = Errno.Last;
            return new OpenFailure("socket", subject, refused, Remedy.ForSocket(refused, "such sockets"));
        }
        Connecting connecting = new(new FileDescriptor(number), address, path, subject);
        if (connecting.Start(family == Libc.AF_UNIX) is not { } failure)
            return connecting;
        connecting.Dispose();
        return failure;
    }

    /// <summary>
    /// The outcome of an awaited connection whose descriptor is writable, as SO_ERROR says (connect(2)). Null: it is made.
    /// </summary>
    public OpenFailure? Decide()
    {
        int error = 0;
        socklen_t length = sizeof(int);
        Errno refused = getsockopt(_socket.Number, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? Errno.Last : new Errno(error);
        return refused == Errno.None ? Settle() : Refuse(refused);
    }

    /// <summary>
    /// Looks the path up, and waits for room in a full queue. For a thread that may wait. unix(7): a non-blocking connect to such a
    /// queue fails at once; with a send time-out it waits.
    /// </summary>
    /// <param name="patience">How long to wait for room. The look-up of the path has no bound.</param>
    /// <returns>Null: the connection is made. A time-out is ETIMEDOUT.</returns>
    public OpenFailure? ConnectOnThread(TimeSpan patience)
    {
        SocketAddress? address = _address;
        // A path too long for an address is reached through the node itself, which is open as long as the address is needed.
        if (address is null)
        {
            _node = Files.Open(null, Path!, O_PATH, 0, out Errno unreachable);
            if (_node is null)
                return new OpenFailure("open", _subject, unreachable, Explain(unreachable));
            address = SocketAddress.UnixPath(Files.ProcPath(_node))!;
        }
        long deadline = Environment.TickCount64 + Milliseconds(patience);
        Errno refused = Files.SetNonBlocking(_socket, isNonBlocking: false);
        while (refused == Errno.None)
        {
            refused = SetSendTimeout(Math.Max(1, deadline - Environment.TickCount64));
            if (refused == Errno.None)
                refused = address.Connect(_socket);
            if (refused == Errno.EAGAIN || (refused == Errno.EINTR && Environment.TickCount64 >= deadline))
                return new OpenFailure("connect", _subject, Errno.ETIMEDOUT, $"within {patience.TotalSeconds:0.###} s");
            if (refused == Errno.None)
                return SetSendTimeout(0) is { Value: not 0 } unset ? Refuse(unset) : Settle();
            if (refused == Errno.EINTR)
                refused = Errno.None;
        }
        return Refuse(refused);
    }

    /// <summary>The connected, blocking descriptor, which is the caller's from now on.</summary>
    public FileDescriptor Take()
    {
        if (Stage != ConnectStage.Connected || _isTaken)
            throw new InvalidOperationException("no connection to take");
        _isTaken = true;
        return _socket;
    }

    public void Dispose()
    {
        _node?.Dispose();
        if (!_isTaken)
            _socket.Dispose();
    }

    private OpenFailure? Start(bool isUnix)
    {
        Stage = ConnectStage.NeedsThread;
        if (Path is not null)
            return null;
        Errno refused = _address!.Connect(_socket);
        if (refused == Errno.None)
            return Settle();
        bool isFull = isUnix && refused == Errno.EAGAIN;
        if (!isFull && refused != Errno.EINPROGRESS && refused != Errno.EINTR)
            return Refuse(refused);
        if (!isFull)
            Stage = ConnectStage.Awaited;
        return null;
    }

    // Makes the descriptor blocking, as if the program had connected by itself.
    private OpenFailure? Settle()
    {
        Errno refused = Files.SetNonBlocking(_socket, isNonBlocking: false);
        Stage = ConnectStage.Connected;
        return refused == Errno.None ? null : Refuse(refused);
    }

    private OpenFailure Refuse(Errno refused) => new("connect", _subject, refused, Explain(refused));

    private Errno SetSendTimeout(long milliseconds)
    {
        // struct timeval; all zero means without end.
        long* value = stackalloc long[2];
        value[0] = milliseconds / 1000;
        value[1] = milliseconds % 1000 * 1000;
        return setsockopt(_socket.Number, SOL_SOCKET, SO_SNDTIMEO, value, 2 * sizeof(long)) < 0 ? Errno.Last : Errno.None;
    }

    private static long Milliseconds(TimeSpan timeout) => (long)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 0, int.MaxValue);

    private static int FamilyOf(AddressFamily family) => family == AddressFamily.InterNetworkV6 ? Libc.AF_INET6 : Libc.AF_INET;

    private static string? Explain(Errno refused) =>
        refused == Errno.ECONNREFUSED ? "nobody listens there"
        : refused == Errno.ENOENT ? "there is no such socket"
        : refused == Errno.EACCES ? "this user may not write to the socket"
        : null;
}
