using System.Globalization;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Keeping;

/// <summary>
/// The supervisor's side of the keeper: what it gives it to hold, and what it gets back. For the loop's thread alone. Owns the socket.
/// </summary>
/// <remarks>
/// Calls wait for the keeper, which does nothing but read and answer: it decides nothing and opens nothing. When it is gone, every call
/// returns at once and does nothing, because a supervisor without a keeper still serves.
/// </remarks>
internal sealed class KeeperLink : IDescriptorKeeper, IFosterParent, IDisposable
{
    /// <summary>
    /// Descriptors come to numbers from here on: a birth copies the table up to those that it needs, which are to stay low.
    /// </summary>
    private const int LeastNumber = 128;

    private readonly byte[] _packet = new byte[KeeperMessage.LongestBytes];
    private readonly FileDescriptor _socket;
    private readonly KeeperOutbox _outbox;
    private bool _hasChildEnded;
    private long _refusedCount;
    private long _toldRefusedCount;
    private Trial? _tried;

    /// <param name="socketTaken">This process's end of the pair.</param>
    /// <param name="keeperPid">Whose the other end is.</param>
    public KeeperLink(FileDescriptor socketTaken, int keeperPid)
    {
        _socket = socketTaken;
        _outbox = new KeeperOutbox(socketTaken) { OnLost = reason => Lose(reason), AwaitReading = () => TryPeek(out _) };
        KeeperPid = keeperPid;
    }

    /// <summary>The process that holds, the parent of this one.</summary>
    public int KeeperPid { get; }

    /// <summary>Readable when there are hints, or the keeper is gone: then <see cref="ReadHints"/>.</summary>
    public FileDescriptor Descriptor => _socket;

    /// <summary>The keeper has ended. Nothing is held any more, and nobody starts the supervisor anew.</summary>
    public bool IsGone { get; private set; }

    /// <summary>Told once when the keeper is found to be gone, with the reason.</summary>
    public Action<Errno>? OnGone { get; set; }

