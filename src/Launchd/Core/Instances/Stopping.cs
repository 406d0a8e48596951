using Launchd.Core.Orders;
using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>
/// The end of an instance, which always comes: emptying of the queues that only this instance accepts from, stop command, stop signal to
/// the main process (which may end its own children in order), the same signal to the processes that are left once it has ended, SIGKILL to
/// all, and at last giving up on a process that survives even SIGKILL.
/// </summary>
internal static partial class Stopping
{
    /// <summary>
    /// Begins an end, or sharpens its cause: an operator's restart replaces what the policy would do, a wish replaces both.
    /// </summary>
    public static void Begin(Draft d, int service, SlotState slot, StopCause cause)
    {
        if (slot.Phase is SlotPhase.Stopping stopping)
        {
            if (Weight(cause) > Weight(stopping.Cause))
                slot = d.SetPhase(service, slot, stopping = stopping with { Cause = cause });
            else if (cause is StopCause.Wish && stopping is { Status: null, Instance.Successor: not null })
                (slot, stopping) = EndSuccession(d, service, slot, stopping);
            if (stopping.Stage == StopStage.Emptying && d.IsShuttingDown)
                TellToEnd(d, service, slot, stopping);
            return;
        }
        if (slot.Phase is SlotPhase.Preparing preparing)
        {
            Abandon(d, service, slot, preparing, cause);
            return;
        }
        if (slot.Phase is SlotPhase.Starting { IsBeingSpawned: true } unborn)
        {
            EndUnborn(d, service, slot, unborn, cause);
            return;
        }
        if (slot.Phase is not SlotPhase.Live live)
            return;
        ServiceDefinition definition = live.Instance.Definition;
        // Only an instance whose place was taken has a successor when it ends: any other takes its would-be successor with it.
        InstanceId? successor = cause is StopCause.Retire ? live.Instance.Successor : null;
        Failure? onReload = cause is StopCause.ByItself ? ServiceReload.EndOf(live.Instance, status: null, d.Now) : null;
        Instance instance = EndWatching(d, service, slot, live, onReload) with { DrainingSince = d.Now, Successor = successor };
        Rollout.NoteEnd(d, service, slot, live, cause);
        d.Report(new Notice.Draining(instance.Id, slot.Slot, instance.Generation, instance.Pid, Reason(cause)));
        if (cause is StopCause.ByItself)
        {
            Enter(d, service, slot, instance, cause, StopStage.Signalled);
            return;
        }
        bool mayHaveQueue = IsWish(cause) && !d.IsShuttingDown && !definition.Sockets.IsEmpty && !d[service].IsPerConnection;
        if (!mayHaveQueue)
        {
            TellToEnd(d, service, slot, instance, cause);
            return;
        }
        d.Do(new Effect.LookAtQueues(instance.Id, HearsOut(instance)));
        Enter(d, service, slot, instance, cause, StopStage.Emptying);
    }

    /// <summary>SIGKILL now, whatever the stage.</summary>
    public static void Kill(Draft d, int service, SlotState slot)
    {
        if (slot.Phase is SlotPhase.Preparing preparing)
        {
            Abandon(d, service, slot, preparing, StopCause.Wish.Value);
            return;
        }
        if (slot.Phase is SlotPhase.Starting { IsBeingSpawned: true })
        {
            Begin(d, service, slot, StopCause.Wish.Value);
            return;
        }
        if (slot.Phase is not SlotPhase.Live live)
            return;
        SlotPhase.Stopping stopping = live as SlotPhase.Stopping ?? new SlotPhase.Stopping(
            EndWatching(d, service, slot, live) with { DrainingSince = d.Now },
            StopCause.Wish.Value, StopStage.Signalled, Deadline: null, Status: null);
        Kill(d, service, slot, stopping);
    }

    /// <summary>
    /// Ends an instance of which nothing is certain any more, because a step about it was lost: timers and signals of that step may be
    /// missing, so the end begins anew, and SIGKILL with the grace after it makes it certain.
    /// </summary>
    public static void SetAside(Draft d, int service, SlotState slot, Failure failure)
    {
        if (slot.Phase is not SlotPhase.Live live)
            return;
        StopCause cause = live is SlotPhase.Stopping { Cause: StopCause.Wish or StopCause.Retire } before
            ? before.Cause
            : new StopCause.Failed(failure);
        if (live is SlotPhase.Stopping stopping)
        {
            StopStage stage = stopping.Stage == StopStage.Killed ? StopStage.Signalled : stopping.Stage;
            Kill(d, service, slot, stopping with { Cause = cause, Stage = stage });
            return;
        }
        if (live is SlotPhase.Starting { IsBeingSpawned: true } unborn)
        {
            // The lost step may have been the one that told of the instance's birth.
            Kill(d, service, slot,
                new SlotPhase.Stopping(EndWatching(d, service, slot, unborn), cause, StopStage.Signalled, Deadline: null, Status: null));
            return;
        }
        Begin(d, service, slot, cause);
    }

