using Launchd.Client;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>
/// The two ends of an instance channel, or of the socket by which an operator sees a terminal, unix(7). Both are close-on-exec and
/// blocking: a simple client expects that of its end; on the supervisor's end every call has MSG_DONTWAIT.
/// </summary>
internal static unsafe class ChannelPair
{
    // The kernel doubles it. It holds one packet of the longest kind and about a hundred short ones; so a program that does not read
    // cannot park more than some hundreds of descriptors, which count against our user until they are read.
    private const int SendBufferBytes = 40_000;

    private static readonly System.Buffers.SearchValues<byte> LowerHexDigits = System.Buffers.SearchValues.Create("0123456789abcdef"u8);

    /// <summary>False with the reason; nothing is left open then.</summary>
    public static bool TryOpen(out FileDescriptor ours, out FileDescriptor theirs, out Errno refused)
    {
        int* ends = stackalloc int[2];
        bool isOpen = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
        refused = isOpen ? Errno.None : Errno.Last;
        ours = new FileDescriptor(isOpen ? ends[0] : -1);
        theirs = new FileDescriptor(isOpen ? ends[1] : -1);
        if (!isOpen)
            return false;
        int on = 1, bytes = SendBufferBytes;
        // With SO_PASSCRED every message has a header, which tells a message of no bytes from the end of the channel.
        if (setsockopt(ours.Number, SOL_SOCKET, SO_PASSCRED, &on, sizeof(int)) == 0
            && setsockopt(ours.Number, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(int)) == 0)
        {
            return true;
        }
        refused = Errno.Last;
        ours.Dispose();
        theirs.Dispose();
        return false;
    }

    /// <summary>
    /// Whether a descriptor is an end of a channel of this process: it has the credentials of this process, which makes no
    /// other pairs of this type, and its peer has no name. A client of one of this process's listeners has these
    /// credentials as well, but its peer has the listener's name.
    /// </summary>
    public static bool IsEnd(FileDescriptor descriptor)
    {
        int type = 0;
        Tmds.Linux.socklen_t length = sizeof(int);
        return getsockopt(descriptor.Number, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET
            && PeerCredentials.TryRead(descriptor, out PeerCredentials peer, out _)
            && peer.Pid == Interop.Libc.getpid() && !HasNamedPeer(descriptor);
    }

    // unix(7): the address of a socket without a name is the family alone. Where a socket with SO_PASSCRED sends, as our ends do, the
    // kernel gives it a name of its own: an abstract one of five hexadecimal digits.
    private static bool HasNamedPeer(FileDescriptor descriptor)
    {
        const int FamilyBytes = sizeof(ushort), AutomaticBytes = 1 + 5;
        byte* address = stackalloc byte[128];
        Tmds.Linux.socklen_t length = 128;
        if (getpeername(descriptor.Number, (Tmds.Linux.sockaddr*)address, &length) != 0 || length <= FamilyBytes)
            return false;
        ReadOnlySpan<byte> name = new(address + FamilyBytes, (int)length - FamilyBytes);
        return name.Length != AutomaticBytes || name[0] != 0 || name[1..].ContainsAnyExcept(LowerHexDigits);
    }
}
