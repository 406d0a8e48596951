using System.Runtime.InteropServices;
using System.Text.Json;
using Launchd.Client.Channel;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>What a program asks for: its own descriptors again, those of siblings, and what it offers them.</summary>
public sealed partial class LaunchdClient
{
    /// <summary>Who this program is, as its supervisor sees it.</summary>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task<InstanceDescription> DescribeAsync(CancellationToken cancellation = default)
    {
        using ChannelAnswer answer = await Channel().CallAsync("Describe", null, [], subscribes: false, cancellation).ConfigureAwait(false);
        ChannelPacket said = answer.First;
        return new InstanceDescription
        {
            Service = said.Text("service") ?? "",
            Slot = (int)(said.Number("slot") ?? 0),
            Generation = (int)(said.Number("generation") ?? 0),
            Instance = said.Number("instance") ?? 0,
            Reason = said.Text("reason") ?? "",
            Predecessor = said.Number("predecessor"),
            Protocol = (int)(said.Number("protocol") ?? 0),
            Version = said.Text("version") ?? "",
        };
    }

    /// <summary>Every descriptor that this program may have now: its own, and those of siblings.</summary>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task<IReadOnlyList<AvailableDescriptor>> ListAsync(CancellationToken cancellation = default)
    {
        using ChannelAnswer answer = await Channel().CallAsync("List", null, [], subscribes: false, cancellation).ConfigureAwait(false);
        return [.. answer.Packets.SelectMany(p => p.Entries()).Select(Available)];
    }

    /// <summary>
    /// The program's own sockets, files and stored descriptors, again, whenever needed. Each name gives all that bear it, in order.
    /// The caller owns them.
    /// </summary>
    /// <param name="names">As in the configuration.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException"><see cref="LaunchdError.NoSuchDescriptor"/> for any name gives none at all.</exception>
    public async Task<IReadOnlyList<NamedDescriptor>> GetAsync(IEnumerable<string> names, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(names);
        using ChannelAnswer answer = await Channel().CallAsync(
            "Get", json => WriteNames(json, names), [], subscribes: false, cancellation).ConfigureAwait(false);
        return answer.TakeAll();
    }

    /// <summary>
    /// A descriptor that a sibling has published (or that the supervisor holds for it). The caller owns it. Both sides of the configuration
    /// have to allow it: <c>share</c> of the sibling, <c>request</c> of this service.
    /// </summary>
    /// <param name="service">The sibling.</param>
    /// <param name="name">What it published.</param>
    /// <param name="options">Which instance, in which way, how long to wait; null: the defaults.</param>
    /// <param name="cancellation">
    /// A request that was not sent yet is not sent; if it was, its answer is closed when it comes. Nothing leaks.
    /// </param>
    /// <exception cref="LaunchdException">
    /// The supervisor's refusal, such as <see cref="LaunchdError.Denied"/> with the rule that would allow it, or
    /// <see cref="LaunchdError.NoChannel"/>.
    /// </exception>
    public async Task<NamedDescriptor> RequestAsync(
        string service, string name, RequestOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(service);
        ArgumentException.ThrowIfNullOrEmpty(name);
        RequestOptions asked = options ?? new RequestOptions();
        using ChannelAnswer answer = await Channel().CallAsync(
            "Request", json => WriteRequest(json, service, name, asked), [], subscribes: false, cancellation).ConfigureAwait(false);
        if (answer.First.Text("way") == "direct")
            return TakeDirectly(answer.First, name);
        foreach (JsonElement entry in answer.First.Entries())
            return answer.First.Take(entry);
        throw new LaunchdException(LaunchdError.BadAnswer, "the answer to Request has no descriptor");
    }

