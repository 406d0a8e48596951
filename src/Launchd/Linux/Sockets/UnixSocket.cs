using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>
/// Unix sockets between processes: pairs, connections, messages with descriptors and credentials. Every socket made here has SO_PASSCRED,
/// so that each message carries a header and 0 bytes without one are the end of the stream. Sockets are borrowed, results are owned.
/// </summary>
internal static unsafe class UnixSocket
{
    /// <summary>Two connected ends, close-on-exec and non-blocking.</summary>
    /// <exception cref="SystemCallException">Refused: EMFILE, for example.</exception>
    public static (FileDescriptor First, FileDescriptor Second) Pair(UnixSocketKind kind) =>
        TryPair(kind, out FileDescriptor? first, out FileDescriptor? second, out Errno refused)
            ? (first, second) : throw new SystemCallException("socketpair", kind.ToString(), refused);

    /// <summary>The same; false with the reason, and nothing is left open then.</summary>
    public static bool TryPair(UnixSocketKind kind, [NotNullWhen(true)] out FileDescriptor? first,
        [NotNullWhen(true)] out FileDescriptor? second, out Errno refused)
    {
        (first, second) = (null, null);
        int* ends = stackalloc int[2];
        refused = socketpair(Libc.AF_UNIX, TypeOf(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ? Errno.Last : Errno.None;
        if (refused != Errno.None)
            return false;
        first = new FileDescriptor(ends[0]);
        second = new FileDescriptor(ends[1]);
        refused = PassCredentials(first);
        if (refused == Errno.None)
            refused = PassCredentials(second);
        if (refused == Errno.None)
            return true;
        first.Dispose();
        second.Dispose();
        return false;
    }

    /// <summary>
    /// Takes the next connection, close-on-exec and non-blocking. Null with <see cref="Errno.EAGAIN"/> when there is none; a
    /// connection that was aborted in the queue is passed over. EMFILE and ENFILE leave the connection in the queue: the
    /// caller must pause, because epoll goes on reporting it.
    /// </summary>
    public static FileDescriptor? Accept(FileDescriptor listener, out Errno refused)
    {
        while (true)
        {
            int number = Libc.accept4(listener.Number, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
            refused = number < 0 ? Errno.Last : Errno.None;
            if (number >= 0)
                return new FileDescriptor(number);
            if (refused != Errno.EINTR && refused != Errno.ECONNABORTED)
                return null;
        }
    }

    /// <summary>
    /// Receives one message (stream: what is there) without waiting. Descriptors that came along are owned by the result; with
    /// <see cref="Received.IsTruncated"/> they are closed already. Allocates only when a descriptor comes.
    /// </summary>
    /// <param name="socket">Borrowed.</param>
    /// <param name="buffer">For the bytes.</param>
    /// <param name="closer">
    /// Closes the descriptors in the end; null: the thread that disposes them does, which may take long for descriptors of other processes.
    /// </param>
    /// <param name="isLeft">The message stays the next one in the queue; its descriptors are copies (MSG_PEEK of recv(2)).</param>
    [SkipLocalsInit]
    public static Received Receive(FileDescriptor socket, Span<byte> buffer, IDescriptorCloser? closer = null, bool isLeft = false)
    {
        int controlBytes = ControlMessage.ReceiveBytes;
        nuint* control = stackalloc nuint[controlBytes / sizeof(nuint)];
        fixed (byte* bytes = buffer)
        {
            var vector = new Libc.iovec { iov_base = bytes, iov_len = (nuint)buffer.Length };
            var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1, msg_control = control,
                msg_controllen = (nuint)controlBytes };
            nint length;
            do
            {
                length = Libc.recvmsg(socket.Number, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | (isLeft ? MSG_PEEK : 0));
            }
            while (length < 0 && Errno.Last == Errno.EINTR);
            if (length < 0)
                return Received.Refused(Errno.Last);

            // Every descriptor gets an owner before anything else: the kernel has opened it, whatever the flags say.
            ReceivedControl beside = ControlMessage.Take(new ReadOnlySpan<byte>(control, (int)message.msg_controllen), closer);
            bool isTruncated = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 || beside.HasDenied;
            if (isTruncated)
                beside.Close();
            bool isEnd = length == 0 && beside.IsBare && !isTruncated;
            return new Received(isEnd ? ReceiveOutcome.EndOfStream : ReceiveOutcome.Message, (int)length, isTruncated, beside);
        }
    }

    /// <summary>Ends receiving: nothing more can be sent to the socket; what is in its queue stays (shutdown(2)).</summary>
    public static void EndReading(FileDescriptor socket) => _ = shutdown(socket.Number, SHUT_RD);

    /// <summary>
    /// Sends one message without waiting and without SIGPIPE; the descriptors are borrowed, at most
    /// <see cref="ControlMessage.MaxDescriptorCount"/>, and need at least one byte beside them on a stream.
    /// </summary>
    [SkipLocalsInit]
    public static SendResult Send(FileDescriptor socket, ReadOnlySpan<byte> bytes, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, ControlMessage.MaxDescriptorCount);
        Span<int> numbers = stackalloc int[descriptors.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = descriptors[i].Number;
        int room = descriptors.IsEmpty ? 0 : ControlMessage.Space(descriptors.Length * sizeof(int));
        nuint* control = stackalloc nuint[room / sizeof(nuint)];
        int controlBytes = ControlMessage.WriteRights(new Span<byte>(control, room), numbers);
        fixed (byte* start = bytes)
        {
            var vector = new Libc.iovec { iov_base = start, iov_len = (nuint)bytes.Length };
            var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1, msg_controllen = (nuint)controlBytes };
            message.msg_control = controlBytes == 0 ? null : control;
            nint sent;
            do
            {
                sent = Libc.sendmsg(socket.Number, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            }
            while (sent < 0 && Errno.Last == Errno.EINTR);
            return sent >= 0 ? new SendResult(SendOutcome.Sent, (int)sent, Errno.None) : SendResult.Refused(Errno.Last);
        }
    }

    /// <summary>
    /// Sets whether descriptors may be sent to a socket, and to those accepted from a listener; if not, the sender gets EPERM. False:
    /// this kernel cannot forbid it (SO_PASSRIGHTS, Linux 6.16).
    /// </summary>
    public static bool TryPassRights(FileDescriptor socket, bool isAllowed)
    {
        const int SO_PASSRIGHTS = 83;
        int value = isAllowed ? 1 : 0;
        return setsockopt(socket.Number, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(int)) == 0;
    }

    /// <summary>Whether a descriptor is an end of a pair of <see cref="UnixSocketKind.SeqPacket"/> that this process has made.</summary>
    public static bool IsPairOf(FileDescriptor descriptor, int pid)
    {
        int domain = 0, type = 0;
        Tmds.Linux.socklen_t length = sizeof(int);
        return getsockopt(descriptor.Number, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX
            && getsockopt(descriptor.Number, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET
            && PeerCredentials.TryRead(descriptor, out PeerCredentials peer, out _) && peer.Pid == pid;
    }

    internal static int TypeOf(UnixSocketKind kind) => kind switch
    {
        UnixSocketKind.Stream => Libc.SOCK_STREAM,
        UnixSocketKind.Datagram => Libc.SOCK_DGRAM,
        _ => Libc.SOCK_SEQPACKET,
    };

    /// <summary>Of a Unix socket (SO_TYPE, socket(7)).</summary>
    internal static UnixSocketKind KindOf(FileDescriptor socket)
    {
        int type = 0;
        Tmds.Linux.socklen_t length = sizeof(int);
        _ = getsockopt(socket.Number, SOL_SOCKET, SO_TYPE, &type, &length);
        return type switch
        {
            Libc.SOCK_DGRAM => UnixSocketKind.Datagram,
            Libc.SOCK_SEQPACKET => UnixSocketKind.SeqPacket,
            _ => UnixSocketKind.Stream,
        };
    }

    private static Errno PassCredentials(FileDescriptor socket)
    {
        int on = 1;
        return setsockopt(socket.Number, SOL_SOCKET, SO_PASSCRED, &on, sizeof(int)) < 0 ? Errno.Last : Errno.None;
    }
}

/// <summary>How a receive ended.</summary>
internal enum ReceiveOutcome
{
    /// <summary>A message, perhaps of no bytes.</summary>
    Message,

    /// <summary>Nothing there now.</summary>
    WouldBlock,

    /// <summary>The peer is gone and everything it sent has been read.</summary>
    EndOfStream,

    /// <summary>ECONNRESET: the peer closed without reading all that was sent to it. Not the end: its last messages follow.</summary>
    Reset,

    /// <summary>Refused for the reason in <see cref="Received.Errno"/>.</summary>
    Failed,
}

/// <summary>One received message. Dispose it to close the descriptors that were not taken.</summary>
internal readonly struct Received : IDisposable
{
    private readonly ReceivedControl _beside;

    internal Received(ReceiveOutcome outcome, int length, bool isTruncated, ReceivedControl besideTaken, Errno errno = default)
    {
        Outcome = outcome;
        Length = length;
        IsTruncated = isTruncated;
        _beside = besideTaken;
        Errno = errno;
    }

    public ReceiveOutcome Outcome { get; }

    /// <summary>Bytes in the caller's buffer.</summary>
    public int Length { get; }

    /// <summary>Bytes or descriptors were cut off, or one was denied; all descriptors that did come are closed.</summary>
    public bool IsTruncated { get; }

    /// <summary>Whether the kernel told the sender: <see cref="Pid"/>, <see cref="Uid"/>, <see cref="Gid"/>.</summary>
    public bool HasCredentials => _beside.HasCredentials;

    /// <summary>0: the sender is in a foreign pid namespace. A privileged sender may claim another's.</summary>
    public int Pid => _beside.Pid;
    public uint Uid => _beside.Uid;
    public uint Gid => _beside.Gid;

    /// <summary>The descriptors, owned by this result until they are taken.</summary>
    public ReceivedDescriptors Descriptors => _beside.Descriptors;

    /// <summary>The sender's pidfd where SO_PASSPIDFD is on, owned by this result.</summary>
    public FileDescriptor? Pidfd => _beside.Pidfd;
    public Errno Errno { get; }

    public static Received Refused(Errno errno)
    {
        ReceiveOutcome outcome = errno == Errno.EAGAIN ? ReceiveOutcome.WouldBlock
            : errno == Errno.ECONNRESET ? ReceiveOutcome.Reset
            : ReceiveOutcome.Failed;
        return new Received(outcome, 0, isTruncated: false, default, errno);
    }

    public void Dispose()
    {
        _beside.Descriptors.Dispose();
        _beside.Pidfd?.Dispose();
    }
}

/// <summary>How a send ended.</summary>
internal enum SendOutcome
{
    Sent,

    /// <summary>
    /// Queue and try again: the peer's queue is full (EAGAIN, epoll tells when it drains), or ETOOMANYREFS: too many descriptors of this
    /// user are unread somewhere, which epoll does not tell.
    /// </summary>
    WouldBlock,
    PeerGone,

    /// <summary>The message itself or the socket is at fault: <see cref="SendResult.Errno"/>.</summary>
    Failed,
}

/// <summary>The end of a send. <paramref name="Length"/> is less than asked only on a stream.</summary>
internal readonly record struct SendResult(SendOutcome Outcome, int Length, Errno Errno)
{
    public static SendResult Refused(Errno errno)
    {
        SendOutcome outcome = errno == Errno.EAGAIN || errno == Errno.ETOOMANYREFS || errno == Errno.ENOBUFS ? SendOutcome.WouldBlock
            : errno == Errno.EPIPE || errno == Errno.ECONNRESET || errno == Errno.ECONNREFUSED || errno == Errno.ENOTCONN
                ? SendOutcome.PeerGone
            : SendOutcome.Failed;
        return new SendResult(outcome, 0, errno);
    }
}
