using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Host.Instances;
using Launchd.Host.Loop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Lifecycle;

/// <summary>How instances end: children are reaped, what an instance left behind is found, and at last nothing is left.</summary>
internal sealed partial class InstanceTable
{
    // With more orphans than these a look takes time, so looks keep a pause, and processes that end in it share the next look.
    private const int ManyOrphans = 256;
    private static readonly TimeSpan LeastPause = TimeSpan.FromMilliseconds(10);

    // Each reaping costs the kernel a walk along all children: thousands that end together are reaped in several turns.
    private const int MostReapedInATurn = 32;

    private readonly List<RunningInstance> _withLeftovers = [];
    private readonly List<Reaped> _reaped = [];
    private readonly ProcessTrees _trees;
    private readonly object _looking = new();
    private readonly object _reaping = new();
    private Moment _nextLook;
    private bool _hasFosterEnds;
    private LastSweep? _sweep;

    /// <summary>
    /// Children have ended: reaps them, some in this turn and the rest in others, and tells the core of those that it knows.
    /// </summary>
    public void ReapSome()
    {
        if (Reap(MostReapedInATurn) == MostReapedInATurn)
            _delays.After(TimeSpan.Zero, _reaping, ReapSome);
    }

    /// <summary>The foster parent has said that children of it have ended.</summary>
    public void ReapFosterChildren()
    {
        _hasFosterEnds = true;
        ReapSome();
    }

    private void ReapAll() => _ = Reap(int.MaxValue);

    private int Reap(int most)
    {
        _reaped.Clear();
        while (_reaped.Count < most && TryReap(out Reaped reaped))
        {
            _trees.Orphans.Forget(reaped.Pid);
            _reaped.Add(reaped);
        }
        int count = _reaped.Count;
        if (count > 0)
            _trees.LookAnew();
        for (int i = 0; i < _reaped.Count; i++)
        {
            try
            {
                Ended(_reaped[i]);
            }
            catch (Exception defect)
            {
                // The other ends must still be handled: the kernel does not report them a second time.
                _defects.Report("ends-failed", defect);
            }
        }
        if (_withLeftovers.Count > 0 || _sweep is not null)
            LookAtLeftovers();
        return count;
    }

    // Where another supervisor may come after this one, how a process ended is written down before it is reaped: nobody could ask again.
    private bool TryReap(out Reaped reaped)
    {
        if (State is null)
            return Reaper.TryReap(out reaped, _onStop);
        if (Reaper.TryPeek(out reaped, _onStop))
        {
            NoteEnd(reaped);
            Reaper.Reap(reaped.Pid);
            return true;
        }
        // Only when it has said so: an answer is waited for.
        if (!_hasFosterEnds || Foster is null)
            return false;
        _hasFosterEnds = Foster.TryPeek(out reaped);
        if (!_hasFosterEnds)
            return false;
        NoteEnd(reaped);
        Foster.Reap(reaped.Pid);
        return true;
    }

    private void NoteEnd(Reaped ended)
    {
        if (!_mains.TryGetValue(ended.Pid, out RunningInstance? instance))
            return;
        instance.Ended = StatusOf(ended);
        State!.Note(instance);
    }

    private static ExitStatus StatusOf(Reaped reaped) => new(reaped.Code, reaped.Signal, reaped.DumpedCore);

    private void Ended(Reaped reaped)
    {
        ExitStatus status = StatusOf(reaped);
        if (_mains.Remove(reaped.Pid, out RunningInstance? instance))
            MainEnded(instance, reaped.Pid, status);
        else if (!_commands.TryEnd(reaped.Pid, status))
            _ = _births.NoteEnd(reaped);
    }

    /// <summary>
    /// The grace after SIGKILL may be over: looks once more at the processes that are left of the instance, and tells the core of them.
    /// </summary>
    public void LookAtRemains(InstanceId id)
    {
        if (_running.Find(id) is not { } instance || !instance.IsKilled)
            return;
        ReapAll();
        if (!_running.Contains(id))
            return;
        if (!instance.MainEnded && ProcessFacts.Read(instance.Process!.Pid) is { HasEnded: true } ended)
        {
            // A foreign process traces the main process and keeps us from reaping it (ptrace(2)). It has ended all the same.
            _ = _mains.Remove(instance.Process.Pid);
            ExitStatus status = new(ended.ExitCode >> 8 & 0xff, ended.ExitCode & 0x7f, (ended.ExitCode & 0x80) != 0);
            MainEnded(instance, instance.Process.Pid, status);
            return;
        }
        string? remains = _trees.Remains(instance);
        if (remains is not null)
            _events.Feed(new Event.RemainsSeen(id, remains));
        else if (_withLeftovers.Remove(instance))
            _events.Feed(new Event.LeftoversEnded(id));
    }

