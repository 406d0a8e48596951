using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>Property 8: each order is answered exactly once, for exactly the services it named, unless its client left.</summary>
internal sealed class RequestChecker(Supervisor supervisor) : Checker("8")
{
    private readonly Dictionary<RequestId, ImmutableArray<ServiceName>?> _open = [];
    private HashSet<ServiceName> _known = [.. supervisor.Services.Select(s => s.Definition.Name)];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        if (happened is Event.Requested asked)
            _open.Add(asked.Request, [.. asked.Services.Distinct().Where(_known.Contains)]);
        if (happened is Event.Reloaded { Request: { } reload })
            _open.Add(reload, null);
        if (happened is Event.ClientLeft left)
            _open.Remove(left.Request);
        foreach (Effect.Reply reply in effects.OfType<Effect.Reply>())
        {
            That(_open.Remove(reply.Request, out ImmutableArray<ServiceName>? services), "an answer that nobody waits for", reply.Request);
            That(services is null || reply.Outcomes.Select(o => o.Service).SequenceEqual(services),
                "an answer about other services", reply.Request);
            foreach (Outcome outcome in reply.Outcomes)
                That(outcome.Succeeded || outcome.Text is not null, "a failure without a reason", outcome);
        }
        That(_open.Keys.ToHashSet().SetEquals(supervisor.Frame.Requests.Select(r => r.Id)), "an order got lost");
        _known = [.. supervisor.Services.Select(s => s.Definition.Name)];
        int exit = IndexOf(effects);
        That(exit < 0 || exit == effects.Count - 1, "something is to be done after the end");
    }

    public override void CheckEnd() => That(_open.Count == 0, "an order was never answered");

    private static int IndexOf(IReadOnlyList<Effect> effects)
    {
        for (int i = 0; i < effects.Count; i++)
        {
            if (effects[i] is Effect.Exit)
                return i;
        }
        return -1;
    }
}
