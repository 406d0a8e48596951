using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// The parent of the supervisor. It holds what must not be lost, starts the supervisor anew when that has died, hands on signals, and
/// decides nothing. Once it runs it opens no path but the state of its child in /proc, reads nothing but that, signals, a timer and the
/// messages of its child and of a program that is tried, and allocates only for a start and for an upgrade.
/// </summary>
internal sealed unsafe partial class KeeperProcess : IDisposable
{
    private const int Hup = 1, Int = 2, Quit = 3, Kill = 9, Term = 15, Chld = 17, Cont = 18, Pwr = 30, RealTime3 = 37;
    private const ulong EndSignals =
        1UL << (Int - 1) | 1UL << (Quit - 1) | 1UL << (Term - 1) | 1UL << (Pwr - 1) | 1UL << (RealTime3 - 1);
    private const long Millisecond = 1_000_000;

    /// <summary>Between two lines that say that there is no supervisor.</summary>
    private const long Reminder = 60_000 * Millisecond;

    /// <summary>What services have from SIGTERM to SIGKILL where no supervisor is left to end them.</summary>
    private const long Grace = 10_000 * Millisecond;

    /// <summary>As <see cref="Core.Limits.OneInterrupt"/>.</summary>
    private const long OneInterrupt = 500 * Millisecond;

    /// <summary>Longer than anything that is due.</summary>
    private const long Never = 1_000_000 * 1000 * Millisecond;

    private const long CrowdedPause = 20 * Millisecond;

    /// <summary>After a supervisor has said that it ends, between looks at whether it still can.</summary>
    private const long EndPause = 1000 * Millisecond;
    private const int Failed = 1;

    private readonly FileDescriptor _signals = SignalMask.OpenDescriptor();
    private readonly KeeperTable _table;
    private readonly KeeperDialogue _dialogue;
    private readonly HangWatch _hang = new();
    private readonly KeeperDeaths _deaths = new();
    private readonly KeeperEnd _end;
    private readonly SupervisorStart _start;

    private KeeperPhase _phase;
    private ProcessHandle? _supervisor;
    private long _startedAt;

    /// <summary>When something is due: the next start, the next line, SIGKILL. Nothing in the phase of a supervisor.</summary>
    private long _due;
    private long _endingSince;
    private ulong _pendingSignals;
    private ulong _handedOn;
    private ulong _wantedEnd;
    private long _endLook = long.MaxValue;
    private bool _isUnwanted;
    private bool _isKilling;
    private int _exitCode;
    private KeeperHistory _history = new() { IsFirst = 1 };

    private KeeperProcess(SupervisorStart start)
    {
        _start = start;
        ulong* limit = stackalloc ulong[2];
        ulong most = Libc.getrlimit(7, limit) == 0 ? limit[0] : KeeperTable.Most;
        _table = new KeeperTable((int)Math.Clamp(most, 1, KeeperTable.Most));
        _dialogue = new KeeperDialogue(_table, _hang) { OnLetGo = start.LetGoOfStored };
        _upgrade = new KeeperUpgrade(_table, start);
        _end = new KeeperEnd(Files.OpenToRead(
            string.Create(CultureInfo.InvariantCulture, $"/proc/self/task/{Libc.gettid()}/children"), out _));
    }

