using Launchd.Client;
using Launchd.Linux.Loop;

namespace Launchd.Keeper;

/// <summary>
/// The keeper's side of the messages with one supervisor after the other. Nothing here allocates, throws for what is sent, or waits: what
/// cannot be sent now is sent when the supervisor has read, and until then nothing more of it is read. Owns the socket.
/// </summary>
/// <param name="table">What is held; borrowed.</param>
/// <param name="hang">
/// Gets the timer of the supervisor's turns; borrowed. Null: the other side is a program that is tried, which is shown everything and
/// changes nothing.
/// </param>
internal sealed partial class KeeperDialogue(KeeperTable table, HangWatch? hang) : IDisposable
{
    /// <summary>A turn of the loop reads at most so many messages, so that signals are heard in between.</summary>
    private const int MostAtOnce = 256;

    private readonly byte[] _packet = new byte[KeeperMessage.LongestBytes + 1];

    private FileDescriptor? _socket;
    private Bell? _bell;
    private bool _mayHaveMore;
    private int _supervisor;
    private int _nextHeld = -1;
    private bool _owesPeek;
    private bool _hasHinted;
    private bool _owesHint;
    private long _refused;
    private long _toldRefused;
    private KeeperHistory _history;
    private bool _isCrowded;
    private FileDescriptor? _program;
    private readonly byte[] _tried = new byte[KeeperMessage.LongestBytes];
    private int _triedLength;
    private readonly byte[] _verdict = new byte[KeeperMessage.LongestText];
    private int _verdictLength;

    /// <summary>Where the supervisor speaks; null: it has said its last, or there is none.</summary>
    public FileDescriptor? Socket => _socket;

    /// <summary>The number of what tells that there is something to be read (<see cref="Hear"/>); -1: the socket itself does.</summary>
    public int BellNumber => _bell?.Descriptor.Number ?? -1;

    /// <summary>Messages are to be read if there are any: the supervisor has no bell, or it has rung and not everything was read.</summary>
    public bool IsReading => !IsAnswering && (_bell is null || _mayHaveMore);

    /// <summary>There is something to be said that could not be sent.</summary>
    public bool IsWaitingToSend => IsAnswering || _owesHint || _triedLength > 0 || _refused > _toldRefused;

    /// <summary>
    /// It must be tried again after a while: too many descriptors of this user are on their way, of which no poll(2) tells (unix(7)).
    /// </summary>
    public bool IsCrowded => IsWaitingToSend && _isCrowded;

    /// <summary>Nothing more is read before the last question is answered.</summary>
    public bool IsAnswering => _nextHeld >= 0 || _owesPeek;

    /// <summary>The present supervisor has said that it serves.</summary>
    public bool IsRunning { get; private set; }

    /// <summary>The present supervisor has said that it is about to end.</summary>
    public bool IsEnding { get; private set; }

    /// <summary>With which code.</summary>
    public int EndingCode { get; private set; }

    /// <summary>Called when what the service manager had stored is held by its names from now on, or not wanted any more.</summary>
    public Action? OnLetGo { get; init; }

    /// <summary>The present supervisor has said that there is to be no keeper.</summary>
    public bool IsUnwanted { get; private set; }

    /// <summary>The present supervisor has said that it ends for another program.</summary>
    public bool IsHandingOver { get; private set; }

    /// <summary>The process of a program that is tried, which is nothing to the supervisor; 0: none.</summary>
    public int Tried { get; set; }

    /// <summary>What is shown to a program that is tried besides what is held, by <see cref="KeeperMemory.Name"/>; borrowed.</summary>
    public FileDescriptor? Memory { get; init; }

    /// <summary>What a program that is tried has said of itself; null: nothing.</summary>
    public TrialOutcome? Verdict { get; private set; }

    /// <summary>Its version or its reason.</summary>
    public ReadOnlySpan<byte> VerdictText => _verdict.AsSpan(0, _verdictLength);

    /// <summary>Messages that made no sense, of all supervisors.</summary>
    public long StrangeCount { get; private set; }

