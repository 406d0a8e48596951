using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Loop;

namespace Launchd.Host.Keeping;

/// <summary>
/// What is on its way to the keeper, in the order in which it was said. To wake another process costs more than all else that a birth has
/// done for the keeper's sake. So what may wait lies in the keeper's socket until something is said that may not, and what is dropped is
/// said at the end of the loop's turn, or before the next message: a restart drops a name and stores another.
/// </summary>
/// <remarks>Nothing is lost by that: the keeper reads what lies in its socket when this process has ended, however it ended.</remarks>
/// <param name="socket">Borrowed.</param>
internal sealed class KeeperOutbox(FileDescriptor socket) : IDisposable
{
    /// <summary>Few, for descriptors in messages count for a limit that all processes of a user share (unix(7), ETOOMANYREFS).</summary>
    private const int MostUnread = 64;

    private readonly List<(string Name, bool IsDrained)> _dropped = [];
    private Bell? _bell;
    private int _unread;

    /// <summary>The loop; null: there is none yet, and what is dropped is said at once.</summary>
    public LoopOrders? Orders { get; set; }

    /// <summary>The keeper is gone: nothing is sent any more.</summary>
    public bool IsClosed { get; set; }

    /// <summary>Called when the keeper is found to be gone.</summary>
    public required Action<Errno> OnLost { get; init; }

    /// <summary>Asks the keeper something and waits for the answer, before which it reads all that was sent.</summary>
    public required Action AwaitReading { get; init; }

    /// <summary>What the keeper listens to from now on in the place of the socket.</summary>
    public void Use(Bell bellTaken) => _bell = bellTaken;

    /// <param name="name">1 to 127 bytes of UTF-8 without a NUL.</param>
    /// <param name="isDrained">As for <see cref="Linux.Descriptors.IDescriptorKeeper.Drop"/>.</param>
    public void Drop(string name, bool isDrained)
    {
        _dropped.Add((name, isDrained));
        if (Orders is null)
            SendDropped();
        else if (_dropped.Count == 1)
            Orders.AtEndOfTurn(SendDropped);
    }

    /// <summary>Sends a message behind what was dropped before it.</summary>
    /// <param name="message">All of it.</param>
    /// <param name="borrowed">What comes along; null: nothing.</param>
    /// <param name="mayWait">The keeper is not woken for it alone.</param>
    /// <returns>EPIPE: the keeper is gone. ETOOMANYREFS: too many descriptors of this user are on their way.</returns>
    public Errno Send(ReadOnlySpan<byte> message, FileDescriptor? borrowed, bool mayWait)
    {
        if (_dropped.Count > 0)
            SendDropped();
        Errno refused = SendNow(message, borrowed, mayWait);
        if (refused != Errno.ETOOMANYREFS || _unread == 0)
            return refused;
        // Those in messages that wait count as well.
        Span<byte> again = stackalloc byte[message.Length];
        message.CopyTo(again);
        AwaitReading();
        return SendNow(again, borrowed, mayWait);
    }

    /// <summary>Waits until the keeper has sent or read something, or is gone (poll(2)).</summary>
    public void Wait(short events)
    {
        Libc.poll_entry entry = new() { fd = socket.Number, events = events };
        _ = Libc.poll(ref entry, 1, -1);
    }

    public void Dispose() => _bell?.Dispose();

    private void SendDropped()
    {
        Span<byte> packet = stackalloc byte[KeeperMessage.LongestBytes], room = stackalloc byte[KeeperMessage.LongestName];
        // Whoever is told that the keeper is gone may drop something else.
        for (int i = 0; i < _dropped.Count; i++)
        {
            (string name, bool isDrained) = _dropped[i];
            KeeperMessageKind kind = isDrained ? KeeperMessageKind.DropDrained : KeeperMessageKind.Drop;
            int length = KeeperMessage.Write(packet, kind, room[..KernelText.Encode(name, room)]);
            _ = SendNow(packet[..length], null, mayWait: isDrained);
        }
        _dropped.Clear();
    }

    private Errno SendNow(ReadOnlySpan<byte> message, FileDescriptor? borrowed, bool mayWait)
    {
        if (IsClosed)
            return Errno.EPIPE;
        ReadOnlySpan<int> numbers = borrowed is null ? [] : [borrowed.Number];
        while (true)
        {
            Errno refused = MessageCalls.TrySend(socket, message, numbers, out _);
            if (refused == Errno.None)
                _unread++;
            if (refused == Errno.EAGAIN || (refused == Errno.None && (!mayWait || _unread >= MostUnread)))
                Ring();
            if (refused == Errno.EAGAIN)
            {
                Wait(Libc.POLLOUT);
                continue;
            }
            if (refused != Errno.EPIPE && refused != Errno.ECONNRESET)
                return refused;
            OnLost(refused);
            return Errno.EPIPE;
        }
    }

    private void Ring()
    {
        _bell?.Ring();
        _unread = 0;
    }
}
