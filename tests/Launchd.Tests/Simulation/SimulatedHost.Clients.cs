using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>The clients that wait at listeners, as the supervisor hears of them and accepts them.</summary>
internal sealed partial class SimulatedHost
{
    private void Watch(ServiceName service, bool isWatched)
    {
        _clients[service].IsWatched = isWatched;
        Poll();
    }

    /// <summary>Level-triggered, as epoll is: as long as somebody waits at a watched listener, each turn says so.</summary>
    public void Poll()
    {
        foreach ((ServiceName service, SimulatedClients clients) in _clients)
        {
            if (!clients.IsWatched || clients.Waiting == 0 || clients.IsTold)
                continue;
            clients.IsTold = true;
            Add(1, Turn.Request, () => Tell(service, clients));
        }
    }

    private static Event.ListenerReadable? Tell(ServiceName service, SimulatedClients clients)
    {
        clients.IsTold = false;
        return clients.IsWatched && clients.Waiting > 0 ? new Event.ListenerReadable(service, 0) : null;
    }

    private void Accept(Effect.Accept effect)
    {
        SimulatedClients clients = _clients[effect.Service];
        bool isShort = !IsCalm && random.Chance(10);
        if (isShort || clients.Waiting == 0 || (!IsCalm && random.Chance(5)))
        {
            Results.Enqueue(new Event.AcceptFailed(effect.Service, isShort));
            return;
        }
        clients.Waiting--;
        Results.Enqueue(new Event.ConnectionAccepted(
            effect.Service, new ConnectionId(++_lastConnection), random.Pick("10.0.0.1", "10.0.0.2", "10.0.0.3")));
    }
}
