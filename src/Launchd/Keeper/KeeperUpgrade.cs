using Launchd.Client;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// Another program in the place of the supervisor's, and of the keeper's own: first it proves itself beside the supervisor, then it is
/// started as the next one, and the former program is kept until that serves. Owns the programs.
/// </summary>
/// <param name="table">What is held; borrowed.</param>
/// <param name="start">Starts programs; borrowed.</param>
internal sealed class KeeperUpgrade(KeeperTable table, SupervisorStart start) : IDisposable
{
    private const int Kill = 9;
    private const long Second = 1_000_000_000;

    /// <summary>How long a program may take to prove itself.</summary>
    public const int TrialSeconds = 10;

    /// <summary>How long one that was started may take until it serves.</summary>
    private const int ServeSeconds = 60;

    /// <summary>So many supervisors of a new program may end before they serve; the first may have been killed by somebody.</summary>
    private const int MostDeaths = 2;

    private FileDescriptor? _tried;
    private FileDescriptor? _former;
    private FileDescriptor? _memory;
    private KeeperDialogue? _dialogue;
    private ProcessHandle? _process;
    private long _trialDue = long.MaxValue;
    private bool _isLate;
    private int _deaths;

    /// <summary>What supervisors are executed from; null: the program that the keeper runs itself. Borrowed.</summary>
    public FileDescriptor? Program { get; private set; }

    /// <summary>Where a program that is tried speaks; null: it has said its last, or none is tried.</summary>
    public KeeperDialogue? Dialogue => _dialogue;

    /// <summary>A program that has proved itself and was not started yet; null: none. Borrowed.</summary>
    public FileDescriptor? Proved => _process is null ? _tried : null;

    /// <summary>Goes on with a program that has proved itself to a former image of this process.</summary>
    public void Resume(FileDescriptor provedTaken) => _tried = provedTaken;

    /// <summary>The process of a program that is tried; 0: none.</summary>
    public int Pid => _process?.Pid ?? 0;

    /// <summary>The supervisor of a new program is about to be started, or was started and does not serve yet.</summary>
    public bool IsSwitching { get; private set; }

    /// <summary>When a program that is tried is late, CLOCK_MONOTONIC in nanoseconds.</summary>
    public long TrialDue => _trialDue;

    /// <summary>By when a new supervisor is to serve that is started now.</summary>
    public static long ServesBy(long now) => now + (ServeSeconds * Second);

    /// <summary>Begins to try a program. Null: it is under way, and <see cref="TryEnd"/> tells the rest.</summary>
    /// <param name="programTaken">O_PATH is enough.</param>
    /// <param name="memoryTaken">What the keeper would take along; shown to the program.</param>
    /// <param name="history">What happened before.</param>
    /// <param name="now">CLOCK_MONOTONIC in nanoseconds.</param>
    public Errno Begin(FileDescriptor programTaken, FileDescriptor memoryTaken, in KeeperHistory history, long now)
    {
        _tried?.Dispose();
        _memory?.Dispose();
        (_tried, _memory) = (programTaken, memoryTaken);
        Errno refused = start.Try(programTaken, out FileDescriptor? socket, out _process);
        if (refused != Errno.None)
        {
            Forget();
            return refused;
        }
        _dialogue = new KeeperDialogue(table, hang: null) { Memory = memoryTaken };
        KeeperHistory shown = history;
        // It is to read what there is, whoever has written it.
        (shown.IsFirst, shown.IsDistrusted) = (0, 0);
        _dialogue.Begin(socket!, _process!.Pid, shown);
        _isLate = false;
        _trialDue = now + (TrialSeconds * Second);
        return Errno.None;
    }

    /// <summary>Ends a program that is tried. How it ended is told by <see cref="TryEnd"/>.</summary>
    public void EndTrial()
    {
        _isLate = true;
        _trialDue = long.MaxValue;
        _ = _process?.Signal(Kill);
    }

    /// <summary>Whether the program that is tried has ended, and what that means.</summary>
    /// <param name="outcome">What became of it.</param>
    /// <param name="number">That belongs to the outcome.</param>
    /// <param name="text">Its version or reason; until the next call of anything.</param>
    public bool TryEnd(out TrialOutcome outcome, out int number, out ReadOnlySpan<byte> text)
    {
        outcome = default;
        number = 0;
        text = default;
        if (_process is null || !KeeperChildren.TryReap(_process.Pid, out Reaped ended))
            return false;
        _dialogue!.End();
        text = _dialogue.VerdictText;
        if (_isLate)
            (outcome, number) = (TrialOutcome.TooLate, TrialSeconds);
        else if (_dialogue.Verdict == TrialOutcome.Proved && ended is { Signal: 0, Code: 0 })
            outcome = TrialOutcome.Proved;
        else if (_dialogue.Verdict == TrialOutcome.Refuses)
            outcome = TrialOutcome.Refuses;
        else
            (outcome, number) = ended.Signal != 0 ? (TrialOutcome.Killed, ended.Signal) : (TrialOutcome.Exited, ended.Code);
        _process.Dispose();
        _process = null;
        _trialDue = long.MaxValue;
        _memory?.Dispose();
        _memory = null;
        _dialogue.Dispose();
        _dialogue = null;
        if (outcome != TrialOutcome.Proved)
            Forget();
        return true;
    }

    /// <summary>The supervisor has ended for the program that has proved itself. False: none has.</summary>
    public bool TryBeginSwitch()
    {
        if (_tried is null || _process is not null)
            return false;
        _former?.Dispose();
        (_former, Program, _tried) = (Program, _tried, null);
        _deaths = 0;
        return IsSwitching = true;
    }

    /// <summary>A supervisor of the new program did not come to serve. True: the former program is to be started.</summary>
    public bool NoteFailure()
    {
        if (++_deaths < MostDeaths)
            return false;
        Program?.Dispose();
        (Program, _former) = (_former, null);
        IsSwitching = false;
        return true;
    }

    /// <summary>The supervisor of the new program serves.</summary>
    public void NoteServing()
    {
        IsSwitching = false;
        _former?.Dispose();
        _former = null;
    }

    public void Dispose()
    {
        _dialogue?.Dispose();
        _process?.Dispose();
        _former?.Dispose();
        Program?.Dispose();
        Forget();
    }

    private void Forget()
    {
        _tried?.Dispose();
        _memory?.Dispose();
        (_tried, _memory) = (null, null);
    }
}