    /// <summary>No service runs any more: ends the processes that services left behind.</summary>
    /// <param name="onEnd">Called once, at once if nothing is left.</param>
    public void EndAll(Action onEnd)
    {
        _commands.KillAll();
        _sweep = new LastSweep(_trees, _delays, _logger, () => _commands.HaveEnded, onEnd);
        _sweep.Begin();
    }

    private void LookAtLeftovers()
    {
        Moment began = HostClock.Now;
        if (_trees.Orphans.Count > ManyOrphans && began < _nextLook)
        {
            _delays.After(_nextLook - began, _looking, LookAtLeftovers);
            return;
        }
        _trees.FindMore();
        for (int i = _withLeftovers.Count - 1; i >= 0; i--)
        {
            RunningInstance instance = _withLeftovers[i];
            if (_trees.HasLeftovers(instance))
                continue;
            _withLeftovers.RemoveAt(i);
            _events.Feed(new Event.LeftoversEnded(instance.Id));
        }
        _sweep?.Look();
        // Looks take at most a tenth of the loop's time.
        Moment ended = HostClock.Now;
        TimeSpan pause = (ended - began) * 9;
        _nextLook = ended + (pause > LeastPause ? pause : LeastPause);
    }

    // Nobody else tells of its end, and what it leaves is looked for at once.
    private void ForeignEnded(int pid)
    {
        _trees.Orphans.Forget(pid);
        _trees.LookAnew();
        LookAtLeftovers();
    }

    private void MainEnded(RunningInstance instance, int pid, ExitStatus status)
    {
        // The messages that the process sent before it ended are read first, however many there are.
        if (instance.Notify is not null)
            _notifications.ReadAll(instance);
        _channels.ReadLast(instance);
        // One of them may have named another process the main one.
        if (!_running.Contains(instance.Id) || instance.Process!.Pid != pid)
            return;
        instance.MainEnded = true;
        _loop.Unwatch(instance.Process.Descriptor);
        // What the program wrote before its end may be the line that makes it ready, and lies in its pipe until the pump has read it.
        bool mayBecomeReady = instance.AwaitsLine
            || (instance.Definition.Ready is Readiness.Output && _core.PhaseOf(instance.Id) is SlotPhase.Starting);
        if (mayBecomeReady)
            _pump.Flush(instance.Id.Number, () => FindWhy(instance, status));
        else
            FindWhy(instance, status);
    }

    private void FindWhy(RunningInstance instance, ExitStatus status)
    {
        bool mayLeave = instance.Definition.Stop.Kill != KillScope.Process;
        _clues.BeforeEnd(instance, status, () => mayLeave ? _trees.FirstLeft(instance) : null, () => TellMainEnded(instance, status));
    }

    private void TellMainEnded(RunningInstance instance, ExitStatus status)
    {
        if (!_running.Contains(instance.Id))
            return;
        bool hasLeftovers = _trees.HasLeftovers(instance);
        if (hasLeftovers)
            _withLeftovers.Add(instance);
        _events.Feed(new Event.MainExited(instance.Id, status, hasLeftovers)
        {
            // Whoever ends many instances is not to wait for a walk through all orphans at each of them.
            Leftovers = hasLeftovers && Stopping.IsOwnEnd(_core.PhaseOf(instance.Id)) ? _trees.NamesOfLeft(instance) : null,
        });
    }

    /// <summary>
    /// A tracer of the main process is told of its end first, and the supervisor can reap it only after
    /// that: so the loop watches its pidfd as well.
    /// </summary>
    private void WatchForEnd(RunningInstance instance)
    {
        if (instance is not { MainEnded: false, IsEndWatched: false, Process: { } process })
            return;
        instance.IsEndWatched = true;
        // EEXIST: the program has named this process as its main one, and its pidfd is watched already.
        _ = _loop.Watch(process.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => KilledMainEnded(instance, process));
    }

    private void KilledMainEnded(RunningInstance instance, ProcessHandle process)
    {
        ReapAll();
        if (instance.MainEnded || instance.Process != process || !_running.Contains(instance.Id))
            return;
        _loop.Unwatch(process.Descriptor);
        _trees.EndTracer(instance);
    }

    private void NamedMainEnded(RunningInstance instance, ProcessHandle process)
    {
        // By now the process may have become our child, and then reaping it tells how it ended.
        ReapAll();
        if (instance.Process != process || instance.MainEnded || !_mains.Remove(process.Pid))
            return;
        _trees.LookAnew();
        // It is the child of another process.
        ExitStatus status = ForeignEnd.Read(process) is { } told ? StatusOf(told) : ExitStatus.Unknown;
        instance.Ended = status;
        State?.Note(instance);
        MainEnded(instance, process.Pid, status);
    }
}
