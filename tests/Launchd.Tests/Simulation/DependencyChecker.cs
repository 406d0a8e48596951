using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>Property 12: nothing is spawned before what it requires is there and what comes first is done; stops go in reverse.</summary>
internal sealed class DependencyChecker(Known known, Supervisor supervisor) : Checker("12")
{
    private readonly HashSet<InstanceId> _stopping = [];
    private readonly HashSet<ServiceName> _listenedBefore = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        // The service with which the supervisor ends may fail in the very step that starts another.
        bool isOver = effects.OfType<Effect.Report>().Any(r => r.Notice is Notice.Shutdown);
        foreach (Start start in isOver ? [] : Start.In(happened, effects))
            CheckSpawn(supervisor.Find(start.Instance.Service)!, effects);
        foreach (ServiceState service in supervisor.Services)
        {
            foreach (SlotState slot in service.Slots)
            {
                // Ordered before it was born, and told now.
                bool isReplaced = service.Reborn is not null || (happened is Event.Spawned born && born.Instance == slot.Instance?.Id)
                    || (service.IsPerConnection && happened is Event.Requested { Verb: Verb.Restart } or Event.Reloaded);
                if (slot.Phase is SlotPhase.Stopping stopping && _stopping.Add(stopping.Instance.Id)
                    && stopping.Cause is StopCause.Wish && !isReplaced)
                {
                    CheckStop(service, stopping);
                }
            }
            if (ListensNow(service))
                _listenedBefore.Add(service.Definition.Name);
            else
                _listenedBefore.Remove(service.Definition.Name);
            if (service.IsWanted && supervisor.Frame.Shutdown is null)
            {
                foreach (ServiceName required in known.Of(service.Definition.Name).Requires)
                    That(supervisor.Find(required)!.IsWanted, $"{service.Definition.Name} is wanted, what it requires is not", required);
            }
        }
    }

    private void CheckSpawn(ServiceState service, IReadOnlyList<Effect> effects)
    {
        service = service with { Definition = known.Of(service.Definition.Name) };
        foreach (ServiceName required in service.Definition.Requires)
        {
            ServiceState state = supervisor.Find(required)!;
            // Ready when the step began, and exchanged by the same order.
            if (effects.OfType<Effect.Report>().Any(r => r.Notice is Notice.Draining e && e.Instance.Service == required))
                continue;
            // What came to listen in this step may stop again within it, because something before it is told to end.
            bool listened = Listens(state) || effects.OfType<Effect.WatchListeners>().Any(w => w.Service == required);
            That(listened || state.Slots.Any(s => s.Phase is SlotPhase.Ready or SlotPhase.Ended or SlotPhase.Starting { Instance.Pid: > 0 })
                || IsFull(state),
                $"{service.Definition.Name} is spawned before what it requires is ready", required);
        }
        foreach (ServiceDefinition other in known.Current.Services)
        {
            ServiceState state = supervisor.Find(other.Name)!;
            bool isFirst = service.Definition.After.Contains(other.Name) || service.Definition.Requires.Contains(other.Name)
                || other.Before.Contains(service.Definition.Name);
            bool isJustExchanged = effects.OfType<Effect.Report>()
                .Any(r => r.Notice is Notice.Draining e && e.Instance.Service == other.Name);
            if (isFirst && !isJustExchanged && state.IsWanted
                && !state.IsSetAside && !Listens(state) && !IsFull(state) && !(state.IsOnDemand && !state.IsActivated))
            {
                That(!state.Slots.Any(s => s.Phase is SlotPhase.Idle or SlotPhase.Waiting
                    or SlotPhase.Preparing or SlotPhase.Starting or SlotPhase.BackingOff),
                    $"{service.Definition.Name} is spawned before what comes first is done", other.Name);
            }
        }
    }

    private void CheckStop(ServiceState service, SlotPhase.Stopping stopping)
    {
        bool isShutdown = supervisor.Frame.Shutdown is not null;
        if (supervisor.Frame.Shutdown is { IsImmediate: true }
            || (service.IsWanted && !isShutdown) || stopping.Stage == StopStage.Leftovers)
        {
            return;
        }
        ServiceName name = service.Definition.Name;
        foreach (ServiceState then in supervisor.Services)
        {
            ServiceDefinition other = Of(then.Definition.Name);
            bool isThen = other.After.Contains(name) || other.Requires.Contains(name) || Of(name).Before.Contains(then.Definition.Name);
            That(!isThen || !then.HasLiveInstance || (then.IsWanted && !isShutdown),
                $"{name} is stopped before {then.Definition.Name}, which comes after it");
        }
    }

    private ServiceDefinition Of(ServiceName name) => known.Of(name);

    /// <summary>It listened before the step or does after it: what else the same event brings comes later.</summary>
    private bool Listens(ServiceState state) => _listenedBefore.Contains(state.Definition.Name) || ListensNow(state);

    private static bool ListensNow(ServiceState state) =>
        state.IsWatching || (state.PausedUntil is not null && (state.IsOnDemand || state.IsPerConnection));

    private static bool IsFull(ServiceState state) => state.IsPerConnection && state.HasLiveInstance;
}
