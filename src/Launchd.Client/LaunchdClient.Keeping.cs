using System.Runtime.InteropServices;
using System.Text.Json;
using Launchd.Client.Channel;

namespace Launchd.Client;

/// <summary>What a program leaves for later instances: descriptors in the store, a state, and live connections for its successor.</summary>
public sealed partial class LaunchdClient
{
    /// <summary>
    /// Leaves descriptors with the supervisor: the next instance inherits them under this name. Where there is no channel it is done by
    /// notification, which cannot say whether there was room.
    /// </summary>
    /// <param name="name">Printable, without a colon, at most 255 bytes.</param>
    /// <param name="descriptors">Borrowed: the supervisor keeps its own. More than 128 go in several requests.</param>
    /// <param name="mode">What happens to stored descriptors of the same name.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.LimitReached"/>: the store is full; <see cref="LaunchdError.NoChannel"/>: nobody keeps anything here, or
    /// <see cref="StoreMode.IfAbsent"/> without a channel.
    /// </exception>
    public async Task StoreAsync(
        string name, IReadOnlyList<SafeHandle> descriptors, StoreMode mode = StoreMode.Add, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(descriptors);
        if (_channel is null)
        {
            await StoreByNotificationAsync(name, descriptors, mode, cancellation).ConfigureAwait(false);
            return;
        }
        StoreMode now = mode;
        foreach (SafeHandle[] some in descriptors.Chunk(ChannelConnection.MostPacketDescriptors))
        {
            await CallAsync("Store", json => WriteStore(json, name, now), some, cancellation).ConfigureAwait(false);
            // Only the first request replaces: the second must not replace the descriptors of the first.
            now = now == StoreMode.Replace ? StoreMode.Add : now;
        }
    }

    /// <summary>Takes everything of a name out of the store; descriptors that were inherited or got from it before stay open.</summary>
    /// <param name="name">As it was stored.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.NoSuchDescriptor"/>, which a notification cannot say; <see cref="LaunchdError.NoChannel"/>.
    /// </exception>
    public async Task UnstoreAsync(string name, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (_channel is not null)
            await CallAsync("Unstore", json => json.WriteString("name", name), [], cancellation).ConfigureAwait(false);
        else if (!Notify($"FDSTOREREMOVE=1\nFDNAME={CheckedName(name)}") || !await BarrierAsync(cancellation).ConfigureAwait(false))
            throw NobodyKeeps();
    }

    /// <summary>Leaves a state for the next instance of this slot; it replaces the former one.</summary>
    /// <param name="state">Opaque to the supervisor; at most 64 MiB. Copied to memory that nobody can change.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task SaveStateAsync(ReadOnlyMemory<byte> state, CancellationToken cancellation = default)
    {
        _ = Channel();
        using FileDescriptor memory = SealedMemory.Write(state.Span);
        await CallAsync("SaveState", null, [memory], cancellation).ConfigureAwait(false);
    }

    /// <summary>The state that the former instance of this slot left; null if there is none.</summary>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public async Task<byte[]?> LoadStateAsync(CancellationToken cancellation = default)
    {
        using ChannelAnswer answer =
            await Channel().CallAsync("LoadState", null, [], subscribes: false, cancellation).ConfigureAwait(false);
        if (answer.First.DescriptorCount == 0)
            return null;
        using FileDescriptor memory = answer.First.Take(0);
        return SealedMemory.Read(memory);
    }

    /// <summary>
    /// Hands live descriptors to the successor while both run. It gets them by <see cref="ReceiveHandOverAsync"/>, once it asks. Nothing
    /// tells whether it has them; to give everything or nothing, together with a state, use <see cref="BeginHandOverAsync"/>.
    /// </summary>
    /// <param name="name">What they are to the successor.</param>
    /// <param name="descriptors">Borrowed: close them here when this is done. More than 128 go in several requests, in order.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>; some may have gone already.</param>
    /// <exception cref="LaunchdException"><see cref="LaunchdError.NotReady"/>: there is no successor.</exception>
    public async Task HandOverAsync(string name, IReadOnlyList<SafeHandle> descriptors, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(descriptors);
        foreach (SafeHandle[] some in descriptors.Chunk(ChannelConnection.MostPacketDescriptors))
            await CallAsync("HandOver", json => json.WriteString("name", name), some, cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// What the predecessor hands over with <see cref="HandOverAsync"/>, as it comes; each descriptor goes to one reader, who owns it.
    /// Reading ends when the predecessor has ended (<see cref="PredecessorEnded"/>), and with the channel.
    /// </summary>
    /// <param name="cancellation">Ends the reading; what was not read waits for the next reader.</param>
    /// <exception cref="LaunchdException">
    /// The supervisor's refusal; <see cref="LaunchdError.NoChannel"/>;
    /// <see cref="LaunchdError.Truncated"/>: this process had no numbers left.
    /// </exception>
    public async Task<IAsyncEnumerable<NamedDescriptor>> ReceiveHandOverAsync(CancellationToken cancellation = default)
    {
        await EnsureWatchingAsync(cancellation).ConfigureAwait(false);
        return _events.ReadHandedOverAsync(cancellation);
    }

    private static void WriteStore(Utf8JsonWriter json, string name, StoreMode mode)
    {
        json.WriteString("name", name);
        if (mode == StoreMode.Replace)
            json.WriteBoolean("replace", true);
        if (mode == StoreMode.IfAbsent)
            json.WriteBoolean("if_absent", true);
    }

    private async Task StoreByNotificationAsync(
        string name, IReadOnlyList<SafeHandle> descriptors, StoreMode mode, CancellationToken cancellation)
    {
        string checkedName = CheckedName(name);
        if (mode == StoreMode.IfAbsent || StoreCapacity == 0)
            throw NobodyKeeps();
        if (mode == StoreMode.Replace && !Notify($"FDSTOREREMOVE=1\nFDNAME={checkedName}"))
            throw NobodyKeeps();
        foreach (SafeHandle[] some in descriptors.Chunk(ChannelConnection.MostPacketDescriptors))
        {
            if (!Notify($"FDSTORE=1\nFDNAME={checkedName}", some))
                throw NobodyKeeps();
        }
        _ = await BarrierAsync(cancellation).ConfigureAwait(false);
    }

    // sd_pid_notify_with_fds(3): other names would be stored under another name, or would end the line.
    private static string CheckedName(string name) =>
        name.Length <= 255 && name.All(c => c is >= ' ' and <= '~' and not ':')
            ? name
            : throw new ArgumentException("printable, without a colon, at most 255 characters", nameof(name));

    private static LaunchdException NobodyKeeps() =>
        new(LaunchdError.NoChannel, "nobody keeps descriptors for this process: there is no LAUNCHD_CHANNEL, and no FDSTORE that would do");
}
