using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Config.Loading;
using Launchd.Control;
using Launchd.Linux.Sockets;

namespace Launchd.Cli.Connecting;

#pragma warning disable RS0030 // A client verb owns its only connection; the ban protects descriptors that the daemon shares with services.

/// <summary>
/// One connection to a supervisor's control socket: plain Varlink, one call at a time, synchronous. A refusal, a lost connection and a
/// timeout are <see cref="CliException"/>; an interruption by the operator is <see cref="OperationCanceledException"/>.
/// </summary>
internal sealed class ControlClient : IDisposable
{
    /// <summary>The longest answer: a status of some thousand services is a few hundred kilobytes.</summary>
    public const int MostAnswerBytes = 16 << 20;

    /// <summary>What is read from an answer and shown of it takes so many times its bytes.</summary>
    private const long AllocatedForByte = 8;

    private const int SolSocket = 1;
    private const int SoPeerCredentials = 17;

    /// <summary>Poll counts microseconds in 31 bits; longer waits are several of these.</summary>
    private static readonly TimeSpan _longestPoll = TimeSpan.FromMinutes(30);

    private readonly Socket _socket;
    private readonly CancellationToken _interrupted;
    private readonly CancellationTokenRegistration _interruption;
    private readonly CollectorPause _pause = new();
    private byte[] _buffer = new byte[1 << 14];
    private int _start;
    private int _end;
    private FileDescriptor? _received;

    private ControlClient(Socket socketTaken, string socketPath, CancellationToken interrupted)
    {
        _socket = socketTaken;
        SocketPath = socketPath;
        _interrupted = interrupted;
        _interruption = interrupted.Register(Shutdown);
    }

