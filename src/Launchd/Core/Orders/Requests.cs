using System.Collections.Immutable;
using Launchd.Core.Graph;
using Launchd.Core.Instances;
using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>Operators' orders: what they change at once, and when their outcome is known.</summary>
internal static class Requests
{
    public static void Apply(Draft d, Event.Requested asked)
    {
        ImmutableArray<int> services = [.. asked.Services.Select(d.Graph.Find).Where(s => s >= 0).Distinct()];
        // A signal is answered as soon as it is sent.
        if (asked.Verb != Verb.Signal && d.Frame.Requests.Length >= Limits.PendingRequestCount)
        {
            d.Do(new Effect.Reply(
                asked.Request, [.. services.Select(s => Refuse(d, s, "too many orders wait for their outcome; try again later"))]));
            return;
        }
        List<Outcome> refused = [];
        foreach (int service in services)
        {
            switch (asked.Verb)
            {
                case Verb.Start:
                    Want(d, service);
                    break;
                case Verb.Stop:
                    Unwant(d, service);
                    break;
                case Verb.Restart:
                    Replace(d, service, asked.Update);
                    break;
                case Verb.Scale:
                    Pool.Scale(d, service, asked.Count ?? d[service].Slots.Length);
                    break;
                case Verb.Reload when ServiceReload.Begin(d, service) is { } why:
                    refused.Add(Refuse(d, service, why));
                    break;
            }
        }
        Await(d, asked.Request, asked.Verb, services, [.. refused]);
        if (asked.Verb != Verb.Signal)
            return;
        PendingRequest pending = d.Frame.Requests[^1];
        PendingRequest sent = pending with { Signals = Signals.Send(d, asked.Request, services, asked.Signal!.Value) };
        d.Frame = d.Frame with { Requests = d.Frame.Requests.Replace(pending, sent) };
    }

    /// <summary>Answers an order as soon as the outcome of all its services is known.</summary>
    /// <param name="d">The step.</param>
    /// <param name="request">The order.</param>
    /// <param name="verb">What is ordered.</param>
    /// <param name="services">The services that the order names.</param>
    /// <param name="settled">Outcomes that are known already.</param>
    public static void Await(Draft d, RequestId request, Verb verb, ImmutableArray<int> services, params ImmutableArray<Outcome> settled)
    {
        HashSet<ServiceName> known = [.. settled.Select(o => o.Service)];
        PendingRequest pending = new()
        {
            Id = request,
            Verb = verb,
            AskedAt = d.Now,
            Asked = [.. services.Select(s => d[s].Definition.Name)],
            Open = [.. services.Where(s => !known.Contains(d[s].Definition.Name))],
            Settled = [.. settled],
        };
        d.Frame = d.Frame with { Requests = d.Frame.Requests.Add(pending) };
        foreach (int service in services)
        {
            d.Unsettle(service);
            d.Touch(service);
        }
    }

    public static void Apply(Draft d, Event.ClientLeft left) =>
        d.Frame = d.Frame with { Requests = [.. d.Frame.Requests.Where(r => r.Id != left.Request)] };

    /// <summary>Answers the orders whose last outcome is known now; only what the step touched can have changed an outcome.</summary>
    public static void Settle(Draft d)
    {
        foreach (PendingRequest pending in d.Frame.Requests)
        {
            PendingRequest now = SettleOne(d, pending);
            if (now.Open.IsEmpty)
            {
                d.Frame = d.Frame with { Requests = d.Frame.Requests.Remove(pending) };
                d.Do(new Effect.Reply(now.Id, InOrder(now)));
            }
            else if (!ReferenceEquals(now, pending))
            {
                d.Frame = d.Frame with { Requests = d.Frame.Requests.Replace(pending, now) };
            }
        }
    }

    private static PendingRequest SettleOne(Draft d, PendingRequest pending)
    {
        ImmutableHashSet<int>.Builder? open = null;
        ImmutableStack<Outcome> settled = pending.Settled;
        foreach (int service in d.Touched)
        {
            if (!pending.Open.Contains(service) || Verdict.Of(d, service, pending) is not { } outcome)
                continue;
            open ??= pending.Open.ToBuilder();
            open.Remove(service);
            settled = settled.Push(outcome);
        }
        return open is null ? pending : pending with { Open = open.ToImmutable(), Settled = settled };
    }

    private static ImmutableArray<Outcome> InOrder(PendingRequest answered)
    {
        Dictionary<ServiceName, Outcome> outcomes = answered.Settled.ToDictionary(o => o.Service);
        return [.. answered.Asked.Where(outcomes.ContainsKey).Select(s => outcomes[s])];
    }

