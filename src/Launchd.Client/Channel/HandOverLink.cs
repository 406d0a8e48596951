using System.Runtime.InteropServices;
using Launchd.Client.Interop;

namespace Launchd.Client.Channel;

/// <summary>
/// One end of the socket pair over which two instances speak during a hand-over: packets of one word, with descriptors beside some. The
/// successor asks for each packet, so that at most one is under way. Owns its end.
/// <code>
///   successor     predecessor
///   next  ──▶
///         ◀──     state + 1 memfd
///   next  ──▶
///         ◀──     some + 1 to 128 descriptors, as often as needed
///   next  ──▶
///         ◀──     all
///   taken ──▶
/// </code>
/// Until <c>taken</c> is in the predecessor's queue everything is the predecessor's, from then on the successor's. The predecessor may
/// change its mind before: it shuts its reading side, which the kernel does in one moment, looks for <c>taken</c>, and says <c>kept</c>
/// if it is not there. An end without a word means that the process at the other end is over.
/// </summary>
internal sealed class HandOverLink(FileDescriptor endTaken) : IDisposable
{
    /// <summary>Name of the descriptor that begins a hand-over: the successor's end of this link.</summary>
    public const string Name = "org.launchd-cs.HandOver";

    public static ReadOnlyMemory<byte> Next { get; } = "next"u8.ToArray();
    public static ReadOnlyMemory<byte> State { get; } = "state"u8.ToArray();
    public static ReadOnlyMemory<byte> Some { get; } = "some"u8.ToArray();
    public static ReadOnlyMemory<byte> All { get; } = "all"u8.ToArray();
    public static ReadOnlyMemory<byte> Taken { get; } = "taken"u8.ToArray();
    public static ReadOnlyMemory<byte> Kept { get; } = "kept"u8.ToArray();

    private readonly byte[] _buffer = new byte[16];

    /// <summary>Makes the predecessor's end and the successor's end, which is then handed over; the caller owns both.</summary>
    /// <exception cref="LaunchdException">The kernel refused.</exception>
    public static unsafe (HandOverLink Ours, FileDescriptor Theirs) CreatePair()
    {
        int* ends = stackalloc int[2];
        if (ClientLibc.socketpair(ClientLibc.AF_UNIX, ClientLibc.SOCK_SEQPACKET | ClientLibc.SOCK_CLOEXEC, 0, ends) != 0)
            throw LaunchdException.Kernel("socketpair", Errno.Last);
        return (new HandOverLink(new FileDescriptor(ends[0])), new FileDescriptor(ends[1]));
    }

    /// <summary>False: the other end does not read any more.</summary>
    public async Task<bool> SendAsync(ReadOnlyMemory<byte> word, SafeHandle[] descriptors, CancellationToken cancellation)
    {
        try
        {
            await DescriptorSocket.SendAsync(endTaken, word, descriptors, cancellation).ConfigureAwait(false);
            return true;
        }
        catch (LaunchdException refused) when (refused.ErrorNumber == Errno.EPIPE.Value || refused.ErrorNumber == Errno.ECONNRESET.Value)
        {
            return false;
        }
    }

    /// <summary>The next packet, which the caller owns; an empty word is the end.</summary>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.Truncated"/>: this process had no numbers left for the descriptors.
    /// </exception>
    public async Task<(ReadOnlyMemory<byte> Word, ReceivedDescriptors Descriptors)> ReceiveAsync(CancellationToken cancellation)
    {
        ReceivedPart part = await DescriptorSocket.ReceiveAsync(endTaken, _buffer, cancellation).ConfigureAwait(false);
        part.Beside.Pidfd?.Dispose();
        return part.IsCut
            ? throw new LaunchdException(
                LaunchdError.Truncated, "what the predecessor hands over does not fit into this process's table of descriptors")
            : (_buffer.AsMemory(0, part.Length), part.Beside.Descriptors);
    }

    /// <summary>Waits for a word without descriptors. False: another came, or the end.</summary>
    public async Task<bool> ExpectAsync(ReadOnlyMemory<byte> word, CancellationToken cancellation)
    {
        (ReadOnlyMemory<byte> got, ReceivedDescriptors descriptors) = await ReceiveAsync(cancellation).ConfigureAwait(false);
        descriptors.Dispose();
        return got.Span.SequenceEqual(word.Span);
    }

    /// <summary>The predecessor changes its mind. False: too late, the successor has taken everything.</summary>
    public bool TryKeep()
    {
        // From here on the successor can put nothing more into the queue (unix(7): it gets EPIPE); what is there already counts.
        using (var borrowed = new Borrowed(endTaken))
            _ = ClientLibc.shutdown(borrowed.Number, ClientLibc.SHUT_RD);
        while (MessageCalls.TryReceive(endTaken, _buffer, out ReceivedPart part) == Errno.None && part.Length > 0)
        {
            part.Beside.Close();
            if (_buffer.AsSpan(0, part.Length).SequenceEqual(Taken.Span))
                return false;
        }
        _ = MessageCalls.TrySend(endTaken, Kept.Span, ReadOnlySpan<int>.Empty, out _);
        return true;
    }

    /// <summary>Closes this end.</summary>
    public void Dispose() => endTaken.Dispose();
}
