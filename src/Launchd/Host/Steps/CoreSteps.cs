using Launchd.Core;
using Launchd.Host.Keeping;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Steps;

/// <summary>
/// Takes the steps of the core: gives it one event and has the effects carried out. An exception costs a step or an effect and no more:
/// the core and each effect are contained by themselves.
/// </summary>
internal sealed class CoreSteps(
    Supervisor core, EffectRunner effects, EventFeed events, Provisions provisions, RetiredListeners retired, Counters counters,
    Defects defects, ILogger logger)
{
    private readonly List<Effect> _todo = [];

    /// <summary>Writes each step down before its effects are carried out; null: nobody does.</summary>
    public StateWriter? State { get; set; }

    /// <summary>Takes one step. Throws nothing, because the caller has other events to go through afterwards.</summary>
    public void Take(Event happened)
    {
        try
        {
            Step(happened);
        }
        catch (Exception defect)
        {
            _todo.Clear();
            defects.Report("steps-failed", defect);
        }
    }

    /// <summary>Carries out what a supervisor before this one has ordered, or what it had standing.</summary>
    public void Resume(IEnumerable<Effect> effects)
    {
        foreach (Effect effect in effects)
            CarryNoted(effect);
    }

    private void Step(Event happened)
    {
        try
        {
            // The core uses its list of effects again for the next step.
            _todo.AddRange(core.Step(happened, HostClock.Now));
        }
        catch (Exception defect)
        {
            // The core gives its effects at the end of a step: none of this one exists.
            _todo.Clear();
            SetAside(happened, defect);
            return;
        }
        // Before the effects of the step: an instance that is told to end empties the listeners from which nobody else will ever accept.
        provisions.Prune(core);
        State?.NoteStep(core, _todo);
        foreach (Effect effect in _todo)
            CarryNoted(effect);
        _todo.Clear();
        // A rollout may have ended, after which no service goes back to the listeners that it left.
        retired.CloseUnused();
    }

    private void CarryNoted(Effect effect)
    {
        CarryContained(effect);
        if (State is not null && EffectRunner.IsOnce(effect))
            State.NoteCarriedOut();
    }

    // The effects behind this one belong to the same step, and are carried out even if the failure of this one could not be reported.
    private void CarryContained(Effect effect)
    {
        try
        {
            Carry(effect);
        }
        catch (Exception defect)
        {
            defects.Report("effects-failed", defect);
        }
    }

    private void Carry(Effect effect)
    {
        try
        {
            effects.Run(effect);
        }
        catch (Exception defect)
        {
            // First of all: a spawn without a result would leave its slot starting for ever.
            InstanceId? unborn = effect is Effect.Spawn spawn ? spawn.Instance : effect is Effect.Prepare prepare ? prepare.Instance : null;
            if (unborn is { } id)
            {
                string text = $"cannot start {id.Service}: {Defect.Describe(defect)}";
                events.FeedResult(new Event.SpawnFailed(id, new Failure.SpawnFailed("supervisor", 0, text)
                {
                    IsShortage = defect is OutOfMemoryException,
                }));
            }
            if (effect is Effect.Signal { Request: not null } signal)
                events.FeedResult(new Event.SignalSent(signal.Instance, signal.Number, signal.Request, Defect.Describe(defect)));
            counters.Count("effects-failed");
            SupervisorLog.EffectFailed(logger, effect.GetType().Name, defect);
        }
    }

    /// <summary>Our bug: the step did not happen; the service that it was about is set aside, the others go on.</summary>
    private void SetAside(Event happened, Exception defect)
    {
        counters.Count("steps-failed");
        effects.Discard(happened);
        ServiceName? service = ServiceOf(happened);
        SupervisorLog.StepFailed(logger, happened.ToString(), service?.Text ?? "-", defect);
        if (service is { } name && happened is not Event.MachineFaulted)
            events.FeedResult(new Event.MachineFaulted(name, Defect.Describe(defect)));
    }

    private static ServiceName? ServiceOf(Event happened) => happened switch
    {
        Event.Prepared e => e.Instance.Service,
        Event.Spawned e => e.Instance.Service,
        Event.SpawnFailed e => e.Instance.Service,
        Event.MainExited e => e.Instance.Service,
        Event.LeftoversEnded e => e.Instance.Service,
        Event.RemainsSeen e => e.Instance.Service,
        Event.QueuesSeen e => e.Instance.Service,
        Event.Notified e => e.Instance.Service,
        Event.ReadinessMet e => e.Instance.Service,
        Event.ClueFound e => e.Instance.Service,
        Event.MainProcessChanged e => e.Instance.Service,
        Event.SignalSent e => e.Instance.Service,
        Event.TimerFired e => e.Key.Service.Text is null ? null : e.Key.Service,
        Event.CommandEnded e => e.Instance.Service,
        Event.ListenerReadable e => e.Service,
        Event.ConnectionAccepted e => e.Service,
        Event.AcceptFailed e => e.Service,
        Event.ListenerUsed e => e.Service,
        Event.UseSeen e => e.Service,
        Event.DescriptorHungUp e => e.Service,
        Event.HealthFailed e => e.Instance.Service,
        Event.ChannelWatched e => e.Instance.Service,
        Event.StoreAsked e => e.Instance.Service,
        Event.UnstoreAsked e => e.Instance.Service,
        Event.StateSaved e => e.Instance.Service,
        Event.MachineFaulted e => e.Service,
        _ => null,
    };
}
