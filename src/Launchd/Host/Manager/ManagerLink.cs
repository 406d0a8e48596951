using System.Text;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Manager;

/// <summary>
/// Sends messages to the service manager that has started the supervisor (sd_notify(3)). They arrive in their order. While the manager does
/// not read, they wait here, and the loop does not. For the loop's thread.
/// </summary>
internal sealed class ManagerLink : IDisposable
{
    /// <summary>Above it nothing more is taken: a manager that has not read so many will not read.</summary>
    private const int MostPending = 1 << 15;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>How long the manager may take to do what it was told before the supervisor goes on all the same.</summary>
    private const int BarrierMilliseconds = 5000;

    /// <summary>Until the next attempt where the kernel refuses for a reason of which epoll does not tell when it has passed.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly EventLoop _loop;
    private readonly Delays _delays;
    private readonly FileDescriptor _socket;
    private readonly Queue<(byte[] Text, FileDescriptor? Descriptor)> _pending = new();
    private bool _isWatched, _pauses;

    private ManagerLink(EventLoop loop, Delays delays, FileDescriptor socketTaken) =>
        (_loop, _delays, _socket) = (loop, delays, socketTaken);

    /// <summary>Called when a message was lost, with the reason. Null: nobody wants to know.</summary>
    public Action<string>? OnLost { get; set; }

    /// <summary>Opens the way to the manager. May wait for a second, so before the loop runs.</summary>
    /// <param name="loop">The supervisor's.</param>
    /// <param name="delays">The loop's pauses.</param>
    /// <param name="address">As <c>NOTIFY_SOCKET</c> has it.</param>
    public static OpenResult<ManagerLink> Open(EventLoop loop, Delays delays, string address)
    {
        OpenResult<FileDescriptor> connected = Connect(address);
        return connected.TryGet(out FileDescriptor? socket, out OpenFailure? failure) ? new ManagerLink(loop, delays, socket) : failure;
    }

    /// <summary>Says one thing without a loop: the supervisor does not start. Whoever does not hear it has the exit code.</summary>
    public static void SayOnce(string address, string text)
    {
        if (!Connect(address).TryGet(out FileDescriptor? socket, out _))
            return;
        using (socket)
            _ = UnixSocket.Send(socket, Encoding.UTF8.GetBytes(text));
    }

    /// <summary>
    /// Has the manager remove descriptors from its store, and waits until it has done so. Without a loop: before anything is opened.
    /// </summary>
    public static unsafe void Forget(string address, IReadOnlyList<string> names)
    {
        if (!Connect(address).TryGet(out FileDescriptor? socket, out _))
            return;
        using FileDescriptor manager = socket;
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC) != 0)
            return;
        using FileDescriptor told = new(ends[0]);
        using (FileDescriptor kept = new(ends[1]))
        {
            foreach (string name in names)
                SendWaiting(manager, $"FDSTOREREMOVE=1\nFDNAME={name}");
            // sd_notify(3): the manager closes the descriptor when it has read all that came before.
            SendWaiting(manager, "BARRIER=1", kept);
        }
        _ = Await(told, Libc.POLLIN);
    }

    /// <summary>Sends assignments, one on each line.</summary>
    /// <param name="text">For people where it is a STATUS=, so without newlines of its own.</param>
    /// <param name="descriptor">Borrowed; one that is closed before the manager reads is not sent, nor its text.</param>
    public void Send(string text, FileDescriptor? descriptor = null)
    {
        if (_pending.Count >= MostPending)
        {
            OnLost?.Invoke($"it has not read {MostPending} messages");
            return;
        }
        _pending.Enqueue((Encoding.UTF8.GetBytes(text), descriptor));
        if (!_isWatched && !_pauses)
            Flush();
    }

    public void Dispose()
    {
        if (_isWatched)
            _loop.Unwatch(_socket);
        _delays.Cancel(this);
        _socket.Dispose();
    }

    private static OpenResult<FileDescriptor> Connect(string address)
    {
        bool isAbstract = address[0] == '@';
        ListenAddress.Unix target = new(UnixSocketKind.Datagram, isAbstract ? address[1..] : address, isAbstract);
        if (!Connecting.Begin(target).TryGet(out Connecting? connecting, out OpenFailure? failure))
            return failure;
        using (connecting)
        {
            if (connecting.Stage != ConnectStage.Connected)
                failure = connecting.ConnectOnThread(Patience);
            return failure is null ? connecting.Take() : failure;
        }
    }

    // A datagram socket is writable when its peer's queue has room, so epoll tells when to go on.
    private void Flush()
    {
        while (_pending.TryPeek(out (byte[] Text, FileDescriptor? Descriptor) next))
        {
            SendResult sent = next.Descriptor switch
            {
                null => UnixSocket.Send(_socket, next.Text),
                { IsClosed: true } => new SendResult(SendOutcome.Sent, 0, Errno.None),
                { } descriptor => UnixSocket.Send(_socket, next.Text, descriptor),
            };
            if (sent.Outcome == SendOutcome.WouldBlock)
            {
                Watch(sent.Errno == Errno.EAGAIN);
                if (!_isWatched)
                    Rest();
                return;
            }
            if (sent.Outcome != SendOutcome.Sent)
                OnLost?.Invoke(sent.Errno.Text);
            _pending.Dequeue();
        }
        Watch(false);
    }

    private static bool Await(FileDescriptor descriptor, short what)
    {
        Libc.poll_entry look = new() { fd = descriptor.Number, events = what };
        return Libc.poll(ref look, 1, BarrierMilliseconds) > 0;
    }

    private void Rest()
    {
        _pauses = true;
        _delays.After(Pause, this, () =>
        {
            _pauses = false;
            Flush();
        });
    }

    private static void SendWaiting(FileDescriptor socket, string text, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        while (UnixSocket.Send(socket, bytes, descriptors).Errno == Errno.EAGAIN)
        {
            if (!Await(socket, Libc.POLLOUT))
                return;
        }
    }

    private void Watch(bool isWanted)
    {
        if (isWanted && !_isWatched)
        {
            _isWatched = _loop.Watch(_socket, IoReadiness.Writable, LoopPriority.Control, _ => Flush()) == Errno.None;
            return;
        }
        if (isWanted || !_isWatched)
            return;
        _loop.Unwatch(_socket);
        _isWatched = false;
    }
}
