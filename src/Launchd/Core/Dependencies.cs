using Launchd.Model;

namespace Launchd.Core;

/// <summary>Whether a service may start or must wait, and whether it may stop yet.</summary>
internal static class Dependencies
{
    /// <summary>What the services that come first say about a start.</summary>
    public static DependencyVerdict Verdict(Draft d, int service)
    {
        foreach (int required in d.Graph.Requires[service])
        {
            if (HasFailed(d, required))
                return DependencyVerdict.Failed;
        }
        foreach (int first in d.Graph.First[service])
        {
            if (!IsMet(d, first) && !(HasFailed(d, first) || IsAbsent(d, first)))
                return DependencyVerdict.Open;
        }
        foreach (int required in d.Graph.Requires[service])
        {
            if (!IsMet(d, required))
                return DependencyVerdict.Open;
        }
        return DependencyVerdict.Met;
    }

    /// <summary>The first required service that failed.</summary>
    public static ServiceName FailedOne(Draft d, int service) =>
        d[d.Graph.Requires[service].First(r => HasFailed(d, r))].Definition.Name;

    /// <summary>Whether nothing that depends on it and is to end as well still runs.</summary>
    public static bool MayStop(Draft d, int service)
    {
        foreach (int then in d.Graph.Then[service])
        {
            if (d[then].HasLiveInstance && (d.IsShuttingDown || !d[then].IsWanted))
                return false;
        }
        return true;
    }

    private static bool IsMet(Draft d, int service)
    {
        ServiceState state = d[service];
        if (Listens(state))
            return true;
        bool served = false;
        foreach (SlotState slot in state.Slots)
        {
            if (slot.Phase is SlotPhase.Ready or SlotPhase.Ended)
                served = true;
            else if (slot.Phase is not SlotPhase.Failed { Failure: var failure } || (failure is Failure.DependencyFailed && IsAboutToTryAgain(d, service)))
                return false;
        }
        return served || (state.IsPerConnection && state.HasLiveInstance);
    }

    /// <summary>Whether it has no instance and will get none by itself.</summary>
    public static bool HasFailed(Draft d, int service)
    {
        if (!d[service].HasLiveInstance && (d[service].IsSetAside || CannotListen(d, service)))
            return true;
        if (Listens(d[service]))
            return false;
        bool failed = false;
        foreach (SlotState slot in d[service].Slots)
        {
            if (slot.Phase is SlotPhase.Failed { Failure: Failure.DependencyFailed } && IsAboutToTryAgain(d, service))
                return false;
            if (slot.Phase is SlotPhase.Failed)
                failed = true;
            else if (slot.Phase is not SlotPhase.Ended)
                return false;
        }
        return failed;
    }

    /// <summary>Clients may come, and wait in the queue at worst, whatever became of the last run.</summary>
    private static bool Listens(ServiceState state) =>
        (state.IsOnDemand || state.IsPerConnection) && state.IsWanted && (state.IsWatching || state.PausedUntil is not null);

    /// <summary>What it requires is no longer failed, so that its own look in this very step will find it waiting or started.</summary>
    private static bool IsAboutToTryAgain(Draft d, int service) =>
        d[service].IsWanted && !d[service].IsSetAside && !d.Graph.Requires[service].Any(r => HasFailed(d, r));

    /// <summary>What starts only when asked has failed if nobody can ask, because of what it requires itself.</summary>
    private static bool CannotListen(Draft d, int service)
    {
        ServiceState state = d[service];
        return (state.IsOnDemand || state.IsPerConnection) && state.IsWanted && !state.IsActivated && d.Graph.Requires[service].Any(r => HasFailed(d, r));
    }

    private static bool IsAbsent(Draft d, int service) => !d[service].IsWanted && !d[service].HasLiveInstance;
}

/// <summary>May a service start?</summary>
internal enum DependencyVerdict { Met, Open, Failed }
