using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Channel;

/// <summary>
/// The supervisor's end of one instance's channel: requests come in, answers go out in the order of the requests, events between them.
/// Bounded: a program that does not read is cut off when its queue is full, and a long list is sent as the program reads it. Until a
/// program sends something, its channel costs one descriptor and this object. Owns the descriptor.
/// </summary>
internal sealed class InstanceChannel
{
    private readonly ChannelServer _server;
    private readonly FileDescriptor _socket;
    private readonly SlowLane _lane;
    private readonly EventLoop _loop;
    private readonly Delays _delays;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private Queue<Outgoing>? _answers;
    private Queue<Outgoing>? _events;
    private IoReadiness _interest = IoReadiness.Readable;
    private bool _isOneway;
    private bool _waitsForLane;

    /// <param name="server">What all channels share.</param>
    /// <param name="instance">Whose channel it is.</param>
    /// <param name="socketTaken">The supervisor's end.</param>
    /// <param name="lane">The lane of its service.</param>
    /// <param name="loop">Watches it.</param>
    /// <param name="delays">Of the loop.</param>
    /// <param name="counters">Of the supervisor.</param>
    /// <param name="logger">Of the supervisor.</param>
    public InstanceChannel(
        ChannelServer server, RunningInstance instance, FileDescriptor socketTaken, SlowLane lane, EventLoop loop, Delays delays,
        Counters counters, ILogger logger)
    {
        _server = server;
        Instance = instance;
        _socket = socketTaken;
        _lane = lane;
        _loop = loop;
        _delays = delays;
        _counters = counters;
        _logger = logger;
        if (loop.Watch(socketTaken, IoReadiness.Readable, LoopPriority.Notify, OnReady) != Errno.None)
            Close();
    }

    public RunningInstance Instance { get; }
    public bool IsClosed { get; private set; }

    /// <summary>The instance has called <c>Watch</c>.</summary>
    public bool IsWatching { get; set; }

    /// <summary>The last packet could not be sent as it was, and an error was sent in its place.</summary>
    public bool WasRefused { get; private set; }

    /// <summary>The instance that gets what <c>HandOver</c> sends; null: none.</summary>
    public InstanceId? Successor { get; set; }

    /// <summary>The instance watches, no event waits for it, and one that had to wait would not get it cut off.</summary>
    public bool HasRoomForEvents =>
        IsWatching && !IsClosed && _events is not { Count: > 0 } && (_answers?.Count ?? 0) < Limits.UnreadPacketCount / 2;

    /// <summary>
    /// Whether no more requests are read: a list must be sent completely first, or too many descriptors that
    /// the service sent still wait to be closed.
    /// </summary>
    private bool IsHeldUp => (_answers is { Count: > 0 } && _answers.Peek() is OutgoingList) || _lane.IsFull;

    /// <summary>Answers the request that is being handled, behind those that are not answered yet. Descriptors are borrowed.</summary>
    public void Answer(ReadOnlySpan<byte> packet, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        if (_isOneway || IsClosed)
            return;
        if (_answers is { Count: > 0 } || !TrySend(packet, descriptors))
            Enqueue(_answers ??= new Queue<Outgoing>(), new OutgoingPacket(packet.ToArray(), descriptors.ToArray(), isOwned: false));
    }

    /// <summary>Answers with a descriptor that is closed once it was sent.</summary>
    public void AnswerOwned(ReadOnlySpan<byte> packet, FileDescriptor descriptorTaken)
    {
        if (_isOneway || IsClosed || ((_answers is null or { Count: 0 }) && TrySend(packet, [descriptorTaken])))
            descriptorTaken.Dispose();
        else
            Enqueue(_answers ??= new Queue<Outgoing>(), new OutgoingPacket(packet.ToArray(), [descriptorTaken], isOwned: true));
    }

    /// <summary>Answers with a list that may need several packets.</summary>
    public void AnswerList(OutgoingList list)
    {
        if (_isOneway || IsClosed || ((_answers is null or { Count: 0 }) && list.TrySend(this)))
            return;
        Enqueue(_answers ??= new Queue<Outgoing>(), list);
    }

    /// <summary>Keeps the place of an answer that comes later; the answers behind it wait. Null: no answer is wanted.</summary>
    public OutgoingLater? AnswerLater()
    {
        if (_isOneway || IsClosed)
            return null;
        OutgoingLater later = new(this);
        Enqueue(_answers ??= new Queue<Outgoing>(), later);
        return later;
    }