    /// <summary>
    /// The way to the keeper that has started this process; null: it was started by something else. A number in the environment that is no
    /// socket of our parent's counts as absent, because it was inherited from somebody who was meant.
    /// </summary>
    public static KeeperLink? FromEnvironment()
    {
        // Behind the socket's number stands that of the program, where it was executed by that.
        string[] numbers = (OwnStart.Keeper ?? "").Split('+');
        if (numbers.Length > 2 || !IsNumber(numbers[0], out int number) || TryTake(number) is not { } link)
            return null;
        if (numbers.Length == 2 && IsNumber(numbers[1], out int program) && program > 2)
            new FileDescriptor(program).Dispose();
        return link;

        static bool IsNumber(string text, out int number) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>The same for a number that is known.</summary>
    public static KeeperLink? TryTake(int number)
    {
        using FileDescriptor inherited = new(number);
        int parent = (int)Libc.syscall(SystemCallNumbers.getppid, 0, 0, 0, 0, 0, 0);
        bool isKeepers = UnixSocket.IsPairOf(inherited, parent);
        int moved = isKeepers && number < LeastNumber ? Libc.fcntl(number, ClientLibc.F_DUPFD_CLOEXEC, LeastNumber) : -1;
        if (moved >= 0)
            return new KeeperLink(new FileDescriptor(moved), parent);
        // Somebody else's, high enough, or the only number that there is for it.
        _ = inherited.ReleaseNumber();
        if (!isKeepers)
            return null;
        _ = Libc.fcntl(number, ClientLibc.F_SETFD, ClientLibc.FD_CLOEXEC);
        return new KeeperLink(new FileDescriptor(number), parent);
    }

    /// <summary>Has a descriptor held. What was held under this name before is closed by the keeper.</summary>
    /// <param name="name">1 to 127 bytes of UTF-8 without a NUL.</param>
    /// <param name="borrowed">The keeper gets a copy.</param>
    /// <param name="mayWait">As for <see cref="IDescriptorKeeper.Store"/>.</param>
    /// <returns>
    /// Why it is not held: EPIPE, the keeper is gone; ETOOMANYREFS, too many descriptors of this user are on their way (unix(7)). That the
    /// keeper has no room comes later, by a hint.
    /// </returns>
    /// <exception cref="ArgumentException">The name is none.</exception>
    public Errno Store(string name, FileDescriptor borrowed, bool mayWait = false)
    {
        ReadOnlySpan<byte> bytes = NameOf(name, stackalloc byte[KeeperMessage.LongestName]);
        return Send(KeeperMessage.Write(_packet, KeeperMessageKind.Store, bytes), borrowed, mayWait);
    }

    /// <summary>The loop, when there is one: names are then dropped at the end of its turn (<see cref="KeeperOutbox"/>).</summary>
    public LoopOrders? Orders
    {
        set => _outbox.Orders = value;
    }

    /// <summary>Has the keeper close what it holds under this name, if there is such.</summary>
    /// <exception cref="ArgumentException">The name is none.</exception>
    public void Drop(string name, bool isDrained = false)
    {
        if (!IsName(name))
            throw NoName(name);
        _outbox.Drop(name, isDrained);
    }

    /// <summary>Told of what is not held because too many descriptors of this user are on their way: the name.</summary>
    public Action<string>? OnNotHeld { get; set; }

    void IDescriptorKeeper.Store(string name, FileDescriptor borrowed, bool mayWait)
    {
        if (Store(name, borrowed, mayWait) is { Value: not 0 } && !IsGone)
            OnNotHeld?.Invoke(name);
    }

    /// <summary>Whether something can be held under this name.</summary>
    public static bool IsName(string name) =>
        KernelText.ByteCount(name) is > 0 and <= KeeperMessage.LongestName && !name.Contains('\0');

    /// <summary>
    /// Asks for all that is held. Every descriptor takes a number: the limit of this process must have been raised before. Null: the keeper
    /// is gone.
    /// </summary>
    public RestoreAnswer? Restore()
    {
        Dictionary<string, FileDescriptor> held = new(StringComparer.Ordinal);
        List<string> lost = [];
        Send(KeeperMessage.Write(_packet, KeeperMessageKind.Restore));
        while (TryReceive(out Received received))
        {
            using (received)
            {
                ReadOnlySpan<byte> bytes = _packet.AsSpan(0, received.Length);
                // A descriptor without a number here did not come; the rest of the message did.
                if (KeeperMessage.TryRead(bytes, received.IsTruncated ? 1 : received.Descriptors.Count, out KeeperMessage message)
                    && message.Kind == KeeperMessageKind.Held)
                {
                    string name = KernelText.Decode(message.Name);
                    if (received.IsTruncated)
                        lost.Add(name);
                    else
                        held[name] = Move(received.Descriptors.Take(0));
                }
                else if (message.Kind == KeeperMessageKind.RestoreEnd)
                {
                    return new RestoreAnswer(held, message.History, lost);
                }
            }
        }
        new RestoreAnswer(held, default, lost).Dispose();
        return null;
    }

    /// <summary>
    /// A child of the keeper that has ended and was not reaped: an orphan of a supervisor before this one, or of anybody where the keeper
    /// is PID 1. The same one until it is reaped. False: there is none.
    /// </summary>
    public bool TryPeek(out Reaped ended)
    {
        ended = default;
        Send(KeeperMessage.Write(_packet, KeeperMessageKind.Peek));
        while (TryReceive(out Received received))
        {
            using (received)
            {
                _ = KeeperMessage.TryRead(_packet.AsSpan(0, received.Length), received.Descriptors.Count, out KeeperMessage message);
                if (message.Kind == KeeperMessageKind.Ended)
                {
                    ended = message.End;
                    return true;
                }
                if (message.Kind == KeeperMessageKind.NoneEnded)
                    return false;
            }
        }
        return false;
    }

    /// <summary>Has the keeper reap a child that <see cref="TryPeek"/> has told of: its number may be another's from then on.</summary>
    public void Reap(int pid) => Send(KeeperMessage.Write(_packet, KeeperMessageKind.Reap, pid));

    /// <summary>
    /// The supervisor serves from now on: its end without <see cref="Ending"/> is a death, after which it is started anew.
    /// </summary>
    public void Running() => Send(KeeperMessage.Write(_packet, KeeperMessageKind.Running));

    /// <summary>The supervisor is about to end with this code, 0 to 255, and the keeper with it.</summary>
    public void Ending(int code) => Send(KeeperMessage.Write(_packet, KeeperMessageKind.Ending, code & byte.MaxValue));

    /// <summary>Has the keeper find out when a turn of the loop takes too long.</summary>
    public void WatchTurns(TurnTimer borrowed) =>
        Send(KeeperMessage.Write(_packet, KeeperMessageKind.Turns), borrowed.Descriptor);

    /// <summary>Messages that may wait do not wake the keeper from now on.</summary>
    public void BeginToRing()
    {
        if (Bell.TryOpen() is not { } bell)
            return;
        if (Send(KeeperMessage.Write(_packet, KeeperMessageKind.Bell), bell.Descriptor) == Errno.None)
            _outbox.Use(bell);
        else
            bell.Dispose();
    }

    /// <summary>
    /// Has the keeper close its copies of the listeners that the service manager had stored and has passed to it. Returns when they are
    /// closed, so that their places are free.
    /// </summary>
    public void LetGoOfStored()
    {
        Send(KeeperMessage.Write(_packet, KeeperMessageKind.LetGo));
        // Its answer says that what was asked before has been done.
        _ = TryPeek(out _);
    }

    /// <summary>
    /// The configuration wants no keeper, and this process ends at once, without having done anything: the keeper's process takes over.
    /// </summary>
    public void NotWanted() => Send(KeeperMessage.Write(_packet, KeeperMessageKind.NotWanted));

    /// <summary>Has a program prove that it could go on; <see cref="ReadHints"/> tells what became of it.</summary>
    /// <param name="program">The keeper gets a copy.</param>
    /// <returns>Why it was not asked, as <see cref="Store"/> tells.</returns>
    public Errno Try(FileDescriptor program) => Send(KeeperMessage.Write(_packet, KeeperMessageKind.Try), program);

    /// <summary>The supervisor ends now, and the program that has proved itself is to go on.</summary>
    public void HandOver() => Send(KeeperMessage.Write(_packet, KeeperMessageKind.HandOver));

    /// <summary>A program that is tried says its version, or why it could not go on.</summary>
    /// <param name="isProved">It could.</param>
    /// <param name="text">One character at least; what is too long is cut.</param>
    public void SayVerdict(bool isProved, string text)
    {
        Span<byte> bytes = stackalloc byte[KeeperMessage.LongestText];
        string cut = text;
        while (KernelText.ByteCount(cut) > bytes.Length)
            cut = cut[..^1];
        int length = KernelText.Encode(cut, bytes);
        Send(KeeperMessage.WriteText(
            _packet, isProved ? KeeperMessageKind.Proved : KeeperMessageKind.Refuses, bytes[..length]));
    }

    /// <summary>
    /// Told when something was said unasked while an answer was waited for: nothing more makes <see cref="Descriptor"/> readable, but
    /// <see cref="ReadHints"/> has something to tell.
    /// </summary>
    public Action? OnPutOff { get; set; }

    /// <summary>Told what became of a program that was to be tried.</summary>
    public Action<Trial>? OnTried { get; set; }

    /// <summary>Reads what the keeper has said unasked, without waiting.</summary>
    /// <param name="onChildEnded">A child of the keeper has ended: <see cref="TryPeek"/> until there is none.</param>
    /// <param name="onFull">Descriptors could not be held; how many of this supervisor's so far.</param>
    public void ReadHints(Action onChildEnded, Action<long> onFull)
    {
        while (!IsGone && ReceiveNow(out Received received))
            received.Dispose();
        if (_hasChildEnded)
        {
            _hasChildEnded = false;
            onChildEnded();
        }
        if (_refusedCount > _toldRefusedCount)
        {
            _toldRefusedCount = _refusedCount;
            onFull(_refusedCount);
        }
        if (_tried is { } tried)
        {
            _tried = null;
            OnTried?.Invoke(tried);
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        _outbox.Dispose();
    }

    private static ReadOnlySpan<byte> NameOf(string name, Span<byte> room) =>
        IsName(name) ? room[..KernelText.Encode(name, room)] : throw NoName(name);

    private static ArgumentException NoName(string name) =>
        new($"'{name}' has not 1 to {KeeperMessage.LongestName} bytes without a NUL", nameof(name));

    private Errno Send(int length, FileDescriptor? borrowed = null, bool mayWait = false) =>
        _outbox.Send(_packet.AsSpan(0, length), borrowed, mayWait);

    /// <summary>Waits for the next answer; what the keeper said unasked is kept. False: the keeper is gone.</summary>
    private bool TryReceive(out Received received)
    {
        received = default;
        while (!IsGone)
        {
            if (!ReceiveNow(out received))
                _outbox.Wait(Libc.POLLIN);
            else if (!IsHint(received))
                return true;
            else
                PutOff(received);
        }
        return false;
    }

    private bool ReceiveNow(out Received received)
    {
        do
            received = UnixSocket.Receive(_socket, _packet);
        while (received.Outcome == ReceiveOutcome.Reset);
        if (received.Outcome == ReceiveOutcome.Message)
        {
            Keep(received);
            return true;
        }
        if (received.Outcome != ReceiveOutcome.WouldBlock)
            Lose(received.Outcome == ReceiveOutcome.EndOfStream ? Errno.EPIPE : received.Errno);
        return false;
    }

    private void PutOff(in Received received)
    {
        received.Dispose();
        OnPutOff?.Invoke();
    }

    private void Keep(in Received received)
    {
        _ = KeeperMessage.TryRead(_packet.AsSpan(0, received.Length), received.Descriptors.Count, out KeeperMessage message);
        _hasChildEnded |= message.Kind == KeeperMessageKind.ChildEnded;
        if (message.Kind == KeeperMessageKind.Full)
            _refusedCount = message.Count;
        if (message.Kind == KeeperMessageKind.Tried)
            _tried = new Trial(message.Outcome, message.OutcomeNumber, KernelText.Decode(message.Text));
    }

    private bool IsHint(in Received received) =>
        KeeperMessage.TryRead(_packet.AsSpan(0, received.Length), received.Descriptors.Count, out KeeperMessage message)
        && message.Kind is KeeperMessageKind.ChildEnded or KeeperMessageKind.Full or KeeperMessageKind.Tried;

    private void Lose(Errno reason)
    {
        if (IsGone)
            return;
        IsGone = _outbox.IsClosed = true;
        OnGone?.Invoke(reason);
    }

    private static FileDescriptor Move(FileDescriptor received)
    {
        int moved = received.Number >= LeastNumber ? -1 : Libc.fcntl(received.Number, ClientLibc.F_DUPFD_CLOEXEC, LeastNumber);
        if (moved < 0)
            return received;
        received.Dispose();
        return new FileDescriptor(moved);
    }
}
