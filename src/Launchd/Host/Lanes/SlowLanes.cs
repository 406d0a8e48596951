using Launchd.Host.Loop;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Lanes;

/// <summary>
/// The lanes of all services, each made when something first comes from its service, and those for what strangers send to its sockets:
/// whatever they send, the service is heard and served. Any thread may ask for a lane.
/// </summary>
internal sealed class SlowLanes(Mailbox mailbox, Delays delays, Closers closers) : IDisposable
{
    /// <summary>After which it is tried again to make a thread.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly Dictionary<(ServiceName Service, bool IsStrangers), SlowLane> _lanes = [];

    /// <summary>For what comes from root and the supervisor's own user at the control socket.</summary>
    public SlowLane Owners => field ??= Make(() => { });

    /// <summary>For what comes from everybody else there, who must not be able to fill the one of root.</summary>
    public SlowLane Operators => field ??= Make(() => { });

    /// <summary>On the loop: a service may be read again.</summary>
    public Action<ServiceName>? OnEased { get; set; }

    /// <summary>For what the service sends itself.</summary>
    public SlowLane Of(ServiceName service) => Of(service, isStrangers: false);

    /// <summary>For what others send to the sockets of a service, and what may be from others.</summary>
    public SlowLane StrangersOf(ServiceName service) => Of(service, isStrangers: true);

    /// <summary>The service is gone; what its lanes still have to do is done.</summary>
    public void Forget(ServiceName service)
    {
        lock (_lanes)
        {
            _ = _lanes.Remove((service, false));
            _ = _lanes.Remove((service, true));
        }
    }

    public void Dispose()
    {
        lock (_lanes)
        {
            foreach (SlowLane lane in _lanes.Values)
                lane.End();
        }
        Owners.End();
        Operators.End();
    }

    private SlowLane Of(ServiceName service, bool isStrangers)
    {
        lock (_lanes)
        {
            if (_lanes.TryGetValue((service, isStrangers), out SlowLane? lane))
                return lane;
            lane = Make(() => mailbox.Post(() => OnEased?.Invoke(service)));
            _lanes.Add((service, isStrangers), lane);
            return lane;
        }
    }

    private SlowLane Make(Action onEased) => new(onEased, mailbox.Fail)
    {
        Closers = closers,
        // On the loop, and once however many wait for it.
        OnStarved = again => mailbox.Post(() => delays.After(Pause, again, again)),
    };
}
