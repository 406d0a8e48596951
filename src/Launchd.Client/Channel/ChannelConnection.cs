using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Launchd.Client.Interop;

namespace Launchd.Client.Channel;

/// <summary>
/// The instance channel as a queue of calls: requests go out one after the other, answers come back in the same order, events come at any
/// time between them. A call that is cancelled keeps its place: its answer is read and closed when it comes. Owns the socket.
/// </summary>
internal sealed class ChannelConnection : IDisposable, IAsyncDisposable
{
    public const int MostPacketBytes = 65_536;
    public const int MostPacketDescriptors = 128;

    private readonly FileDescriptor _socket;
    private readonly Action<ChannelPacket> _onEvent;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _gate = new();
    private readonly LinkedList<PendingCall> _pending = [];
    private Task? _reading;
    private LaunchdException? _end;

    /// <param name="socketTaken">The channel's descriptor.</param>
    /// <param name="onEvent">Gets every event and owns its packet; is called by the reader, so it must not wait.</param>
    public ChannelConnection(FileDescriptor socketTaken, Action<ChannelPacket> onEvent)
    {
        _socket = socketTaken;
        _onEvent = onEvent;
    }

    /// <summary>Why no more answers come; null as long as the channel lives. Told once, to whoever asks for events.</summary>
    public Action<LaunchdException>? Ended { get; set; }

