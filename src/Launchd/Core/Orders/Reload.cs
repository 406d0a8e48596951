using Launchd.Core.Graph;
using Launchd.Core.Instances;
using Launchd.Core.Rollouts;
using Launchd.Core.Slots;
using Launchd.Core.Starting;
using Launchd.Model;

namespace Launchd.Core.Orders;

/// <summary>
/// Another configuration. Services get other numbers, so the whole state is written anew: first the services of the new configuration in
/// its order, then those that were taken out and still run. An unchanged service keeps running untouched; a changed one rolls out.
/// </summary>
internal static class Reload
{
    /// <summary>The state under the numbers of another configuration, with nothing decided yet.</summary>
    public static (SupervisorState State, Draft Draft) Renumber(
        SupervisorState before, DependencyGraph former, SupervisorDefinition next, Moment now)
    {
        HashSet<ServiceName> named = [.. next.Services.Select(s => s.Name)];
        ServiceState[] leaving = [.. before.Services.Where(s => !s.IsForgotten && !named.Contains(s.Definition.Name))
            .Select(s => s with { IsLeaving = true, Reborn = null })];
        IEnumerable<ServiceState> staying = next.Services.Select(s => former.Find(s.Name) is >= 0 and int number
            ? before.Services[number] with { IsLeaving = false }
            : new ServiceState { Definition = s, Slots = ServiceMachine.EmptySlots(s) });
        HashSet<ServiceName> returning = [.. before.Services.Where(s => s.IsLeaving).Select(s => s.Definition.Name)];
        SupervisorDefinition all = next with
        {
            Services = [.. next.Services, .. leaving.Select(s => former.Services[former.Find(s.Definition.Name)])],
        };
        DependencyGraph graph = new(all, former, returning);
        return Write(before, former, [.. staying, .. leaving], graph, now, next.ShutdownTimeout);
    }

    /// <summary>
    /// Forgets the services of which nothing runs after this step. Their numbers stay taken until all leaving services are gone: numbering
    /// all services anew costs time in proportion to their number, which is not spent for each that leaves.
    /// </summary>
    public static (SupervisorState State, Draft Draft) Forget(SupervisorState state, Draft step, Moment now)
    {
        foreach (int service in step.Touched)
        {
            ServiceState gone = state.Services[service];
            if (!IsGone(gone))
                continue;
            foreach (DescriptorId kept in gone.Stored.Select(s => s.Id).Concat(gone.SavedStates.Select(s => s.Descriptor)))
                step.Do(new Effect.CloseDescriptor(kept));
            step.Do(new Effect.Forget(gone.Definition.Name));
            state.Services[service] = gone with { IsForgotten = true };
            state.ForgottenCount++;
            state.LeavingCount--;
            step.Graph.Forget(gone.Definition.Name);
        }
        if (state.LeavingCount > 0)
            return (state, step);
        ServiceState[] left = [.. state.Services.Where(s => !s.IsForgotten)];
        return Write(state, step.Graph, left, step.Graph.Known(), now, state.Frame.ShutdownTimeout);
    }

    private static bool IsGone(ServiceState service) =>
        service is { IsLeaving: true, IsForgotten: false, IsWatching: false, IsWanted: false, HasLiveInstance: false };