    /// <summary>Reads answers of newer supervisors too: what this version does not know is left out.</summary>
    public static ControlJson Json { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public string SocketPath { get; }

    /// <summary>Uid of the process that listens; null where the kernel does not say. unix(7), SO_PEERCRED.</summary>
    public uint? PeerUid
    {
        get
        {
            Span<byte> credentials = stackalloc byte[12];
            int size = _socket.GetRawSocketOption(SolSocket, SoPeerCredentials, credentials);
            return size == credentials.Length ? MemoryMarshal.Read<uint>(credentials[4..]) : null;
        }
    }

    /// <summary>Throws <see cref="SocketException"/>, by which the search for supervisors tells absence from refusal.</summary>
    public static ControlClient Connect(string socketPath, CancellationToken interrupted)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.SendTimeout = 5000; // unix(7): connect waits for room in the listen queue for at most the send timeout.
            socket.Connect(new PathEndPoint(socketPath));
            return new ControlClient(socket, socketPath, interrupted);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Calls <paramref name="method"/> of the supervisor's interface and waits for its one answer.</summary>
    public TReply Call<TRequest, TReply>(
        string method, TRequest request, JsonTypeInfo<TRequest> requestType, JsonTypeInfo<TReply> replyType, TimeSpan? timeout)
        where TReply : class
    {
        Send(method, request, requestType, more: false);
        return Receive(replyType, timeout, out _) ?? throw TimedOut(timeout);
    }

    /// <summary>Calls with <c>more</c> and yields each answer as it comes, until the last or an interruption.</summary>
    public IEnumerable<TReply> Stream<TRequest, TReply>(
        string method, TRequest request, JsonTypeInfo<TRequest> requestType, JsonTypeInfo<TReply> replyType, TimeSpan? timeout = null)
        where TReply : class
    {
        Send(method, request, requestType, more: true);
        bool continues;
        do
            yield return Receive(replyType, timeout, out continues) ?? throw TimedOut(timeout);
        while (continues);
    }

    public void Send<TRequest>(string method, TRequest request, JsonTypeInfo<TRequest> requestType, bool more)
    {
        ControlCall call = new($"{ControlNames.Interface}.{method}", JsonSerializer.SerializeToElement(request, requestType), more);
        byte[] message = [.. JsonSerializer.SerializeToUtf8Bytes(call, Json.ControlCall), 0];
        try
        {
            ReadOnlySpan<byte> rest = message;
            while (!rest.IsEmpty)
                rest = rest[_socket.Send(rest)..];
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    /// <summary>The next answer, or null when none came within <paramref name="timeout"/> (null: for ever).</summary>
    public TReply? Receive<TReply>(JsonTypeInfo<TReply> type, TimeSpan? timeout, out bool continues)
        where TReply : class
    {
        continues = true;
        if (NextMessage(timeout) is not { } message)
            return null;
        try
        {
            // Of objects that live until the answer is shown, a collection would free nothing.
            _pause.Expect(message.Length * AllocatedForByte);
            AnswerEnvelope answer = AnswerEnvelope.Read(message.Span);
            if (answer.Error is { } error)
                throw ControlRefusal.Explain(error, answer.Parameters);
            continues = answer.Continues;
            return JsonSerializer.Deserialize(answer.Parameters, type) ?? throw new JsonException();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CliException(ExitCode.Failed, "the supervisor's answer cannot be read: it is of another version than this command");
        }
    }

    /// <summary>The descriptor that came with the last answer; the caller owns it. Null: none came.</summary>
    public FileDescriptor? TakeDescriptor()
    {
        FileDescriptor? taken = _received;
        _received = null;
        return taken;
    }

    public void Dispose()
    {
        _pause.Dispose();
        _received?.Dispose();
        _interruption.Dispose();
        _socket.Dispose();
    }

    private ReadOnlyMemory<byte>? NextMessage(TimeSpan? timeout)
    {
        long started = Stopwatch.GetTimestamp();
        int searched = _start;
        while (true)
        {
            int found = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)0);
            if (found >= 0)
            {
                ReadOnlyMemory<byte> message = _buffer.AsMemory(_start, searched + found - _start);
                _start = searched + found + 1;
                return message;
            }
            searched = _end;
            searched -= MakeRoom();
            TimeSpan left = (timeout ?? TimeSpan.MaxValue) - Stopwatch.GetElapsedTime(started);
            if (Wait(TimeSpan.FromTicks(Math.Clamp(left.Ticks, 0, _longestPoll.Ticks))))
                Fill();
            else if (left < _longestPoll)
                return null;
        }
    }

    private bool Wait(TimeSpan time)
    {
        try
        {
            bool isReadable = _socket.Poll(time, SelectMode.SelectRead);
            _interrupted.ThrowIfCancellationRequested();
            return isReadable;
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    private void Fill()
    {
        try
        {
            int count = ReceiveBytes();
            _interrupted.ThrowIfCancellationRequested();
            if (count == 0)
                throw Lost(null);
            _end += count;
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    /// <summary>Reads what is there; a descriptor beside it is kept for <see cref="TakeDescriptor"/>.</summary>
    private int ReceiveBytes()
    {
        FileDescriptor borrowed = new((int)_socket.Handle);
        try
        {
            using Received received = UnixSocket.Receive(borrowed, _buffer.AsSpan(_end));
            if (received.Outcome is ReceiveOutcome.Failed or ReceiveOutcome.Reset)
                throw new SocketException(received.Errno.Value);
            if (received.Descriptors.Count > 0)
            {
                _received?.Dispose();
                _received = received.Descriptors.Take(0);
            }
            return received.Length;
        }
        finally
        {
            // The Socket object closes this descriptor.
            _ = borrowed.ReleaseNumber();
        }
    }

    /// <summary>Moves the unread bytes to the front and grows the buffer if it is full; returns by how much the bytes moved.</summary>
    private int MakeRoom()
    {
        int moved = _start;
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }
        if (_end == _buffer.Length)
        {
            if (_buffer.Length >= MostAnswerBytes)
            {
                throw new CliException(
                    ExitCode.Failed, $"the supervisor's answer is longer than {MostAnswerBytes >> 20} MiB; ask for one service");
            }
            Array.Resize(ref _buffer, Math.Min(_buffer.Length * 2, MostAnswerBytes));
        }
        return moved;
    }

    private void Shutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // The supervisor has closed the connection already; either way the waiting receive returns.
        }
    }

    private Exception Lost(SocketException? cause)
    {
        if (_interrupted.IsCancellationRequested)
            return new OperationCanceledException(_interrupted);
        bool isOrdinary = cause is null || cause.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown;
        string reason = isOrdinary ? "" : $" ({new Errno(cause!.NativeErrorCode).Text})";
        return new CliException(
            ExitCode.Unreachable, $"the supervisor closed the connection{reason}; see whether it still runs with 'launchd-cs status'");
    }

    private static CliException TimedOut(TimeSpan? timeout) =>
        new(
            ExitCode.TimedOut,
            $"the supervisor did not answer within {timeout?.TotalSeconds:0.#} s; it may be stopped or overloaded: try again");
}
