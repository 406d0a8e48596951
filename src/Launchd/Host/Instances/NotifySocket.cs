using System.Globalization;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Lanes;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// The socket to which one instance sends its notifications: a datagram socket of its own with a path, so that the address says which
/// instance speaks; the kernel's credentials say which process. Owns the descriptor and the path.
/// </summary>
internal sealed unsafe class NotifySocket : IDescriptorCloser, IDisposable
{
    private const int AF_UNIX = 1, SOCK_DGRAM = 2, SOL_SOCKET = 1, SO_PASSCRED = 16, SO_PASSPIDFD = 76, SO_RCVBUF = 8;
    private const int SOCK_CLOEXEC_NONBLOCK = 0x80000 | 0x800;
    private const int ReceiveBytes = 1 << 20;
    private const int MostToEmpty = 256;

    // Shared by all sockets: a message is handled before the next is read, on one thread. The buffer is one byte longer
    // than a message may be, so that a longer one shows.
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
    /// Closes the descriptors that the service itself sends with its messages. Until the sender of a message is known,
    /// the socket closes them, in the lane of strangers.
    /// </summary>
    public SlowLane Lane { get; }

    /// <summary>Whether nothing more may be read, because too many descriptors that came wait to be closed.</summary>
    public bool IsHeldUp => Lane.IsFull || IsHeldUpByStrangers;

    /// <summary>Whether that is because of descriptors from others than the service. Ends when the socket refuses descriptors.</summary>
    public bool IsHeldUpByStrangers => !_refusesDescriptors && _strangers is { IsFull: true };

    /// <summary>Whether the supervisor waits, for a while, until the descriptors of strangers are closed.</summary>
    public bool IsPatient { get; set; }

    /// <summary>The instance whose socket it is now; null while it rests.</summary>
    public RunningInstance? Owner { get; set; }

    /// <summary>The path that <c>NOTIFY_SOCKET</c> names.</summary>
    public string Path { get; }

    /// <summary>The one user beside root who can send to the socket; null: everybody can.</summary>
    public uint? Writer { get; }

    /// <summary>Opens a socket for an instance. Null: refused, for the reason given.</summary>
    public static NotifySocket? Open(string directory, InstanceId instance, SlowLanes lanes, uint? writer, out Errno refused) =>
        Open($"{directory}/{instance.Number.ToString(CultureInfo.InvariantCulture)}", instance.Service, lanes, writer, out refused);

    /// <summary>The same at the path that a running program knows.</summary>
    public static NotifySocket? Open(string path, ServiceName service, SlowLanes lanes, uint? writer, out Errno refused)
    {
        byte[] address = new byte[110];
        address[0] = AF_UNIX;
        int length = KernelText.Encode(path, address.AsSpan(2));
        refused = Errno.None;
        int number = Libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC_NONBLOCK, 0);
        if (number < 0)
        {
            refused = Errno.Last;
            return null;
        }
        FileDescriptor socket = new(number);
        int on = 1, bytes = ReceiveBytes;
        // Where one user is enough the path belongs to that user alone. Elsewhere anybody may send, because a program of root has workers
        // under users that nobody knows beforehand; the sender is checked at each message. The mode of the path is that of the socket
        // before bind (unix(7)); the supervisor's umask is 0.
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
        NotifySocket opened = new(socket, path, address[2..(3 + length)], lanes, service, writer);
        fixed (byte* bound = opened._path)
        {
            if (writer is not { } owner || Libc.lchown(bound, owner, uint.MaxValue) == 0)
                return opened;
        }
        refused = Errno.Last;
        opened.Dispose();
        return null;
    }

    /// <summary>A socket that is bound already.</summary>
    public static NotifySocket Resume(FileDescriptor descriptorTaken, string path, ServiceName service, SlowLanes lanes, uint? writer) =>
        new(descriptorTaken, path, CString.From(path), lanes, service, writer);

    /// <summary>
    /// Makes each message bring a pidfd of its sender from now on, where the kernel has that (6.5): needed
    /// where more than the main process may speak.
    /// </summary>
    public void NameSenders()
    {
        int on = 1;
        _ = Libc.setsockopt(Descriptor.Number, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(int));
    }

    /// <summary>Throws away the messages that were sent so far. False: there are more than can be thrown away now.</summary>
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

    /// <summary>Reads one message, which the caller disposes.</summary>
    /// <param name="isLeft">It stays the next one to be read.</param>
    public NotifyMessage Receive(bool isLeft = false)
    {
        Received received = UnixSocket.Receive(Descriptor, Buffer, this, isLeft);
        int length = received.Outcome == ReceiveOutcome.Message ? Math.Min(received.Length, Buffer.Length) : 0;
        return new NotifyMessage(received, Buffer.AsMemory(0, length));
    }

    public void Dispose()
    {
        fixed (byte* path = _path)
            _ = Libc.unlink(path);
        // Descriptors in unread messages are closed together with the socket.
        SlowLane.CloseQueue(Descriptor, this);
    }

    /// <summary>Closes a descriptor for whose sender nobody has vouched. May be called from any thread.</summary>
    public void Close(int numberTaken) => (_strangers ??= _lanes.StrangersOf(_service)).Close(numberTaken);

    /// <summary>The descriptors that waited were closed: descriptors may come again.</summary>
    public void Ease()
    {
        if (_refusesDescriptors)
            _ = UnixSocket.TryPassRights(Descriptor, isAllowed: true);
        _refusesDescriptors = false;
    }

    /// <summary>
    /// Makes the kernel refuse messages with descriptors (EPERM), so that strangers do not keep the service from being heard.
    /// False: this kernel cannot (SO_PASSRIGHTS, Linux 6.16).
    /// </summary>
    public bool RefuseDescriptors() => _refusesDescriptors = UnixSocket.TryPassRights(Descriptor, isAllowed: false);
}

/// <summary>One datagram and who sent it; owns the descriptors that came with it and were not taken.</summary>
internal readonly struct NotifyMessage(Received received, ReadOnlyMemory<byte> bytes) : IDisposable
{
    public bool IsThere => received.Outcome == ReceiveOutcome.Message;

    public int Pid => received.Pid;
    public uint Uid => received.Uid;

    /// <summary>
    /// A pidfd of the sender, which means the sender even when its number means another process by now;
    /// null: the kernel does not tell. Borrowed.
    /// </summary>
    public FileDescriptor? Pidfd => received.Pidfd;
    public ReceivedDescriptors Descriptors => received.Descriptors;

    /// <summary>Whether the message came whole and says who sent it; a sender in a foreign pid namespace has no pid here.</summary>
    public bool IsSound => !received.IsTruncated && received.HasCredentials && received.Pid > 0 && bytes.Length <= Limits.NotificationBytes;

    /// <summary>The sender may speak for the instance: its descriptors are closed in the lane of the service from now on.</summary>
    public void Vouch(SlowLane lane) => received.Descriptors.CloseBy(lane);

    public Notification? Parse() => Notification.Parse(bytes.Span);

    public void Dispose() => received.Dispose();
}