    /// <summary>Calls and waits for the whole answer, which the caller owns.</summary>
    /// <param name="method">Without its prefix.</param>
    /// <param name="parameters">Writes the members of the parameters.</param>
    /// <param name="descriptors">Borrowed until this is done.</param>
    /// <param name="subscribes">Asks for <c>more</c>: the first packet is the answer, the rest are events.</param>
    /// <param name="cancellation">Before the request was sent, it is not sent; afterwards its answer is thrown away.</param>
    /// <exception cref="LaunchdException">An error of the supervisor, or the channel's end.</exception>
    public async Task<ChannelAnswer> CallAsync(
        string method, Action<Utf8JsonWriter>? parameters, SafeHandle[] descriptors, bool subscribes, CancellationToken cancellation)
    {
        ReadOnlyMemory<byte> packet = Encode(method, parameters, subscribes, isOneWay: false);
        var call = new PendingCall(subscribes);
        await _sending.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            LinkedListNode<PendingCall> place = Enqueue(call);
            try
            {
                await SendAsync(packet, descriptors, cancellation).ConfigureAwait(false);
            }
            catch
            {
                // A packet is sent whole or not at all, so this one was not sent and no answer will come.
                lock (_gate)
                {
                    if (place.List is not null)
                        _pending.Remove(place);
                }
                throw;
            }
        }
        finally
        {
            _ = _sending.Release();
        }
        await using CancellationTokenRegistration registration = cancellation.UnsafeRegister(
            static (state, token) => ((PendingCall)state!).TrySetCanceled(token), call);
        ChannelAnswer answer = await call.Task.ConfigureAwait(false);
        if (answer.First.Error is null && !answer.Packets.Any(p => p.IsCut))
            return answer;
        using (answer)
        {
            throw answer.First.Error is null
                ? new LaunchdException(
                    LaunchdError.Truncated, $"the descriptors of the answer to {method} did not fit into this process's table")
                : ChannelErrors.From(answer.First);
        }
    }

    /// <summary>Sends a message that has no answer; it is refused only when the channel is closed or full.</summary>
    public async Task TellAsync(string method, Action<Utf8JsonWriter>? parameters, SafeHandle[] descriptors, CancellationToken cancellation)
    {
        ReadOnlyMemory<byte> packet = Encode(method, parameters, subscribes: false, isOneWay: true);
        await _sending.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await SendAsync(packet, descriptors, cancellation).ConfigureAwait(false);
        }
        finally
        {
            _ = _sending.Release();
        }
    }

    /// <summary>Fails all calls that wait, and closes the channel; the reader ends by itself soon after.</summary>
    public void Dispose()
    {
        End(new LaunchdException(LaunchdError.Disconnected, "the client was disposed"));
        _closing.Cancel();
        _socket.Dispose();
    }

    /// <summary>The same, and waits for the reader.</summary>
    public async ValueTask DisposeAsync()
    {
        Dispose();
        if (_reading is { } reading)
            await reading.ConfigureAwait(false);
    }

    private static ReadOnlyMemory<byte> Encode(string method, Action<Utf8JsonWriter>? parameters, bool subscribes, bool isOneWay)
    {
        var bytes = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("method", "org.launchd-cs.Instance." + method);
            if (parameters is not null)
            {
                json.WriteStartObject("parameters");
                parameters(json);
                json.WriteEndObject();
            }
            if (subscribes)
                json.WriteBoolean("more", true);
            if (isOneWay)
                json.WriteBoolean("oneway", true);
            json.WriteEndObject();
        }
        return bytes.WrittenCount <= MostPacketBytes
            ? bytes.WrittenMemory
            : throw new LaunchdException(
                LaunchdError.LimitReached, $"{method} takes {bytes.WrittenCount} bytes, a packet has {MostPacketBytes}", "packet");
    }

    private LinkedListNode<PendingCall> Enqueue(PendingCall call)
    {
        lock (_gate)
        {
            if (_end is not null)
                throw new LaunchdException(_end.Error, _end.Message);
            _reading ??= Task.Run(ReadAllAsync);
            return _pending.AddLast(call);
        }
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> packet, SafeHandle[] descriptors, CancellationToken cancellation)
    {
        try
        {
            await DescriptorSocket.SendAsync(_socket, packet, descriptors, cancellation).ConfigureAwait(false);
        }
        catch (LaunchdException refused) when (refused.ErrorNumber == Errno.EPIPE.Value || refused.ErrorNumber == Errno.ECONNRESET.Value)
        {
            throw Gone();
        }
        catch (ObjectDisposedException) when (_socket.IsClosed)
        {
            throw Gone();
        }
    }

    private async Task ReadAllAsync()
    {
        byte[] buffer = new byte[MostPacketBytes];
        LaunchdException end;
        try
        {
            while (true)
            {
                ReceivedPart part = await DescriptorSocket.ReceiveAsync(_socket, buffer, _closing.Token).ConfigureAwait(false);
                // No packet is empty: no bytes and no descriptors mean the end of the channel.
                if (part.Length == 0 && part.Beside.Descriptors.Count == 0 && !part.IsCut)
                {
                    end = Gone();
                    break;
                }
                if (ChannelPacket.Read(buffer.AsMemory(0, part.Length), part) is not { } packet)
                {
                    end = new LaunchdException(LaunchdError.BadAnswer, "what came over the channel is no object of JSON");
                    break;
                }
                Dispatch(packet);
            }
        }
        catch (Exception disposed) when (disposed is OperationCanceledException or ObjectDisposedException)
        {
            return;
        }
        catch (LaunchdException refused)
        {
            end = refused;
        }
        End(end);
    }

    private void Dispatch(ChannelPacket packet)
    {
        if (packet.EventName is not null)
        {
            _onEvent(packet);
            return;
        }
        PendingCall? call;
        lock (_gate)
        {
            // After the channel's end no call waits any more.
            call = _pending.First?.Value;
            if (call is not null && (!packet.Continues || call.EndsWithFirst))
                _pending.RemoveFirst();
        }
        if (call is null)
            packet.Dispose();
        else
            call.Add(packet);
    }

    private void End(LaunchdException end)
    {
        PendingCall[] left;
        lock (_gate)
        {
            if (_end is not null)
                return;
            _end = end;
            left = [.. _pending];
            _pending.Clear();
        }
        foreach (PendingCall call in left)
            call.Fail(new LaunchdException(end.Error, end.Message));
        Ended?.Invoke(end);
    }

    private static LaunchdException Gone() => new(LaunchdError.Disconnected, "the supervisor has closed the channel");

    /// <summary>One request that waits for its answer.</summary>
    private sealed class PendingCall(bool endsWithFirst)
        : TaskCompletionSource<ChannelAnswer>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        private readonly List<ChannelPacket> _packets = [];

        public bool EndsWithFirst => endsWithFirst;

        /// <summary>Takes ownership of the packet; the last packet completes the call with all of them.</summary>
        public void Add(ChannelPacket packet)
        {
            _packets.Add(packet);
            if (packet.Continues && !endsWithFirst)
                return;
            var answer = new ChannelAnswer(_packets);
            if (!TrySetResult(answer))
                answer.Dispose();
        }

        public void Fail(LaunchdException end)
        {
            foreach (ChannelPacket packet in _packets)
                packet.Dispose();
            _ = TrySetException(end);
        }
    }
}
