using Launchd.Client;
using Launchd.Core;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// The operators' socket: accepts connections and checks who is at the other end. What a connection says is handled by
/// <see cref="ControlConnection"/>, what it asks for by <see cref="ControlMethods"/>.
/// </summary>
internal sealed class ControlServer : IDisposable
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(1);

    private readonly SupervisorHost _host;
    private readonly ControlMethods _methods;
    private readonly ControlListener _listener;
    private readonly List<ControlConnection> _connections = [];
    private readonly DescriptorReserve _reserve = new();

    /// <param name="host">Whose socket it is.</param>
    /// <param name="listener">Borrowed.</param>
    public ControlServer(SupervisorHost host, ControlListener listener)
    {
        _host = host;
        _listener = listener;
        _methods = new ControlMethods(host);
        if (host.Loop.Watch(listener.Descriptor, IoReadiness.Readable, LoopPriority.Control, _ => Accept()) is { Value: not 0 } refused)
            throw new SystemCallException("epoll_ctl", "the control socket", refused);
    }

    /// <summary>The supervisor's work is over: tells the operator who asked for it.</summary>
    public void AnswerShutdown() => _methods.AnswerShutdown();

    public void Dispose()
    {
        foreach (ControlConnection connection in _connections.ToArray())
            connection.Close();
        _methods.Dispose();
        _host.Parts.Delays.Cancel(_reserve);
        _reserve.Dispose();
        _host.Loop.Unwatch(_listener.Descriptor);
    }

    private void Accept()
    {
        for (int i = 0; i < Limits.MessagesPerTurn; i++)
        {
            FileDescriptor? accepted = UnixSocket.Accept(_listener.Descriptor, out Errno refused);
            bool isShort = accepted is null && (refused == Errno.EMFILE || refused == Errno.ENFILE);
            // accept4(2) looks for a number before it looks into the queue, so it says this of an empty one too.
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
                _host.Counters.Count("control-connections-refused");
                accepted.Dispose();
                continue;
            }
            ControlConnection connection = new(_host, _methods, peer, accepted, Forget);
            if (!connection.IsClosed)
                _connections.Add(connection);
        }
    }

    /// <summary>What cannot be accepted stays in the queue and would wake the loop for ever.</summary>
    private void PauseAccepting()
    {
        _host.Counters.Count("control-accepts-failed");
        _host.Loop.Change(_listener.Descriptor, IoReadiness.None);
        _host.Parts.Delays.After(RetryPause, _reserve, GoOn);
    }

    private void Forget(ControlConnection connection)
    {
        _connections.Remove(connection);
        _ = _reserve.TakeBack();
    }

    private void GoOn()
    {
        _ = _reserve.TakeBack();
        _host.Loop.Change(_listener.Descriptor, IoReadiness.Readable);
    }

    private bool Evict(ControlConnection? leaves)
    {
        if (leaves is null)
            return false;
        _host.Counters.Count("control-connections-evicted");
        leaves.Close();
        return true;
    }

    // Where the file opens the socket to a user, to a group or to all, the kernel's check of the path is the one that counts.
    private bool AdmitsOthers => _host.Configuration.Definition.ControlUser is not null || (_host.Configuration.Definition.ControlMode & 0b000_110_110) != 0;

    /// <summary>Who is at the other end, with a place for it; null: it is not let in.</summary>
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
