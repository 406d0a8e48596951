using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Launchd.Client;
using Launchd.Control;
using Launchd.Core;
using Launchd.Host.Channel;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Operators;

/// <summary>
/// One operator's connection: NUL-terminated JSON comes in and goes out, calls are answered in order. Bounded both ways: a peer that sends
/// nonsense or too much, or does not read, is cut off, and no other peer notices.
/// </summary>
internal sealed class ControlConnection : IControlPlace
{
    private const int MostInputBytes = 1 << 20;
    private const int MostOutputBytes = 8 << 20;
    private const int MostWaitingBytes = 64 << 10;
    private static readonly JsonReaderOptions Strict = new() { MaxDepth = 32 };

    private readonly ControlMethods _methods;
    private readonly FileDescriptor _socket;
    private readonly SlowLane _lane;
    private readonly EventLoop _loop;
    private readonly LoopOrders _orders;
    private readonly Mailbox _mailbox;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private readonly Action<ControlConnection> _onClose;
    private byte[] _input = new byte[4096];
    private int _inputCount;
    private readonly OutputBuffer _output = new();
    private FileDescriptor? _attached;
    private int _attachedAt;
    private bool _isBusy;
    private bool _isClosed;
    private bool _isWriting;
    private bool _isFlushDue;

    // The call that is under way wants no answer.
    private bool _isOneway;

    /// <param name="methods">What can be asked for.</param>
    /// <param name="peer">Who is at the other end.</param>
    /// <param name="socketTaken">The connection.</param>
    /// <param name="lane">Closes descriptors that the peer sends, which may linger.</param>
    /// <param name="loop">Watches it.</param>
    /// <param name="orders">By which the connection sends at the end of the turn.</param>
    /// <param name="mailbox">Of the loop.</param>
    /// <param name="counters">Of the supervisor.</param>
    /// <param name="logger">Of the supervisor.</param>
    /// <param name="onClose">Called once, when it is closed.</param>
    public ControlConnection(
        ControlMethods methods, ControlPeer peer, FileDescriptor socketTaken, SlowLane lane, EventLoop loop, LoopOrders orders,
        Mailbox mailbox, Counters counters, ILogger logger, Action<ControlConnection> onClose)
    {
        Peer = peer;
        _methods = methods;
        _socket = socketTaken;
        _lane = lane;
        _loop = loop;
        _orders = orders;
        _mailbox = mailbox;
        _counters = counters;
        _logger = logger;
        _onClose = onClose;
        if (loop.Watch(socketTaken, IoReadiness.Readable, LoopPriority.Control, OnReady) != Errno.None)
            Close();
    }

    /// <summary>Called once when the connection is closed, so that what the peer waits for can be forgotten.</summary>
    public event Action? Closed;

    public bool IsClosed => _isClosed;

    public ControlPeer Peer { get; }

    /// <summary>The call that is under way goes on until the peer leaves.</summary>
    public bool IsFollowing { get; set; }

    public PlaceRank Rank => _output.Count > 0 ? PlaceRank.Unread
        : _isBusy ? (IsFollowing ? PlaceRank.Follows : PlaceRank.Waits)
        : _inputCount > 0 ? PlaceRank.Half : PlaceRank.Idle;

    /// <summary>Bytes that the peer has not read yet.</summary>
    public int PendingBytes => _output.Count;

    /// <summary>
    /// The connection, if another process can answer the call that is under way: nothing else was begun on it. Null: it cannot. Borrowed.
    /// </summary>
    public FileDescriptor? Transferable => _isClosed || _isOneway || _output.Count > 0 || _inputCount > 0 ? null : _socket;

    /// <summary>A call is under way that another process has read.</summary>
    public void Expect() => _isBusy = true;

    /// <summary>Called once, when the kernel has taken everything that was written so far.</summary>
    public Action? OnDrained { get; set; }

    /// <summary>Sends the last answer of a call; the next call is looked at afterwards.</summary>
    public void Answer<T>(T parameters, JsonTypeInfo<T> type)
    {
        Write(json => JsonSerializer.Serialize(json, parameters, type), error: null, continues: false);
        Finish();
    }

