using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Launchd.Client.Interop;

/// <summary>One sendmsg(2) or recvmsg(2) that never waits. Sockets and descriptors to be sent are borrowed for the call.</summary>
internal static unsafe class MessageCalls
{
    /// <summary>
    /// <see cref="Errno.None"/>: a message (stream: what is there), its descriptors owned by <paramref name="part"/> and close-on-exec.
    /// <see cref="Errno.EAGAIN"/>: nothing there. ECONNRESET is passed over: the peer's last messages come after it.
    /// </summary>
    [SkipLocalsInit]
    public static Errno TryReceive(SafeHandle socket, Span<byte> buffer, out ReceivedPart part)
    {
        using var borrowed = new Borrowed(socket);
        int controlBytes = ControlMessage.ReceiveBytes;
        nuint* control = stackalloc nuint[controlBytes / sizeof(nuint)];
        fixed (byte* bytes = buffer)
        {
            var vector = new ClientLibc.iovec { iov_base = bytes, iov_len = (nuint)buffer.Length };
            var message = new ClientLibc.msghdr
            {
                msg_iov = &vector, msg_iovlen = 1, msg_control = control, msg_controllen = (nuint)controlBytes,
            };
            nint length;
            Errno refused;
            do
            {
                length = ClientLibc.recvmsg(borrowed.Number, &message, ClientLibc.MSG_CMSG_CLOEXEC | ClientLibc.MSG_DONTWAIT);
                refused = length < 0 ? Errno.Last : Errno.None;
            }
            while (refused == Errno.EINTR || refused == Errno.ECONNRESET);
            if (length < 0)
            {
                part = default;
                return refused;
            }
            // Every descriptor gets an owner before anything else: the kernel has opened it, whatever the flags say.
            ReceivedControl beside = ControlMessage.Take(new ReadOnlySpan<byte>(control, (int)message.msg_controllen));
            bool isCut = (message.msg_flags & (ClientLibc.MSG_CTRUNC | ClientLibc.MSG_TRUNC)) != 0 || beside.HasDenied;
            if (isCut)
                beside.Close();
            part = new ReceivedPart((int)length, isCut, beside);
            return Errno.None;
        }
    }

    /// <summary>Without waiting and without SIGPIPE; <paramref name="sent"/> is less than asked only on a stream.</summary>
    [SkipLocalsInit]
    public static Errno TrySend(SafeHandle socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<int> numbers, out int sent)
    {
        using var borrowed = new Borrowed(socket);
        int room = numbers.IsEmpty ? 0 : ControlMessage.Space(numbers.Length * sizeof(int));
        nuint* control = stackalloc nuint[room / sizeof(nuint)];
        int controlBytes = ControlMessage.WriteRights(new Span<byte>(control, room), numbers);
        fixed (byte* start = bytes)
        {
            var vector = new ClientLibc.iovec { iov_base = start, iov_len = (nuint)bytes.Length };
            var message = new ClientLibc.msghdr { msg_iov = &vector, msg_iovlen = 1, msg_controllen = (nuint)controlBytes };
            message.msg_control = controlBytes == 0 ? null : control;
            nint length;
            Errno refused;
            do
            {
                length = ClientLibc.sendmsg(borrowed.Number, &message, ClientLibc.MSG_NOSIGNAL | ClientLibc.MSG_DONTWAIT);
                refused = length < 0 ? Errno.Last : Errno.None;
            }
            while (refused == Errno.EINTR);
            sent = Math.Max(0, (int)length);
            return refused;
        }
    }

    /// <summary>The same with handles, each kept from being closed during the call.</summary>
    public static Errno TrySend(SafeHandle socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<SafeHandle> descriptors, out int sent)
    {
        Span<int> numbers = stackalloc int[descriptors.Length];
        int held = 0;
        try
        {
            for (; held < descriptors.Length; held++)
            {
                bool isHeld = false;
                descriptors[held].DangerousAddRef(ref isHeld);
                numbers[held] = (int)descriptors[held].DangerousGetHandle();
            }
            return TrySend(socket, bytes, numbers, out sent);
        }
        finally
        {
            while (held > 0)
                descriptors[--held].DangerousRelease();
        }
    }
}

/// <summary>What one recvmsg(2) brought; whoever holds it owns the descriptors in it.</summary>
/// <param name="Length">Bytes in the caller's buffer.</param>
/// <param name="IsCut">Bytes or descriptors were lost, or one was denied; all descriptors that did come are closed.</param>
/// <param name="Beside">Descriptors and credentials.</param>
internal readonly record struct ReceivedPart(int Length, bool IsCut, ReceivedControl Beside)
{
    public void Close()
    {
        ReceivedControl beside = Beside;
        beside.Close();
    }
}

/// <summary>A handle's number, kept from being closed and used again as long as this lives.</summary>
internal readonly ref struct Borrowed
{
    private readonly SafeHandle _handle;

    public Borrowed(SafeHandle handle)
    {
        bool isHeld = false;
        handle.DangerousAddRef(ref isHeld);
        _handle = handle;
        Number = (int)handle.DangerousGetHandle();
    }

    public int Number { get; }

    public void Dispose() => _handle.DangerousRelease();
}
