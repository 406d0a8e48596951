using Launchd.Host.Loop;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Lanes;

/// <summary>
/// The lanes of all services, each made when something first comes from its service, and lanes for descriptors that strangers send to a
/// service's sockets: these must not hold up what the service itself sends. Any thread may ask for a lane.
/// </summary>
internal sealed class SlowLanes(Mailbox mailbox, Delays delays, Closers closers) : IDisposable
{
    /// <summary>Pause before another attempt to make a thread.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly Dictionary<(ServiceName Service, bool IsStrangers), SlowLane> _lanes = [];

    /// <summary>For descriptors that root and the supervisor's own user send to the control socket.</summary>
    public SlowLane Owners => field ??= Make(() => { });

    /// <summary>For descriptors that other users send to the control socket, who must not be able to fill root's lane.</summary>
    public SlowLane Operators => field ??= Make(() => { });

    /// <summary>Called on the loop: a service may be read again.</summary>
    public Action<ServiceName>? OnEased { get; set; }

    /// <summary>For descriptors that the service itself sends.</summary>
    public SlowLane Of(ServiceName service) => Of(service, isStrangers: false);

    /// <summary>For descriptors that others send, or may have sent, to the sockets of a service.</summary>
    public SlowLane StrangersOf(ServiceName service) => Of(service, isStrangers: true);

    /// <summary>The service is gone; its lanes still finish their work.</summary>
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
        // On the loop, and only one timer for all lanes that wait.
        OnStarved = again => mailbox.Post(() => delays.After(Pause, again, again)),
    };
}
