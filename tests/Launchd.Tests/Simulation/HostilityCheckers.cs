using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Property 20: what is said about an instance, a service or a timer that is not there changes nothing: what came with it
/// is closed, who asks is answered, and that is all.
/// </summary>
internal sealed class StrangerChecker(Supervisor supervisor) : Checker("20")
{
    private Dictionary<ServiceName, ServiceState> _before = Glance(supervisor);
    private long _nextInstance = supervisor.Frame.NextInstance;

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        Dictionary<ServiceName, ServiceState> after = Glance(supervisor);
        if (IsAboutNobody(happened))
        {
            That(supervisor.Frame.NextInstance == _nextInstance, "a stranger started something", happened);
            foreach ((ServiceName name, ServiceState state) in after)
            {
                That(_before.TryGetValue(name, out ServiceState? before) && ReferenceEquals(before, state),
                    "a stranger changed a service", happened);
            }
            foreach (Effect effect in effects)
            {
                That(effect is Effect.CloseDescriptor or Effect.CloseConnection or Effect.AnswerStore or Effect.Reply,
                    "a stranger has something done", effect);
            }
        }
        (_before, _nextInstance) = (after, supervisor.Frame.NextInstance);
    }

    private bool IsAboutNobody(Event happened) => happened switch
    {
        Event.Notified e => !Has(e.Instance),
        Event.MainProcessChanged e => !Has(e.Instance),
        Event.MainExited e => !Has(e.Instance),
        Event.LeftoversEnded e => !Has(e.Instance),
        Event.ReadinessMet e => !Has(e.Instance),
        Event.Prepared e => !Has(e.Instance),
        Event.QueuesSeen e => !Has(e.Instance),
        Event.CommandEnded e => !Has(e.Instance),
        Event.StoreAsked e => !Has(e.Instance),
        Event.StateSaved e => !Has(e.Instance),
        Event.DrainProgress e => !Has(e.Instance),
        Event.HealthFailed e => !Has(e.Instance),
        Event.ListenerReadable e => !_before.ContainsKey(e.Service),
        Event.ListenerUsed e => !_before.ContainsKey(e.Service),
        Event.UseSeen e => !_before.ContainsKey(e.Service),
        Event.ConnectionAccepted e => !_before.ContainsKey(e.Service),
        Event.AcceptFailed e => !_before.ContainsKey(e.Service),
        Event.DescriptorHungUp e => !_before.ContainsKey(e.Service),
        Event.Requested e => !e.Services.Any(_before.ContainsKey),
        Event.ClientLeft => true,
        _ => false,
    };

    private bool Has(InstanceId id) =>
        _before.TryGetValue(id.Service, out ServiceState? state) && state.Slots.Concat(state.Beside).Any(s => s.Instance?.Id == id);

    private static Dictionary<ServiceName, ServiceState> Glance(Supervisor supervisor) =>
        supervisor.Services.ToDictionary(s => s.Definition.Name);
}

/// <summary>
/// Property 21: nothing that a program or a client sends makes the state grow beyond its limit, however often it is sent.
/// </summary>
internal sealed class BoundChecker(Known known, Supervisor supervisor) : Checker("21")
{
    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        That(supervisor.Frame.Requests.Length <= Limits.PendingRequestCount, "more orders wait than may");
        foreach (ServiceState service in supervisor.Services)
        {
            ServiceName name = service.Definition.Name;
            That(service.Slots.Length <= Limits.SlotCount, "more slots than a pool may have", name);
            That(service.Stored.Length <= known.Ever(name).Max(s => s.FdStoreCount), "more descriptors are stored than may be", name);
            That(service.SavedStates.Select(s => s.Slot).Distinct().Count() == service.SavedStates.Length,
                "a slot has two saved states", name);
            foreach (SlotState slot in service.Slots.Concat(service.Beside))
            {
                That((slot.Instance?.StatusText.Length ?? 0) <= Limits.StatusTextLength, "a status text is too long", name);
                That(slot.Starts.Length <= known.Ever(name).Max(s => s.StartLimit.Burst) + 1,
                    "more starts are remembered than are counted", name);
            }
        }
        // A message may close and report each descriptor that came with it; nothing else of it is worth more than a few orders.
        if (happened is Event.Notified notified)
        {
            That(effects.Count <= 50 + (2 * notified.Descriptors.Length) + (20 * supervisor.Services.Count),
                "one message has too much done", notified);
        }
    }
}

/// <summary>
/// Property 22: whoever comes to be wanted brings along what it requires and what it wants, around every circle; and
/// nobody is started twice in one step because of one.
/// </summary>
internal sealed class WishChecker(Known known, Supervisor supervisor) : Checker("22")
{
    private HashSet<ServiceName> _wanted = [];

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        HashSet<ServiceName> wanted = [.. supervisor.Services.Where(s => s.IsWanted && !s.IsLeaving).Select(s => s.Definition.Name)];
        if (supervisor.Frame.Shutdown is null && happened is Event.Booted or Event.Requested)
        {
            foreach (ServiceName name in wanted.Where(w => !_wanted.Contains(w) && known.Has(w)))
            {
                foreach (ServiceName needed in known.Of(name).Requires.Concat(known.Of(name).Wants))
                    That(wanted.Contains(needed), $"{name} came to be wanted without what it needs", needed);
            }
        }
        foreach (IGrouping<(ServiceName, int), Start> starts in Start.In(happened, effects).Where(s => s.Connection is null)
            .GroupBy(s => (s.Instance.Service, s.Slot)))
        {
            That(starts.Count() == 1, "a slot is started twice in one step", starts.Key);
        }
        _wanted = wanted;
    }
}
