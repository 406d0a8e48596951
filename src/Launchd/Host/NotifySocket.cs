using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Where one instance sends its notifications: a datagram socket of its own by path, so that the address itself says who speaks; the
/// kernel's credentials say which process. Owns the descriptor and the path.
/// </summary>
internal sealed unsafe class NotifySocket : IDisposable
{
    private const int AF_UNIX = 1, SOCK_DGRAM = 2, SOL_SOCKET = 1, SO_PASSCRED = 16, SO_RCVBUF = 8;
    private const int SOCK_CLOEXEC_NONBLOCK = 0x80000 | 0x800;
    private const int ReceiveBytes = 1 << 20;

    // Shared by all: a message is handled before the next is read, on one thread. One byte more than a message may have shows its excess.
    private static readonly byte[] Buffer = new byte[Limits.NotificationBytes + 1];

    private readonly byte[] _path;

    private NotifySocket(FileDescriptor descriptorTaken, string path, byte[] pathBytes, SlowLane lane)
    {
        Descriptor = descriptorTaken;
        Lane = lane;
        Path = path;
        _path = pathBytes;
    }

    public FileDescriptor Descriptor { get; }

    /// <summary>Closes what comes with the messages.</summary>
    public SlowLane Lane { get; }

    /// <summary>Whose it is now; null while it rests.</summary>
    public RunningInstance? Owner { get; set; }

    /// <summary>What <c>NOTIFY_SOCKET</c> says.</summary>
    public string Path { get; }

    /// <summary>Null: refused, for the reason given.</summary>
    public static NotifySocket? Open(string directory, InstanceId instance, SlowLane lane, out Errno refused)
    {
        string path = $"{directory}/{instance.Number.ToString(CultureInfo.InvariantCulture)}";
        byte[] address = new byte[110];
        address[0] = AF_UNIX;
        int length = Encoding.UTF8.GetBytes(path, address.AsSpan(2));
        refused = Errno.None;
        int number = HostLibc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC_NONBLOCK, 0);
        if (number < 0)
        {
            refused = Errno.Last;
            return null;
        }
        FileDescriptor socket = new(number);
        int on = 1, bytes = ReceiveBytes;
        // Anybody may send: workers under another user do so rightly, and the credentials of each message are checked. The mode of the
        // path is that of the socket before bind (unix(7)); the supervisor's umask is 0.
        if (HostLibc.setsockopt(number, SOL_SOCKET, SO_PASSCRED, &on, sizeof(int)) != 0 || HostLibc.fchmod(number, 0b110_110_110) != 0)
            refused = Errno.Last;
        _ = HostLibc.setsockopt(number, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(int));
        fixed (byte* name = address)
        {
            if (refused == Errno.None && HostLibc.bind(number, name, (uint)(2 + length + 1)) != 0)
                refused = Errno.Last;
        }
        if (refused == Errno.None)
            return new NotifySocket(socket, path, address[2..(3 + length)], lane);
        socket.Dispose();
        return null;
    }

    /// <summary>Reads one message. Dispose what it gives.</summary>
    public NotifyMessage Receive()
    {
        Received received = UnixSocket.Receive(Descriptor, Buffer, Lane);
        return new NotifyMessage(received, received.Outcome == ReceiveOutcome.Message ? Buffer.AsMemory(0, Math.Min(received.Length, Buffer.Length)) : default);
    }

    public void Dispose()
    {
        fixed (byte* path = _path)
            _ = HostLibc.unlink(path);
        // What nobody reads any more is closed with the socket.
        Lane.CloseQueue(Descriptor);
    }
}

/// <summary>One datagram and who sent it; owns the descriptors that came along and were not taken.</summary>
internal readonly struct NotifyMessage(Received received, ReadOnlyMemory<byte> bytes) : IDisposable
{
    public bool IsThere => received.Outcome == ReceiveOutcome.Message;

    public int Pid => received.Pid;
    public uint Uid => received.Uid;
    public ReceivedDescriptors Descriptors => received.Descriptors;

    /// <summary>Whether it came whole and says who sent it; a sender in a foreign pid namespace has no pid here.</summary>
    public bool IsSound => !received.IsTruncated && received.HasCredentials && received.Pid > 0 && bytes.Length <= Limits.NotificationBytes;

    public Notification? Parse() => Notification.Parse(bytes.Span);

    /// <summary>Whether the sender may speak for the instance.</summary>
    public bool IsAllowed(NotifyAccess access, int mainPid) => access switch
    {
        NotifyAccess.Main => Pid == mainPid,
        NotifyAccess.All => true,
        _ => false,
    };

    public void Dispose() => received.Dispose();
}