    /// <summary>
    /// The whole life of a keeper. Returns the exit code of the process, which is the supervisor's; null: the first supervisor has said
    /// that it is to have none, and has ended, so this process is to be the supervisor, and is as it was before.
    /// </summary>
    /// <exception cref="SystemCallException">The first supervisor cannot be started.</exception>
    public static int? Run()
    {
        _ = Libc.prctl(Libc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        fixed (byte* name = "launchd-keeper\0"u8)
            _ = Libc.prctl(Libc.PR_SET_NAME, (nuint)name, 0, 0, 0);
        using FileDescriptor? former = TakeMemory(out KeeperMemory memory);
        using SupervisorStart start = SupervisorStart.Prepare(former is null ? null : memory.FileLimit);
        using KeeperProcess keeper = new(start);
        if (former is not null)
        {
            KeeperCloser.Begin();
            keeper.Recall(former);
            former.Dispose();
            return keeper.Loop();
        }
        Errno refused = keeper.Start(Clock.MonotonicNanoseconds);
        if (refused != Errno.None)
            throw new SystemCallException("clone", "the supervisor", refused);
        // Whoever waits for the supervisor does not wait for a thread.
        KeeperCloser.Begin();
        int code = keeper.Loop();
        if (!keeper._isUnwanted)
            return code;
        KeeperCloser.End();
        start.LowerLimit();
        // They have not reached anybody who has acted on them. All are blocked, so that the supervisor's loop will read them.
        for (int signal = 1; signal <= 64; signal++)
        {
            if ((keeper._handedOn & BitOf(signal)) != 0)
                _ = Libc.kill(Libc.getpid(), signal);
        }
        return null;
    }

    public void Dispose()
    {
        _signals.Dispose();
        _dialogue.Dispose();
        _hang.Dispose();
        _upgrade.Dispose();
        _table.Dispose();
        _end.Dispose();
        _supervisor?.Dispose();
    }

    private int Loop()
    {
        Libc.poll_entry* entries = stackalloc Libc.poll_entry[5];
        while (true)
        {
            long now = Clock.MonotonicNanoseconds;
            if (_phase is not (KeeperPhase.Supervised or KeeperPhase.Over) && now >= _due)
                Expire(now);
            if (_phase == KeeperPhase.Supervised && now >= _hang.Due)
                _hang.Expire(_supervisor!, now);
            GoOnUpgrading(now);
            if (_phase == KeeperPhase.Supervised && _dialogue.IsEnding)
                AwaitEnd(now);
            if (_phase == KeeperPhase.Over)
                return _exitCode;
            entries[0] = new() { fd = _signals.Number, events = Libc.POLLIN };
            entries[1] = new() { fd = _dialogue.Socket?.Number ?? -1, events = EventsOf(_dialogue) };
            entries[2] = new() { fd = _hang.Number, events = Libc.POLLIN };
            entries[3] = new() { fd = _upgrade.Dialogue?.Socket?.Number ?? -1, events = EventsOf(_upgrade.Dialogue ?? _dialogue) };
            entries[4] = new() { fd = _dialogue.BellNumber, events = Libc.POLLIN };
            _ = Libc.poll(ref *entries, 5, Timeout(now));
            if (entries[4].revents != 0)
                _dialogue.Hear();
            Speak(_dialogue, (entries[1].revents | entries[4].revents) != 0);
            if (_upgrade.Dialogue is { } trial)
                Speak(trial, entries[3].revents != 0);
            if (entries[2].revents != 0 && _hang.Number == entries[2].fd)
                _hang.Look(Clock.MonotonicNanoseconds);
            if (entries[0].revents != 0)
                ReadSignals();
        }
    }

    private static void Speak(KeeperDialogue dialogue, bool isReady)
    {
        if (isReady || dialogue.IsCrowded)
            dialogue.Send();
        if (isReady && !dialogue.IsAnswering)
            dialogue.Read();
    }

    private static short EventsOf(KeeperDialogue dialogue) =>
        (short)((dialogue.IsReading ? Libc.POLLIN : 0) | (dialogue.IsWaitingToSend && !dialogue.IsCrowded ? Libc.POLLOUT : 0));

    private int Timeout(long now)
    {
        long until = Math.Max(0, (_phase == KeeperPhase.Supervised ? Math.Min(_hang.Due, _endLook) : _due) - now);
        if (UpgradeDue is < long.MaxValue and long due)
            until = Math.Min(until, Math.Max(0, due - now));
        if (_dialogue.IsCrowded || _upgrade.Dialogue is { IsCrowded: true })
            until = Math.Min(until, CrowdedPause);
        return until >= Never ? -1 : (int)((until + Millisecond - 1) / Millisecond);
    }

    // The supervisor has said that it ends, and all services have ended. A thread of it that waits for a file system that does not answer
    // keeps it from being reaped for as long as that lasts, though it does nothing any more; nobody waits for it.
    private void AwaitEnd(long now)
    {
        bool isLookDue = now >= _endLook;
        if (isLookDue || _endLook == long.MaxValue)
            _endLook = now + EndPause;
        if (!isLookDue || ProcessFacts.Read(_supervisor!.Pid) is not { State: 'Z', HasEnded: false })
            return;
        KeeperTexts.IsHeld(_supervisor.Pid);
        _exitCode = _dialogue.EndingCode;
        _phase = KeeperPhase.Over;
    }

    private Errno Start(long now)
    {
        Errno refused = _start.Start(_upgrade.Program, out FileDescriptor? socket, out ProcessHandle? supervisor);
        if (refused != Errno.None)
            return refused;
        _supervisor = supervisor;
        _hang.Begin(supervisor!.Pid);
        _startedAt = now;
        _phase = KeeperPhase.Supervised;
        _history.RecentDeaths = _deaths.Recent(now);
        _history.IsDistrusted = _deaths.IsDistrusted(now) ? 1 : 0;
        _dialogue.Begin(socket!, supervisor!.Pid, _history);
        _dialogue.NoteChildEnded();
        ulong signals = _pendingSignals | _wantedEnd;
        _pendingSignals = 0;
        for (int signal = 1; signal <= 64; signal++)
        {
            if ((signals & BitOf(signal)) != 0)
                Take(signal);
        }
        return Errno.None;
    }

    private void ReadSignals()
    {
        const int most = 16;
        byte* infos = stackalloc byte[most * Libc.SignalInfoBytes];
        nint got = Libc.read(_signals.Number, infos, most * Libc.SignalInfoBytes);
        ulong came = 0;
        for (nint at = 0; at + Libc.SignalInfoBytes <= got; at += Libc.SignalInfoBytes)
            came |= 1UL << (*(int*)(infos + at) - 1);
        // A zombie takes signals without a word: so first it is asked whether there still is a supervisor.
        if ((came & BitOf(Chld)) != 0)
            LookAtChildren();
        for (int signal = 1; signal <= 64; signal++)
        {
            if (signal != Chld && (came & BitOf(signal)) != 0)
                Take(signal);
        }
    }

    private static ulong BitOf(int signal) => 1UL << (signal - 1);

    private void Take(int signal)
    {
        switch (_phase)
        {
            case KeeperPhase.Supervised:
                _handedOn |= BitOf(signal);
                // A supervisor that dies before it has ended everything leaves that to the next one.
                _wantedEnd |= BitOf(signal) & EndSignals;
                _ = _supervisor!.Signal(signal);
                break;
            case KeeperPhase.Pausing:
                _pendingSignals |= BitOf(signal);
                // Who wants an end need not wait for the start of the one that is to carry it out.
                if ((EndSignals & BitOf(signal)) != 0)
                    _due = 0;
                break;
            case KeeperPhase.GivenUp when signal == Hup:
                _deaths.TryOnceMore();
                (_phase, _due) = (KeeperPhase.Pausing, 0);
                break;
            case KeeperPhase.GivenUp when (EndSignals & BitOf(signal)) != 0:
                BeginEnd();
                break;
            case KeeperPhase.Ending when signal is Int && Clock.MonotonicNanoseconds - _endingSince >= OneInterrupt:
                _due = 0;
                break;
            default:
                break;
        }
    }

    private void LookAtChildren()
    {
        if (_phase == KeeperPhase.Supervised && KeeperChildren.TryReap(_supervisor!.Pid, out Reaped ended))
            NoteEnd(ended);
        LookAtTrial();
        if (_phase == KeeperPhase.Ending)
            GoOnEnding();
        else
            _dialogue.NoteChildEnded();
    }

    private void NoteEnd(in Reaped ended)
    {
        bool hasHung = _hang.HasHung;
        // What it had sent before it died counts.
        _dialogue.End();
        _hang.End();
        _supervisor!.Dispose();
        _supervisor = null;
        long now = Clock.MonotonicNanoseconds;
        // Before the first one runs there is nothing that another could go on with, and it has said why.
        bool hasFailedToStart = !_dialogue.IsRunning && ended.Signal == 0 && _history.IsFirst != 0 && !KeeperChildren.HasAny;
        _isUnwanted = _dialogue.IsUnwanted && _history.IsFirst != 0;
        if (_dialogue.IsEnding || hasFailedToStart || _isUnwanted)
        {
            _exitCode = ended.Signal == 0 ? ended.Code : _dialogue.EndingCode;
            _phase = KeeperPhase.Over;
            return;
        }
        if (!IsNotedByUpgrade(ended, Errno.None, now, hasHung))
            NoteDeath(ended, Errno.None, now, hasHung);
    }

    /// <param name="ended">How the supervisor died; its pid is 0 if it could not be started.</param>
    /// <param name="refused">Why it could not be started.</param>
    /// <param name="now">When that was.</param>
    /// <param name="hasHung">The keeper itself has ended it.</param>
    private void NoteDeath(in Reaped ended, Errno refused, long now, bool hasHung = false)
    {
        NoteFormer(ended, now, hasHung);
        _deaths.Note(_startedAt, now, isKill: ended.Signal == Kill && !hasHung, _dialogue.IsRunning);
        if (ended.Pid != 0 && ended.Signal == 0 && !_dialogue.IsRunning)
            _deaths.NoteRefusal();
        (_phase, _due) = _deaths.IsGivenUp ? (KeeperPhase.GivenUp, now + Reminder) : (KeeperPhase.Pausing, now + _deaths.Pause);
        KeeperTexts.Died(ended, refused, _deaths, now, _table.Count);
        // The end that somebody wants must not fail with those who were to carry it out.
        if (_deaths.IsGivenUp && _wantedEnd != 0)
            BeginEnd();
    }

    private void Expire(long now)
    {
        switch (_phase)
        {
            case KeeperPhase.Pausing:
                _startedAt = now;
                if (Start(now) is { Value: not 0 } refused && !IsNotedByUpgrade(default, refused, now))
                    NoteDeath(default, refused, now);
                break;
            case KeeperPhase.GivenUp:
                KeeperTexts.StillNone(_table.Count);
                _due = now + Reminder;
                break;
            default:
                _isKilling = true;
                _due = now + Never;
                GoOnEnding();
                break;
        }
    }

    private void BeginEnd()
    {
        KeeperTexts.Ends();
        _phase = KeeperPhase.Ending;
        _endingSince = Clock.MonotonicNanoseconds;
        _due = _endingSince + Grace;
        _end.Signal(Term);
        // One that was stopped hears of nothing else.
        _end.Signal(Cont);
        GoOnEnding();
    }

    // What a child leaves when it ends becomes a child of the keeper, so the last sweep goes on until there is none.
    private void GoOnEnding()
    {
        bool areLeft = KeeperChildren.ReapAll();
        if (areLeft && _isKilling)
            _end.Signal(Kill);
        if (areLeft)
            return;
        _exitCode = Failed;
        _phase = KeeperPhase.Over;
    }
}
