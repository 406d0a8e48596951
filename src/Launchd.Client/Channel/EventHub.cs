using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace Launchd.Client.Channel;

/// <summary>
/// Where the supervisor's events go: each watcher gets every event since it began to watch, each descriptor that was handed over and each
/// hand-over that is offered goes to one reader, and siblings who want what was published are answered here.
/// </summary>
internal sealed class EventHub
{
    private readonly Lock _gate = new();
    private readonly List<Channel<LaunchdEvent>> _watchers = [];
    private readonly Channel<HandedOver> _handedOver = System.Threading.Channels.Channel.CreateUnbounded<HandedOver>();
    private readonly Channel<FileDescriptor> _links = System.Threading.Channels.Channel.CreateUnbounded<FileDescriptor>();
    private readonly Dictionary<string, SafeHandle> _published = [];
    private LaunchdException? _end;
    private DrainAsked? _lastDrain;

    /// <summary>Sends the supervisor the descriptor that a sibling asked for, borrowed; null: refuses.</summary>
    public required Action<long, SafeHandle?> Give { get; init; }

    /// <summary>The newest request to drain; null: none has come since somebody watches.</summary>
    public DrainAsked? LastDrain => Volatile.Read(ref _lastDrain);

    /// <summary>Keeps the handle of a published descriptor from its finalizer.</summary>
    public void Published(string name, SafeHandle descriptor)
    {
        lock (_gate)
            _published[name] = descriptor;
    }

    public void Unpublished(string name)
    {
        lock (_gate)
            _ = _published.Remove(name);
    }

    /// <summary>Passes an event on; takes ownership of the packet.</summary>
    public void Take(ChannelPacket packet)
    {
        switch (packet.EventName)
        {
            case "Received":
                TakeHandedOver(packet);
                break;
            case "Wanted":
                Answer(packet);
                packet.Dispose();
                break;
            default:
                LaunchdEvent happened = LaunchdEvent.Read(packet);
                packet.Dispose();
                Tell(happened);
                break;
        }
    }

    /// <summary>Nothing more will come.</summary>
    public void End(LaunchdException end)
    {
        lock (_gate)
        {
            _end = end;
            foreach (Channel<LaunchdEvent> watcher in _watchers)
                _ = watcher.Writer.TryComplete();
        }
        EndHandOvers();
    }

    /// <summary>The predecessor has ended and can hand over nothing more; descriptors that came before can still be read.</summary>
    public void EndHandOvers()
    {
        _ = _handedOver.Writer.TryComplete();
        _ = _links.Writer.TryComplete();
    }

    /// <summary>
    /// The successor's end of the next hand-over that a predecessor offers; the caller owns it. Null: there will be none.
    /// </summary>
    /// <exception cref="LaunchdException">The channel has ended, so that nobody knows whether one will be offered.</exception>
    public async Task<FileDescriptor?> NextLinkAsync(CancellationToken cancellation)
    {
        while (await _links.Reader.WaitToReadAsync(cancellation).ConfigureAwait(false))
        {
            if (_links.Reader.TryRead(out FileDescriptor? end))
                return end;
        }
        lock (_gate)
            return _end is null ? null : throw new LaunchdException(_end.Error, _end.Message);
    }

    /// <summary>A watcher, which gets events from now on.</summary>
    public Channel<LaunchdEvent> Subscribe()
    {
        var watcher = System.Threading.Channels.Channel.CreateUnbounded<LaunchdEvent>(new UnboundedChannelOptions { SingleReader = true });
        lock (_gate)
        {
            if (_end is null)
                _watchers.Add(watcher);
            else
                watcher.Writer.Complete();
        }
        return watcher;
    }

    public async IAsyncEnumerable<LaunchdEvent> ReadAsync(
        Channel<LaunchdEvent> watcher, [EnumeratorCancellation] CancellationToken cancellation)
    {
        try
        {
            await foreach (LaunchdEvent happened in watcher.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
                yield return happened;
        }
        finally
        {
            Unsubscribe(watcher);
        }
    }

    public void Unsubscribe(Channel<LaunchdEvent> watcher)
    {
        lock (_gate)
            _ = _watchers.Remove(watcher);
    }

    public async IAsyncEnumerable<NamedDescriptor> ReadHandedOverAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (HandedOver one in _handedOver.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            yield return one.Descriptor ?? throw new LaunchdException(
                LaunchdError.Truncated, "descriptors handed over did not fit into this process's table");
        }
    }

    /// <summary>Closes the handed-over descriptors that no reader took.</summary>
    public void CloseHandedOver()
    {
        while (_handedOver.Reader.TryRead(out HandedOver one))
            one.Descriptor?.Dispose();
        while (_links.Reader.TryRead(out FileDescriptor? end))
            end.Dispose();
    }

    private void Tell(LaunchdEvent happened)
    {
        if (happened is DrainAsked drain)
            Volatile.Write(ref _lastDrain, drain);
        if (happened is PredecessorEnded)
            EndHandOvers();
        lock (_gate)
        {
            foreach (Channel<LaunchdEvent> watcher in _watchers)
                _ = watcher.Writer.TryWrite(happened);
        }
    }

    private void TakeHandedOver(ChannelPacket packet)
    {
        string name = packet.Text("name") ?? "";
        using (packet)
        {
            if (packet.IsCut)
                Queue(new HandedOver(null));
            for (int i = 0; i < packet.DescriptorCount; i++)
            {
                FileDescriptor taken = packet.Take(i);
                if (name != HandOverLink.Name)
                    Queue(new HandedOver(new NamedDescriptor(name, taken)));
                else if (!_links.Writer.TryWrite(taken))
                    taken.Dispose();
            }
        }
    }

    private void Queue(HandedOver one)
    {
        if (!_handedOver.Writer.TryWrite(one))
            one.Descriptor?.Dispose();
    }

    // Sends only the very number that the supervisor names: another descriptor may have been published under the name meanwhile.
    private void Answer(ChannelPacket packet)
    {
        if (packet.Number("ask") is not { } ask)
            return;
        SafeHandle? wanted = null;
        lock (_gate)
        {
            if (packet.Text("name") is { } name && _published.TryGetValue(name, out SafeHandle? published) && !published.IsClosed
                && published.DangerousGetHandle() == packet.Number("number"))
            {
                wanted = published;
            }
        }
        Give(ask, wanted);
    }

    /// <summary>One descriptor of a predecessor; null: descriptors were lost on the way.</summary>
    private readonly record struct HandedOver(NamedDescriptor? Descriptor);
}
