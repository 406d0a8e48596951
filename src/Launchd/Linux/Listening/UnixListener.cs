using Launchd.Addresses;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;

namespace Launchd.Linux.Listening;

/// <summary>Unix sockets at paths that the supervisor itself listens on. Non-blocking, with SO_PASSCRED; results are owned.</summary>
internal static class UnixListener
{
    /// <summary>
    /// A listening stream socket at a path, such as the control socket: mode and owner as asked before anyone can connect, a stale
    /// path replaced, a live one refused. Remove the path with <see cref="UnixPath.RemoveIfOurs"/>.
    /// </summary>
    public static OpenResult<OpenedListener> Listen(string path, int mode, PathOwner owner, int backlogCount = 128) =>
        ListenerOpener.OpenOne(new ListenAddress.Unix(UnixSocketKind.Stream, path, IsAbstract: false), new ListenerRequest
        {
            Endpoints = [],
            Mode = mode,
            Owner = owner,
            BacklogCount = backlogCount,
            Options = new SocketOptions { PassCredentials = true, NonBlocking = true },
        });

    /// <summary>A datagram socket at a path that any user may write to, with credentials on each message: for notifications.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="receiveBufferBytes">Queue for bursts; capped by the kernel's limit without privilege.</param>
    public static OpenResult<OpenedListener> BindDatagram(string path, int receiveBufferBytes = 8 * 1024 * 1024)
    {
        var endpoint = new ListenAddress.Unix(UnixSocketKind.Datagram, path, IsAbstract: false);
        var request = new ListenerRequest { Endpoints = [], Mode = 0b110_110_110,
            Options = new SocketOptions { PassCredentials = true, NonBlocking = true } };
        OpenResult<OpenedListener> opened = ListenerOpener.OpenOne(endpoint, request);
        if (opened.Failure is null)
            SocketOptionsWriter.RaiseReceiveBuffer(opened.Value.Descriptor, receiveBufferBytes);
        return opened;
    }
}