    /// <summary>
    /// Sends the last answer of a call, with a descriptor beside its first byte. The descriptor is closed once it was sent.
    /// </summary>
    public void AnswerWith<T>(T parameters, JsonTypeInfo<T> type, FileDescriptor descriptorTaken)
    {
        if (_isClosed)
        {
            descriptorTaken.Dispose();
            return;
        }
        // Only one descriptor can be under way, because the next call is taken when this one was answered.
        _attached?.Dispose();
        _attached = descriptorTaken;
        _attachedAt = _output.Count;
        Answer(parameters, type);
    }

    /// <summary>Sends an answer that others follow.</summary>
    /// <param name="parameters">What is answered.</param>
    /// <param name="type">How it is written.</param>
    /// <param name="mayWait">
    /// Whether it is sent at the end of the turn, together with the other answers to this peer: one system call
    /// instead of hundreds, and the peer wakes once.
    /// </param>
    public void Continue<T>(T parameters, JsonTypeInfo<T> type, bool mayWait = false) =>
        Write(json => JsonSerializer.Serialize(json, parameters, type), error: null, continues: true, mayWait);

    /// <summary>Sends an answer whose parameters the caller writes.</summary>
    public void Send(Action<Utf8JsonWriter> parameters, bool continues, bool mayWait = false)
    {
        Write(parameters, error: null, continues, mayWait);
        if (!continues)
            Finish();
    }

    public void Refuse(string error, ErrorDetail detail)
    {
        Write(json => JsonSerializer.Serialize(json, detail, ControlJson.Default.ErrorDetail), error, continues: false);
        Finish();
    }

    public void Close()
    {
        if (_isClosed)
            return;
        _isClosed = true;
        _loop.Unwatch(_socket);
        _lane.CloseQueue(_socket);
        _attached?.Dispose();
        Closed?.Invoke();
        _onClose(this);
    }

    private void OnReady(IoReadiness readiness)
    {
        if (readiness.HasFlag(IoReadiness.Writable))
            Flush();
        if (!_isClosed && readiness.HasFlag(IoReadiness.Readable))
            Read();
        else if (!_isClosed && readiness.HasFlag(IoReadiness.HungUp))
            Close();
    }

    private void Read()
    {
        if (_inputCount == _input.Length)
        {
            if (_input.Length >= MostInputBytes)
            {
                _counters.Count("control-messages-too-long");
                Close();
                return;
            }
            Array.Resize(ref _input, _input.Length * 2);
        }
        // No call takes descriptors. They are received all the same, because the kernel closes unreceived ones within
        // this very system call, and that may linger.
        using Received received = UnixSocket.Receive(_socket, _input.AsSpan(_inputCount), _lane);
        if (received.Outcome == ReceiveOutcome.WouldBlock)
            return;
        if (received.Outcome != ReceiveOutcome.Message)
        {
            Close();
            return;
        }
        if (received.Descriptors.Count > 0 && _lane.IsFull)
        {
            _counters.Count("control-descriptors-not-closed");
            Close();
            return;
        }
        _inputCount += received.Length;
        TakeCalls();
    }