    public static void TimerFired(Draft d, InstanceId id)
    {
        if (d.Find(id) is not (int service, SlotState slot, SlotPhase.Stopping stopping))
            return;
        if (stopping.Deadline is { } due && due > d.Now)
        {
            d.Arm(TimerKind.Stop, id.Service, id.Number, due);
            return;
        }
        switch (stopping.Stage)
        {
            case StopStage.Emptying:
                TellToEnd(d, service, slot, stopping);
                return;
            case StopStage.Command:
                LeaveStage(d, stopping);
                Signal(d, stopping.Instance, stopping.Cause);
                Enter(d, service, slot, stopping.Instance, stopping.Cause, StopStage.Signalled);
                return;
            case StopStage.Aborted:
                AbortAgain(d, service, slot, stopping);
                return;
            case StopStage.Signalled or StopStage.Leftovers:
                Kill(d, service, slot, stopping);
                return;
            case StopStage.Killed:
                GiveUp(d, service, slot, stopping);
                return;
        }
    }

    public static void Apply(Draft d, Event.CommandEnded ended)
    {
        if (d.Find(ended.Instance) is not (int service, SlotState slot, SlotPhase.Live live))
            return;
        if (ended.Kind == CommandKind.Reload)
        {
            ServiceReload.Apply(d, service, slot, ended);
            return;
        }
        if (live is not SlotPhase.Stopping { Stage: StopStage.Command } stopping)
            return;
        Signal(d, stopping.Instance, stopping.Cause);
        Enter(d, service, slot, stopping.Instance, stopping.Cause, StopStage.Signalled);
    }

    public static void Apply(Draft d, Event.MainExited exited)
    {
        if (d.Find(exited.Instance) is not (int service, SlotState slot, SlotPhase.Live live)
            || live is SlotPhase.Preparing or SlotPhase.Stopping { Status: not null })
        {
            return;
        }
        ServiceDefinition definition = live.Instance.Definition;
        SlotPhase.Stopping? stopping = live as SlotPhase.Stopping;
        StopCause cause = stopping?.Cause ?? new StopCause.ByItself(WasReady: live is SlotPhase.Ready);
        // Whatever its status: also a program that ends well on the signal has not done what it was asked for.
        Failure.EndedOnReload? onReload =
            cause is StopCause.ByItself ? ServiceReload.EndOf(live.Instance, exited.Status, d.Now) : null;
        if (onReload is not null)
            cause = new StopCause.Failed(onReload);
        Instance instance = stopping?.Instance ?? EndWatching(d, service, slot, live, onReload);
        if (stopping is null)
            Rollout.NoteEnd(d, service, slot, live, cause, exited.Status);
        instance = Succession.Leave(d, service, instance);
        bool isFailure = cause is StopCause.Failed
            || (cause is StopCause.ByItself own && !ServiceMachine.EndedWell(definition, exited.Status, own.WasReady));
        d.Report(new Notice.Exited(instance.Id, slot.Slot, instance.Generation, instance.Pid, exited.Status, isFailure)
        {
            Reason = onReload?.Text,
        });
        if (stopping is not null)
            LeaveStage(d, stopping);
        if (!exited.HasLeftovers || definition.Stop.Kill == KillScope.Process)
        {
            Finish(d, service, slot, instance, exited.Status, cause);
            return;
        }
        if (stopping?.Stage == StopStage.Killed)
        {
            d.Do(new Effect.Signal(instance.Id, SignalNumber.Kill, definition.Stop.Kill));
            d.SetPhase(service, slot, stopping with { Instance = instance, Cause = cause, Status = exited.Status });
            return;
        }
        d.Do(new Effect.Signal(instance.Id, definition.Stop.Signal, definition.Stop.Kill));
        if (exited.Leftovers is { } processes && IsOwnEnd(live))
        {
            d.Report(new Notice.LeftoversEnded(instance.Id, slot.Slot, instance.Generation, instance.Pid, processes,
                ServiceMachine.IsSuccess(definition, exited.Status)));
        }
        if (stopping?.Stage is StopStage.Signalled or StopStage.Aborted)
        {
            // The whole instance has one stop timeout: time that the main process used is gone for its other processes too.
            SlotPhase.Stopping rest = stopping with
            {
                Instance = instance, Cause = cause, Stage = StopStage.Leftovers, Deadline = EndOf(stopping), Status = exited.Status,
            };
            if (stopping.Stage == StopStage.Aborted)
                SetDeadline(d, service, slot, rest);
            else
                d.SetPhase(service, slot, rest);
            return;
        }
        Enter(d, service, slot, instance, cause, StopStage.Leftovers, exited.Status);
    }

