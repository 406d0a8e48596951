using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 7: of the starts that nobody ordered, never more than the limit within its interval, counted from a list of all of
/// them. An operator's order, another definition, and a run that ended well where that is no reason for another, begin a new list; what the
/// system had no room for was no start, and the start after an end by a reload signal stands for the one before it.
/// </summary>
internal sealed class StartLimitChecker(Supervisor supervisor) : Checker("7")
{
    private readonly Dictionary<(ServiceName, int), List<Moment>> _starts = [];
    private readonly Dictionary<InstanceId, int> _slots = [];
    private readonly Dictionary<InstanceId, bool> _mayRest = [];

    // Beside the holder of their slot such live with no count yet; with those that come to hold it a new one begins.
    private readonly HashSet<InstanceId> _ordered = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.Requested { Verb: Verb.Start or Verb.Restart } asked)
        {
            foreach ((ServiceName Service, int) key in _starts.Keys.Where(k => asked.Services.Contains(k.Item1)).ToArray())
                _starts.Remove(key);
        }
        if (happened is Event.Reloaded)
            _starts.Clear();
        if (happened is Event.SpawnFailed { Failure.IsShortage: true } failed && _slots.TryGetValue(failed.Instance, out int failedSlot)
            && _starts.TryGetValue((failed.Instance.Service, failedSlot), out List<Moment>? before) && before.Count > 0)
        {
            before.RemoveAt(before.Count - 1);
        }
        foreach (Notice.Restarting next in effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Restarting>())
        {
            if (next.Reason?.StartsWith("reload failed: ", StringComparison.Ordinal) == true
                && _starts.TryGetValue((next.Of, next.Slot), out List<Moment>? counted) && counted.Count > 0)
            {
                counted.RemoveAt(counted.Count - 1);
            }
        }
        // A rollout may have another use for the slot in the same step, so that nobody sees it rest.
        foreach (Notice.Exited ended in effects.OfType<Effect.Report>().Select(r => r.Notice).OfType<Notice.Exited>())
        {
            if (!ended.IsFailure && _mayRest.GetValueOrDefault(ended.Instance))
                _starts.Remove((ended.Instance.Service, ended.Slot));
        }
        foreach (ServiceState service in supervisor.Services)
        {
            foreach (SlotState slot in service.Slots)
            {
                if (!service.IsWanted || slot.Phase is SlotPhase.Ended || (slot.Instance is { } holder && _ordered.Remove(holder.Id)))
                    _starts.Remove((service.Definition.Name, slot.Slot));
            }
        }
        foreach (Start start in Start.In(happened, effects).Where(s => s.Connection is null))
            Count(start, now);
    }

    private void Count(Start start, Moment now)
    {
        _slots[start.Instance] = start.Slot;
        _mayRest[start.Instance] = start.Definition.Restart != RestartKind.Always;
        (ServiceName, int) key = (start.Instance.Service, start.Slot);
        RateLimit limit = start.Definition.StartLimit;
        if (start.Reason is not (StartReason.Restart or StartReason.Activation) || !_starts.ContainsKey(key))
            _starts[key] = [];
        if (start.Reason is StartReason.Rollout or StartReason.Reload)
        {
            _ordered.Add(start.Instance);
            return;
        }
        List<Moment> starts = _starts[key];
        starts.Add(now);
        That(limit.IsUnlimited || starts.Count(s => now - s < limit.Interval) <= limit.Burst,
            $"more than {limit.Burst} starts within {limit.Interval}", start);
    }
}
