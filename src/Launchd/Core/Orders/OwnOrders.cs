using Launchd.Core.Graph;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>
/// Orders that come from within a service, by its program, a script that starts it, or its stop command. Whoever gives one and waits for
/// the outcome may itself be what the outcome waits for.
/// </summary>
internal static class OwnOrders
{
    /// <summary>Who waits for whom if whoever gives an order waits for its outcome; null: the outcome does not depend on that.</summary>
    /// <param name="graph">Of the configuration.</param>
    /// <param name="services">By number.</param>
    /// <param name="verb">The order.</param>
    /// <param name="service">For which service it is.</param>
    /// <param name="caller">The instance from within which it comes.</param>
    /// <param name="isStopCommand">It comes from the stop command of that instance.</param>
    public static string? WhyInVain(
        DependencyGraph graph, ServiceState[] services, Verb verb, ServiceName service, InstanceId caller, bool isStopCommand)
    {
        int asked = graph.Find(service), own = graph.Find(caller.Service);
        if (asked < 0 || own < 0)
            return null;
        bool ends = verb == Verb.Stop ? Reaches(asked, own, graph.RequiredBy, _ => true) : verb == Verb.Restart && asked == own;
        if (ends && isStopCommand)
            return $"{service} waits for the stop command of {caller.Service} to end, and that waits for this order";
        if (ends)
            return $"{service} waits for {caller.Service} to end, and that waits for this order";
        if (verb is not (Verb.Start or Verb.Restart) || !IsStarting(services[own], caller))
            return null;
        return asked == own || Reaches(asked, own, graph.First, s => HoldsUp(services[s]))
            ? $"{service} waits for {caller.Service} to be ready, and that waits for this order"
            : null;
    }

    private static bool IsStarting(ServiceState state, InstanceId instance) =>
        state.Slots.Concat(state.Beside).Any(s => s.Phase is SlotPhase.Starting { Instance: var starting } && starting.Id == instance);

    /// <summary>Whether others wait for a service: it is wanted, and not all of it has come up.</summary>
    private static bool HoldsUp(ServiceState state) =>
        state.IsWanted && state.Slots.Any(s => s.Phase is not (SlotPhase.Ready or SlotPhase.Ended or SlotPhase.Failed));

    private static bool Reaches(int from, int to, int[][] edges, Func<int, bool> isPassable)
    {
        HashSet<int> seen = [from];
        Queue<int> todo = new(seen);
        while (todo.TryDequeue(out int next))
        {
            if (next == to)
                return true;
            foreach (int further in edges[next])
            {
                if (isPassable(further) && seen.Add(further))
                    todo.Enqueue(further);
            }
        }
        return false;
    }
}