    /// <summary>Descriptors that could not be held, of all supervisors.</summary>
    public long RefusedCount { get; private set; }

    /// <summary>Begins with a new supervisor; what was not sent to the former one is forgotten.</summary>
    /// <param name="socketTaken">The keeper's end, non-blocking, with SO_PASSCRED.</param>
    /// <param name="supervisor">Its pid.</param>
    /// <param name="history">What it is to be told; the counts are filled in here.</param>
    public void Begin(FileDescriptor socketTaken, int supervisor, in KeeperHistory history)
    {
        End();
        _socket = socketTaken;
        _supervisor = supervisor;
        _history = history;
        IsRunning = IsEnding = IsUnwanted = IsHandingOver = _hasHinted = _owesHint = false;
        EndingCode = _triedLength = 0;
        _refused = _toldRefused = 0;
    }

    /// <summary>Goes on with a supervisor, to which nothing was owed, in another image of this process.</summary>
    /// <param name="socketTaken">As for <see cref="Begin"/>.</param>
    /// <param name="memory">What the former image has left.</param>
    public void Resume(FileDescriptor socketTaken, in KeeperMemory memory)
    {
        _socket = socketTaken;
        _supervisor = memory.Supervisor;
        _history = memory.History;
        IsRunning = true;
        if (memory.Bell > 0)
            TakeBell(new FileDescriptor(memory.Bell));
        _hasHinted = memory.HasHinted != 0;
        _refused = _toldRefused = memory.Refused;
        RefusedCount = memory.RefusedCount;
        StrangeCount = memory.StrangeCount;
    }

    /// <summary>Writes down what <see cref="Resume"/> needs, when nothing is owed.</summary>
    public void Remember(ref KeeperMemory memory)
    {
        memory.Bell = Math.Max(0, BellNumber);
        memory.HasHinted = _hasHinted ? 1 : 0;
        memory.Refused = _refused;
        memory.RefusedCount = RefusedCount;
        memory.StrangeCount = StrangeCount;
    }

    /// <summary>Reads all that the supervisor had sent before it ended, and closes the socket.</summary>
    public void End()
    {
        // Nobody reads the answers, so that they keep nothing from being read.
        while (_socket is not null && Receive())
            DropAnswers();
        DropAnswers();
        _socket?.Dispose();
        _bell?.Dispose();
        _socket = null;
        _bell = null;
        _supervisor = 0;
    }

    /// <summary>Reads and answers what is there.</summary>
    public void Read()
    {
        for (int count = 0; count < MostAtOnce && !IsAnswering && _socket is not null && Receive(); count++)
            Send();
    }

    /// <summary>The bell has rung.</summary>
    public void Hear()
    {
        // Cleared before anything is read: what comes after the last message that is read rings again.
        _bell?.Clear();
        _mayHaveMore = true;
    }

    /// <summary>Sends what could not be sent before.</summary>
    public void Send()
    {
        while (_socket is not null && IsWaitingToSend && SendNext())
        {
        }
    }

    /// <summary>Tells the supervisor of a child that has ended, unless it knows already that there is one.</summary>
    public void NoteChildEnded()
    {
        if (_hasHinted || _socket is null || !TryPeek(out _))
            return;
        _hasHinted = _owesHint = true;
        Send();
    }

    /// <summary>Gives away the program that the supervisor wants to have tried; null: none.</summary>
    public FileDescriptor? TakeProgram()
    {
        FileDescriptor? taken = _program;
        _program = null;
        return taken;
    }

    /// <summary>Tells the supervisor what became of it.</summary>
    public void TellTried(TrialOutcome outcome, int number, ReadOnlySpan<byte> text)
    {
        _triedLength = KeeperMessage.Write(_tried, outcome, number, text);
        Send();
    }

    public void Dispose()
    {
        _socket?.Dispose();
        _bell?.Dispose();
        _program?.Dispose();
    }

    private void DropAnswers()
    {
        _nextHeld = -1;
        _owesPeek = false;
    }

