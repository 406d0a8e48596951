using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// Finds a supervisor whose loop stands still, and ends it: SIGABRT, and SIGKILL if that does not help. The supervisor's timer
/// (<see cref="Linux.Loop.TurnTimer"/>) runs only within a turn, so nobody is woken while there is nothing to do. Moments are
/// CLOCK_MONOTONIC in nanoseconds.
/// </summary>
/// <remarks>
/// Time in which the supervisor was stopped, frozen or traced goes on in the timer. So it hangs only if it was found running twice, a
/// period apart, in one and the same turn; after a thaw it has a period to go on.
/// </remarks>
/// <param name="period">Of the supervisor's timer, in nanoseconds.</param>
internal sealed unsafe class HangWatch(long period = HangWatch.Period) : IDisposable
{
    /// <summary>Of the timer. A turn of twice this is one that hangs.</summary>
    public const long Period = 5_000 * Millisecond;

    /// <summary>From SIGABRT, which may write a core dump, to SIGKILL.</summary>
    public const long Patience = 10_000 * Millisecond;

    private const int Abrt = 6, Kill = 9;
    private const long Millisecond = 1_000_000;

    /// <summary>So that the second look comes after the second end of the timer.</summary>
    private const long Slack = 100 * Millisecond;
    private const long Never = long.MaxValue;

    private FileDescriptor? _facts;
    private FileDescriptor? _timer;
    private Stage _stage;

    private enum Stage { Watching, Suspecting, Aborting, Killing }

    /// <summary>When <see cref="Expire"/> is to be called; long.MaxValue: not at all.</summary>
    public long Due { get; private set; } = Never;

    /// <summary>What is to be polled for reading, upon which comes <see cref="Look"/>; -1: nothing.</summary>
    public int Number => _stage == Stage.Watching && _timer is not null ? _timer.Number : -1;

    /// <summary>The number of the supervisor's timer; 0: it is not known.</summary>
    public int TimerNumber => _timer?.Number ?? 0;

    /// <summary>The present supervisor was sent a signal because it hung.</summary>
    public bool HasHung => _stage is Stage.Aborting or Stage.Killing;

    /// <summary>Begins with a new supervisor, whose timer is not known yet.</summary>
    public void Begin(int pid)
    {
        End();
        // Held from the beginning: its number may be another's once it has been reaped.
        _facts = Files.OpenToRead(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"), out _);
    }

    /// <summary>The supervisor's timer. One that there was before is closed.</summary>
    public void Take(FileDescriptor timerTaken)
    {
        _timer?.Dispose();
        _timer = timerTaken;
    }

    /// <summary>The supervisor has ended.</summary>
    public void End()
    {
        _timer?.Dispose();
        _facts?.Dispose();
        _timer = _facts = null;
        (_stage, Due) = (Stage.Watching, Never);
    }

    /// <summary>The timer has come to its end once.</summary>
    public void Look(long now)
    {
        if (IsStopped)
            _ = Count();
        else
            (_stage, Due) = (Stage.Suspecting, now + period + Slack);
    }

    /// <summary>The time has come.</summary>
    /// <param name="supervisor">Borrowed.</param>
    /// <param name="now">At least <see cref="Due"/>.</param>
    public void Expire(ProcessHandle supervisor, long now)
    {
        if (_stage == Stage.Aborting)
        {
            (_stage, Due) = (Stage.Killing, Never);
            KeeperTexts.IsDeaf(supervisor.Pid);
            _ = supervisor.Signal(Kill);
            return;
        }
        (_stage, Due) = (Stage.Watching, Never);
        // Fewer than two ends: it is another turn than the one that was looked at, or none.
        if (Count() < 2 || IsStopped)
            return;
        (_stage, Due) = (Stage.Aborting, now + Patience);
        KeeperTexts.Hangs(supervisor.Pid, 2 * period);
        _ = supervisor.Signal(Abrt);
    }

    public void Dispose() => End();

    /// <summary>How often the timer has ended since it was set or read.</summary>
    private ulong Count()
    {
        ulong count = 0;
        return _timer is not null && Libc.read(_timer.Number, &count, sizeof(ulong)) == sizeof(ulong) ? count : 0;
    }

    /// <summary>By a signal, or by a tracer.</summary>
    private bool IsStopped
    {
        get
        {
            const int room = 1024;
            byte* text = stackalloc byte[room];
            nint length = _facts is null ? 0 : Libc.pread(_facts.Number, text, room, 0);
            return length > 0 && ProcessFacts.Parse(new ReadOnlySpan<byte>(text, (int)length)) is { State: 'T' or 't' };
        }
    }
}
