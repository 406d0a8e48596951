using Launchd.Client.Channel;

namespace Launchd.Client;

/// <summary>Everything that an instance has, given to its successor in one piece.</summary>
public sealed partial class LaunchdClient
{
    /// <summary>
    /// Called by an instance that is told to end: waits until its successor is there and asks for what this one has, as long as it takes.
    /// Go on serving meanwhile. A successor that ends before is followed by the next one.
    /// </summary>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>
    /// The successor, to which <see cref="HandOver.CompleteAsync"/> hands over. Null: nobody takes over, such as when the service is
    /// stopped, is not exchanged by overlap, or there is no launchd-cs.
    /// </returns>
    /// <remarks>
    /// Whether another successor will come is told by the event <see cref="DrainAsked"/>, which is heard only after something of
    /// <see cref="TakeOverAsync"/>, <see cref="WatchAsync"/> and <see cref="PublishAsync"/> was called.
    /// </remarks>
    /// <exception cref="LaunchdException">The supervisor's refusal, or its end.</exception>
    public async Task<HandOver?> BeginHandOverAsync(CancellationToken cancellation = default)
    {
        if (_channel is null)
            return null;
        System.Threading.Channels.Channel<LaunchdEvent> watcher = _events.Subscribe();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            await EnsureWatchingAsync(cancellation).ConfigureAwait(false);
            // The stop signal may be faster than the drain that was told before it. When this answer is there, every event
            // that was sent before it has been read as well.
            _ = await DescribeAsync(cancellation).ConfigureAwait(false);
            while (true)
            {
                // Before a drain nothing says that another successor will come.
                DrainAsked? drain = _events.LastDrain;
                if (drain is { Successor: null })
                    return null;
                Task<bool> changed = HasChangedAsync(watcher, ending.Token);
                HandOverLink? link = await OfferAsync(changed, cancellation).ConfigureAwait(false);
                if (link is not null)
                    return new HandOver(link);
                if (drain is null && _events.LastDrain is null)
                    return null;
                if (!await changed.ConfigureAwait(false))
                {
                    throw new LaunchdException(
                        LaunchdError.Disconnected, "the supervisor has closed the channel before a successor was there");
                }
            }
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            _events.Unsubscribe(watcher);
        }
    }

    /// <summary>
    /// Called by an instance when it starts, once it is ready (<see cref="NotifyReady"/>) but before it serves: waits for what its
    /// predecessor hands over, which comes when the supervisor lets this one take its place. Serve only afterwards.
    /// </summary>
    /// <param name="cancellation">Ends the waiting; the predecessor goes on by itself.</param>
    /// <returns>
    /// What the predecessor has handed over, to be confirmed. Null, at once or when the predecessor has ended: there is nothing to take
    /// over.
    /// </returns>
    /// <exception cref="LaunchdException">
    /// The supervisor's refusal, or its end; <see cref="LaunchdError.Truncated"/>: this process had no numbers left for the descriptors.
    /// </exception>
    public async Task<TakeOver?> TakeOverAsync(CancellationToken cancellation = default)
    {
        if (_channel is null)
            return null;
        await EnsureWatchingAsync(cancellation).ConfigureAwait(false);
        // Events tell of changes only; whether there is a predecessor at the beginning stands in the description.
        InstanceDescription self = await DescribeAsync(cancellation).ConfigureAwait(false);
        if (self.Predecessor is null)
            _events.EndHandOvers();
        while (await _events.NextLinkAsync(cancellation).ConfigureAwait(false) is { } end)
        {
            TakeOver? everything = await TakeOver.ReceiveAsync(new HandOverLink(end), cancellation).ConfigureAwait(false);
            if (everything is not null)
                return everything;
        }
        return null;
    }

    /// <summary>
    /// Offers the present successor a link. Null: there is no successor, it ended without having asked, or another one came.
    /// </summary>
    private async Task<HandOverLink?> OfferAsync(Task<bool> changed, CancellationToken cancellation)
    {
        (HandOverLink link, FileDescriptor theirs) = HandOverLink.CreatePair();
        bool isAsked = false;
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            using (theirs)
                await HandOverAsync(HandOverLink.Name, [theirs], cancellation).ConfigureAwait(false);
            Task<bool> asked = link.ExpectAsync(HandOverLink.Next, waiting.Token);
            if (await Task.WhenAny(asked, changed).ConfigureAwait(false) != asked)
                await waiting.CancelAsync().ConfigureAwait(false);
            isAsked = await asked.ConfigureAwait(false);
        }
        catch (LaunchdException refused) when (refused.Error == LaunchdError.NotReady)
        {
            // No successor lives at this moment.
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // Another successor is there, or the event says that there will be none.
        }
        finally
        {
            if (!isAsked)
            {
                _ = link.TryKeep();
                link.Dispose();
            }
        }
        return isAsked ? link : null;
    }

    /// <summary>Waits for the event that another successor is there, or that there will be none. False: no more events come.</summary>
    private static async Task<bool> HasChangedAsync(System.Threading.Channels.Channel<LaunchdEvent> watcher, CancellationToken cancellation)
    {
        await foreach (LaunchdEvent happened in watcher.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            if (happened is HandOverAsked or DrainAsked { Successor: null })
                return true;
        }
        return false;
    }
}