    public static void Apply(Draft d, Event.LeftoversEnded ended)
    {
        if (d.Find(ended.Instance) is (int service, SlotState slot, SlotPhase.Stopping { Status: { } status } stopping))
            Finish(d, service, slot, stopping.Instance, status, stopping.Cause);
    }

    public static void Apply(Draft d, Event.RemainsSeen seen)
    {
        if (d.Find(seen.Instance) is (int service, SlotState slot, SlotPhase.Stopping { Stage: StopStage.Killed } stopping))
            d.SetPhase(service, slot, stopping with { Remains = seen.Text });
    }

    /// <summary>
    /// SIGKILL was refused: waiting for its effect would be in vain, so the instance is given up as soon as the host has looked what is
    /// left.
    /// </summary>
    public static void NoteUnkillable(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        if (stopping.Stage == StopStage.Killed)
            SetDeadline(d, service, slot, stopping with { Deadline = d.Now });
    }

    /// <summary>
    /// Whether an instance whose main process has ended does so by itself, not because anybody told it to: then it is told which of its
    /// processes were left.
    /// </summary>
    /// <param name="phase">Before the end of the main process.</param>
    public static bool IsOwnEnd(SlotPhase.Live? phase) => phase is not SlotPhase.Stopping { Cause: not StopCause.ByItself };

    private static void TellToEnd(Draft d, int service, SlotState slot, Instance instance, StopCause cause)
    {
        if (IsWish(cause))
            TellDrain(d, instance);
        if (IsWish(cause) && !instance.Definition.Stop.Command.IsEmpty)
        {
            d.Do(new Effect.RunCommand(instance.Id, CommandKind.Stop, instance.Definition.Stop.Command));
            Enter(d, service, slot, instance, cause, StopStage.Command);
            return;
        }
        Signal(d, instance, cause);
        Enter(d, service, slot, instance, cause, IsAbort(cause) ? StopStage.Aborted : StopStage.Signalled);
    }

    /// <summary>Takes back what belongs to one stage only.</summary>
    private static void LeaveStage(Draft d, SlotPhase.Stopping stopping)
    {
        if (stopping.Stage == StopStage.Command)
            d.Do(new Effect.EndCommand(stopping.Instance.Id, CommandKind.Stop));
        if (stopping.LookAt is not null)
            d.Disarm(TimerKind.Queue, stopping.Instance.Id.Service, stopping.Instance.Id.Number);
    }

    private static void Enter(
        Draft d, int service, SlotState slot, Instance instance, StopCause cause, StopStage stage, ExitStatus? status = null)
    {
        ServiceDefinition definition = instance.Definition;
        Moment? deadline = stage == StopStage.Aborted ? d.Now + PauseBeforeAbort(definition.Stop.Timeout)
            : definition.Stop.Timeout > TimeSpan.Zero ? d.Now + definition.Stop.Timeout
            : stage == StopStage.Emptying ? d.Now + Limits.QueuePatience : null;
        SetDeadline(d, service, slot, new SlotPhase.Stopping(instance, cause, stage, deadline, status));
    }

    public static void SetDeadline(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        InstanceId id = stopping.Instance.Id;
        d.SetPhase(service, slot, stopping);
        if (stopping.Deadline is { } due)
            d.Arm(TimerKind.Stop, id.Service, id.Number, due);
        else
            d.Disarm(TimerKind.Stop, id.Service, id.Number);
    }

    private static void Kill(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        if (stopping.Stage == StopStage.Killed)
            return;
        Instance instance = stopping.Instance;
        LeaveStage(d, stopping);
        d.Report(new Notice.Killing(instance.Id, slot.Slot, instance.Generation, instance.Pid));
        d.Do(new Effect.Signal(instance.Id, SignalNumber.Kill, instance.Definition.Stop.Kill));
        SetDeadline(d, service, slot, stopping with { Stage = StopStage.Killed, Deadline = d.Now + Limits.KillGrace, LookAt = null });
    }