    /// <summary>
    /// Offers a descriptor to siblings. Nothing is sent before somebody asks; keep it open as long as it is offered, and do not close and
    /// use its number again: askers are then told <see cref="LaunchdError.Stale"/>.
    /// </summary>
    /// <param name="name">What siblings ask for; an offer of the same name is replaced.</param>
    /// <param name="descriptor">
    /// Borrowed as long as it is offered: a <see cref="FileDescriptor"/>, or the handle of a socket or file.
    /// </param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task PublishAsync(string name, SafeHandle descriptor, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(descriptor);
        int number;
        using (var borrowed = new Borrowed(descriptor))
            number = borrowed.Number;
        // Where the kernel does not let the supervisor take the descriptor, the supervisor asks this program for it by an event.
        await EnsureWatchingAsync(cancellation).ConfigureAwait(false);
        _events.Published(name, descriptor);
        try
        {
            await CallAsync("Publish", json => WriteOffer(json, name, number), [], cancellation).ConfigureAwait(false);
        }
        catch (LaunchdException)
        {
            _events.Unpublished(name);
            throw;
        }
    }

    /// <summary>Ends an offer; descriptors that siblings got stay theirs.</summary>
    /// <param name="name">What was published.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task UnpublishAsync(string name, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        await CallAsync("Unpublish", json => json.WriteString("name", name), [], cancellation).ConfigureAwait(false);
        _events.Unpublished(name);
    }

    /// <summary>
    /// What the supervisor tells from now on: drain, reload, changes of siblings. Each reader gets every event; reading ends with the
    /// channel. Descriptors that are handed over come by <see cref="ReceiveHandOverAsync"/>.
    /// </summary>
    /// <param name="cancellation">Ends the reading.</param>
    /// <returns>Events, once the supervisor has agreed to send them.</returns>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task<IAsyncEnumerable<LaunchdEvent>> WatchAsync(CancellationToken cancellation = default)
    {
        _ = Channel();
        System.Threading.Channels.Channel<LaunchdEvent> watcher = _events.Subscribe();
        try
        {
            await EnsureWatchingAsync(cancellation).ConfigureAwait(false);
        }
        catch
        {
            _events.Unsubscribe(watcher);
            throw;
        }
        return _events.ReadAsync(watcher, cancellation);
    }

    private static AvailableDescriptor Available(JsonElement entry) => new()
    {
        Name = ChannelPacket.TextOf(entry, "name") ?? "",
        Kind = ChannelPacket.TextOf(entry, "kind") ?? "",
        Address = ChannelPacket.TextOf(entry, "address"),
        Origin = ChannelPacket.TextOf(entry, "origin") ?? "",
        Service = ChannelPacket.TextOf(entry, "service"),
        Slot = entry.TryGetProperty("slot", out JsonElement slot) && slot.TryGetInt32(out int number) ? number : null,
    };

    // The number is one of the owner's table and may refer to something else by now, so the descriptor that
    // was taken is compared with the published one.
    private static NamedDescriptor TakeDirectly(ChannelPacket answer, string name)
    {
        using var owner = new PidFd(answer.Take(0));
        FileDescriptor taken = owner.GetDescriptor((int)(answer.Number("number") ?? -1));
        Errno refused = DescriptorQuery.Status(taken.Number, out ClientLibc.statx_result status);
        if (refused == Errno.None && answer.Number("inode") is { } inode && (ulong)inode == status.stx_ino)
            return new NamedDescriptor(name, taken, address: null, way: "direct");
        taken.Dispose();
        throw new LaunchdException(LaunchdError.Stale, $"the owner's descriptor is not what it published as '{name}' any more", name);
    }

    private static void WriteNames(Utf8JsonWriter json, IEnumerable<string> names)
    {
        json.WriteStartArray("names");
        foreach (string name in names)
            json.WriteStringValue(name);
        json.WriteEndArray();
    }

    private static void WriteOffer(Utf8JsonWriter json, string name, int number)
    {
        json.WriteString("name", name);
        json.WriteNumber("number", number);
    }

    private static void WriteRequest(Utf8JsonWriter json, string service, string name, RequestOptions options)
    {
        json.WriteString("service", service);
        json.WriteString("name", name);
        if (options.Slot is { } slot)
            json.WriteNumber("slot", slot);
        if (options.Mode == RequestMode.Direct)
            json.WriteString("mode", "direct");
        if (options.Mode == RequestMode.Reopen)
        {
            json.WriteString("mode", "reopen");
            json.WriteString("access", options.Access == FileAccess.Read ? "read" : "write");
        }
        if (options.Wait > TimeSpan.Zero)
            json.WriteNumber("wait", (long)options.Wait.TotalMicroseconds);
    }

    /// <summary>Subscribes to events once for all callers; after a failure the next caller tries again.</summary>
    private Task EnsureWatchingAsync(CancellationToken cancellation)
    {
        lock (_gate)
        {
            if (_subscription is null || _subscription.IsFaulted)
                _subscription = SubscribeAsync(Channel());
            return _subscription.WaitAsync(cancellation);
        }
    }

    private static async Task SubscribeAsync(ChannelConnection channel)
    {
        using ChannelAnswer answer = await channel.CallAsync(
            "Watch", null, [], subscribes: true, CancellationToken.None).ConfigureAwait(false);
    }
}
