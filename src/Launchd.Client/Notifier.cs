using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// Sends notifications to <c>NOTIFY_SOCKET</c>, sd_notify(3): datagrams, each understood or dropped as a whole. One connected socket for
/// the life of the process, close-on-exec. Safe from several threads: a datagram is atomic.
/// </summary>
internal sealed unsafe class Notifier : IDisposable
{
    /// <summary>What supervisors read of one notification.</summary>
    public const int MostBytes = 4096;

    // The default of sd_notify_barrier(3). A supervisor that reads nothing for so long does not live.
    private const int PatienceMilliseconds = 5_000;

    private readonly byte[] _address;
    private readonly Lock _gate = new();
    private FileDescriptor? _socket;
    private bool _isDisposed;

    private Notifier(byte[] address)
    {
        _address = address;
    }

    /// <summary>Null when nobody wants notifications.</summary>
    /// <param name="address"><c>/path</c> or <c>@abstract</c>.</param>
    /// <exception cref="LaunchdException">It is neither.</exception>
    public static Notifier? To(string? address)
    {
        if (string.IsNullOrEmpty(address))
            return null;
        byte[] name = Encoding.UTF8.GetBytes(address);
        // unix(7): 108 bytes, the end of a path's text included.
        if (name.Length < 2 || name[0] is not ((byte)'/' or (byte)'@') || name.Length > 107)
        {
            throw LaunchdException.Environment(
                "NOTIFY_SOCKET", $"is '{address}', neither a path nor an abstract name of a Unix socket", Errno.EINVAL);
        }
        bool isAbstract = name[0] == '@';
        byte[] socketAddress = new byte[2 + name.Length + (isAbstract ? 0 : 1)];
        socketAddress[0] = ClientLibc.AF_UNIX;
        name.CopyTo(socketAddress.AsSpan(2));
        if (isAbstract)
            socketAddress[2] = 0;
        return new Notifier(socketAddress);
    }

    /// <summary>
    /// Sends one notification; false if nobody is there to read it. Waits while the queue is full, as sd_notify does, but not for ever.
    /// </summary>
    /// <exception cref="LaunchdException">The kernel refused; EAGAIN: nobody read for five seconds.</exception>
    public bool Send(string text, params ReadOnlySpan<SafeHandle> descriptors)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Length > MostBytes)
            throw new ArgumentException($"a notification has at most {MostBytes} bytes, this one {bytes.Length}", nameof(text));
        bool isNew = false;
        while (true)
        {
            FileDescriptor? socket = Socket(ref isNew);
            if (socket is null)
                return false;
            Errno refused = TrySend(socket, bytes, descriptors);
            if (refused == Errno.None)
                return true;
            if (refused == Errno.EAGAIN)
                AwaitRoom(socket);
            else if (!IsGone(refused))
                throw LaunchdException.Kernel("sendmsg to NOTIFY_SOCKET", refused);
            else if (isNew)
                return false;
            else
                Forget(socket);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _socket?.Dispose();
        }
    }

    // Another thread may have found out just now that the reader is gone.
    private Errno TrySend(FileDescriptor socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<SafeHandle> descriptors)
    {
        try
        {
            return MessageCalls.TrySend(socket, bytes, descriptors, out _);
        }
        catch (ObjectDisposedException) when (!_isDisposed && socket.IsClosed)
        {
            return Errno.ENOTCONN;
        }
    }

    // The process that read there is gone, and another may have taken over the path: worth one new connection, not more.
    private static bool IsGone(Errno refused) =>
        refused == Errno.ECONNREFUSED || refused == Errno.ENOENT || refused == Errno.ENOTCONN
            || refused == Errno.ECONNRESET || refused == Errno.EPIPE;

    private FileDescriptor? Socket(ref bool isNew)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_socket is { IsClosed: false })
                return _socket;
            isNew = true;
            int number = ClientLibc.socket(ClientLibc.AF_UNIX, ClientLibc.SOCK_DGRAM | ClientLibc.SOCK_CLOEXEC, 0);
            if (number < 0)
                throw LaunchdException.Kernel("socket", Errno.Last);
            var socket = new FileDescriptor(number);
            fixed (byte* address = _address)
            {
                if (ClientLibc.connect(number, address, (uint)_address.Length) == 0)
                    return _socket = socket;
            }
            Errno refused = Errno.Last;
            socket.Dispose();
            return IsGone(refused) ? null : throw LaunchdException.Kernel("connect to NOTIFY_SOCKET", refused);
        }
    }

    private void Forget(FileDescriptor socket)
    {
        lock (_gate)
        {
            if (ReferenceEquals(_socket, socket))
                _socket = null;
        }
        socket.Dispose();
    }

    private static void AwaitRoom(FileDescriptor socket)
    {
        using var borrowed = new Borrowed(socket);
        var wait = new ClientLibc.pollfd { fd = borrowed.Number, events = ClientLibc.POLLOUT };
        int result = ClientLibc.poll(&wait, 1, PatienceMilliseconds);
        if (result == 0)
            throw LaunchdException.Kernel("sendmsg to NOTIFY_SOCKET", Errno.EAGAIN);
        if (result < 0 && Errno.Last != Errno.EINTR)
            throw LaunchdException.Kernel("poll", Errno.Last);
    }
}
