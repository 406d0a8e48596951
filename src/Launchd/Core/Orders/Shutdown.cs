using Launchd.Core.Instances;
using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>The end of the supervisor: all services in reverse order, within a bound, then itself.</summary>
internal static class Shutdown
{
    public static void Apply(Draft d, Event.ShutdownAsked asked, TimeSpan timeout)
    {
        if (d.Frame.Shutdown is null)
            Begin(d, asked.Reason, exitCode: 0, timeout);
        if (asked.IsImmediate)
            KillAll(d);
    }

    public static void TimerFired(Draft d)
    {
        if (d.Frame.Shutdown is not { } shutdown)
            return;
        if (shutdown is { IsImmediate: false, Deadline: { } due } && due > d.Now)
            d.Arm(TimerKind.Shutdown, default, 0, due);
        else
            KillAll(d);
    }

    /// <summary>The supervisor was away: the services have that time once more.</summary>
    public static void Allow(Draft d, TimeSpan away)
    {
        if (d.Frame.Shutdown is not { IsImmediate: false, IsOver: false, Deadline: { } due } shutdown)
            return;
        Moment later = Absence.Later(d, due, away, d.Frame.ShutdownTimeout)!.Value;
        d.Frame = d.Frame with { Shutdown = shutdown with { Deadline = later } };
        d.Arm(TimerKind.Shutdown, default, 0, later);
    }

    /// <summary>A service came to its end; for the one of <c>run --exit-with</c> the supervisor ends too.</summary>
    public static void NoteEnd(Draft d, int service, ExitStatus status)
    {
        if (d.Frame.ExitWith != service || d.IsShuttingDown)
            return;
        bool goesOn = d[service].Slots.Any(s => s.Phase is SlotPhase.Live or SlotPhase.BackingOff or SlotPhase.Waiting);
        if (goesOn)
            return;
        // A program that was never ready has failed, even if it then exits with 0 because it was told to end.
        bool isFailure = status.ShellCode == 0
            && d[service].Slots.Any(s => s.Phase is SlotPhase.Failed { Failure: not Failure.StartLimitReached });
        Begin(d, $"{d[service].Definition.Name} {status}", isFailure ? 1 : status.ShellCode, d.Frame.ShutdownTimeout);
    }

    /// <summary>A service can never run; for the one of <c>run --exit-with</c> the supervisor ends too.</summary>
    public static void NoteFailure(Draft d, int service)
    {
        if (d.Frame.ExitWith != service || d.IsShuttingDown
            || !d[service].Slots.Any(s => s.Phase is SlotPhase.Failed) || d[service].HasLiveInstance)
        {
            return;
        }
        if (d[service].Slots.All(s => s.Phase is SlotPhase.Failed or SlotPhase.Ended))
            Begin(d, $"{d[service].Definition.Name}: {d[service].LastFailure}", exitCode: 1, d.Frame.ShutdownTimeout);
    }

    /// <summary>An instance that lives on after SIGKILL is given up: whoever asked for a shutdown is to hear of it.</summary>
    public static void NoteGivenUp(Draft d, int service, Failure why)
    {
        if (d.Frame.Shutdown is { } shutdown)
            d.Frame = d.Frame with { Shutdown = shutdown with { GivenUp = shutdown.GivenUp.Add((d[service].Definition.Name, why)) } };
    }

    /// <summary>Ends the supervisor once nothing of its services runs any more.</summary>
    public static void Settle(Draft d)
    {
        if (d.Frame.Shutdown is not { IsOver: false } shutdown)
            return;
        // Nothing starts any more: a service that was seen ended stays so and need not be looked at again.
        int open = shutdown.FirstOpen;
        while (open < d.Graph.Services.Length && !d[open].HasLiveInstance)
            open++;
        if (open < d.Graph.Services.Length)
        {
            if (open != shutdown.FirstOpen)
                d.Frame = d.Frame with { Shutdown = shutdown with { FirstOpen = open } };
            return;
        }
        d.Disarm(TimerKind.Shutdown, default, 0);
        d.Frame = d.Frame with { Shutdown = shutdown with { IsOver = true } };
        d.Do(new Effect.Exit(shutdown.ExitCode));
    }

    private static void Begin(Draft d, string reason, int exitCode, TimeSpan timeout)
    {
        d.Report(new Notice.Shutdown(reason));
        Moment? deadline = timeout > TimeSpan.Zero ? d.Now + timeout : null;
        d.Frame = d.Frame with
        {
            Shutdown = new ShutdownState(exitCode, IsImmediate: false, IsOver: false)
            {
                Deadline = deadline,
                GivenUp = [.. Enumerable.Range(0, d.Graph.Services.Length).SelectMany(service => GivenUp(d[service]))],
            },
        };
        if (deadline is { } due)
            d.Arm(TimerKind.Shutdown, default, 0, due);
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            Rollout.Drop(d, service);
            d.Unsettle(service);
            d.Touch(service);
        }
    }

    private static IEnumerable<(ServiceName Service, Failure Why)> GivenUp(ServiceState state) =>
        from slot in state.Slots
        where slot.Phase is SlotPhase.Failed { Failure: Failure.CannotBeKilled }
        select (state.Definition.Name, ((SlotPhase.Failed)slot.Phase).Failure);

    private static void KillAll(Draft d)
    {
        d.Frame = d.Frame with { Shutdown = d.Frame.Shutdown! with { IsImmediate = true } };
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            foreach (SlotState slot in d[service].Slots)
                Stopping.Kill(d, service, slot);
            foreach (SlotState beside in d[service].Beside)
                Stopping.Kill(d, service, beside);
        }
    }
}
