using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>
/// The connections that were accepted for instances which are not born yet, by the numbers by which the core knows them. Owns them.
/// </summary>
internal sealed class ListenerConnections(ServiceListeners listeners, SlowLanes lanes, EventFeed events, Counters counters) : IDisposable
{
    private const int MostGoneInATurn = 64;

    private readonly Dictionary<ConnectionId, AcceptedConnection> _connections = [];
    private long _count;

    /// <summary>Ends with <see cref="Event.ConnectionAccepted"/> or <see cref="Event.AcceptFailed"/> as a result.</summary>
    public void Accept(Effect.Accept accept)
    {
        (ListenerDefinition definition, Listener listener) = listeners.Of(accept.Service).ElementAt(accept.ListenerIndex);
        SlowLane lane = lanes.Of(accept.Service);
        string name = definition.Name == definition.Key ? "connection" : definition.Name;
        AcceptedConnection? connection = AcceptedConnection.Accept(listener.Descriptor, name, lane, out Errno refused);
        // Who connected and was gone before its turn came needs no process; a flood of such must not keep the others waiting.
        for (int gone = 0; connection is { IsGone: true } && gone < MostGoneInATurn; gone++)
        {
            counters.Count("connections-gone");
            connection.Dispose();
            connection = AcceptedConnection.Accept(listener.Descriptor, name, lane, out refused);
        }
        if (connection is null)
        {
            if (refused != Errno.EAGAIN)
                counters.Count("accepts-failed");
            events.FeedResult(new Event.AcceptFailed(accept.Service, refused.IsShortage));
            return;
        }
        ConnectionId id = new(++_count);
        _connections.Add(id, connection);
        events.FeedResult(new Event.ConnectionAccepted(accept.Service, id, connection.Source));
    }

    /// <summary>For the instance that it was accepted for, which owns it from now on.</summary>
    public AcceptedConnection? Take(ConnectionId id) => _connections.Remove(id, out AcceptedConnection? taken) ? taken : null;

    /// <summary>It was taken for an instance that could not be born.</summary>
    public void GiveBack(ConnectionId id, AcceptedConnection unserved) => _connections.Add(id, unserved);

    public void Close(ConnectionId id) => Take(id)?.Dispose();

    public void Dispose()
    {
        foreach (AcceptedConnection connection in _connections.Values)
            connection.Dispose();
    }
}