    /// <summary>Sends an event, if the instance watches, and takes over its descriptors. False: the instance does not watch.</summary>
    public bool Tell(ReadOnlySpan<byte> packet, FileDescriptor[]? descriptorsTaken = null)
    {
        if (!IsWatching || IsClosed)
            return false;
        FileDescriptor[] descriptors = descriptorsTaken ?? [];
        if (_events is not { Count: > 0 } && TrySend(packet, descriptors))
        {
            foreach (FileDescriptor descriptor in descriptors)
                descriptor.Dispose();
            return true;
        }
        Enqueue(_events ??= new Queue<Outgoing>(), new OutgoingPacket(packet.ToArray(), descriptors, isOwned: true));
        return true;
    }

    /// <summary>Sends what can be sent. Called when the program has read, and when an answer has come behind which others wait.</summary>
    public void Flush()
    {
        while (!IsClosed && _events is { Count: > 0 } && _events.Peek().TrySend(this))
            _events.Dequeue().Discard();
        while (!IsClosed && _answers is { Count: > 0 } && _answers.Peek().TrySend(this))
            _answers.Dequeue().Discard();
        if (HasRoomForEvents)
            _server.HandOvers.Deliver(this);
        UpdateInterest();
    }

    /// <summary>
    /// Hands one packet to the kernel. False: the program has to read first. If the kernel does not let the packet through, or a
    /// descriptor was closed meanwhile, an error is sent instead.
    /// </summary>
    public bool TrySend(ReadOnlySpan<byte> packet, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        foreach (FileDescriptor descriptor in descriptors)
        {
            if (descriptor.IsClosed)
                return TrySendInstead(_server.Packet.Error("NoSuchDescriptor", ("name", ""), ("text", "it was closed meanwhile")));
        }
        WasRefused = false;
        SendResult sent = UnixSocket.Send(_socket, packet, descriptors);
        switch (sent.Outcome)
        {
            case SendOutcome.Sent:
                return true;
            case SendOutcome.PeerGone:
                // The program's last requests are still to be read; their end closes the channel.
                return true;
            case SendOutcome.WouldBlock when sent.Errno == Errno.ETOOMANYREFS:
                return TrySendInstead(
                    _server.Packet.Error("LimitReached", ("limit", "descriptors that are sent and unread, of all processes of this user")));
            case SendOutcome.WouldBlock:
                return false;
            default:
                _counters.Count("channel-sends-failed");
                string cause = "the channel's other end does not take descriptors: " + sent.Errno.Text;
                return descriptors.IsEmpty || TrySendInstead(_server.Packet.Error(
                    "NotPermittedByKernel", ("call", "sendmsg"), ("errno", ErrnoNames.Of(sent.Errno)), ("cause", cause)));
        }
    }

    private bool TrySendInstead(ReadOnlySpan<byte> error)
    {
        bool isSent = TrySend(error);
        WasRefused = isSent;
        return isSent;
    }

    /// <summary>The program has ended: reads what it sent before, at most so many packets.</summary>
    public void ReadLast(int most)
    {
        try
        {
            Read(most);
        }
        catch (Exception defect)
        {
            Fail(defect);
        }
    }

    private void Read(int most)
    {
        for (int i = 0; i < most && !IsClosed && !IsHeldUp; i++)
        {
            using Received received = UnixSocket.Receive(_socket, _server.Buffer, _lane);
            switch (received.Outcome)
            {
                case ReceiveOutcome.Message:
                    Take(received);
                    break;
                case ReceiveOutcome.Reset:
                    continue;
                case ReceiveOutcome.WouldBlock:
                    return;
                default:
                    Close(isDrained: received.Outcome == ReceiveOutcome.EndOfStream);
                    return;
            }
        }
        UpdateInterest();
    }

    /// <summary>Closes the channel because of what the program does, and reports that.</summary>
    public void Cut(string reason)
    {
        if (IsClosed)
            return;
        Close();
        _server.ReportCut(Instance, reason);
    }

    /// <param name="isDrained">The end of the stream was read, so nothing is left in the socket.</param>
    public void Close(bool isDrained = false)
    {
        if (IsClosed)
            return;
        IsClosed = true;
        Instance.IsChannelDrained = isDrained;
        _delays.Cancel(this);
        _loop.Unwatch(_socket);
        // Descriptors in unread packets are closed together with the socket.
        if (isDrained)
            _socket.Dispose();
        else
            _lane.CloseQueue(_socket);
        DiscardAll();
        _server.NoteClosed(this);
        IsWatching = false;
    }

