using Launchd.Model;

namespace Launchd.Core;

/// <summary>Whether a service may start or must wait, and whether it may stop yet.</summary>
internal static class Dependencies
{
    /// <summary>What the services that come first say about a start.</summary>
    public static DependencyVerdict Verdict(Draft d, int service) =>
        d.Standings.IsBarred(service) ? DependencyVerdict.Failed
        : d.Standings.IsMet(service) ? DependencyVerdict.Met
        : DependencyVerdict.Open;

    /// <summary>The first required service that failed.</summary>
    public static ServiceName FailedOne(Draft d, int service) =>
        d[d.Graph.Requires[service].First(r => HasFailed(d, r))].Definition.Name;

    /// <summary>Whether nothing that depends on it and is to end as well still runs.</summary>
    public static bool MayStop(Draft d, int service) => !d.Standings.IsHeld(service, d.IsShuttingDown);

    /// <summary>Whether it has no instance and will get none by itself.</summary>
    public static bool HasFailed(Draft d, int service) => d.Standings.Has(service, Standing.Failed);

    /// <summary>What a service is to its neighbours.</summary>
    /// <param name="state">Of the service.</param>
    /// <param name="isBarred">Whether something that it requires has failed.</param>
    public static Standing StandingOf(ServiceState state, bool isBarred)
    {
        bool isLive = state.HasLiveInstance;
        // What it requires is no longer failed, so that its own look in this very step will find it waiting or started.
        bool triesAgain = state.IsWanted && !state.IsSetAside && !isBarred;
        bool isMet = IsMet(state, isLive, triesAgain), hasFailed = HasFailed(state, isLive, triesAgain, isBarred);
        Standing standing = isMet ? 0 : Standing.Unmet;
        if (hasFailed)
            standing |= Standing.Failed;
        if (!isMet && !hasFailed && (state.IsWanted || isLive))
            standing |= Standing.HoldsUp;
        if (isLive)
            standing |= state.IsWanted ? Standing.Live : Standing.Live | Standing.Leaves;
        return standing;
    }

    private static bool IsMet(ServiceState state, bool isLive, bool triesAgain)
    {
        if (Listens(state))
            return true;
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

    private static bool HasFailed(ServiceState state, bool isLive, bool triesAgain, bool isBarred)
    {
        if (!isLive && (state.IsSetAside || CannotListen(state, isBarred)))
            return true;
        if (Listens(state))
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
    /// Clients may come, and wait in the queue at worst, whatever became of the last run. What has been activated is about to start, even where
    /// its own look in this step, which ends the watching, is still to come.
    /// </summary>
    private static bool Listens(ServiceState state) =>
        (state.IsPerConnection || (state.IsOnDemand && !state.IsActivated)) && state.IsWanted && (state.IsWatching || state.PausedUntil is not null);

    /// <summary>What starts only when asked has failed if nobody can ask, because of what it requires itself.</summary>
    private static bool CannotListen(ServiceState state, bool isBarred) =>
        isBarred && (state.IsOnDemand || state.IsPerConnection) && state.IsWanted && !state.IsActivated;
}

/// <summary>May a service start?</summary>
internal enum DependencyVerdict { Met, Open, Failed }