    private void TakeCalls()
    {
        for (int i = 0; i < Limits.MessagesPerTurn && !_isBusy && !_isClosed; i++)
        {
            int end = _input.AsSpan(0, _inputCount).IndexOf((byte)0);
            if (end < 0)
                return;
            RequestFault? fault = Parse(_input.AsSpan(0, end), out ControlCall call);
            _input.AsSpan(end + 1, _inputCount - end - 1).CopyTo(_input);
            _inputCount -= end + 1;
            if (fault is { Parameter: not "parameters" })
            {
                _counters.Count("control-messages-unreadable");
                Close();
                return;
            }
            _isBusy = true;
            _isOneway = call.Oneway;
            if (fault is { } wrong)
                Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = wrong.Parameter, Text = wrong.Text });
            else
                Handle(call);
        }
        // If the input holds more calls than a turn takes, the others are taken in the next turn.
        if (!_isBusy && !_isClosed && _input.AsSpan(0, _inputCount).Contains((byte)0))
            _mailbox.Post(TakeCalls);
    }

    /// <summary>Runs an answer that had to be found out first: an exception ends this connection, as it does within a call.</summary>
    public void AnswerLater(string method, Action answer) => Contain(method, answer);

    private void Handle(ControlCall call) => Contain(call.Method, () => _methods.Call(this, call));

    private void Contain(string method, Action answer)
    {
        try
        {
            answer();
        }
        catch (JsonException wrong)
        {
            Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = wrong.Path ?? "parameters",
                Text = "a parameter is unknown, of the wrong kind, or there twice" });
        }
        catch (Exception defect)
        {
            // A bug of ours that only this call meets: it may have written half an answer, so the connection ends.
            _counters.Count("control-calls-failed");
            SupervisorLog.EffectFailed(_logger, method, defect);
            Close();
        }
    }

    internal static RequestFault? Parse(ReadOnlySpan<byte> text, out ControlCall call)
    {
        call = new ControlCall("");
        RequestFault? fault = CallEnvelope.Read(text, Strict, out CallEnvelope envelope);
        try
        {
            // A method name with JSON escapes is taken as it is spelled and so matches no method, here as on the channel.
            string method = !envelope.HasMethod ? ""
                : envelope.Method.ValueIsEscaped ? Encoding.UTF8.GetString(envelope.Method.ValueSpan) : envelope.Method.GetString() ?? "";
            call = new ControlCall(method, null, envelope.IsMore, envelope.IsOneway);
            if (fault is null && envelope.HasParameters)
                call = call with { Parameters = JsonElement.ParseValue(ref envelope.Parameters) };
            return fault;
        }
        catch (Exception malformed) when (CallEnvelope.IsMalformed(malformed))
        {
            return CallEnvelope.NoObject;
        }
    }

    private void Finish()
    {
        _isBusy = IsFollowing = false;
        if (!_isClosed && _inputCount > 0)
            _mailbox.Post(TakeCalls);
    }

    private void Write(Action<Utf8JsonWriter> parameters, string? error, bool continues, bool mayWait = false)
    {
        if (_isClosed || _isOneway)
            return;
        int before = _output.Count;
        try
        {
            using Utf8JsonWriter json = new(_output);
            json.WriteStartObject();
            if (error is not null)
                json.WriteString("error", error);
            json.WritePropertyName("parameters");
            parameters(json);
            if (continues)
                json.WriteBoolean("continues", true);
            json.WriteEndObject();
        }
        catch
        {
            // Half an answer would spoil the next one.
            _output.Truncate(before);
            throw;
        }
        _output.GetSpan(1)[0] = 0;
        _output.Advance(1);
        if (_output.Count > MostOutputBytes)
        {
            _counters.Count("control-readers-too-slow");
            Close();
            return;
        }
        if (!mayWait || _output.Count > MostWaitingBytes)
        {
            Flush();
            return;
        }
        if (!_isFlushDue)
            _orders.AtEndOfTurn(FlushDue);
        _isFlushDue = true;
    }

    private void FlushDue()
    {
        _isFlushDue = false;
        if (!_isClosed)
            Flush();
    }

    /// <summary>
    /// Sends the bytes before the message that has a descriptor, or that message with it: on a stream a descriptor
    /// stands beside the first byte that was sent with it.
    /// </summary>
    private SendResult SendNext() => _attached is not { } attached ? UnixSocket.Send(_socket, _output.Waiting)
        : _attachedAt > 0 ? UnixSocket.Send(_socket, _output.Waiting[.._attachedAt])
        : UnixSocket.Send(_socket, _output.Waiting, attached);

    private void Flush()
    {
        while (_output.Count > 0)
        {
            SendResult sent = SendNext();
            if (sent.Outcome == SendOutcome.WouldBlock)
                break;
            if (sent.Outcome != SendOutcome.Sent)
            {
                Close();
                return;
            }
            if (_attached is not null && _attachedAt == 0)
            {
                _attached.Dispose();
                _attached = null;
            }
            _output.Remove(sent.Length);
            _attachedAt -= sent.Length;
        }
        bool mustWait = _output.Count > 0;
        if (mustWait != _isWriting)
        {
            _isWriting = mustWait;
            _loop.Change(_socket, mustWait ? IoReadiness.Readable | IoReadiness.Writable : IoReadiness.Readable);
        }
        if (mustWait || OnDrained is not { } drained)
            return;
        OnDrained = null;
        drained();
    }
}