    private void Take(Received received)
    {
        ReadOnlySpan<byte> packet = _server.Buffer.AsSpan(0, Math.Min(received.Length, _server.Buffer.Length));
        RequestFault? fault = ChannelRequest.Read(packet, out ChannelRequest request);
        _isOneway = request.IsOneway;
        if (received.IsTruncated || received.Length > Limits.PacketBytes || received.Descriptors.Count > Limits.PacketDescriptorCount)
        {
            _counters.Count("channel-packets-unsound");
            string limit = received.Length > Limits.PacketBytes ? $"{Limits.PacketBytes} bytes a packet"
                : received.Descriptors.Count > Limits.PacketDescriptorCount ? $"{Limits.PacketDescriptorCount} descriptors a packet"
                : "descriptors were lost on the way: the supervisor's limit nofile, or a security module";
            Answer(_server.Packet.Error("LimitReached", ("limit", limit)));
            return;
        }
        if (fault is { } wrong)
        {
            if (wrong.Parameter.Length == 0)
                _counters.Count("channel-packets-unreadable");
            Refuse(wrong);
            return;
        }
        if (request.Rule is null)
        {
            Answer(_server.Packet.Error("org.varlink.service.MethodNotFound", ("method", request.MethodName)));
            return;
        }
        if (received.Descriptors.Count > 0 && !request.Rule.HasDescriptors)
            Refuse(new RequestFault("descriptors", $"{request.Rule.Method} takes no descriptors"));
        else
            _server.Methods.Call(this, request, received);
    }

    private void Refuse(RequestFault wrong) =>
        Answer(_server.Packet.Error("BadRequest", ("parameter", wrong.Parameter), ("text", wrong.Text)));

    private void OnReady(IoReadiness readiness)
    {
        try
        {
            Handle(readiness);
        }
        catch (Exception defect)
        {
            Fail(defect);
        }
    }

    // A bug of ours that only this program meets: no request ends the supervisor. The program would wait for
    // its answer for ever, so its channel is cut.
    private void Fail(Exception defect)
    {
        _counters.Count("channel-packets-failed");
        SupervisorLog.EffectFailed(_logger, $"a request of '{Instance.Label}'", defect);
        Cut("the supervisor failed at a request: its log says how");
    }

    private void Handle(IoReadiness readiness)
    {
        if (readiness.HasFlag(IoReadiness.HungUp))
        {
            // The program reads no more. The requests that it sent before are still carried out, unless its descriptors cannot be closed.
            DiscardAll();
            if (_lane.IsFull)
                Close();
            else
                Read(Limits.MessagesPerTurn);
            return;
        }
        if (readiness.HasFlag(IoReadiness.Writable))
            Flush();
        if (readiness.HasFlag(IoReadiness.Readable))
            Read(Limits.MessagesPerTurn);
    }

    private void Enqueue(Queue<Outgoing> queue, Outgoing outgoing)
    {
        if ((_answers?.Count ?? 0) + (_events?.Count ?? 0) >= Limits.UnreadPacketCount)
        {
            outgoing.Discard();
            Cut($"{Limits.UnreadPacketCount} answers and events wait for it to read them");
            return;
        }
        queue.Enqueue(outgoing);
        UpdateInterest();
    }

    private void UpdateInterest()
    {
        if (IsClosed)
            return;
        WatchLane();
        bool mustWrite = _events is { Count: > 0 } || (_answers is { Count: > 0 } && _answers.Peek().IsComplete);
        IoReadiness wanted = (IsHeldUp ? IoReadiness.None : IoReadiness.Readable) | (mustWrite ? IoReadiness.Writable : IoReadiness.None);
        if (wanted == _interest)
            return;
        _interest = wanted;
        _loop.Change(_socket, wanted);
    }

    // While the descriptors that a service sent wait to be closed, its channels are not read; if they wait too long, the
    // instance loses its channel, and an event says why.
    private void WatchLane()
    {
        bool isFull = _lane.IsFull;
        if (isFull == _waitsForLane)
            return;
        _waitsForLane = isFull;
        if (isFull)
        {
            _counters.Count("channels-held-up");
            string reason = $"{SlowLane.MostWaiting} descriptors that it sent wait to be closed: "
                + "those before them linger, or their file system does not answer";
            _delays.Limit(Limits.HeldUpPatience, this, () => Cut(reason));
        }
        else
        {
            _delays.Cancel(this);
        }
    }

    private void DiscardAll()
    {
        while (_answers is { Count: > 0 })
            _answers.Dequeue().Discard();
        while (_events is { Count: > 0 })
            _events.Dequeue().Discard();
    }
}
