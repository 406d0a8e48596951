using Launchd.Client.Channel;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// What the predecessor hands over; <see cref="LaunchdClient.TakeOverAsync"/>. Until <see cref="ConfirmAsync"/> it is the predecessor's,
/// which goes on serving if this object is disposed or this process ends. Owns the descriptors that are not taken from it.
/// </summary>
public sealed class TakeOver : IDisposable
{
    private readonly HandOverLink _link;
    private readonly List<NamedDescriptor> _descriptors;
    private bool _isConfirmed;

    private TakeOver(HandOverLink linkTaken, byte[] state, List<NamedDescriptor> descriptorsTaken, bool isComplete)
    {
        _link = linkTaken;
        State = state;
        _descriptors = descriptorsTaken;
        IsComplete = isComplete;
    }

    /// <summary>As the predecessor gave it to <see cref="HandOver.CompleteAsync"/>.</summary>
    public byte[] State { get; }

    /// <summary>In the predecessor's order; if <see cref="IsComplete"/> is false, the first of them.</summary>
    public IReadOnlyList<NamedDescriptor> Descriptors => _descriptors;

    /// <summary>
    /// False: the predecessor died in the middle. The descriptors that came belong to this instance alone;
    /// the rest was closed with the predecessor.
    /// </summary>
    public bool IsComplete { get; }

    /// <summary>
    /// Makes everything this instance's own. Call it when all is ready to go on, and not before: until then a successor that cannot use
    /// what it got may just end, and the predecessor goes on. Do not read from or write to the descriptors before.
    /// </summary>
    /// <param name="cancellation">Before the confirmation was sent, it is not sent.</param>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.TakenBack"/>: the predecessor has lost its patience and goes on by itself. Dispose this;
    /// <see cref="LaunchdClient.TakeOverAsync"/> waits for its next attempt.
    /// </exception>
    public async Task ConfirmAsync(CancellationToken cancellation = default)
    {
        if (_isConfirmed)
            return;
        // A predecessor that has died needs no confirmation.
        bool isTold = !IsComplete || await _link.SendAsync(HandOverLink.Taken, [], cancellation).ConfigureAwait(false);
        if (!isTold && await _link.ExpectAsync(HandOverLink.Kept, cancellation).ConfigureAwait(false))
            throw new LaunchdException(LaunchdError.TakenBack, "the predecessor did not wait any longer and goes on by itself");
        _isConfirmed = true;
    }

    /// <summary>Closes what was not taken; without a confirmation the predecessor goes on.</summary>
    public void Dispose()
    {
        _link.Dispose();
        foreach (NamedDescriptor descriptor in _descriptors)
            descriptor.Dispose();
    }

    /// <summary>Receives everything. Null: the predecessor has kept everything, or died before anything useful had come.</summary>
    internal static async Task<TakeOver?> ReceiveAsync(HandOverLink linkTaken, CancellationToken cancellation)
    {
        byte[]? state = null;
        List<NamedDescriptor> descriptors = [];
        TakeOver? result = null;
        try
        {
            while (true)
            {
                // If the predecessor does not read any more, the next receive tells why.
                _ = await linkTaken.SendAsync(HandOverLink.Next, [], cancellation).ConfigureAwait(false);
                (ReadOnlyMemory<byte> word, ReceivedDescriptors received) =
                    await linkTaken.ReceiveAsync(cancellation).ConfigureAwait(false);
                using (received)
                {
                    if (word.Span.SequenceEqual(HandOverLink.State.Span) && received.Count == 1)
                    {
                        state = SealedMemory.Read(received[0]!);
                    }
                    else if (word.Span.SequenceEqual(HandOverLink.Some.Span))
                    {
                        descriptors.AddRange(
                            Enumerable.Range(0, received.Count).Select(i => new NamedDescriptor(HandOverLink.Name, received.Take(i))));
                    }
                    else
                    {
                        return result = ResultOf(word.Span, linkTaken, state, descriptors);
                    }
                }
            }
        }
        finally
        {
            if (result is null)
            {
                linkTaken.Dispose();
                foreach (NamedDescriptor descriptor in descriptors)
                    descriptor.Dispose();
            }
        }
    }

    private static TakeOver? ResultOf(ReadOnlySpan<byte> word, HandOverLink link, byte[]? state, List<NamedDescriptor> descriptors)
    {
        bool isAll = word.SequenceEqual(HandOverLink.All.Span);
        if (!isAll && !word.IsEmpty && !word.SequenceEqual(HandOverLink.Kept.Span))
            throw new LaunchdException(LaunchdError.BadAnswer, "what the predecessor says is no word of a hand-over");
        return state is not null && (isAll || word.IsEmpty) ? new TakeOver(link, state, descriptors, isAll) : null;
    }
}
