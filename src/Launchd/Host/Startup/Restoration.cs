using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Orders;
using Launchd.Core.Recording;
using Launchd.Core.Slots;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Lifecycle;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Host.Steps;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Startup;

/// <summary>
/// Goes on where a supervisor before this one ended: its instances are this one's, and what the core counts on to be standing stands
/// again. What the other one had begun and not finished is finished, or has failed: births, commands, operators' orders, whose connections
/// are gone.
/// </summary>
internal sealed class Restoration(
    Heritage heritage, RestoredState restored, Supervisor core, InstanceTable table,
    DescriptorTable descriptors, KeptDescriptors kept, CoreSteps steps, EventFeed events,
    RuntimeDirectory directory, StateWriter state, ILogger logger)
{
    private readonly Lazy<List<int>> _children = new(() =>
    {
        List<int> children = [];
        _ = ChildList.AddOwn(children);
        return children;
    });
    private readonly List<Event> _owed = [];
    private readonly List<Effect> _unborn = [];
    private readonly HashSet<long> _resumed = [];
    private readonly HashSet<string> _notifyPaths = new(StringComparer.Ordinal);

    /// <summary>Everything before the first turn of the loop.</summary>
    public void Run()
    {
        foreach (ServiceState service in core.Services)
        {
            foreach (SlotState slot in service.Slots.Concat(service.Beside))
            {
                if (slot.Phase is SlotPhase.Preparing { Connection: not null } client)
                    _owed.Add(NotBorn(client.Instance.Id));
                else if (slot.Phase is SlotPhase.Live live and not SlotPhase.Preparing)
                    Resume(service, slot, live);
            }
            ResumeStore(service);
        }
        // Nobody asks for the rest any more. Before anything is started, since a birth that is repeated has the names that it had.
        state.Keep(_resumed);
        directory.RemoveSocketsBut(_notifyPaths);
        heritage.DropLeft(state);
        // What must not be done twice, from where the other supervisor had come to.
        steps.Resume(restored.Effects.Where(EffectRunner.IsOnce).Skip(heritage.CarriedOut));
        steps.Resume(Resumption.Of(core.Services, core.Frame));
        steps.Resume(_unborn);
        foreach (PendingRequest order in core.Frame.Requests)
            _owed.Add(new Event.ClientLeft(order.Id));
        // Nobody could say anything meanwhile, or not be heard.
        TimeSpan away = HostClock.Now - new Moment(heritage.Answer.History.DiedAt);
        if (away > TimeSpan.Zero)
            events.Feed(new Event.WasAway(away));
        foreach (Event owed in _owed)
            events.Feed(owed);
        table.GoOn();
        SupervisorLog.WentOn(logger, _resumed.Count);
    }

    private void Resume(ServiceState service, SlotState slot, SlotPhase.Live live)
    {
        Instance instance = live.Instance;
        InstanceRecord? record = heritage.InstanceOf(instance.Id.Number);
        // The record is written before the core is told of another main process.
        int pid = record is { Pid: > 0 } ? record.Pid : instance.Pid;
        ProcessHandle? process = pid > 0 && record is not null ? record.Identity.TryOpen(pid) : null;
        if (pid == 0 && record is not null)
        {
            process = FindNewborn(instance.Id);
            pid = process?.Pid ?? 0;
        }
        if (record is null || pid == 0)
        {
            Rebear(service, slot, instance);
            return;
        }
        FileDescriptor? notify = record.NotifyPath is { } bound ? heritage.Answer.Take(NotifySockets.NameOf(bound)) : null;
        _ = table.Resume(live, slot.Slot, record, pid, process, notify, heritage.Reaper,
            part => heritage.Answer.Take(StateWriter.NameOf(instance.Id, part)));
        _ = _resumed.Add(instance.Id.Number);
        if (heritage.IsAdopted && process is not null && ProcessFacts.Read(pid) is { HasEnded: false })
            TellLost(service, live, slot.Slot);
        if (record.NotifyPath is { } path)
            _ = _notifyPaths.Add(path);
        if (instance.Pid == 0)
            _owed.Add(new Event.Spawned(instance.Id, pid));
        else if (instance.Pid != pid)
            _owed.Add(new Event.MainProcessChanged(instance.Id, pid));
        // Commands are processes of the instance like others from now on, and nobody waits for them.
        if (live is SlotPhase.Stopping { Stage: StopStage.Command })
            _owed.Add(Lost(instance.Id, CommandKind.Stop));
        if (instance.Reload is { Stage: ReloadStage.Command })
            _owed.Add(Lost(instance.Id, CommandKind.Reload));
    }

    // Nobody has held them, and no program has them.
    private void TellLost(ServiceState service, SlotPhase.Live live, int slot)
    {
        Instance instance = live.Instance;
        ServiceDefinition definition = instance.Definition;
        List<string> lost = [];
        // Nobody else has had the other ends of channels and terminals.
        if (instance.WatchesChannel || !definition.Share.IsEmpty || !definition.Request.IsEmpty)
            lost.Add("its channel");
        if (IsLost(HeldParts.Output) || IsLost(HeldParts.Error))
            lost.Add("the pipe of its output");
        if (definition.HasTerminal)
            lost.Add("its terminal");
        if (IsLost(HeldParts.ReadyPipe) && live is SlotPhase.Starting)
            lost.Add("the pipe by which it says that it is ready");
        int storedCount = service.Stored.Count(s => heritage.LostNames.Contains(KeptDescriptors.NameOf(s.Id, isPolled: false)));
        if (storedCount > 0)
            lost.Add($"{storedCount} descriptors of its store");
        if (lost.Count > 0)
            SupervisorLog.GoesOnWithout(logger, $"{instance.Id.Service}.{slot}", string.Join(", ", lost));
        if (instance.WatchesChannel)
            _owed.Add(new Event.ChannelWatched(instance.Id, IsWatched: false));

        bool IsLost(string part) => heritage.LostNames.Contains(StateWriter.NameOf(instance.Id, part));
    }

    // A shortage: it is tried again, and is no fault of the service.
    private static Event.SpawnFailed NotBorn(InstanceId instance) => new(instance, new Failure.SpawnFailed(
        "supervisor", 0, $"cannot start {instance.Service}: the supervisor was started anew meanwhile") { IsShortage = true });

    private static Event.CommandEnded Lost(InstanceId instance, CommandKind kind) =>
        new(instance, kind, Succeeded: false, "the supervisor was started anew while it ran");

    private void ResumeStore(ServiceState service)
    {
        foreach (StoredDescriptor stored in service.Stored)
        {
            // One copy of a polled one is enough; that there is a second says that it is polled.
            using FileDescriptor? second = heritage.Answer.Take(KeptDescriptors.NameOf(stored.Id, isPolled: true));
            if (TryResume(stored.Id))
                kept.Keep(new Effect.Keep(service.Definition.Name, stored, IsPolled: second is not null));
            else
                _owed.Add(new Event.DescriptorHungUp(service.Definition.Name, stored.Id));
        }
        foreach (SavedState saved in service.SavedStates)
            _ = TryResume(saved.Descriptor);
    }

    private bool TryResume(DescriptorId id)
    {
        if (heritage.Answer.Take(KeptDescriptors.NameOf(id, isPolled: false)) is not { } descriptor)
            return false;
        kept.Resume(id, descriptor);
        return true;
    }

    /// <summary>No program of the instance runs, or it cannot be told which.</summary>
    private void Rebear(ServiceState service, SlotState slot, Instance instance)
    {
        bool isWhole = instance.Source is null && descriptors.Provisions[instance.Definition].Connections.FirstOrDefault() is null;
        if (instance.Pid > 0)
            _owed.Add(new Event.MainExited(instance.Id, ExitStatus.Unknown, HasLeftovers: false));
        else if (isWhole)
            _unborn.Add(Resumption.Birth(service, slot, instance));
        else
            _owed.Add(NotBorn(instance.Id));
    }

    /// <summary>The child in whose birth the supervisor died. Null: there is none that has come to its program.</summary>
    private ProcessHandle? FindNewborn(InstanceId instance)
    {
        // It is the keeper's child and has not been reaped, so the number still means it.
        if (heritage.IsAdopted)
            return heritage.Newborns.TryGetValue(instance.Number, out var found) ? found.Identity.TryOpen(found.Pid) : null;
        if (!heritage.Births.TryGetValue(instance.Number, out int pid) || !_children.Value.Contains(pid)
            || ProcessHandle.TryOpen(pid) is not { } process)
        {
            return null;
        }
        if (!heritage.Unborn.Contains(pid))
            return process;
        process.Dispose();
        return null;
    }
}
