using System.Text;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Loop;
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

    private readonly EventLoop _loop;
    private readonly FileDescriptor _socket;
    private readonly Queue<(byte[] Text, FileDescriptor? Descriptor)> _pending = new();
    private bool _isWatched;

    private ManagerLink(EventLoop loop, FileDescriptor socketTaken) => (_loop, _socket) = (loop, socketTaken);

    /// <summary>Called when a message was lost, with the reason. Null: nobody wants to know.</summary>
    public Action<string>? OnLost { get; set; }

    /// <summary>Opens the way to the manager. May wait for a second, so before the loop runs.</summary>
    /// <param name="loop">The supervisor's.</param>
    /// <param name="address">As <c>NOTIFY_SOCKET</c> has it.</param>
    public static OpenResult<ManagerLink> Open(EventLoop loop, string address)
    {
        OpenResult<FileDescriptor> connected = Connect(address);
        return connected.TryGet(out FileDescriptor? socket, out OpenFailure? failure) ? new ManagerLink(loop, socket) : failure;
    }

    /// <summary>Says one thing without a loop: the supervisor does not start. Whoever does not hear it has the exit code.</summary>
    public static void SayOnce(string address, string text)
    {
        if (!Connect(address).TryGet(out FileDescriptor? socket, out _))
            return;
        using (socket)
            _ = UnixSocket.Send(socket, Encoding.UTF8.GetBytes(text));
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
        if (!_isWatched)
            Flush();
    }

    public void Dispose()
    {
        if (_isWatched)
            _loop.Unwatch(_socket);
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
                Watch(true);
                return;
            }
            if (sent.Outcome != SendOutcome.Sent)
                OnLost?.Invoke(sent.Errno.Text);
            _pending.Dequeue();
        }
        Watch(false);
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
