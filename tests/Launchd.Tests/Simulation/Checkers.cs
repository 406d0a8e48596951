using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>One property, looked at after every step; keeps a naive account of its own, from events and effects alone.</summary>
internal abstract class Checker(string number)
{
    public abstract void Check(Event happened, IReadOnlyList<Effect> effects, Moment now);

    /// <summary>When everything rests.</summary>
    public virtual void CheckRest()
    {
    }

    /// <summary>After the supervisor's end.</summary>
    public virtual void CheckEnd()
    {
    }

    protected void That(bool holds, string what, object? about = null)
    {
        if (!holds)
            throw new BrokenPropertyException(about is null ? $"{number}: {what}" : $"{number}: {what} ({about})");
    }
}

/// <summary>All properties together, and what it means that everything rests.</summary>
internal sealed class Checkers
{
    private readonly Supervisor _supervisor;
    private readonly InstanceChecker _instances;
    private readonly Checker[] _all;
    private readonly Known _known;

    /// <param name="definition">The first configuration.</param>
    /// <param name="supervisor">Which is looked at.</param>
    /// <param name="misjudge">
    /// Plants a fault: whether something may be started by a former definition, instead of what the supervisor says.
    /// </param>
    public Checkers(SupervisorDefinition definition, Supervisor supervisor, Func<ServiceDefinition, bool, bool>? misjudge = null)
    {
        _supervisor = supervisor;
        _known = new Known(definition);
        _instances = new InstanceChecker(_known);
        _all =
        [
            _instances,
            new TimerChecker(supervisor),
            new ResumptionChecker(supervisor),
            new StartLimitChecker(supervisor),
            new RequestChecker(supervisor),
            new DependencyChecker(_known, supervisor),
            new DescriptorChecker(_known, supervisor),
            new ConnectionChecker(_known),
            new CommandChecker(),
            new ListenerChecker(supervisor),
            new ListenerLifeChecker(definition, supervisor, misjudge),
            new QueueChecker(supervisor),
            new IdleChecker(supervisor),
            new RolloutChecker(_known, supervisor),
            new SuccessionChecker(supervisor),
            new TurnChecker(supervisor),
            new StrangerChecker(supervisor),
            new BoundChecker(_known, supervisor),
            new WishChecker(_known, supervisor),
            new ReloadEndChecker(),
            new JobChecker(_known, supervisor),
        ];
    }

    public void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.Reloaded reloaded && _supervisor.Frame.Shutdown is null)
            _known.Adopt(reloaded.Next);
        if (happened is Event.Requested { Verb: Verb.Restart, Update: not null } asked)
            _known.Overridden.UnionWith(asked.Services);
        foreach (Checker checker in _all)
            checker.Check(happened, effects, now);
    }

    /// <summary>The event of this instance never reaches the supervisor: what it would have known may be wrong from now on.</summary>
    public void Lose(Event happened) => _instances.Lose(happened);

    public void CheckRest()
    {
        foreach (Checker checker in _all)
            checker.CheckRest();
    }

    public void CheckEnd()
    {
        foreach (Checker checker in _all)
            checker.CheckEnd();
    }

    public bool IsAtRest() =>
        _supervisor.Frame is { Requests.IsEmpty: true, Stops.PutOff.IsEmpty: true } && _supervisor.Services.All(Rests);

    public string Restless() => string.Join("; ", _supervisor.Services.Where(s => !Rests(s)).Select(s =>
        $"{s.Definition.Name} wanted {s.IsWanted} activated {s.IsActivated} watching {s.IsWatching} hindered {s.IsHindered} "
        + $"paused {s.PausedUntil} rollout {s.Rollout}: "
        + string.Join(", ", s.Slots.Concat(s.Beside).Select(p => $"{p.Role} {p.Generation} {p.Phase}"))));

    private static bool Rests(ServiceState service)
    {
        if (service.IsSetAside || !service.IsWanted)
            return !service.HasLiveInstance;
        if (service.Rollout is not null || service.Reborn is not null || !service.Beside.IsEmpty)
            return false;
        if (service.IsPerConnection)
        {
            return service.Slots.All(s => s.Phase is SlotPhase.Ready)
                && (service.IsWatching || service.IsHindered || !service.Slots.IsEmpty);
        }
        if (service.IsOnDemand && !service.IsActivated)
        {
            return (service.IsWatching || service.IsHindered)
                && service.Slots.All(s => s.Phase is SlotPhase.Idle or SlotPhase.Ended or SlotPhase.Failed);
        }
        // One that nobody uses any more stops in the end.
        if (service.IsOnDemand && service.Definition.IdleTimeout is not null)
            return false;
        return service.Slots.All(s => s.Phase is SlotPhase.Ready or SlotPhase.Ended or SlotPhase.Failed);
    }
}
