using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>What the keeper says.</summary>
internal sealed partial class KeeperDialogue
{
    // Answers first: a supervisor that has asked reads until it has its answer, and keeps what it is told besides.
    private bool SendNext()
    {
        Span<byte> packet = stackalloc byte[KeeperMessage.LongestBytes];
        if (_nextHeld >= 0)
            return SendHeld(packet);
        if (_owesPeek)
            return SendEnd(packet);
        if (_owesHint)
            return IsSent(packet, KeeperMessage.Write(packet, KeeperMessageKind.ChildEnded)) && !(_owesHint = false);
        if (_triedLength > 0)
        {
            _tried.CopyTo(packet);
            if (!IsSent(packet, _triedLength))
                return false;
            _triedLength = 0;
            return true;
        }
        if (!IsSent(packet, KeeperMessage.Write(packet, KeeperMessageKind.Full, _refused)))
            return false;
        _toldRefused = _refused;
        return true;
    }

    private bool SendHeld(Span<byte> packet)
    {
        if (_nextHeld < table.Count)
        {
            int length = KeeperMessage.Write(packet, KeeperMessageKind.Held, table.NameAt(_nextHeld));
            if (!IsSent(packet, length, table.NumberAt(_nextHeld)))
                return false;
            _nextHeld++;
            return true;
        }
        if (_nextHeld == table.Count && Memory is { } memory)
        {
            if (!IsSent(packet, KeeperMessage.Write(packet, KeeperMessageKind.Held, KeeperMemory.Name), memory.Number))
                return false;
            _nextHeld++;
            return true;
        }
        _history.RefusedCount = RefusedCount;
        _history.StrangeCount = StrangeCount;
        if (!IsSent(packet, KeeperMessage.Write(packet, _history)))
            return false;
        _nextHeld = -1;
        return true;
    }

    // The keeper reaps a program that is tried itself, and tells of children that have ended once it has.
    private bool TryPeek(out Reaped ended) => KeeperChildren.TryPeek(_supervisor, out ended) && ended.Pid != Tried;

    private bool SendEnd(Span<byte> packet)
    {
        bool hasEnded = TryPeek(out Reaped ended);
        int length = hasEnded ? KeeperMessage.Write(packet, ended) : KeeperMessage.Write(packet, KeeperMessageKind.NoneEnded);
        if (!IsSent(packet, length))
            return false;
        _owesPeek = false;
        _hasHinted &= hasEnded;
        return true;
    }

    /// <summary>False: not now. What cannot be sent for another reason counts as sent, for nothing would change that.</summary>
    private bool IsSent(Span<byte> packet, int length, int descriptor = -1)
    {
        ReadOnlySpan<int> numbers = descriptor < 0 ? [] : new ReadOnlySpan<int>(in descriptor);
        Errno refused = MessageCalls.TrySend(_socket!, packet[..length], numbers, out _);
        _isCrowded = refused == Errno.ETOOMANYREFS;
        return refused != Errno.EAGAIN && !_isCrowded;
    }
}
