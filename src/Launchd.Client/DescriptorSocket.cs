using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// Descriptors over any Unix socket, SCM_RIGHTS of unix(7), which .NET's <see cref="Socket"/> cannot do. No flag of the socket is
/// changed, so that it may be shared with other processes. Needs no supervisor.
/// </summary>
public static class DescriptorSocket
{
    /// <summary>Most descriptors in one message: the kernel's SCM_MAX_FD.</summary>
    public const int MostDescriptors = ControlMessage.MaxDescriptorCount;

    /// <summary>Two connected Unix sockets, close-on-exec, owned by the caller; socketpair(2).</summary>
    /// <param name="type"><see cref="SocketType.Stream"/>, <see cref="SocketType.Dgram"/>, or <see cref="SocketType.Seqpacket"/>, whose
    /// messages have borders and an end: the best for descriptors.</param>
    /// <exception cref="LaunchdException">The kernel refused.</exception>
    public static unsafe (Socket First, Socket Second) CreatePair(SocketType type = SocketType.Seqpacket)
    {
        int kind = type switch
        {
            SocketType.Stream => ClientLibc.SOCK_STREAM,
            SocketType.Dgram => ClientLibc.SOCK_DGRAM,
            SocketType.Seqpacket => ClientLibc.SOCK_SEQPACKET,
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Stream, Dgram or Seqpacket"),
        };
        int* ends = stackalloc int[2];
        if (ClientLibc.socketpair(ClientLibc.AF_UNIX, kind | ClientLibc.SOCK_CLOEXEC, 0, ends) != 0)
            throw LaunchdException.Kernel("socketpair", Errno.Last);
        return (new Socket(new SafeSocketHandle(ends[0], ownsHandle: true)), new Socket(new SafeSocketHandle(ends[1], ownsHandle: true)));
    }

    /// <summary>
    /// Sends bytes, and descriptors with the first of them; waits while the receiver's queue is full. Descriptors are borrowed: the
    /// receiver gets its own, and they may be closed as soon as this is done, even before the receiver reads.
    /// </summary>
    /// <param name="socket">A connected Unix socket, borrowed.</param>
    /// <param name="bytes">A stream needs one at least to carry descriptors.</param>
    /// <param name="descriptors">At most <see cref="MostDescriptors"/>.</param>
    /// <param name="cancellation">A message that has borders is sent whole or not at all; on a stream a part may have been sent.</param>
    /// <exception cref="ArgumentException">Too many descriptors, or none of the bytes that a stream needs.</exception>
    /// <exception cref="LaunchdException">
    /// The kernel refused: EPIPE or ECONNRESET, the other end is gone; ETOOMANYREFS, too many descriptors of this user are under way;
    /// EMSGSIZE; EPERM, the receiver takes no descriptors.
    /// </exception>
    public static async ValueTask SendDescriptorsAsync(
        this Socket socket, ReadOnlyMemory<byte> bytes, IReadOnlyList<SafeHandle> descriptors, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(socket);
        ArgumentNullException.ThrowIfNull(descriptors);
        if (descriptors.Count > MostDescriptors)
        {
            throw new ArgumentOutOfRangeException(
                nameof(descriptors), descriptors.Count, $"at most {MostDescriptors} descriptors in a message");
        }
        if (bytes.IsEmpty && descriptors.Count > 0 && socket.SocketType == SocketType.Stream)
            throw new ArgumentException("a stream carries descriptors beside a byte", nameof(bytes));
        await SendAsync(socket.SafeHandle, bytes, [.. descriptors], cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// Receives one message, or what there is of a stream, with its descriptors, which are close-on-exec and owned by the result.
    /// </summary>
    /// <param name="socket">A connected or bound Unix socket, borrowed.</param>
    /// <param name="buffer">At least one byte; a message that is longer is an error.</param>
    /// <param name="mostDescriptors">What the protocol allows; a message with more is an error, and all of them are closed.</param>
    /// <param name="cancellation">Nothing is lost: what arrives stays in the socket's queue.</param>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.Truncated"/>: bytes or descriptors were cut off, also because this process has no number left; the rest is
    /// closed, and the next message is whole. <see cref="LaunchdError.LimitReached"/>: more descriptors than allowed.
    /// </exception>
    public static async ValueTask<DescriptorMessage> ReceiveDescriptorsAsync(
        this Socket socket, Memory<byte> buffer, int mostDescriptors = MostDescriptors, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(socket);
        if (buffer.IsEmpty)
            throw new ArgumentException("room for a byte is needed: without it the end cannot be told", nameof(buffer));
        ArgumentOutOfRangeException.ThrowIfNegative(mostDescriptors);
        SafeHandle handle = socket.SafeHandle;
        ReceivedPart part = await ReceiveAsync(handle, buffer, cancellation).ConfigureAwait(false);
        FileDescriptor[] descriptors = Owned(part, mostDescriptors);
        return new DescriptorMessage(part.Length, descriptors, part.Beside);
    }

    internal static async ValueTask SendAsync(
        SafeHandle socket, ReadOnlyMemory<byte> bytes, SafeHandle[] descriptors, CancellationToken cancellation)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            Errno refused = MessageCalls.TrySend(socket, bytes.Span, descriptors, out int sent);
            if (refused == Errno.EAGAIN)
            {
                await DescriptorPoller.Writable(socket, cancellation).ConfigureAwait(false);
                continue;
            }
            if (refused != Errno.None)
                throw LaunchdException.Kernel("sendmsg", refused);
            if (sent == bytes.Length)
                return;
            // A stream took a part: the descriptors went with its first byte.
            bytes = bytes[sent..];
            descriptors = [];
        }
    }

    internal static async ValueTask<ReceivedPart> ReceiveAsync(SafeHandle socket, Memory<byte> buffer, CancellationToken cancellation)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            Errno refused = MessageCalls.TryReceive(socket, buffer.Span, out ReceivedPart part);
            if (refused == Errno.None)
                return part;
            if (refused != Errno.EAGAIN)
                throw LaunchdException.Kernel("recvmsg", refused);
            await DescriptorPoller.Readable(socket, cancellation).ConfigureAwait(false);
        }
    }

    private static FileDescriptor[] Owned(ReceivedPart part, int most)
    {
        ReceivedDescriptors descriptors = part.Beside.Descriptors;
        part.Beside.Pidfd?.Dispose();
        if (part.IsCut)
            throw new LaunchdException(LaunchdError.Truncated, "bytes or descriptors of a message were cut off; the rest of it was closed");
        if (descriptors.Count > most)
        {
            descriptors.Dispose();
            throw new LaunchdException(
                LaunchdError.LimitReached, $"{descriptors.Count} descriptors in a message, at most {most} are allowed");
        }
        var owned = new FileDescriptor[descriptors.Count];
        for (int i = 0; i < owned.Length; i++)
            owned[i] = descriptors.Take(i);
        return owned;
    }
}
