using System.Runtime.InteropServices;
using Launchd.Client.Channel;

namespace Launchd.Client;

/// <summary>
/// A successor that is there and asks for what this instance has; <see cref="LaunchdClient.BeginHandOverAsync"/>. Nothing has moved yet.
/// Disposing it without <see cref="CompleteAsync"/> leaves everything with this instance.
/// </summary>
public sealed class HandOver : IDisposable
{
    private static readonly TimeSpan DefaultPatience = TimeSpan.FromSeconds(5);

    private HandOverLink? _link;

    internal HandOver(HandOverLink linkTaken)
    {
        _link = linkTaken;
    }

    /// <summary>
    /// Hands over everything or nothing. Before the call bring to rest what is handed over: read nothing from it and write nothing to it
    /// until the answer is there.
    /// </summary>
    /// <param name="state">What the successor needs to go on, in the program's own form; read from memory that nobody can change.</param>
    /// <param name="descriptors">
    /// Borrowed, in the order in which the successor gets them. They stay open here: after true close them without shutting them down,
    /// which the successor would see.
    /// </param>
    /// <param name="patience">
    /// How long the successor may take for all of it; null: 5 s. What it has not confirmed by then it will not get.
    /// </param>
    /// <param name="cancellation">
    /// Acts as the end of the patience; if the successor has not confirmed by then, an exception says so.
    /// </param>
    /// <returns>
    /// True: the successor has confirmed, everything is its own. False: it ended or did not confirm; everything is still this instance's
    /// own, as it was, and the next <see cref="LaunchdClient.BeginHandOverAsync"/> finds the next successor.
    /// </returns>
    /// <exception cref="LaunchdException">The kernel refused to send; everything is still this instance's own.</exception>
    public async Task<bool> CompleteAsync(
        ReadOnlyMemory<byte> state, IReadOnlyList<SafeHandle> descriptors,
        TimeSpan? patience = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(descriptors);
        HandOverLink link = Interlocked.Exchange(ref _link, null) ?? throw new ObjectDisposedException(nameof(HandOver));
        using (link)
        using (var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
        {
            bool isTaken = false;
            try
            {
                limit.CancelAfter(patience ?? DefaultPatience);
                isTaken = await SendAsync(link, state, descriptors, limit.Token).ConfigureAwait(false);
                return isTaken || !link.TryKeep();
            }
            catch (OperationCanceledException)
            {
                isTaken = !link.TryKeep();
                if (!isTaken)
                    cancellation.ThrowIfCancellationRequested();
                return isTaken;
            }
            catch
            {
                _ = link.TryKeep();
                throw;
            }
        }
    }

    /// <summary>Everything stays this instance's own, and the successor is told so.</summary>
    public void Dispose()
    {
        using HandOverLink? link = Interlocked.Exchange(ref _link, null);
        _ = link?.TryKeep();
    }

    private static async Task<bool> SendAsync(
        HandOverLink link, ReadOnlyMemory<byte> state, IReadOnlyList<SafeHandle> descriptors, CancellationToken cancellation)
    {
        using FileDescriptor memory = SealedMemory.Write(state.Span);
        // The successor asked for the first packet before this object was made, so the state can be sent at once.
        bool isAsked = await link.SendAsync(HandOverLink.State, [memory], cancellation).ConfigureAwait(false);
        foreach (SafeHandle[] some in descriptors.Chunk(ChannelConnection.MostPacketDescriptors))
        {
            isAsked = isAsked && await link.ExpectAsync(HandOverLink.Next, cancellation).ConfigureAwait(false)
                && await link.SendAsync(HandOverLink.Some, some, cancellation).ConfigureAwait(false);
        }
        return isAsked && await link.ExpectAsync(HandOverLink.Next, cancellation).ConfigureAwait(false)
            && await link.SendAsync(HandOverLink.All, [], cancellation).ConfigureAwait(false)
            && await link.ExpectAsync(HandOverLink.Taken, cancellation).ConfigureAwait(false);
    }
}