    /// <summary>Makes a service and all that it requires or wants run.</summary>
    public static void Want(Draft d, int service, StartReason reason = StartReason.Request)
    {
        if (d.IsShuttingDown || d[service].IsLeaving)
            return;
        foreach (int needed in d.Walk.From(service, d.Graph.Needs, other => IsMissing(d, other)))
            WantOne(d, needed, needed == service ? reason : StartReason.Boot);
    }

    /// <summary>Whether a needed service is not wanted yet, or has failed and gets another chance.</summary>
    private static bool IsMissing(Draft d, int needed) =>
        !d[needed].IsLeaving && (!d[needed].IsWanted || Dependencies.HasFailed(d, needed));

    private static void WantOne(Draft d, int service, StartReason reason)
    {
        if (reason == StartReason.Request && d[service].PausedUntil is not null)
            Activation.Resume(d, service);
        if (d[service].Reborn is not null)
        {
            // The service's slots are still those of its former kind of start; with what it begins once they have ended is decided already.
            d[service] = d[service] with { IsWanted = true, IsSetAside = false };
            return;
        }
        if (!d[service].IsWanted || d[service].IsSetAside)
            Pool.BeginGeneration(d, service);
        ServiceState state = d[service];
        d[service] = state with
        {
            IsWanted = true,
            IsSetAside = false,
            IsActivated = state.IsOnDemand && (state.IsActivated || reason == StartReason.Request || state.Slots.Any(GoesOn)),
        };
        Pool.CatchUp(d, service);
        if (reason == StartReason.Boot && state.IsOnDemand)
            return;
        foreach (SlotState slot in d[service].Slots)
            Refresh(d, service, slot, reason);
    }

    /// <summary>
    /// Whether an instance was to be stopped, but its turn has not come: if its service is wanted again, it just runs on.
    /// </summary>
    private static bool GoesOn(SlotState slot) => slot.Phase is SlotPhase.Live and not SlotPhase.Stopping { Cause: StopCause.Wish };

    private static void Refresh(Draft d, int service, SlotState slot, StartReason reason)
    {
        if (slot.Phase is SlotPhase.Stopping)
            Stopping.Begin(d, service, slot, StopCause.Replace.Value); // it ends by itself, and the order wants another after it
        if (slot.Phase is SlotPhase.Live or SlotPhase.Waiting)
            return;
        if (slot.Phase is SlotPhase.BackingOff)
            d.Disarm(TimerKind.Backoff, d[service].Definition.Name, slot.Slot);
        d.SetSlot(service, slot with { Phase = new SlotPhase.Waiting(reason), Attempt = 0, Starts = [], RestartCount = 0 });
    }

    /// <summary>Ends a service and all that requires it.</summary>
    public static void Unwant(Draft d, int service)
    {
        if (!d[service].IsWanted)
        {
            d.Unsettle(service);
            ClearFailed(d, service);
            return;
        }
        foreach (int dependent in d.Walk.From(service, d.Graph.RequiredBy, other => d[other].IsWanted))
        {
            d[dependent] = d[dependent] with { IsWanted = false, IsActivated = false, Rollout = null };
            ClearFailed(d, dependent);
        }
    }

    private static void ClearFailed(Draft d, int service)
    {
        if (d[service].IsSetAside)
            d[service] = d[service] with { IsSetAside = false };
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.Failed or SlotPhase.Ended)
                d.SetSlot(service, slot with { Phase = SlotPhase.Idle.Value, Attempt = 0, Starts = [] });
        }
    }

    private static void Replace(Draft d, int service, UpdateKind? update)
    {
        bool wasRunning = d[service] is { IsWanted: true, IsSetAside: false };
        Want(d, service);
        // A service that is to be reborn is being exchanged already, and its slots are still those of its former kind of start.
        if (!wasRunning || d.IsShuttingDown || d[service] is { IsLeaving: true } or { Reborn: not null })
            return;
        ServiceDefinition definition = d.Graph.Services[service];
        if (d[service].IsPerConnection)
            Pool.Renew(d, service, update ?? definition.Update);
        else
            Rollout.Begin(d, service, definition, StartReason.Rollout, update);
    }

    private static Outcome Refuse(Draft d, int service, string why) =>
        new(d[service].Definition.Name, Succeeded: false, d[service].PublicState, why, TimeSpan.Zero, Failed: null);
}
