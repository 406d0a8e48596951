using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// How one attempt of a probe ended. <paramref name="Text"/> says what was asked and what was answered:
/// "GET http://127.0.0.1:8080/ answered 503".
/// </summary>
internal readonly record struct ProbeAnswer(bool IsGood, string Text);

/// <summary>A command that runs for a probe.</summary>
internal interface IProbeCommand
{
    /// <summary>Kills the command and all that it started; its end is reported as usual.</summary>
    public void Kill();
}

/// <summary>
/// Starts a command whose exit code is a probe's answer. Later one of the two actions is called on the loop: when the command was reaped,
/// or when it could not be started. Null: refused at once, for the reason given.
/// </summary>
internal delegate IProbeCommand? StartProbeCommand(
    ImmutableArray<string> arguments, Action<ExitStatus> ended, Action<string> failed, out string? refused);

/// <summary>
/// Asks one target whether it answers, without ever keeping the loop waiting: connects; for HTTP also sends a request and reads the
/// first line; for a command waits for its end. One attempt at a time, each within a limit; the owner of the probe repeats it.
/// Everything happens on the loop, except that the path of a Unix socket is connected to on another thread
/// (<see cref="PathConnects"/>). Readiness and health checks both use this code.
/// </summary>
internal sealed unsafe class Probe(
    EventLoop loop, Delays delays, PathConnects connects, ProbeTarget target,
    TimeSpan limit, StartProbeCommand start, Action<ProbeAnswer> onAnswer) : IDisposable
{
    private const int SOCK_STREAM = 1, SOCK_CLOEXEC_NONBLOCK = 0x80000 | 0x800, SOL_SOCKET = 1, SO_ERROR = 4;

    // "HTTP/1.1 200 " is all that counts; 12 bytes hold it.
    private const int StatusLineBytes = 12;

    private readonly byte[] _answer = new byte[64];
    private FileDescriptor? _socket;
    private IProbeCommand? _command;
    private int _answered;
    private bool _isAwaited;
    private bool _isSecond;
    private int _attempts;

    /// <summary>Whether an attempt has not ended: a command may outlive the time in which its answer counts.</summary>
    public bool IsBusy => _isAwaited || _command is not null;

    /// <summary>What the last attempt that ended was answered; null: none has.</summary>
    public string? LastText { get; private set; }

    /// <summary>Begins an attempt; none may be under way.</summary>
    public void Begin()
    {
        _isAwaited = true;
        _isSecond = false;
        _attempts++;
        delays.Limit(limit, this, () => Answer(false, $"did not answer within {Spans.Show(limit)}"));
        if (target is ProbeTarget.Command command)
            Run(command.Arguments);
        else
            Connect();
    }

    /// <summary>Ends the attempt: nobody waits for its answer any more.</summary>
    public void End()
    {
        _isAwaited = false;
        delays.Cancel(this);
        _command?.Kill();
        Close();
    }

    public void Dispose() => End();

    private void Run(ImmutableArray<string> arguments)
    {
        IProbeCommand? started = start(arguments, Ended, Refuse, out string? refused);
        if (started is null)
            Refuse(refused!);
        else
            _command = started;
    }

    private void Refuse(string why)
    {
        _command = null;
        Answer(false, $"could not be started: {why}");
    }

    private void Ended(ExitStatus status)
    {
        _command = null;
        Answer(status is { Code: 0, Signal: 0 }, status.ToString());
    }

    private void Connect()
    {
        SocketAddress? address = target switch
        {
            ProbeTarget.Http http => Internet(http.EndPoint),
            ProbeTarget.Tcp tcp => Internet(tcp.EndPoint),
            ProbeTarget.Unix unix => SocketAddress.UnixPath(unix.SocketPath),
            _ => null,
        };
        if (address is null)
        {
            Answer(false, Errno.ENAMETOOLONG.Text);
            return;
        }
        if (target is ProbeTarget.Unix { SocketPath: var path })
            ConnectByPath(path, address);
        else
            Begun(Begin(address));
    }

    private SocketAddress Internet(System.Net.IPEndPoint endPoint) =>
        SocketAddress.Internet(_isSecond ? System.Net.IPAddress.IPv6Loopback : endPoint.Address, endPoint.Port);

    /// <summary>The connection failed: "localhost" has another address to be tried.</summary>
    private void Fail(Errno refused)
    {
        bool isLocalhost = target is ProbeTarget.Http { IsLocalhost: true } or ProbeTarget.Tcp { IsLocalhost: true };
        if (!isLocalhost || _isSecond)
        {
            Answer(false, isLocalhost ? $"{refused.Text} (neither 127.0.0.1 nor ::1)" : refused.Text);
            return;
        }
        Close();
        _isSecond = true;
        Connect();
    }

    private void ConnectByPath(string path, SocketAddress address)
    {
        int attempt = _attempts;
        if (connects.IsHung(path))
            Answer(false, PathConnects.Silence);
        else if (!connects.TryRun(path, () => Begin(address), _ => (null, Errno.ENOMEM), Looked))
            Answer(false, Worker.Refusal);

        void Looked((FileDescriptor? Socket, Errno Refused) begun)
        {
            if (_isAwaited && attempt == _attempts)
                Begun(begun);
            else
                begun.Socket?.Dispose();
        }
    }

    private static (FileDescriptor? Socket, Errno Refused) Begin(SocketAddress address)
    {
        int number = Libc.socket(address.Family, SOCK_STREAM | SOCK_CLOEXEC_NONBLOCK, 0);
        if (number < 0)
            return (null, Errno.Last);
        FileDescriptor socket = new(number);
        Errno refused = address.Connect(socket);
        if (refused == Errno.None || refused == Errno.EINPROGRESS)
            return (socket, Errno.None);
        socket.Dispose();
        return (null, refused);
    }

    private void Begun((FileDescriptor? Socket, Errno Refused) begun)
    {
        Errno refused = begun.Refused;
        _socket = begun.Socket;
        if (_socket is not null)
            refused = loop.Watch(_socket, IoReadiness.Writable, LoopPriority.Listener, _ => Connected());
        if (refused != Errno.None)
            Fail(refused);
    }

    private void Connected()
    {
        int error = 0;
        uint length = sizeof(int);
        if (Libc.getsockopt(_socket!.Number, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0)
        {
            Fail(new Errno(error));
            return;
        }
        if (target is not ProbeTarget.Http http)
        {
            Answer(true, "connected");
            return;
        }
        byte[] request = Encoding.ASCII.GetBytes(
            $"GET {http.PathAndQuery} HTTP/1.1\r\nHost: {http.Host}\r\nUser-Agent: launchd-cs\r\nConnection: close\r\n\r\n");
        SendResult sent = UnixSocket.Send(_socket, request);
        loop.Unwatch(_socket);
        Errno refused = sent.Outcome == SendOutcome.Sent && sent.Length == request.Length
            ? loop.Watch(_socket, IoReadiness.Readable, LoopPriority.Listener, _ => Read()) : sent.Errno;
        if (refused != Errno.None)
            Answer(false, refused.Text);
        else if (sent.Length != request.Length)
            Answer(false, "took only a part of the request");
    }

    private void Read()
    {
        nint got;
        fixed (byte* buffer = _answer)
            got = Libc.read(_socket!.Number, buffer + _answered, (nuint)(_answer.Length - _answered));
        if (got <= 0)
        {
            Errno refused = got < 0 ? Errno.Last : Errno.None;
            if (refused != Errno.EAGAIN)
                Answer(false, got == 0 ? "closed the connection without an answer" : refused.Text);
            return;
        }
        _answered += (int)got;
        if (_answered < StatusLineBytes)
            return;
        ReadOnlySpan<byte> line = _answer.AsSpan(0, StatusLineBytes);
        if (!line.StartsWith("HTTP/1."u8) || line[8] != ' '
            || !int.TryParse(line[9..12], NumberStyles.None, CultureInfo.InvariantCulture, out int status))
        {
            Answer(false, "did not answer in HTTP");
        }
        else
        {
            Answer(status is >= 200 and < 400, $"answered {status}");
        }
    }

    private void Answer(bool isGood, string text)
    {
        bool isAwaited = _isAwaited;
        End();
        if (!isAwaited)
            return;
        LastText = $"{Subject()} {text}";
        onAnswer(new ProbeAnswer(isGood, LastText));
    }

    private string Subject() => target switch
    {
        ProbeTarget.Http http => $"GET http://{http.Host}{http.PathAndQuery}:",
        ProbeTarget.Tcp { IsLocalhost: true } tcp => $"tcp://localhost:{tcp.EndPoint.Port}:",
        ProbeTarget.Tcp tcp => $"tcp://{tcp.EndPoint}:",
        ProbeTarget.Unix unix => $"unix:{unix.SocketPath}:",
        ProbeTarget.Command command => $"'{Path.GetFileName(command.Arguments[0])}'",
        _ => "the target",
    };

    private void Close()
    {
        if (_socket is null)
            return;
        loop.Unwatch(_socket);
        _socket.Dispose();
        _socket = null;
        _answered = 0;
    }
}
