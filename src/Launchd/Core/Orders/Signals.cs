using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>Signals that operators send, and signals of whomever that the kernel refused.</summary>
internal static class Signals
{
    /// <summary>
    /// Sends a signal to the main processes of all instances of some services, also of those that are to end: whoever sends SIGUSR1 for a
    /// dump of its threads wants it above all from one that does not end.
    /// </summary>
    public static ImmutableArray<SignalResult> Send(Draft d, RequestId request, IEnumerable<int> services, SignalNumber number)
    {
        ImmutableArray<SignalResult>.Builder sent = ImmutableArray.CreateBuilder<SignalResult>();
        foreach (int service in services)
        {
            foreach (SlotState slot in d[service].Slots.Concat(d[service].Beside))
            {
                // The pid of a main process that was reaped may be another process's by now, which a signal must not reach.
                if (slot.Phase is SlotPhase.Stopping { Status: not null } || slot.Instance is not { Pid: > 0 } instance)
                    continue;
                d.Do(new Effect.Signal(instance.Id, number, KillScope.Process) { Request = request });
                sent.Add(new SignalResult(instance.Id, slot.Slot));
            }
        }
        return sent.DrainToImmutable();
    }

    public static void Apply(Draft d, Event.SignalSent sent)
    {
        if (sent.Request is { } request)
            Note(d, request, sent);
        if (sent.Refusal is not { } refusal || d.Find(sent.Instance) is not (int service, SlotState slot, SlotPhase.Live live))
            return;
        Instance instance = live.Instance;
        d.Report(new Notice.SignalRefused(instance.Id, slot.Slot, instance.Generation, instance.Pid, sent.Number, refusal));
        if (sent.Request is not null)
            return;
        if (live is SlotPhase.Ready)
            ServiceReload.NoteRefused(d, service, slot, sent.Number, refusal);
        else if (live is SlotPhase.Stopping stopping && sent.Number == SignalNumber.Kill)
            Stopping.NoteUnkillable(d, service, slot, stopping);
    }

    /// <summary>The outcome of an order to send a signal, for one service; null: not known yet.</summary>
    public static Outcome? OutcomeOf(ServiceState state, PendingRequest pending)
    {
        ServiceName name = state.Definition.Name;
        SignalResult[] sent = [.. pending.Signals.Where(s => s.Instance.Service == name)];
        if (sent.Any(s => !s.IsKnown))
            return null;
        string? why = sent.Length == 0 ? "it has no running instance" : null;
        if (sent.FirstOrDefault(s => s.Refusal is not null) is { } refused)
            why = state.Slots.Length > 1 ? $"slot {refused.Slot}: {refused.Refusal}" : refused.Refusal;
        return new Outcome(name, Succeeded: why is null, state.PublicState, why, TimeSpan.Zero, Failed: null);
    }

    private static void Note(Draft d, RequestId request, Event.SignalSent sent)
    {
        foreach (PendingRequest pending in d.Frame.Requests)
        {
            if (pending.Id != request)
                continue;
            ImmutableArray<SignalResult> results = [.. pending.Signals.Select(
                s => s.Instance == sent.Instance ? s with { IsKnown = true, Refusal = sent.Refusal } : s)];
            d.Frame = d.Frame with { Requests = d.Frame.Requests.Replace(pending, pending with { Signals = results }) };
            int service = d.Graph.Find(sent.Instance.Service);
            if (service >= 0)
                d.Touch(service);
            return;
        }
    }
}
