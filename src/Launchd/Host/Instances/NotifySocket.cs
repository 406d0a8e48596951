using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Lanes;
using Launchd.Interop;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// Where one instance sends its notifications: a datagram socket of its own by path, so that the address itself says who speaks; the
/// kernel's credentials say which process. Owns the descriptor and the path.
/// </summary>
internal sealed unsafe class NotifySocket : IDescriptorCloser, IDisposable
{
    private const int AF_UNIX = 1, SOCK_DGRAM = 2, SOL_SOCKET = 1, SO_PASSCRED = 16, SO_PASSPIDFD = 76, SO_RCVBUF = 8;
    private const int SOCK_CLOEXEC_NONBLOCK = 0x80000 | 0x800;
    private const int ReceiveBytes = 1 << 20;
    private const int MostToEmpty = 256;

    // Shared by all: a message is handled before the next is read, on one thread. One byte more than a message may have shows its excess.
    private static readonly byte[] Buffer = new byte[Limits.NotificationBytes + 1];

    private readonly byte[] _path;
    private readonly SlowLanes _lanes;
    private readonly ServiceName _service;
    private SlowLane? _strangers;
    private bool _refusesDescriptors;

    private NotifySocket(FileDescriptor descriptorTaken, string path, byte[] pathBytes, SlowLanes lanes, ServiceName service, uint? writer)
    {
        Descriptor = descriptorTaken;
        Lane = lanes.Of(service);
        _lanes = lanes;
        _service = service;
        Path = path;
        Writer = writer;
        _path = pathBytes;
    }

    public FileDescriptor Descriptor { get; }

    /// <summary>
    /// Closes what the service itself sends with its messages. Until that is known, the socket does, in the lane of strangers.
    /// </summary>
    public SlowLane Lane { get; }

    /// <summary>Nothing more may be read: too much of what came waits to be closed.</summary>
    public bool IsHeldUp => Lane.IsFull || IsHeldUpByStrangers;

    /// <summary>Because of what others have sent than the service; it is over when the socket refuses descriptors.</summary>
    public bool IsHeldUpByStrangers => !_refusesDescriptors && _strangers is { IsFull: true };

    /// <summary>What strangers send is waited for, for a while.</summary>
    public bool IsPatient { get; set; }

    /// <summary>Whose it is now; null while it rests.</summary>
    public RunningInstance? Owner { get; set; }

    /// <summary>What <c>NOTIFY_SOCKET</c> says.</summary>
    public string Path { get; }

    /// <summary>The one user, beside root, who can send to it; null: everybody can.</summary>
    public uint? Writer { get; }

