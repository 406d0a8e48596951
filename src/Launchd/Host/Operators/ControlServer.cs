using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Operators;

/// <summary>
/// The operators' socket: accepts connections and checks who is at the other end. <see cref="ControlConnection"/> reads calls and writes
/// answers, <see cref="ControlMethods"/> carries them out.
/// </summary>
internal sealed class ControlServer : IDisposable
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(1);

    private readonly ControlListener _listener;
    private readonly ControlMethods _methods;
    private readonly AdoptedConfiguration _configuration;
    private readonly EventLoop _loop;
    private readonly LoopOrders _orders;
    private readonly SlowLanes _lanes;
    private readonly Mailbox _mailbox;
    private readonly Delays _delays;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private readonly List<ControlConnection> _connections = [];
    private readonly DescriptorReserve _reserve = new();

    /// <param name="listener">Borrowed.</param>
    /// <param name="methodsTaken">What can be asked for.</param>
    /// <param name="configuration">Says who is let in.</param>
    /// <param name="loop">Watches the socket, and the connections.</param>
    /// <param name="orders">By which connections send at the end of the turn.</param>
    /// <param name="lanes">Close descriptors that operators send, which may linger.</param>
    /// <param name="mailbox">Of the loop.</param>
    /// <param name="delays">Of the loop.</param>
    /// <param name="counters">Of the supervisor.</param>
    /// <param name="logger">Of the supervisor.</param>
    public ControlServer(
        ControlListener listener, ControlMethods methodsTaken, AdoptedConfiguration configuration, EventLoop loop, LoopOrders orders,
        SlowLanes lanes, Mailbox mailbox, Delays delays, Counters counters, ILogger logger)
    {
        _listener = listener;
        _methods = methodsTaken;
        _configuration = configuration;
        _loop = loop;
        _orders = orders;
        _lanes = lanes;
        _mailbox = mailbox;
        _delays = delays;
        _counters = counters;
        _logger = logger;
        if (Watch() is { Value: not 0 } refused)
            throw new SystemCallException("epoll_ctl", "the control socket", refused);
    }

    /// <summary>The name of the socket was taken away, and another was opened at it. Connections that are open go on.</summary>
    public void Renew(OpenedListener nextTaken)
    {
        _loop.Unwatch(_listener.Descriptor);
        _listener.Renew(nextTaken);
        if (Watch() is { Value: not 0 } refused)
            SupervisorLog.Hindered(_logger, $"nobody can be heard at the control socket: {refused.Text}");
    }

    private Errno Watch() => _loop.Watch(_listener.Descriptor, IoReadiness.Readable, LoopPriority.Control, _ => Accept());

    /// <summary>Everything has ended: tells the operators who asked for the shutdown.</summary>
    public void AnswerShutdown() => _methods.AnswerShutdown();

    public void Dispose()
    {
        foreach (ControlConnection connection in _connections.ToArray())
            connection.Close();
        _methods.Dispose();
        _delays.Cancel(_reserve);
        _reserve.Dispose();
        _loop.Unwatch(_listener.Descriptor);
    }

    private void Accept()
    {
        for (int i = 0; i < Limits.MessagesPerTurn; i++)
        {
            FileDescriptor? accepted = UnixSocket.Accept(_listener.Descriptor, out Errno refused);
            bool isShort = accepted is null && (refused == Errno.EMFILE || refused == Errno.ENFILE);
            // accept4(2) looks for a free number before it looks into the queue, so it fails like this with an empty queue too.
            if (isShort && !ListenerState.IsReadable(_listener.Descriptor))
                return;
            if (isShort && (_reserve.Lend() || Evict(ControlPlaces.FirstThatWaitsForNothing(_connections))))
                continue;
            if (accepted is null)
            {
                if (refused != Errno.EAGAIN)
                    PauseAccepting();
                return;
            }
            if (Admit(accepted) is not { } peer)
            {
                _counters.Count("control-connections-refused");
                accepted.Dispose();
                continue;
            }
            _ = Begin(accepted, peer);
        }
    }

    /// <summary>Goes on with a connection of a supervisor before this one, on which a call waits for its answer.</summary>
    /// <param name="connectionTaken">In any case.</param>
    /// <returns>Null: its peer is not let in.</returns>
    public ControlConnection? Adopt(FileDescriptor connectionTaken)
    {
        if (Admit(connectionTaken) is not { } peer)
        {
            connectionTaken.Dispose();
            return null;
        }
        ControlConnection connection = Begin(connectionTaken, peer);
        connection.Expect();
        return connection;
    }

    private ControlConnection Begin(FileDescriptor accepted, ControlPeer peer)
    {
        SlowLane lane = peer.IsOwner ? _lanes.Owners : _lanes.Operators;
        ControlConnection connection = new(_methods, peer, accepted, lane, _loop, _orders, _mailbox, _counters, _logger, Forget);
        if (!connection.IsClosed)
            _connections.Add(connection);
        return connection;
    }

    /// <summary>Pauses, because a connection that cannot be accepted stays in the queue and would wake the loop again and again.</summary>
    private void PauseAccepting()
    {
        _counters.Count("control-accepts-failed");
        _loop.Change(_listener.Descriptor, IoReadiness.None);
        _delays.After(RetryPause, _reserve, GoOn);
    }

    private void Forget(ControlConnection connection)
    {
        _connections.Remove(connection);
        _ = _reserve.TakeBack();
    }

    private void GoOn()
    {
        _ = _reserve.TakeBack();
        _loop.Change(_listener.Descriptor, IoReadiness.Readable);
    }

    private bool Evict(ControlConnection? leaves)
    {
        if (leaves is null)
            return false;
        _counters.Count("control-connections-evicted");
        leaves.Close();
        return true;
    }

    // Where the configuration opens the socket to a user, to a group or to all, the kernel's check of the path decides who may connect.
    private bool AdmitsOthers =>
        _configuration.Definition.ControlUser is not null || (_configuration.Definition.ControlMode & 0b000_110_110) != 0;

    /// <summary>Who is at the other end, after a place was made for it; null: it is not let in.</summary>
    private ControlPeer? Admit(FileDescriptor connection)
    {
        if (ControlPeer.Of(connection) is not { } peer || !(peer.IsOwner || AdmitsOthers))
            return null;
        if (!ControlPlaces.TryChoose(_connections, peer, out ControlConnection? leaves))
            return null;
        _ = Evict(leaves);
        return peer;
    }
}
