namespace Launchd.Core.Graph;

/// <summary>What one service is to those around it in the graph.</summary>
[Flags]
internal enum Standing : byte
{
    /// <summary>Services that require it may not start.</summary>
    Unmet = 1,

    /// <summary>It has no instance and will get none by itself: services that require it fail.</summary>
    Failed = 2,

    /// <summary>Services that come after it have to wait.</summary>
    HoldsUp = 4,

    /// <summary>Something of it runs: at the end of the supervisor, services that come before it wait for it.</summary>
    Live = 8,

    /// <summary>Something of it runs though it is not wanted any more: services that come before it wait for it at any time.</summary>
    Leaves = 16,
}

/// <summary>
/// What the services are to each other, counted as they change, so that nobody ever goes through a service's neighbours to find out whether
/// it may start or stop: a service with ten thousand of them would do so at each change of each. A change of a service costs what its own
/// slots and, if it means something else to its neighbours now, their number; those for whom that decides something are looked at again.
/// <para>All of it follows from the state and can be counted anew from it at any time.</para>
/// </summary>
internal sealed class Standings
{
    private readonly DependencyGraph _graph;
    private readonly Standing[] _standings;
    private readonly Neighbours[] _neighbours;
    private readonly bool[] _isStale;
    private readonly Stack<int> _stale = [];

    public Standings(DependencyGraph graph)
    {
        _graph = graph;
        _standings = new Standing[graph.Services.Length];
        _neighbours = new Neighbours[graph.Services.Length];
        _isStale = new bool[graph.Services.Length];
        for (int service = 0; service < graph.Services.Length; service++)
            Mark(service);
    }

    /// <summary>Notes that a service has changed, or that a step which changed it was dropped.</summary>
    public void Mark(int service)
    {
        if (_isStale[service])
            return;
        _isStale[service] = true;
        _stale.Push(service);
    }

    /// <summary>Counts what has changed since the last time. Not by recursion: a chain of failures may be longer than any stack.</summary>
    public void CatchUp(Draft d)
    {
        while (_stale.TryPop(out int service))
        {
            _isStale[service] = false;
            Standing now = Dependencies.StandingOf(d[service], Verdict(service)), changed = now ^ _standings[service];
            if (changed == 0)
                continue;
            _standings[service] = now;
            Tell(d, service, now, changed);
        }
    }

    public bool Has(int service, Standing standing) => (_standings[service] & standing) != 0;

    /// <summary>
    /// Whether a service may start, by the services that come first: one that it requires has failed,
    /// or one is still to come, or all are done.
    /// </summary>
    public DependencyVerdict Verdict(int service) => _neighbours[service] switch
    {
        { FailedRequired: > 0 } => DependencyVerdict.Failed,
        { HoldingUp: 0, UnmetRequired: 0 } => DependencyVerdict.Met,
        _ => DependencyVerdict.Open,
    };

    /// <summary>Whether something that comes after it, and is to end before it, still runs.</summary>
    /// <param name="service">The service that is to end.</param>
    /// <param name="atTheEnd">Whether the supervisor ends, and so all services are to end.</param>
    public bool IsHeld(int service, bool atTheEnd) => (atTheEnd ? _neighbours[service].LiveAfter : _neighbours[service].LeavingAfter) > 0;

    private void Tell(Draft d, int service, Standing now, Standing changed)
    {
        if ((changed & (Standing.Unmet | Standing.Failed)) != 0)
        {
            foreach (int dependent in _graph.RequiredBy[service])
            {
                ref Neighbours counts = ref _neighbours[dependent];
                Count(d, dependent, ref counts.UnmetRequired, Standing.Unmet, now, changed);
                Count(d, dependent, ref counts.FailedRequired, Standing.Failed, now, changed);
            }
        }
        if ((changed & Standing.HoldsUp) != 0)
        {
            foreach (int later in _graph.Then[service])
                Count(d, later, ref _neighbours[later].HoldingUp, Standing.HoldsUp, now, changed);
        }
        if ((changed & (Standing.Live | Standing.Leaves)) == 0)
            return;
        foreach (int first in _graph.First[service])
        {
            ref Neighbours counts = ref _neighbours[first];
            Count(d, first, ref counts.LiveAfter, Standing.Live, now, changed);
            Count(d, first, ref counts.LeavingAfter, Standing.Leaves, now, changed);
        }
    }

    // Only the first neighbour of a kind and the last one to cease decide something: then the service is looked at again,
    // because it may start now, or have failed itself.
    private void Count(Draft d, int service, ref int count, Standing which, Standing now, Standing changed)
    {
        if ((changed & which) == 0)
            return;
        bool isOneMore = (now & which) != 0, decides = count == (isOneMore ? 0 : 1);
        count += isOneMore ? 1 : -1;
        if (!decides)
            return;
        d.Unsettle(service);
        Mark(service);
    }

    /// <summary>How many of a service's neighbours are in a standing that decides something for it.</summary>
    private struct Neighbours
    {
        public int UnmetRequired;
        public int FailedRequired;
        public int HoldingUp;
        public int LiveAfter;
        public int LeavingAfter;
    }
}
