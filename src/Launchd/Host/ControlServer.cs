using Launchd.Client;
using Launchd.Core;
using Launchd.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// The operators' socket: accepts connections and checks who is at the other end. What a connection says is handled by
/// <see cref="ControlConnection"/>, what it asks for by <see cref="ControlMethods"/>.
/// </summary>
internal sealed class ControlServer : IDisposable
{
    /// <summary>Connections at a time; more are closed at once.</summary>
    private const int MostConnections = 64;

    private readonly SupervisorHost _host;
    private readonly ControlMethods _methods;
    private readonly OpenedListener _listener;
    private readonly bool _admitsOthers;
    private readonly HashSet<ControlConnection> _connections = [];

    /// <param name="host">Whose socket it is.</param>
    /// <param name="listenerTaken">Listening at <c>control.sock</c>.</param>
    public ControlServer(SupervisorHost host, OpenedListener listenerTaken)
    {
        _host = host;
        _listener = listenerTaken;
        _methods = new ControlMethods(host);
        // Where the file opens the socket to a group or to all, the kernel's check of the path is the one that counts.
        _admitsOthers = (host.Definition.ControlMode & 0b000_110_110) != 0;
        _ = host.Loop.Watch(listenerTaken.Descriptor, IoReadiness.Readable, SupervisorHost.ControlPriority, _ => Accept());
    }

    /// <summary>The supervisor's work is over: tells the operator who asked for it.</summary>
    public void AnswerShutdown() => _methods.AnswerShutdown();

    public void Dispose()
    {
        foreach (ControlConnection connection in _connections.ToArray())
            connection.Close();
        _methods.Dispose();
        _host.Loop.Unwatch(_listener.Descriptor);
        if (_listener.Path is { } path)
            _ = UnixPath.RemoveIfOurs(path, out _);
        _listener.Descriptor.Dispose();
    }

    private void Accept()
    {
        for (int i = 0; i < Limits.MessagesPerTurn; i++)
        {
            FileDescriptor? accepted = UnixSocket.Accept(_listener.Descriptor, out Errno refused);
            if (accepted is null)
            {
                if (refused != Errno.EAGAIN)
                    _host.Count("control-accepts-failed");
                return;
            }
            if (_connections.Count >= MostConnections || !IsAdmitted(accepted))
            {
                _host.Count("control-connections-refused");
                accepted.Dispose();
                continue;
            }
            _connections.Add(new ControlConnection(_host, _methods, accepted, c => _connections.Remove(c)));
        }
    }

    private bool IsAdmitted(FileDescriptor connection) =>
        _admitsOthers || (PeerCredentials.TryRead(connection, out PeerCredentials peer, out _) && (peer.Uid == 0 || peer.Uid == Libc.geteuid()));
}