    /// <summary>Null: refused, for the reason given.</summary>
    public static NotifySocket? Open(string directory, InstanceId instance, SlowLanes lanes, uint? writer, out Errno refused)
    {
        string path = $"{directory}/{instance.Number.ToString(CultureInfo.InvariantCulture)}";
        byte[] address = new byte[110];
        address[0] = AF_UNIX;
        int length = Encoding.UTF8.GetBytes(path, address.AsSpan(2));
        refused = Errno.None;
        int number = Libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC_NONBLOCK, 0);
        if (number < 0)
        {
            refused = Errno.Last;
            return null;
        }
        FileDescriptor socket = new(number);
        int on = 1, bytes = ReceiveBytes;
        // Where one user is enough the path is that user's alone. Elsewhere anybody may send, because a program of root has workers under
        // users that nobody knows beforehand; who speaks is checked at each message. The mode of the path is that of the socket before
        // bind (unix(7)); the supervisor's umask is 0.
        uint mode = writer is null ? 0b110_110_110u : 0b110_000_000u;
        if (Libc.setsockopt(number, SOL_SOCKET, SO_PASSCRED, &on, sizeof(int)) != 0 || Libc.fchmod(number, mode) != 0)
            refused = Errno.Last;
        _ = Libc.setsockopt(number, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(int));
        fixed (byte* name = address)
        {
            if (refused == Errno.None && Libc.bind(number, name, (uint)(2 + length + 1)) != 0)
                refused = Errno.Last;
        }
        if (refused != Errno.None)
        {
            socket.Dispose();
            return null;
        }
        NotifySocket opened = new(socket, path, address[2..(3 + length)], lanes, instance.Service, writer);
        fixed (byte* bound = opened._path)
        {
            if (writer is not { } owner || Libc.lchown(bound, owner, uint.MaxValue) == 0)
                return opened;
        }
        refused = Errno.Last;
        opened.Dispose();
        return null;
    }

    /// <summary>
    /// From now on each message brings a pidfd of its sender, where the kernel has that (6.5): for those
    /// who listen to more than the main process.
    /// </summary>
    public void NameSenders()
    {
        int on = 1;
        _ = Libc.setsockopt(Descriptor.Number, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(int));
    }

    /// <summary>Throws away what was sent to it so far. False: there is more than can be thrown away now.</summary>
    public bool TryEmpty()
    {
        for (int i = 0; i < MostToEmpty && !Lane.IsFull; i++)
        {
            using NotifyMessage message = Receive();
            if (!message.IsThere)
                return true;
        }
        return false;
    }

    /// <summary>Reads one message. Dispose what it gives.</summary>
    public NotifyMessage Receive()
    {
        Received received = UnixSocket.Receive(Descriptor, Buffer, this);
        int length = received.Outcome == ReceiveOutcome.Message ? Math.Min(received.Length, Buffer.Length) : 0;
        return new NotifyMessage(received, Buffer.AsMemory(0, length));
    }

    public void Dispose()
    {
        fixed (byte* path = _path)
            _ = Libc.unlink(path);
        // What nobody reads any more is closed with the socket.
        SlowLane.CloseQueue(Descriptor, this);
    }

    /// <summary>Closes what nobody has vouched for. From any thread.</summary>
    public void Close(int numberTaken) => (_strangers ??= _lanes.StrangersOf(_service)).Close(numberTaken);

    /// <summary>What waited to be closed does not any more: descriptors may come again.</summary>
    public void Ease()
    {
        if (_refusesDescriptors)
            _ = UnixSocket.TryPassRights(Descriptor, isAllowed: true);
        _refusesDescriptors = false;
    }

    /// <summary>
    /// Whoever sends descriptors gets EPERM, so that strangers do not keep the service from being heard. False: this kernel
    /// cannot refuse them (SO_PASSRIGHTS, Linux 6.16).
    /// </summary>
    public bool RefuseDescriptors() => _refusesDescriptors = UnixSocket.TryPassRights(Descriptor, isAllowed: false);
}

/// <summary>One datagram and who sent it; owns the descriptors that came along and were not taken.</summary>
internal readonly struct NotifyMessage(Received received, ReadOnlyMemory<byte> bytes) : IDisposable
{
    public bool IsThere => received.Outcome == ReceiveOutcome.Message;

    public int Pid => received.Pid;
    public uint Uid => received.Uid;

    /// <summary>The sender itself, also when its number means another process by now; null: the kernel does not tell. Borrowed.</summary>
    public FileDescriptor? Pidfd => received.Pidfd;
    public ReceivedDescriptors Descriptors => received.Descriptors;

    /// <summary>Whether it came whole and says who sent it; a sender in a foreign pid namespace has no pid here.</summary>
    public bool IsSound => !received.IsTruncated && received.HasCredentials && received.Pid > 0 && bytes.Length <= Limits.NotificationBytes;

    /// <summary>The sender may speak for the instance: from now on what came along is its service's.</summary>
    public void Vouch(SlowLane lane) => received.Descriptors.CloseBy(lane);

    public Notification? Parse() => Notification.Parse(bytes.Span);

    public void Dispose() => received.Dispose();
}
