using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>Operators' orders: what they change at once, and when their outcome is known.</summary>
internal static class Requests
{
    public static void Apply(Draft d, Event.Requested asked)
    {
        ImmutableArray<int> services = [.. asked.Services.Select(d.Graph.Find).Where(s => s >= 0).Distinct()];
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
        if (asked.Verb is Verb.Signal or Verb.Reload)
        {
            ImmutableArray<Outcome> outcomes = [.. services.Select(s => asked.Verb == Verb.Signal ? Signal(d, s, asked.Signal!.Value) : Reload(d, s))];
            d.Do(new Effect.Reply(asked.Request, outcomes));
            return;
        }
        PendingRequest pending = new() { Id = asked.Request, Verb = asked.Verb, AskedAt = d.Now, Open = [.. services], Settled = [] };
        d.Frame = d.Frame with { Requests = d.Frame.Requests.Add(pending) };
        foreach (int service in services)
            d.Unsettle(service);
    }

    public static void Apply(Draft d, Event.ClientLeft left) =>
        d.Frame = d.Frame with { Requests = [.. d.Frame.Requests.Where(r => r.Id != left.Request)] };

    /// <summary>Answers the orders whose last outcome is known now.</summary>
    public static void Settle(Draft d)
    {
        foreach (PendingRequest pending in d.Frame.Requests)
        {
            PendingRequest now = pending;
            foreach (int service in pending.Open)
            {
                if (Judge(d, service, pending) is not { } outcome)
                    continue;
                now = now with { Open = now.Open.Remove(service), Settled = now.Settled.Add(outcome) };
            }
            if (ReferenceEquals(now, pending) && !now.Open.IsEmpty)
                continue;
            if (now.Open.IsEmpty)
            {
                d.Frame = d.Frame with { Requests = d.Frame.Requests.Remove(pending) };
                d.Do(new Effect.Reply(now.Id, now.Settled));
            }
            else
            {
                d.Frame = d.Frame with { Requests = d.Frame.Requests.Replace(pending, now) };
            }
        }
    }

    /// <summary>Makes a service and all that it requires or wants run.</summary>
    public static void Want(Draft d, int service, StartReason reason = StartReason.Request)
    {
        if (d.IsShuttingDown)
            return;
        foreach (int needed in d.Graph.Requires[service].Concat(d.Graph.Wants[service]))
        {
            if (!d[needed].IsWanted)
                Want(d, needed, StartReason.Boot);
        }
        ServiceState state = d[service];
        bool isNew = !state.IsWanted;
        d[service] = state with
        {
            IsWanted = true,
            IsActivated = state.IsOnDemand && (state.IsActivated || reason == StartReason.Request),
            Generation = isNew || state.Generation == 0 ? state.Generation + 1 : state.Generation,
        };
        if (reason == StartReason.Boot && state.IsOnDemand)
            return;
        foreach (SlotState slot in d[service].Slots)
            Refresh(d, service, slot, reason);
    }

    private static void Refresh(Draft d, int service, SlotState slot, StartReason reason)
    {
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
        ClearFailed(d, service);
        foreach (int dependent in d.Graph.RequiredBy[service])
        {
            if (d[dependent].IsWanted)
                Unwant(d, dependent);
        }
    }

    private static void ClearFailed(Draft d, int service)
    {
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
            if (slot.Instance is not { Pid: > 0 } instance)
                continue;
            d.Do(new Effect.Signal(instance.Id, number, KillScope.Process));
            reached++;
        }
        return reached > 0
            ? new Outcome(state.Definition.Name, Succeeded: true, state.PublicState, $"{number} sent", TimeSpan.Zero, Failed: null)
            : new Outcome(state.Definition.Name, Succeeded: false, state.PublicState, "it has no running instance", TimeSpan.Zero, Failed: null);
    }

    private static Outcome Reload(Draft d, int service)
    {
        ServiceState state = d[service];
        ServiceDefinition definition = state.Definition;
        Instance[] ready = [.. state.Slots.Where(s => s.Phase is SlotPhase.Ready).Select(s => s.Instance!)];
        string? refusal = definition.Reload is null ? "it has no 'reload' in the configuration" : ready.Length == 0 ? "it has no ready instance" : null;
        if (refusal is not null)
            return new Outcome(definition.Name, Succeeded: false, state.PublicState, refusal, TimeSpan.Zero, Failed: null);
        foreach (Instance instance in ready)
        {
            d.Do(definition.Reload is ReloadAction.Command command
                ? new Effect.RunCommand(instance.Id, CommandKind.Reload, command.Arguments)
                : new Effect.Signal(instance.Id, ((ReloadAction.Signal)definition.Reload!).Number, KillScope.Process));
        }
        return new Outcome(definition.Name, Succeeded: true, state.PublicState, "told to reload", TimeSpan.Zero, Failed: null);
    }

    private static Outcome? Judge(Draft d, int service, PendingRequest pending)
    {
        ServiceState state = d[service];
        TimeSpan elapsed = d.Now - pending.AskedAt;
        ServiceName name = state.Definition.Name;
        if (pending.Verb == Verb.Stop)
        {
            if (state.IsWanted)
                return new Outcome(name, Succeeded: false, state.PublicState, "it was started again meanwhile", elapsed, Failed: null);
            return state.HasLiveInstance ? null : new Outcome(name, Succeeded: true, state.PublicState, Text: null, elapsed, Failed: null);
        }
        if (!state.IsWanted || d.IsShuttingDown)
        {
            string why = d.IsShuttingDown ? "the supervisor is shutting down" : "it was stopped meanwhile";
            return new Outcome(name, Succeeded: false, state.PublicState, why, elapsed, Failed: null);
        }
        if (state.Slots.Any(s => s.Phase is SlotPhase.Starting or SlotPhase.Waiting or SlotPhase.Stopping))
            return null;
        if (state.IsPerConnection && !state.IsWatching && state.PausedUntil is null && state.Slots.IsEmpty)
            return null;
        if (state.Slots.Any(s => s.Phase is SlotPhase.BackingOff or SlotPhase.Failed))
            return new Outcome(name, Succeeded: false, state.PublicState, state.LastFailure?.ToString(), elapsed, state.LastFailedInstance);
        return new Outcome(name, Succeeded: true, state.PublicState, EndedText(state), elapsed, Failed: null);
    }

    private static string? EndedText(ServiceState state) =>
        state.Slots.Select(s => s.Phase).OfType<SlotPhase.Ended>().FirstOrDefault() is { } ended ? ended.Status.ToString() : null;
}
