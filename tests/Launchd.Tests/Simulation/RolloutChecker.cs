using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 3: a rollout never lets more instances live than slots and surge, never leaves more slots than allowed without a ready
/// instance by its own doing, takes no ready instance's place with one that has not been ready for the proving time, and goes back when a
/// new instance fails before that: because it ended, was not ready in time, was not well, or its watchdog heard nothing.
/// </summary>
internal sealed class RolloutChecker(Known known, Supervisor supervisor) : Checker("3")
{
    private readonly Dictionary<ServiceName, Glance> _before = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        bool isCertain = happened is not (Event.MachineFaulted or Event.Reloaded);
        foreach (ServiceState service in supervisor.Services)
        {
            ServiceName name = service.Definition.Name;
            Glance after = new(service);
            if (_before.TryGetValue(name, out Glance? before) && isCertain
                && !service.IsPerConnection && service.IsWanted && before.State.IsWanted
                && supervisor.Frame.Shutdown is null)
            {
                CheckOne(before, after, happened, effects, now);
            }
            _before[name] = after;
        }
        foreach (Effect.Forget forget in effects.OfType<Effect.Forget>())
            _before.Remove(forget.Service);
    }

    private void CheckOne(Glance before, Glance after, Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        ServiceState service = after.State;
        ServiceName name = service.Definition.Name;
        int alive = service.Slots.Concat(service.Beside).Count(s => s.Phase is SlotPhase.Live and not SlotPhase.Stopping
            and not SlotPhase.Starting { EndsFor: not null });
        bool isScaled = service.Slots.Length != before.State.Slots.Length;
        That(isScaled || alive <= service.Slots.Length + known.Surge(name), $"{alive} of {name} live, more than slots and surge");
        InstanceId[] lost =
            [.. before.Ready.Where(id => !after.Ready.Contains(id) && id != Subject(happened) && WasExchanged(effects, id))];
        if (happened is not (Event.Requested or Event.ClientLeft))
            CheckRolledBack(before, after, effects);
        if (lost.Length == 0 || isScaled)
            return;
        int dead = service.Slots.Count(s => s.Phase is SlotPhase.BackingOff or SlotPhase.Failed or SlotPhase.Ended);
        int least = Math.Min(before.Serving, service.Slots.Length - known.Unavailable(name)) - dead;
        That(after.Serving >= least, $"only {after.Serving} slots of {name} serve, {before.Serving} before, at least {least} should");
        foreach (SlotState slot in service.Slots)
            CheckProof(before, slot, now);
    }

    /// <summary>Whether it was told to end because another is to come, and not by its own fault or an operator's wish.</summary>
    private bool WasExchanged(IReadOnlyList<Effect> effects, InstanceId id)
    {
        ServiceState service = supervisor.Find(id.Service)!;
        StopCause? cause = service.Slots.Concat(service.Beside).Select(s => s.Phase).OfType<SlotPhase.Stopping>().FirstOrDefault(s =>
            s.Instance.Id == id)?.Cause;
        return cause is StopCause.Replace or StopCause.Retire
            && effects.OfType<Effect.Report>().Any(r => r.Notice is Notice.Draining e && e.Instance == id);
    }

    /// <summary>The instance that an event is about: what follows from it is that instance's own doing.</summary>
    private static InstanceId? Subject(Event happened) => happened switch
    {
        Event.Notified e => e.Instance,
        Event.MainExited e => e.Instance,
        Event.HealthFailed e => e.Instance,
        Event.TimerFired { Key.Kind: TimerKind.Watchdog } e => new InstanceId(e.Key.Service, e.Key.Subject),
        _ => null,
    };

    private void CheckRolledBack(Glance before, Glance after, IReadOnlyList<Effect> effects)
    {
        if (before.State.Rollout is not { IsBack: false, Failure: null, Definition.Rollout.OnFailure: RolloutFailure.Rollback } rollout)
            return;
        foreach ((InstanceId id, SlotState slot) in before.Unproven.Where(u => u.Value.Instance!.Generation == rollout.Generation))
        {
            SlotPhase? phase = after.State.Slots.Concat(after.State.Beside).FirstOrDefault(s => s.Instance?.Id == id)?.Phase;
            bool failed = phase is null or SlotPhase.Stopping { Cause: StopCause.Failed or StopCause.ByItself };
            bool mayRest = slot is { Role: SlotRole.Holder, Phase: SlotPhase.Ready, Instance.Definition.Restart: not RestartKind.Always };
            bool isDone = slot.Instance!.Definition.IsJob
                && (phase is SlotPhase.Stopping { Status: { } end } ? EndsWell(slot.Instance.Definition, end)
                    : after.State.Slots.Any(s => s.Slot == slot.Slot && s.Phase is SlotPhase.Ended));
            if (!failed || mayRest || isDone)
                continue;
            That(effects.OfType<Effect.Report>()
                .Any(r => r.Notice is Notice.RolledBack e && e.Of == id.Service && e.Generation == rollout.Generation),
                "a new instance failed before its proof, and nothing is rolled back", id);
        }
    }

    private static bool EndsWell(ServiceDefinition job, ExitStatus status) => status.IsBySignal
        ? job.SuccessSignals.Any(s => s.Value == status.Signal)
        : job.SuccessCodes.Contains(status.Code);

    private void CheckProof(Glance before, SlotState slot, Moment now)
    {
        if (slot.Phase is not SlotPhase.Ready { Instance: { Predecessor: { } old } instance }
            || before.Holders.GetValueOrDefault(slot.Slot) != old)
        {
            return;
        }
        TimeSpan shortest = before.State.Rollout is { IsBack: false } ? known.Prove(instance.Id.Service) : TimeSpan.Zero;
        That(!before.Ready.Contains(old) || now - instance.ReadyAt!.Value >= shortest, "a place was taken before the proof", instance.Id);
    }

    /// <summary>What is kept from one step to the next.</summary>
    private sealed class Glance
    {
        public Glance(ServiceState state)
        {
            State = state;
            foreach (SlotState slot in state.Slots)
            {
                if (slot.Instance is { } holder)
                    Holders[slot.Slot] = holder.Id;
                if (slot.Phase is SlotPhase.Ready ready)
                    Ready.Add(ready.Instance.Id);
            }
            foreach (SlotState slot in state.Slots.Concat(state.Beside))
            {
                if (slot.Role != SlotRole.Retiring && slot.Phase is SlotPhase.Starting or SlotPhase.Ready { Instance.ProvenAt: not null })
                    Unproven[slot.Instance!.Id] = slot;
            }
        }

        public ServiceState State { get; }

        /// <summary>Holders of slots that are ready.</summary>
        public HashSet<InstanceId> Ready { get; } = [];
        public Dictionary<int, InstanceId> Holders { get; } = [];

        /// <summary>Instances that start, or have to stay ready for a while yet, with their places.</summary>
        public Dictionary<InstanceId, SlotState> Unproven { get; } = [];

        /// <summary>Slots with a ready instance.</summary>
        public int Serving => Ready.Count;
    }
}
