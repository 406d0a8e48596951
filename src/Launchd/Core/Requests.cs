using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>Operators' orders: what they change at once, and when their outcome is known.</summary>
internal static class Requests
{
    public static void Apply(Draft d, Event.Requested asked)
    {
        ImmutableArray<int> services = [.. asked.Services.Select(d.Graph.Find).Where(s => s >= 0).Distinct()];
        bool waits = asked.Verb is Verb.Start or Verb.Stop or Verb.Restart;
        if (waits && d.Frame.Requests.Length >= Limits.PendingRequestCount)
        {
            d.Do(new Effect.Reply(asked.Request, [.. services.Select(s => Refuse(d, s, "too many orders wait for their outcome; try again later"))]));
            return;
        }
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
                    Replace(d, service);
                    break;
            }
        }
        if (!waits)
        {
            ImmutableArray<Outcome> outcomes = [.. services.Select(s => asked.Verb == Verb.Signal ? Signal(d, s, asked.Signal!.Value) : Reload(d, s))];
            d.Do(new Effect.Reply(asked.Request, outcomes));
            return;
        }
        PendingRequest pending = new() { Id = asked.Request, Verb = asked.Verb, AskedAt = d.Now, Asked = services, Open = [.. services], Settled = [] };
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
                d.Do(new Effect.Reply(now.Id, InOrder(d, now)));
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
        List<Outcome> outcomes = [];
        foreach (int service in d.Touched)
        {
            if (!pending.Open.Contains(service) || Judge(d, service, pending) is not { } outcome)
                continue;
            open ??= pending.Open.ToBuilder();
            open.Remove(service);
            outcomes.Add(outcome);
        }
        return open is null ? pending : pending with { Open = open.ToImmutable(), Settled = pending.Settled.AddRange(outcomes) };
    }

    private static ImmutableArray<Outcome> InOrder(Draft d, PendingRequest answered)
    {
        if (answered.Settled.Length < 2)
            return answered.Settled;
        Dictionary<ServiceName, Outcome> outcomes = answered.Settled.ToDictionary(o => o.Service);
        return [.. answered.Asked.Select(s => outcomes[d[s].Definition.Name])];
    }

    /// <summary>Makes a service and all that it requires or wants run.</summary>
    public static void Want(Draft d, int service, StartReason reason = StartReason.Request)
    {
        if (d.IsShuttingDown)
            return;
        foreach (int needed in d.Graph.Requires[service])
            WantNeeded(d, needed);
        foreach (int needed in d.Graph.Wants[service])
            WantNeeded(d, needed);
        if (reason == StartReason.Request && d[service].PausedUntil is not null)
            Activation.Resume(d, service);
        ServiceState state = d[service];
        bool isNew = !state.IsWanted;
        d[service] = state with
        {
            IsWanted = true,
            IsSetAside = false,
            IsActivated = state.IsOnDemand && (state.IsActivated || reason == StartReason.Request || state.Slots.Any(GoesOn)),
            Generation = isNew || state.Generation == 0 ? state.Generation + 1 : state.Generation,
        };
        if (reason == StartReason.Boot && state.IsOnDemand)
            return;
        foreach (SlotState slot in d[service].Slots)
            Refresh(d, service, slot, reason);
    }

    /// <summary>Whether it was to be stopped, but its turn has not come: wanted again, it just runs on.</summary>
    private static bool GoesOn(SlotState slot) => slot.Phase is SlotPhase.Live and not SlotPhase.Stopping { Cause: StopCause.Wish };

    /// <summary>What is needed and not wanted yet, or gave up, gets another chance.</summary>
    private static void WantNeeded(Draft d, int needed)
    {
        if (!d[needed].IsWanted || Dependencies.HasFailed(d, needed))
            Want(d, needed, StartReason.Boot);
    }

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

    private static void Unwant(Draft d, int service)
    {
        if (!d[service].IsWanted)
        {
            d.Unsettle(service);
            ClearFailed(d, service);
            return;
        }
        d[service] = d[service] with { IsWanted = false, IsActivated = false };
        d.UnsettleNeighbours(service);
        ClearFailed(d, service);
        foreach (int dependent in d.Graph.RequiredBy[service])
        {
            if (d[dependent].IsWanted)
                Unwant(d, dependent);
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

    private static void Replace(Draft d, int service)
    {
        bool wasRunning = d[service].IsWanted;
        Want(d, service);
        if (!wasRunning || d.IsShuttingDown)
            return;
        d[service] = d[service] with { Generation = d[service].Generation + 1 };
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.Live)
                Stopping.Begin(d, service, slot, d[service].IsPerConnection ? StopCause.Wish.Value : StopCause.Replace.Value);
        }
    }

    private static Outcome Signal(Draft d, int service, SignalNumber number)
    {
        ServiceState state = d[service];
        int reached = 0;
        foreach (SlotState slot in state.Slots)
        {
            // A main process that was reaped has no pid any more that a signal could mean.
            if (slot.Phase is SlotPhase.Stopping { Status: not null } || slot.Instance is not { Pid: > 0 } instance)
                continue;
            d.Do(new Effect.Signal(instance.Id, number, KillScope.Process));
            reached++;
        }
        return reached > 0
            ? new Outcome(state.Definition.Name, Succeeded: true, state.PublicState, Text: null, TimeSpan.Zero, Failed: null)
            : new Outcome(state.Definition.Name, Succeeded: false, state.PublicState, "it has no running instance", TimeSpan.Zero, Failed: null);
    }

    private static Outcome Reload(Draft d, int service)
    {
        ServiceState state = d[service];
        ServiceDefinition definition = state.Definition;
        SlotState[] ready = [.. state.Slots.Where(s => s.Phase is SlotPhase.Ready)];
        string? refusal = definition.Reload is null ? "it has no 'reload' in the configuration"
            : ready.Length == 0 ? "it has no ready instance"
            : ready.Any(s => s.Instance!.RunsReloadCommand) ? "its reload command still runs"
            : null;
        if (refusal is not null)
            return Refuse(d, service, refusal);
        foreach (SlotState slot in ready)
            Reload(d, service, slot, definition.Reload!);
        return new Outcome(definition.Name, Succeeded: true, state.PublicState, "told to reload", TimeSpan.Zero, Failed: null);
    }

    private static void Reload(Draft d, int service, SlotState slot, ReloadAction action)
    {
        Instance instance = slot.Instance!;
        switch (action)
        {
            case ReloadAction.Signal signal:
                d.Do(new Effect.Signal(instance.Id, signal.Number, KillScope.Process));
                break;
            case ReloadAction.Command command:
                d.SetPhase(service, slot, ((SlotPhase.Live)slot.Phase) with { Instance = instance with { RunsReloadCommand = true } });
                d.Do(new Effect.RunCommand(instance.Id, CommandKind.Reload, command.Arguments));
                break;
        }
    }

    private static Outcome Refuse(Draft d, int service, string why) =>
        new(d[service].Definition.Name, Succeeded: false, d[service].PublicState, why, TimeSpan.Zero, Failed: null);

    private static Outcome? Judge(Draft d, int service, PendingRequest pending)
    {
        ServiceState state = d[service];
        TimeSpan elapsed = d.Now - pending.AskedAt;
        ServiceName name = state.Definition.Name;
        if (pending.Verb == Verb.Stop)
        {
            if (state.IsWanted)
                return new Outcome(name, Succeeded: false, state.PublicState, "it was started again meanwhile", elapsed, Failed: null);
            if (state.HasLiveInstance)
                return null;
            string? hangs = state.Slots.Select(s => s.Phase).OfType<SlotPhase.Failed>().FirstOrDefault()?.Failure.ToString();
            return new Outcome(name, Succeeded: hangs is null, state.PublicState, hangs, elapsed, hangs is null ? null : state.LastFailedInstance);
        }
        if (!state.IsWanted || d.IsShuttingDown)
        {
            string why = d.IsShuttingDown ? "the supervisor is shutting down" : "it was stopped meanwhile";
            return new Outcome(name, Succeeded: false, state.PublicState, why, elapsed, Failed: null);
        }
        if (state.Slots.Any(s => s.Phase is SlotPhase.Starting or SlotPhase.Waiting or SlotPhase.Stopping))
            return null;
        if (state.IsSetAside)
            return new Outcome(name, Succeeded: false, state.PublicState, state.LastFailure?.ToString(), elapsed, state.LastFailedInstance);
        if (state.IsPerConnection && state.IsHindered)
            return new Outcome(name, Succeeded: false, state.PublicState, "what it requires has failed", elapsed, Failed: null);
        if (state.IsPerConnection && !state.IsWatching && state.PausedUntil is null && state.Slots.IsEmpty)
            return null;
        if (state.Slots.Select(WhyNot).FirstOrDefault(why => why is not null) is { } reason)
            return new Outcome(name, Succeeded: false, state.PublicState, reason, elapsed, state.LastFailedInstance);
        return new Outcome(name, Succeeded: true, state.PublicState, EndedText(state), elapsed, Failed: null);
    }

    private static string? WhyNot(SlotState slot) => slot.Phase switch
    {
        SlotPhase.Failed failed => failed.Failure.ToString(),
        SlotPhase.BackingOff pause => pause.Reason ?? "it ended and is to be started again",
        _ => null,
    };

    private static string? EndedText(ServiceState state) =>
        state.Slots.Select(s => s.Phase).OfType<SlotPhase.Ended>().FirstOrDefault() is { } ended ? ended.Status.ToString() : null;
}
