using Launchd.Model;

namespace Launchd.Host;

/// <summary>The lanes of all services, each made when something first comes from its service. On the loop.</summary>
internal sealed class SlowLanes(Mailbox mailbox) : IDisposable
{
    private readonly Dictionary<ServiceName, SlowLane> _lanes = [];

    /// <summary>For what comes from root and the supervisor's own user at the control socket.</summary>
    public SlowLane Owners => field ??= new SlowLane(() => { }, mailbox.Fail);

    /// <summary>For what comes from everybody else there, who must not be able to fill the one of root.</summary>
    public SlowLane Operators => field ??= new SlowLane(() => { }, mailbox.Fail);

    /// <summary>On the loop: a service may be read again.</summary>
    public Action<ServiceName>? OnEased { get; set; }

    /// <summary>Descriptors that are still to be closed, and files that are being opened.</summary>
    public int Count => _lanes.Values.Sum(l => l.Count);

    public SlowLane Of(ServiceName service)
    {
        if (_lanes.TryGetValue(service, out SlowLane? lane))
            return lane;
        lane = new SlowLane(() => mailbox.Post(() => OnEased?.Invoke(service)), mailbox.Fail);
        _lanes.Add(service, lane);
        return lane;
    }

    /// <summary>The service is gone; what its lane still has to do is done.</summary>
    public void Forget(ServiceName service) => _lanes.Remove(service);

    public void Dispose()
    {
        foreach (SlowLane lane in _lanes.Values)
            lane.End();
        Owners.End();
        Operators.End();
    }
}