    private bool Receive()
    {
        Errno refused = KeeperPacket.Receive(_socket!, _packet, out KeeperPacket packet);
        if (refused == Errno.EAGAIN)
        {
            _mayHaveMore = false;
            return false;
        }
        if (refused != Errno.None || packet.IsEnd)
        {
            _socket!.Dispose();
            _socket = null;
            return false;
        }
        Take(packet);
        return true;
    }

    private void Take(in KeeperPacket packet)
    {
        ReadOnlySpan<byte> bytes = _packet.AsSpan(0, packet.Length);
        // A descriptor that did not fit into the limit of open files is one without room in the table: it is told so.
        int count = packet.IsBereft && packet.DescriptorCount == 0 ? 1 : packet.DescriptorCount;
        bool isMessage = !packet.IsCut && KeeperMessage.TryRead(bytes, count, out KeeperMessage message) && Handle(message, packet);
        if (isMessage)
            return;
        KeeperPacket.Close(packet.Descriptor);
        StrangeCount++;
    }

    /// <summary>False: this is nothing that a supervisor says. Otherwise the descriptor is taken.</summary>
    private bool Handle(in KeeperMessage message, in KeeperPacket packet)
    {
        if (hang is null)
            return HandleOfTrial(message);
        switch (message.Kind)
        {
            case KeeperMessageKind.Store:
                Store(message.Name, packet);
                return true;
            case KeeperMessageKind.Drop:
                table.Drop(message.Name, isDrained: false);
                return true;
            case KeeperMessageKind.DropDrained:
                table.Drop(message.Name, isDrained: true);
                return true;
            case KeeperMessageKind.Restore:
                _nextHeld = 0;
                return true;
            case KeeperMessageKind.Peek:
                _owesPeek = true;
                return true;
            case KeeperMessageKind.Reap:
                if (message.Pid != _supervisor)
                    _ = KeeperChildren.TryReap(message.Pid, out _);
                return true;
            case KeeperMessageKind.Running:
                IsRunning = true;
                OnLetGo?.Invoke();
                return true;
            case KeeperMessageKind.Turns when !packet.IsBereft:
                hang.Take(new FileDescriptor(packet.Descriptor));
                return true;
            case KeeperMessageKind.Bell when !packet.IsBereft:
                TakeBell(new FileDescriptor(packet.Descriptor));
                return true;
            case KeeperMessageKind.LetGo:
                OnLetGo?.Invoke();
                return true;
            case KeeperMessageKind.Ending:
                IsEnding = true;
                EndingCode = message.ExitCode;
                return true;
            case KeeperMessageKind.NotWanted:
                IsUnwanted = true;
                return true;
            case KeeperMessageKind.Try when !packet.IsBereft:
                _program?.Dispose();
                _program = new FileDescriptor(packet.Descriptor);
                return true;
            case KeeperMessageKind.Try:
                KeeperPacket.Close(packet.Descriptor);
                TellTried(TrialOutcome.NotExecuted, Errno.EMFILE.Value, []);
                return true;
            case KeeperMessageKind.HandOver:
                IsHandingOver = true;
                return true;
            default:
                return false;
        }
    }

    // It may have rung already.
    private void TakeBell(FileDescriptor taken)
    {
        _bell?.Dispose();
        _bell = new Bell(taken);
        _mayHaveMore = true;
    }

    private bool HandleOfTrial(in KeeperMessage message)
    {
        switch (message.Kind)
        {
            case KeeperMessageKind.Restore:
                _nextHeld = 0;
                return true;
            case KeeperMessageKind.Proved or KeeperMessageKind.Refuses:
                Verdict = message.Kind == KeeperMessageKind.Proved ? TrialOutcome.Proved : TrialOutcome.Refuses;
                _verdictLength = message.Text.Length;
                message.Text.CopyTo(_verdict);
                return true;
            default:
                return false;
        }
    }

    private void Store(ReadOnlySpan<byte> name, in KeeperPacket packet)
    {
        if (packet.IsBereft)
            KeeperPacket.Close(packet.Descriptor);
        else if (table.Put(name, packet.Descriptor))
            return;
        RefusedCount++;
        _refused++;
    }
}