    private static void GiveUp(Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        Instance instance = stopping.Instance;
        Failure failure = new Failure.CannotBeKilled(instance.Pid, stopping.Remains);
        d.Do(new Effect.Release(instance.Id));
        d[service] = d[service] with { LastFailure = failure, LastFailedInstance = instance.Id };
        Shutdown.NoteGivenUp(d, service, failure);
        _ = Succession.Leave(d, service, instance);
        if (slot.Role != SlotRole.Holder)
        {
            d.RemoveBeside(service, slot);
            return;
        }
        ServiceMachine.Fail(d, service, slot, failure);
        if (d[service].IsPerConnection)
            Activation.RemoveConnectionSlot(d, service, slot);
    }

    private static void Finish(Draft d, int service, SlotState slot, Instance instance, ExitStatus status, StopCause cause)
    {
        if (slot.Phase is SlotPhase.Stopping)
            d.Disarm(TimerKind.Stop, instance.Id.Service, instance.Id.Number);
        Leave(d, service, slot, instance, status, cause);
        if (slot.Role == SlotRole.Holder)
            Shutdown.NoteEnd(d, service, status);
    }

    /// <summary>An instance that is still being prepared is not wanted any more: there is no process to wait for.</summary>
    private static void Abandon(Draft d, int service, SlotState slot, SlotPhase.Preparing preparing, StopCause cause)
    {
        ServiceMachine.EndPreparing(d, preparing);
        Rollout.NoteEnd(d, service, slot, preparing, cause);
        Leave(d, service, slot, preparing.Instance, new ExitStatus(0), cause);
    }

    private static void Leave(Draft d, int service, SlotState slot, Instance instance, ExitStatus status, StopCause cause)
    {
        d.Do(new Effect.Release(instance.Id));
        if (slot.Role != SlotRole.Holder)
        {
            d.RemoveBeside(service, slot);
            return;
        }
        ServiceMachine.Follow(d, service, slot, instance, status, cause);
    }

    /// <summary>The service is not wanted any more: its instance, which may wait for a successor, hears that none will come.</summary>
    private static (SlotState Slot, SlotPhase.Stopping Stopping) EndSuccession(
        Draft d, int service, SlotState slot, SlotPhase.Stopping stopping)
    {
        SlotPhase.Stopping alone = stopping with { Instance = stopping.Instance with { Successor = null } };
        // An instance that still empties its queues hears of it when it is told to end; a killed one need not hear of it.
        if (stopping.Stage is not (StopStage.Emptying or StopStage.Killed))
            d.Do(new Effect.TellDrain(stopping.Instance.Id, EndOf(stopping), Successor: null));
        return (d.SetPhase(service, slot, alone), alone);
    }

    private static void TellDrain(Draft d, Instance instance)
    {
        TimeSpan limit = instance.Definition.Stop.Timeout;
        d.Do(new Effect.TellDrain(instance.Id, limit > TimeSpan.Zero ? d.Now + limit : null, instance.Successor));
    }

    private static void Signal(Draft d, Instance instance, StopCause cause)
    {
        ServiceDefinition definition = instance.Definition;
        d.Do(new Effect.Signal(instance.Id, IsAbort(cause) ? SignalNumber.Abrt : definition.Stop.Signal, AskedScope(instance)));
    }

    private static KillScope AskedScope(Instance instance) =>
        instance.Definition.Stop.Kill == KillScope.Group ? KillScope.Group : KillScope.Process;

    /// <summary>Takes back what belongs to a starting or ready instance only.</summary>
    private static Instance EndWatching(Draft d, int service, SlotState slot, SlotPhase.Live phase, Failure? onReload = null)
    {
        Instance instance = phase.Instance;
        if (phase is SlotPhase.Starting starting)
            ServiceMachine.EndStarting(d, starting);
        if (phase is SlotPhase.Ready && instance.ProvenAt is not null)
        {
            d.Disarm(TimerKind.Prove, instance.Id.Service, instance.Id.Number);
            instance = instance with { ProvenAt = null };
        }
        if (instance.IsChecked)
        {
            d.Do(new Effect.EndHealth(instance.Id));
            instance = instance with { IsChecked = false };
        }
        if (phase is SlotPhase.Ready && instance.WatchdogPeriod is not null)
            d.Disarm(TimerKind.Watchdog, instance.Id.Service, instance.Id.Number);
        return ServiceReload.Abandon(d, service, slot.Slot, instance, onReload);
    }
}
