using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Asks one target whether it answers, without ever waiting: connects, for HTTP sends a request and reads the first line. One attempt
/// at a time; the owner repeats it. Everything happens on the loop.
/// </summary>
internal sealed unsafe class ReadinessProbe(EventLoop loop, ProbeTarget target, Action<bool> onAnswer) : IDisposable
{
    private const int SOCK_STREAM = 1, SOCK_CLOEXEC_NONBLOCK = 0x80000 | 0x800, SOL_SOCKET = 1, SO_ERROR = 4;
    private const int AF_UNIX = 1;

    private FileDescriptor? _socket;
    private readonly byte[] _answer = new byte[64];
    private int _answered;

    public bool IsUnderway => _socket is not null;

    /// <summary>Begins an attempt, ending one that hangs.</summary>
    public void Begin()
    {
        End();
        SocketAddress? address = target switch
        {
            ProbeTarget.Http http => SocketAddress.Internet(http.EndPoint.Address, http.EndPoint.Port),
            ProbeTarget.Tcp tcp => SocketAddress.Internet(tcp.EndPoint.Address, tcp.EndPoint.Port),
            ProbeTarget.Unix unix => SocketAddress.UnixPath(unix.SocketPath),
            _ => null,
        };
        int family = address?.Family ?? AF_UNIX;
        int number = address is null ? -1 : HostLibc.socket(family, SOCK_STREAM | SOCK_CLOEXEC_NONBLOCK, 0);
        if (number < 0)
        {
            onAnswer(false);
            return;
        }
        _socket = new FileDescriptor(number);
        Errno refused = address!.Connect(_socket);
        if (refused != Errno.None && refused != Errno.EINPROGRESS)
        {
            Answer(false);
            return;
        }
        if (loop.Watch(_socket, IoReadiness.Writable, SupervisorHost.ListenerPriority, _ => Connected()) != Errno.None)
            Answer(false);
    }

    public void End()
    {
        if (_socket is null)
            return;
        loop.Unwatch(_socket);
        _socket.Dispose();
        _socket = null;
        _answered = 0;
    }

    public void Dispose() => End();

    private void Connected()
    {
        int error = 0;
        uint length = sizeof(int);
        if (HostLibc.getsockopt(_socket!.Number, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0)
        {
            Answer(false);
            return;
        }
        if (target is not ProbeTarget.Http http)
        {
            Answer(true);
            return;
        }
        byte[] request = Encoding.ASCII.GetBytes(
            $"GET {http.PathAndQuery} HTTP/1.1\r\nHost: {http.Host}\r\nUser-Agent: launchd-cs\r\nConnection: close\r\n\r\n");
        SendResult sent = UnixSocket.Send(_socket, request);
        if (sent.Outcome != SendOutcome.Sent || sent.Length != request.Length)
        {
            Answer(false);
            return;
        }
        loop.Unwatch(_socket);
        if (loop.Watch(_socket, IoReadiness.Readable, SupervisorHost.ListenerPriority, _ => Read()) != Errno.None)
            Answer(false);
    }

    // "HTTP/1.1 200 " is all that counts; 12 bytes hold it.
    private void Read()
    {
        nint got;
        fixed (byte* buffer = _answer)
            got = Libc.read(_socket!.Number, buffer + _answered, (nuint)(_answer.Length - _answered));
        if (got <= 0)
        {
            if (got < 0 && Errno.Last == Errno.EAGAIN)
                return;
            Answer(false);
            return;
        }
        _answered += (int)got;
        if (_answered < 12)
            return;
        ReadOnlySpan<byte> line = _answer.AsSpan(0, 12);
        Answer(line.StartsWith("HTTP/1."u8) && line[8] == ' ' && line[9] is (byte)'2' or (byte)'3');
    }

    private void Answer(bool isReady)
    {
        End();
        onAnswer(isReady);
    }
}