    /// <summary>Does what follows from the difference between the two configurations.</summary>
    public static void Apply(Draft d, Event.Reloaded reloaded)
    {
        if (d.IsShuttingDown)
        {
            if (reloaded.Request is { } refused)
                d.Do(new Effect.Reply(refused, []));
            return;
        }
        HashSet<ServiceName> quiet = [.. reloaded.Quiet];
        List<int> concerned = [];
        NoteOtherKinds(d);
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            // A service that waited for another, to start or to stop, may not depend on it any more.
            d.Unsettle(service);
            if (d[service].IsLeaving)
            {
                Requests.Unwant(d, service);
                d.Touch(service); // of some nothing is left already
                concerned.Add(service);
            }
            else if (d.Graph.Former[service] is null)
            {
                Add(d, service);
                concerned.Add(service);
            }
            else if (!ReferenceEquals(d.Graph.Former[service], d.Graph.Services[service]))
            {
                Change(d, service, quiet.Contains(d.Graph.Services[service].Name));
                concerned.Add(service);
            }
        }
        WantRequired(d);
        if (reloaded.Request is { } request)
            Requests.Await(d, request, Verb.Configure, [.. concerned]);
    }

    /// <summary>The last instance of a service that is to be started in another way has ended.</summary>
    public static void Rebear(Draft d, int service)
    {
        if (d[service].PausedUntil is not null)
            Activation.Resume(d, service);
        if (d[service].IsWatching)
        {
            d.Do(new Effect.UnwatchListeners(d[service].Definition.Name));
            d[service] = d[service] with { IsWatching = false };
        }
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.BackingOff)
                d.Disarm(TimerKind.Backoff, d[service].Definition.Name, slot.Slot);
        }
        ServiceState state = d[service];
        ServiceDefinition definition = state.Reborn!;
        bool isWanted = (state.IsWanted || definition.Start != StartKind.Manual) && !d.IsShuttingDown;
        d[service] = state with
        {
            Definition = definition,
            Reborn = null,
            IsWanted = false,
            IsActivated = false,
            IsHindered = false,
            Rollout = null,
            Slots = ServiceMachine.EmptySlots(definition),
        };
        if (isWanted)
            Requests.Want(d, service, StartReason.Boot);
        else
            Requests.Unwant(d, service);
    }

    /// <summary>
    /// Nothing of an unwanted service runs any more: even if a failed rollout had gone back to the former
    /// definition, the configuration's holds again.
    /// </summary>
    public static void ForgetFormer(Draft d, int service)
    {
        ServiceState state = d[service];
        ServiceDefinition configured = d.Graph.Services[service];
        if (!ReferenceEquals(state.Definition, configured))
            d[service] = state with { Definition = configured, Slots = [.. state.Slots.Select(s => s with { Definition = configured })] };
    }

    /// <summary>
    /// Notes services whose kind of start has changed, before any service is started: one that comes earlier may need one of these,
    /// which must not begin with slots of its former kind.
    /// </summary>
    private static void NoteOtherKinds(Draft d)
    {
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            ServiceState state = d[service];
            if (!state.IsLeaving && (state.Reborn ?? state.Definition).Start != d.Graph.Services[service].Start)
                d[service] = state with { Reborn = d.Graph.Services[service] };
        }
    }

    /// <summary>Adds a service that is new, or that is back while its last instances still end.</summary>
    private static void Add(Draft d, int service)
    {
        ServiceDefinition next = d.Graph.Services[service];
        if (next.Start != d[service].Definition.Start)
        {
            d[service] = d[service] with { Reborn = next };
            return;
        }
        Pool.Scale(d, service, next.InstanceCount);
        if (next.Start != StartKind.Manual)
            Requests.Want(d, service, StartReason.Boot);
    }

    private static void Change(Draft d, int service, bool isQuiet)
    {
        ServiceState state = d[service];
        ServiceDefinition next = d.Graph.Services[service], before = state.Reborn ?? state.Definition;
        if (state.Reborn is not null || next.Start != before.Start)
        {
            d[service] = state with { Reborn = next, Rollout = null };
            // At once if nothing of it runs, so that services which wait for what this one needs see that start in the same step.
            if (!d[service].HasLiveInstance)
                Rebear(d, service);
            return;
        }
        if (state.IsWatching)
        {
            // The same keys in the configuration may mean other sockets now.
            d.Do(new Effect.UnwatchListeners(next.Name));
            d.Do(new Effect.WatchListeners(next.Name));
        }
        if (state.IdleUntil is not null)
        {
            d.Do(new Effect.UnwatchUse(next.Name));
            d.Do(new Effect.WatchUse(next.Name));
        }
        // After a failed rollout the instances run by another definition than the former configuration's: then
        // every change counts as a change of the program.
        isQuiet &= ReferenceEquals(state.Definition, d.Graph.Former[service]);
        if (isQuiet || !state.IsWanted || state.IsSetAside)
            Adopt(d, service, next, isQuiet);
        else if (state.IsPerConnection)
            Pool.Renew(d, service, next.Update);
        else
            Rollout.Begin(d, service, next, StartReason.Reload);
        // Compared with the former file and not with what runs, which a failed rollout may have taken back to an older definition.
        if (next.InstanceCount != d.Graph.Former[service]!.InstanceCount)
            Pool.Scale(d, service, next.InstanceCount);
    }

    /// <summary>
    /// The service has the definition of the configuration from now on; after a quiet change its instances have it too. Otherwise instances
    /// keep the definition by which they were started: they are to end, or are exchanged if the service is wanted again before.
    /// </summary>
    private static void Adopt(Draft d, int service, ServiceDefinition next, bool isQuiet)
    {
        ServiceState state = d[service];
        ServiceDefinition before = state.Definition;
        RolloutState? rollout = state.Rollout;
        if (rollout is not null)
        {
            bool isGoal = ReferenceEquals(rollout.Definition, before);
            rollout = rollout with
            {
                Definition = isGoal ? next : rollout.Definition,
                Former = ReferenceEquals(rollout.Former, before) ? next : rollout.Former,
            };
            // A rollout keeps the bounds that it began with; but no more instances are started beside others
            // when the program no longer allows that.
            if (isGoal && next.Update == UpdateKind.Replace && before.Update != UpdateKind.Replace)
                rollout = Rollout.WithoutSurge(rollout);
        }
        d[service] = state with
        {
            Definition = next,
            Rollout = rollout,
            Slots = [.. state.Slots.Select(s => Adopt(d, s, before, next, isQuiet))],
            Beside = [.. state.Beside.Select(s => Adopt(d, s, before, next, isQuiet))],
        };
        foreach (SlotState slot in d[service].Slots)
            Health.Resume(d, service, slot);
    }

    private static SlotState Adopt(Draft d, SlotState slot, ServiceDefinition before, ServiceDefinition next, bool isQuiet)
    {
        slot = ReferenceEquals(slot.Definition, before) ? slot with { Definition = next } : slot;
        // An instance that is starting or ending keeps its own definition, whose timers and commands are under way.
        if (!isQuiet || slot.Phase is not SlotPhase.Ready ready || !ReferenceEquals(ready.Instance.Definition, before))
            return slot;
        bool isChecked = ready.Instance.IsChecked;
        if (isChecked && before.Health != next.Health)
        {
            d.Do(new Effect.EndHealth(ready.Instance.Id));
            isChecked = false;
        }
        return slot with { Phase = ready with { Instance = ready.Instance with { Definition = next, IsChecked = isChecked } } };
    }

    /// <summary>Starts the services that a running service requires by the new configuration.</summary>
    private static void WantRequired(Draft d)
    {
        for (int service = 0; service < d.Graph.Services.Length; service++)
        {
            if (!d[service].IsWanted || d[service].IsLeaving)
                continue;
            foreach (int required in d.Graph.Requires[service])
            {
                if (!d[required].IsWanted)
                    Requests.Want(d, required, StartReason.Boot);
            }
            d.Unsettle(service);
        }
    }

    private static (SupervisorState State, Draft Draft) Write(SupervisorState before, DependencyGraph former, ServiceState[] services,
        DependencyGraph graph, Moment now, TimeSpan shutdownTimeout)
    {
        int Translate(int number) => number < 0 ? -1 : graph.Find(former.Services[number].Name);
        TurnBudget Renumber(TurnBudget budget) => budget with { PutOff = [.. budget.PutOff.Select(Translate).Where(s => s >= 0)] };
        SupervisorState state = new()
        {
            Services = services,
            LeavingCount = services.Count(s => s.IsLeaving),
            Frame = before.Frame with
            {
                ShutdownTimeout = shutdownTimeout,
                ExitWith = Translate(before.Frame.ExitWith),
                Starts = Renumber(before.Frame.Starts),
                Stops = Renumber(before.Frame.Stops),
                Requests = [.. before.Frame.Requests.Select(r => r with { Open = [.. r.Open.Select(Translate).Where(s => s >= 0)] })],
            },
        };
        Draft draft = new(state, graph);
        draft.Begin(now);
        return (state, draft);
    }
}
