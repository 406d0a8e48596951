using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 23: what requires a job is spawned only while the last run of each of the job's slots has ended well; a job is never ready
/// while it runs, and is completed by nothing but such an end.
/// </summary>
internal sealed class JobChecker(Known known, Supervisor supervisor) : Checker("23")
{
    // By instance, as the kernel told it: what the core makes of it is what is checked.
    private readonly Dictionary<InstanceId, bool> _endedWell = [];
    private readonly Dictionary<(ServiceName Job, int Slot), InstanceId> _last = [];
    private readonly Dictionary<InstanceId, ServiceDefinition> _definitions = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.MainExited exited && _definitions.TryGetValue(exited.Instance, out ServiceDefinition? job)
            && !_endedWell.ContainsKey(exited.Instance))
        {
            _endedWell[exited.Instance] = exited.Status.IsBySignal
                ? job.SuccessSignals.Any(s => s.Value == exited.Status.Signal)
                : job.SuccessCodes.Contains(exited.Status.Code);
        }
        foreach (Start start in Start.In(happened, effects))
            CheckRequired(start.Instance.Service);
        foreach (Effect.Spawn spawn in effects.OfType<Effect.Spawn>().Where(s => s.Definition.IsJob))
        {
            _definitions[spawn.Instance] = spawn.Definition;
            _last[(spawn.Instance.Service, spawn.Slot)] = spawn.Instance;
        }
        foreach (ServiceName name in supervisor.Changed)
        {
            if (supervisor.Find(name) is not { } service)
                continue;
            foreach (SlotState slot in service.Slots)
                CheckSlot(service, slot);
        }
    }

    private void CheckRequired(ServiceName started)
    {
        foreach (ServiceName required in known.Of(started).Requires)
        {
            if (supervisor.Find(required) is not { IsWanted: true, Definition.IsJob: true } job)
                continue;
            That(job.Slots.All(IsCompleted), $"{started} is spawned, and {required} has not succeeded", required);
        }
    }

    private static bool IsCompleted(SlotState slot) => slot.Phase is SlotPhase.Ended { IsCompleted: true };

    private void CheckSlot(ServiceState service, SlotState slot)
    {
        ServiceName name = service.Definition.Name;
        // A quiet reload may give a running instance another definition: it is a job if it was born as one.
        That(slot.Phase is not SlotPhase.Ready ready || !_definitions.ContainsKey(ready.Instance.Id), "a job is ready while it runs", name);
        bool endedWell = _last.TryGetValue((name, slot.Slot), out InstanceId last) && _endedWell.GetValueOrDefault(last);
        That(!IsCompleted(slot) || endedWell, "a job is completed that did not end well", name);
    }
}
