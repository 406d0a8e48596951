using Launchd.Core.Slots;

namespace Launchd.Core.Graph;

/// <summary>Whether a service may start or must wait, and whether it may stop yet.</summary>
internal static class Dependencies
{
    /// <summary>What the services that come first say about a start.</summary>
    public static DependencyVerdict Verdict(Draft d, int service) => d.Standings.Verdict(service);

    /// <summary>The failure of a service because the first required service that failed has done so.</summary>
    public static Failure.DependencyFailed FailureOf(Draft d, int service)
    {
        ServiceState failed = d[d.Graph.Requires[service].First(r => HasFailed(d, r))];
        SlotPhase.Failed? phase = failed.Slots.Select(s => s.Phase).OfType<SlotPhase.Failed>().FirstOrDefault();
        return new Failure.DependencyFailed(failed.Definition.Name, failed.Definition.IsJob ? phase?.Failure.ToString() : null);
    }

    /// <summary>Whether a service may stop: no service that depends on it and is to end as well still runs.</summary>
    public static bool MayStop(Draft d, int service) => !d.Standings.IsHeld(service, d.IsShuttingDown);

    /// <summary>Whether a service has no instance and will get none by itself.</summary>
    public static bool HasFailed(Draft d, int service) => d.Standings.Has(service, Standing.Failed);

    /// <summary>What a service is to its neighbours.</summary>
    /// <param name="state">Of the service.</param>
    /// <param name="verdict">What the services that come first say about it.</param>
    public static Standing StandingOf(ServiceState state, DependencyVerdict verdict)
    {
        bool isLive = state.HasLiveInstance, isBarred = verdict == DependencyVerdict.Failed;
        bool listens = Listens(state, verdict);
        // What the service requires has no longer failed, so that its own look in this very step will start it or let it wait.
        bool triesAgain = state.IsWanted && !state.IsSetAside && !isBarred;
        bool isMet = listens || IsServed(state, isLive, triesAgain), hasFailed = HasFailed(state, listens, isLive, triesAgain, isBarred);
        Standing standing = isMet ? 0 : Standing.Unmet;
        if (hasFailed)
            standing |= Standing.Failed;
        if (!isMet && !hasFailed && (state.IsWanted || isLive))
            standing |= Standing.HoldsUp;
        if (isLive)
            standing |= state.IsWanted ? Standing.Live : Standing.Live | Standing.Leaves;
        return standing;
    }

    private static bool IsServed(ServiceState state, bool isLive, bool triesAgain)
    {
        bool served = false;
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Phase is SlotPhase.Ready or SlotPhase.Ended)
                served = true;
            else if (slot.Phase is not SlotPhase.Failed { Failure: var failure } || (failure is Failure.DependencyFailed && triesAgain))
                return false;
        }
        return served || (state.IsPerConnection && isLive);
    }

    private static bool HasFailed(ServiceState state, bool listens, bool isLive, bool triesAgain, bool isBarred)
    {
        if (!isLive && (state.IsSetAside || CannotListen(state, isBarred)))
            return true;
        if (listens)
            return false;
        bool failed = false;
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Phase is SlotPhase.Failed { Failure: Failure.DependencyFailed } && triesAgain)
                return false;
            if (slot.Phase is SlotPhase.Failed)
                failed = true;
            else if (slot.Phase is not SlotPhase.Ended)
                return false;
        }
        return failed;
    }

    /// <summary>
    /// Whether clients may come, at worst to wait in the queue, whatever became of the last run. This follows from the service's state and
    /// not from whether its listeners are watched: the look that begins or ends the watching may still come in this step.
    /// </summary>
    private static bool Listens(ServiceState state, DependencyVerdict verdict)
    {
        if (!state.IsWanted || state.IsSetAside || state.Reborn is not null || !(state.IsPerConnection || state.IsOnDemand))
            return false;
        return state.PausedUntil is not null
            || (state.IsPerConnection ? verdict == DependencyVerdict.Met : !state.IsActivated && verdict != DependencyVerdict.Failed);
    }

    /// <summary>
    /// A service that starts only on demand counts as failed if it cannot listen, because a service that it requires has failed.
    /// </summary>
    private static bool CannotListen(ServiceState state, bool isBarred) =>
        isBarred && (state.IsOnDemand || state.IsPerConnection) && state.IsWanted && !state.IsActivated;
}

/// <summary>May a service start?</summary>
internal enum DependencyVerdict { Met, Open, Failed }
