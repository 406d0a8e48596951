using Launchd.Client;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Lifecycle;

/// <summary>How the instances of a supervisor before this one are gone on with.</summary>
internal sealed partial class InstanceTable
{
    // Main processes that had ended and were reaped when this supervisor began, with how they ended, as far as is known.
    private readonly List<(RunningInstance Instance, ExitStatus Status)> _endedBefore = [];

    /// <summary>Goes on with an instance. The core is told of nothing before <see cref="GoOn"/>.</summary>
    /// <param name="known">What the core knows of it.</param>
    /// <param name="slot">Its slot.</param>
    /// <param name="record">What the host knew of it.</param>
    /// <param name="pid">Its main process, which may have ended.</param>
    /// <param name="process">The same process; null: it was reaped.</param>
    /// <param name="notify">Its notify socket, which the record names; null: none was held. Taken.</param>
    /// <param name="reaper">
    /// As <see cref="RunningInstance.Reaper"/>, where nobody has held anything for it: a notify socket is bound anew at the path that the
    /// program has. 0: it was held for by the keeper.
    /// </param>
    /// <param name="take">Gives away what was held for it, by the names of <see cref="HeldParts"/>; null: nothing was.</param>
    public RunningInstance Resume(SlotPhase.Live known, int slot, InstanceRecord record, int pid, ProcessHandle? process,
        FileDescriptor? notify, int reaper, Func<string, FileDescriptor?> take)
    {
        Instance its = known.Instance;
        Provision provision = _descriptors.Provisions[its.Definition];
        RunningInstance instance = new(its.Id, slot, its.Generation, provision)
        {
            Mark = record.Mark,
            Access = record.Access,
            TreeSignal = record.TreeSignal,
            IsKilled = record.IsKilled,
            Ended = record.Ended,
            IsHeardOut = record.IsHeardOut,
            IsResumed = true,
            Reaper = reaper > 0 ? reaper : record.Reaper,
            Hearing = record.IsHeardOut ? new LastClients.Hearing(HostClock.Now) : null,
            // One that is known by its start is another one whatever has the number now.
            Process = process ?? new ProcessHandle(pid, new FileDescriptor(-1), start: ulong.MaxValue),
            Group = record.FirstGroup > 0 ? record.FirstGroup : pid,
        };
        instance.Identity = process is null ? record.Identity : ProcessIdentity.Of(process);
        // Where another process is the main one, a group that it does not lead may be a stranger's by now.
        instance.Group = record.Pid == 0 || record.Group == pid || record.Group == record.FirstGroup ? instance.Group : 0;
        instance.IsInGroup = instance.Group != 0;
        instance.MainEnded = known is SlotPhase.Stopping { Status: not null };
        // A number that was reaped may be another instance's by now.
        _running.Add(instance);
        if (process is not null && !instance.MainEnded)
            _mains.Add(pid, instance);
        _trees.Orphans.Add(instance);
        if (its.Source is null)
            GiveAgain(instance);
        if (notify is not null)
            instance.Notify = _notifySockets.Resume(instance, notify, record.NotifyPath!, record.NotifyWriter);
        else if (reaper > 0 && record.NotifyPath is { } path)
            instance.Notify = _notifySockets.Rebind(instance, path, record.NotifyWriter);
        bool isReady = known is not SlotPhase.Starting;
        _launcher.Resume(instance, part => Hold(instance, part, take(part)), isReady, () => ReadyByOutput(instance));
        instance.ChannelEnd = Hold(instance, HeldParts.Channel, take(HeldParts.Channel));
        State!.Note(instance);
        _channels.Resume(instance, its.WatchesChannel, its.Successor);
        if (instance.MainEnded)
            _withLeftovers.Add(instance);
        else if (process is null)
            _endedBefore.Add((instance, record.Ended ?? ExitStatus.Unknown));
        return instance;
    }

    /// <summary>Begins to hear the instances that were resumed, and finds what has ended meanwhile. The core is told.</summary>
    public void GoOn()
    {
        foreach (RunningInstance instance in _running.All.ToArray())
        {
            if (instance.ReadyPipe is { } pipe)
                AwaitLine(instance, pipe);
            if (instance.Notify is { } notify)
                _notifySockets.Listen(notify);
            if (instance is { MainEnded: false, Process: { HasDescriptor: true } process })
            {
                // It need not be the keeper's child, and the keeper may be gone one day.
                instance.IsEndWatched = true;
                _ = _loop.Watch(process.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => ResumedMainEnded(instance, process));
            }
        }
        foreach ((RunningInstance instance, ExitStatus status) in _endedBefore)
            MainEnded(instance, instance.Process!.Pid, status);
        _endedBefore.Clear();
        ReapFosterChildren();
        if (_withLeftovers.Count > 0)
            LookAtLeftovers();
    }

    /// <summary>The foster parent is gone, or about to end: its children get another parent, which reaps them as it likes.</summary>
    /// <param name="pid">Its number.</param>
    public void LoseFosterParent(int pid)
    {
        Foster = null;
        // It closes its files before its children have another parent.
        ProcessHandle? ending = OwnParent() == pid ? ProcessHandle.TryOpen(pid) : null;
        Errno refused = ending is not { HasDescriptor: true } ? Errno.ESRCH
            : _loop.Watch(ending.Descriptor, IoReadiness.Readable, LoopPriority.Signal, _ => LoseFosterChildren(ending));
        if (refused != Errno.None)
            LoseFosterChildren(ending);
    }

    private static int OwnParent() => (int)Libc.syscall(SystemCallNumbers.getppid, 0, 0, 0, 0, 0, 0);

    private void LoseFosterChildren(ProcessHandle? parent)
    {
        if (parent is not null)
            _loop.Unwatch(parent.Descriptor);
        parent?.Dispose();
        ChildList.Adopt(0);
        _trees.Orphans.Disown();
        foreach (RunningInstance instance in _running.All.Where(i => i is { IsResumed: true, Reaper: 0 }))
        {
            instance.Reaper = Math.Max(1, OwnParent());
            Foreign?.Expect(instance);
            State?.Note(instance);
        }
        _trees.LookAnew();
        if (_withLeftovers.Count > 0)
            LookAtLeftovers();
    }

    private void ResumedMainEnded(RunningInstance instance, ProcessHandle process)
    {
        // If it is the foster parent's child, that tells how it ended, and need not have said so yet.
        _hasFosterEnds = true;
        NamedMainEnded(instance, process);
    }

    private void GiveAgain(RunningInstance instance)
    {
        foreach ((_, OpenedListener listener) in instance.Provision.Listeners(instance.Slot))
        {
            // A listener that a reload took out lives on in the instance alone.
            if (_descriptors.Find(listener.Descriptor) is not null)
                _descriptors.Give(instance, listener);
        }
    }

    private static FileDescriptor? Hold(RunningInstance instance, string part, FileDescriptor? taken)
    {
        if (taken is not null)
            instance.Held.Add(part);
        return taken;
    }
}
