using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;

namespace Launchd.Keeper;

/// <summary>One packet that the keeper received, with the raw number of its descriptor: an object for it would be garbage.</summary>
internal readonly struct KeeperPacket
{
    private const int MSG_CTRUNC = 0x8, MSG_TRUNC = 0x20, MSG_CMSG_CLOEXEC = 0x40000000;

    /// <summary>Bytes in the caller's buffer.</summary>
    public int Length { get; private init; }

    /// <summary>How many descriptors came along; of several all but the first are closed already.</summary>
    public int DescriptorCount { get; private init; }

    /// <summary>The first descriptor, close-on-exec, which the caller owns; -1: none came.</summary>
    public int Descriptor { get; private init; }

    /// <summary>There was no room for all of the bytes.</summary>
    public bool IsCut { get; private init; }

    /// <summary>There was no number left for a descriptor, or it was kept back (recvmsg(2), MSG_CTRUNC).</summary>
    public bool IsBereft { get; private init; }

    /// <summary>The other end is closed, and everything that was sent has been read.</summary>
    public bool IsEnd { get; private init; }

    /// <summary>Receives one packet without waiting and without an allocation.</summary>
    /// <param name="socket">Has SO_PASSCRED, by which an empty packet can be told from the end. Borrowed.</param>
    /// <param name="buffer">For the bytes.</param>
    /// <param name="packet">What came.</param>
    /// <returns><see cref="Errno.EAGAIN"/>: nothing is there.</returns>
    [SkipLocalsInit]
    public static unsafe Errno Receive(FileDescriptor socket, Span<byte> buffer, out KeeperPacket packet)
    {
        packet = default;
        nuint* control = stackalloc nuint[ControlMessage.ReceiveBytes / sizeof(nuint)];
        fixed (byte* bytes = buffer)
        {
            Libc.iovec vector = new() { iov_base = bytes, iov_len = (nuint)buffer.Length };
            Libc.msghdr message = new()
            {
                msg_iov = &vector, msg_iovlen = 1, msg_control = control, msg_controllen = (nuint)ControlMessage.ReceiveBytes,
            };
            nint length;
            Errno refused;
            do
            {
                length = Libc.recvmsg(socket.Number, &message, MSG_CMSG_CLOEXEC | Libc.MSG_DONTWAIT);
                refused = length < 0 ? Errno.Last : Errno.None;
                // ECONNRESET: the other end was closed before it had read everything; its last packets follow.
            }
            while (refused == Errno.EINTR || refused == Errno.ECONNRESET);
            if (length < 0)
                return refused;
            packet = Take(new ReadOnlySpan<byte>(control, (int)message.msg_controllen), (int)length, message.msg_flags);
            return Errno.None;
        }
    }

    /// <summary>Closes a descriptor of the keeper's that nobody needs.</summary>
    public static void Close(int number)
    {
        if (number >= 0)
            KeeperCloser.Close(number);
    }

    private static KeeperPacket Take(ReadOnlySpan<byte> control, int length, int flags)
    {
        int count = 0, first = -1;
        bool isBare = control.IsEmpty, isBereft = (flags & MSG_CTRUNC) != 0;
        while (ControlMessage.TryRead(ref control, out int level, out int type, out ReadOnlySpan<byte> data))
        {
            if (level != ControlMessage.SOL_SOCKET)
                continue;
            if (type == ControlMessage.SCM_PIDFD && data.Length >= sizeof(int))
                Close(MemoryMarshal.Read<int>(data));
            if (type != ControlMessage.SCM_RIGHTS)
                continue;
            foreach (int number in MemoryMarshal.Cast<byte, int>(data))
            {
                count++;
                isBereft |= number < 0;
                if (first < 0)
                    first = number;
                else
                    Close(number);
            }
        }
        return new KeeperPacket
        {
            Length = length,
            DescriptorCount = count,
            Descriptor = first,
            IsCut = (flags & MSG_TRUNC) != 0,
            IsBereft = isBereft,
            IsEnd = length == 0 && isBare && flags is 0 or MSG_CMSG_CLOEXEC,
        };
    }
}
