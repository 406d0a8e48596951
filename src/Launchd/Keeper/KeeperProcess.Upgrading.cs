using System.Globalization;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>How another program takes the supervisor's place, and then the keeper's own.</summary>
internal sealed unsafe partial class KeeperProcess
{
    private const int FirstPassed = 3;

    /// <summary>How <see cref="OwnStart.KeeperVariable"/> begins for an image of the keeper that follows another one.</summary>
    private const string Role = "hold:";

    /// <summary>After these the keeper stays as it is until the next upgrade: something does not let itself be closed.</summary>
    private const long FirstRenewalPause = 5 * Millisecond, LongestRenewalPause = 5000 * Millisecond;

    private readonly KeeperUpgrade _upgrade;

    // When the supervisor of a new program is late, and when the keeper is to execute the new program itself.
    private long _serveDue = long.MaxValue;
    private long _renewalDue = long.MaxValue;
    private long _renewalPause;

    /// <summary>The number of the file that a former image of this process has left; null: there was none.</summary>
    private static int? MemoryNumber
    {
        get
        {
            string role = RoleOf(Libc.getpid()) + ":";
            return OwnStart.Keeper is { } said && said.StartsWith(role, StringComparison.Ordinal)
                && int.TryParse(said.AsSpan(role.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
        }
    }

    /// <summary>What a former image has left. Null: there was none.</summary>
    /// <exception cref="SystemCallException">It cannot be read.</exception>
    private static FileDescriptor? TakeMemory(out KeeperMemory memory)
    {
        memory = default;
        if (MemoryNumber is not { } number)
            return null;
        FileDescriptor file = new(number);
        return KeeperMemory.TryRead(file, out memory, null, null, out string why) ? file
            : throw new SystemCallException("pread", $"what the former keeper has left ({why})", Errno.EINVAL);
    }

    /// <summary>Goes on with the supervisor of a former image.</summary>
    private void Recall(FileDescriptor file)
    {
        _ = KeeperMemory.TryRead(file, out KeeperMemory memory, _deaths, _table, out _);
        SetPassedOn(memory.Socket, memory.Tried, memory.Turns, memory.Bell, isPassedOn: false);
        if (memory.Tried > 0)
            _upgrade.Resume(new FileDescriptor(memory.Tried));
        if (memory.Program > 0)
            _ = ClientLibc.close(memory.Program);
        _history = memory.History;
        _startedAt = memory.StartedAt;
        _wantedEnd = memory.WantedEnd;
        _phase = KeeperPhase.Supervised;
        // It is this process's child and was not reaped, so the number is its own.
        _supervisor = ProcessHandle.TryOpen(memory.Supervisor)
            ?? new ProcessHandle(memory.Supervisor, new FileDescriptor(-1), ProcessFacts.Read(memory.Supervisor)?.StartTime ?? 0);
        _hang.Begin(memory.Supervisor);
        if (memory.Turns > 0)
            _hang.Take(new FileDescriptor(memory.Turns));
        _dialogue.Resume(new FileDescriptor(memory.Socket), memory);
        KeeperTexts.Renewed();
        LookAtChildren();
    }

    private static string RoleOf(int pid) => string.Create(CultureInfo.InvariantCulture, $"{Role}{pid}");

    private long UpgradeDue => Math.Min(Math.Min(_serveDue, _renewalDue), _upgrade.TrialDue);

    /// <summary>What a turn of the loop has to do for an upgrade.</summary>
    private void GoOnUpgrading(long now)
    {
        // While there is no supervisor, it is the former one that has said so.
        if (_phase == KeeperPhase.Supervised && _dialogue.IsRunning && (_upgrade.IsSwitching || _history.Upgrade != 0))
        {
            _history.Upgrade = 0;
            _serveDue = long.MaxValue;
            _upgrade.NoteServing();
            // After a way back that may be a program that has served before, and that the keeper could not become yet.
            (_renewalDue, _renewalPause) = (now, FirstRenewalPause);
        }
        // A supervisor may say that it serves and ask for the next upgrade in one breath.
        if (_dialogue.TakeProgram() is { } program)
            BeginTrial(program, now);
        if (now >= _upgrade.TrialDue)
            _upgrade.EndTrial();
        if (now >= _serveDue)
        {
            _serveDue = long.MaxValue;
            _ = _supervisor?.Signal(Kill);
        }
        if (now >= _renewalDue)
            TryRenew(now);
    }

    private void BeginTrial(FileDescriptor program, long now)
    {
        if (_upgrade.Pid != 0 || _upgrade.IsSwitching || _phase != KeeperPhase.Supervised)
        {
            program.Dispose();
            _dialogue.TellTried(TrialOutcome.Busy, 0, []);
            return;
        }
        if (WriteMemory(out Errno refused) is not { } memory)
            program.Dispose();
        else
            refused = _upgrade.Begin(program, memory, _history, now);
        _dialogue.Tried = _upgrade.Pid;
        if (refused != Errno.None)
            _dialogue.TellTried(TrialOutcome.NotExecuted, refused.Value, []);
    }

    private void LookAtTrial()
    {
        if (!_upgrade.TryEnd(out TrialOutcome outcome, out int number, out ReadOnlySpan<byte> text))
            return;
        _dialogue.Tried = 0;
        _dialogue.TellTried(outcome, number, text);
    }

    /// <summary>The supervisor has ended, or could not be started. True: the upgrade says what comes next.</summary>
    private bool IsNotedByUpgrade(in Reaped ended, Errno refused, long now, bool hasHung = false)
    {
        if (_upgrade.Pid != 0)
            _upgrade.EndTrial();
        bool hasHandedOver = !_upgrade.IsSwitching && _dialogue.IsHandingOver && _upgrade.TryBeginSwitch();
        if (!hasHandedOver && (!_upgrade.IsSwitching || (ended.Pid != 0 && _dialogue.IsRunning)))
            return false;
        bool goesBack = !hasHandedOver && _upgrade.NoteFailure();
        NoteFormer(ended, now, hasHung);
        _history.Upgrade = (int)(goesBack ? KeeperUpgradeState.WentBack : KeeperUpgradeState.Upgraded);
        if (!hasHandedOver)
            KeeperTexts.NotUpgraded(ended, refused, goesBack);
        _serveDue = goesBack ? long.MaxValue : KeeperUpgrade.ServesBy(now);
        (_phase, _due) = (KeeperPhase.Pausing, now);
        return true;
    }

    private void NoteFormer(in Reaped ended, long now, bool hasHung)
    {
        _history.HasHung = hasHung ? 1 : 0;
        _history.IsFirst = 0;
        _history.DiedAt = now;
        (_history.LastPid, _history.LastCode, _history.LastSignal) = (ended.Pid, ended.Code, ended.Signal);
        _history.DumpedCore = ended.DumpedCore ? 1 : 0;
    }

    private FileDescriptor? WriteMemory(out Errno refused)
    {
        KeeperMemory memory = new()
        {
            StartedAt = _startedAt,
            WantedEnd = _wantedEnd,
            FileLimit = _start.FileLimit,
            Supervisor = _supervisor!.Pid,
            Socket = _dialogue.Socket?.Number ?? -1,
            Program = _upgrade.Program?.Number ?? 0,
            Tried = _upgrade.Proved?.Number ?? 0,
            Turns = _hang.TimerNumber,
            History = _history,
        };
        _dialogue.Remember(ref memory);
        return KeeperMemory.Write(memory, _deaths, _table, out refused);
    }

    /// <summary>
    /// Executes the new program in the keeper's place, from its first thread: it has the same pid, the same children and descriptors, and
    /// goes on by what is written down. Comes back only if that is not possible now.
    /// </summary>
    private void TryRenew(long now)
    {
        _renewalDue = long.MaxValue;
        if (_phase != KeeperPhase.Supervised || _dialogue.Socket is not { } socket || _upgrade is { IsSwitching: true }
            || _upgrade.Program is not { } program)
        {
            return;
        }
        // What a supervisor has said of its end would be forgotten, and so would be that it hangs.
        bool isToEnd = _dialogue.IsEnding || _dialogue.IsHandingOver || _hang.Due != long.MaxValue || _hang.HasHung;
        if (KeeperCloser.IsBusy || _dialogue.IsWaitingToSend || _upgrade.Pid != 0 || isToEnd)
        {
            // A supervisor that has just begun has much dropped; a stranger may keep the last close of something from ever being over.
            if (_renewalPause > LongestRenewalPause)
                KeeperTexts.NotRenewed(Errno.EBUSY);
            else
                (_renewalDue, _renewalPause) = (now + _renewalPause, _renewalPause * 2);
            return;
        }
        if (WriteMemory(out Errno refused) is { } memory)
        {
            using (memory)
                refused = Execute(program, socket, memory);
        }
        KeeperTexts.NotRenewed(refused);
    }

    private Errno Execute(FileDescriptor program, FileDescriptor socket, FileDescriptor memory)
    {
        byte[][] words = [.. _start.Arguments.Select(CString.From)];
        byte** arguments = (byte**)NativeMemory.AllocZeroed((nuint)words.Length + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < words.Length; i++)
        {
            arguments[i] = (byte*)NativeMemory.Alloc((nuint)words[i].Length);
            words[i].CopyTo(new Span<byte>(arguments[i], words[i].Length));
        }
        string role = RoleOf(Libc.getpid());
        SetRole(string.Create(CultureInfo.InvariantCulture, $"{role}:{memory.Number}"));
        int tried = _upgrade.Proved?.Number ?? 0;
        SetPassedOn(socket.Number, tried, _hang.TimerNumber, _dialogue.BellNumber, isPassedOn: true);
        SetPassedOn(program.Number, isPassedOn: true);
        SetPassedOn(memory.Number, isPassedOn: true);
        fixed (byte* path = CString.From(string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{program.Number}")))
            _ = Libc.execv(path, arguments);
        Errno refused = Errno.Last;
        SetPassedOn(socket.Number, tried, _hang.TimerNumber, _dialogue.BellNumber, isPassedOn: false);
        SetPassedOn(program.Number, isPassedOn: false);
        SetRole(role);
        for (int i = 0; i < words.Length; i++)
            NativeMemory.Free(arguments[i]);
        NativeMemory.Free(arguments);
        return refused;
    }

    /// <summary>Whether the next image gets what this one holds.</summary>
    private void SetPassedOn(int socket, int tried, int turns, int bell, bool isPassedOn)
    {
        for (int number = FirstPassed; number < FirstPassed + _start.PassedCount; number++)
            SetPassedOn(number, isPassedOn);
        for (int index = 0; index < _table.Count; index++)
            SetPassedOn(_table.NumberAt(index), isPassedOn);
        SetPassedOn(socket, isPassedOn);
        if (tried > 0)
            SetPassedOn(tried, isPassedOn);
        if (turns > 0)
            SetPassedOn(turns, isPassedOn);
        if (bell > 0)
            SetPassedOn(bell, isPassedOn);
    }

    private static void SetPassedOn(int number, bool isPassedOn) =>
        _ = Libc.fcntl(number, ClientLibc.F_SETFD, isPassedOn ? 0 : ClientLibc.FD_CLOEXEC);

    private static void SetRole(string role)
    {
        fixed (byte* name = CString.From(OwnStart.KeeperVariable), text = CString.From(role))
            _ = Libc.setenv(name, text, 1);
    }
}
