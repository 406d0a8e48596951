using Launchd.Client;
using Launchd.Control;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>The operators' listening socket and its name in the runtime directory; owns both, so that a start that fails leaves none behind.</summary>
internal sealed class ControlListener : IDisposable
{
    private readonly OpenedListener _opened;

    private ControlListener(OpenedListener openedTaken) => _opened = openedTaken;

    public FileDescriptor Descriptor => _opened.Descriptor;

    /// <exception cref="StartRefusedException">With the sentence for the operator.</exception>
    public static ControlListener Open(SupervisorDefinition definition, RuntimeDirectory directory, UserTable users)
    {
        PathOwner owner = users.OwnerOf("supervisor.control_user", definition.ControlUser, definition.ControlGroup);
        OpenedListener opened = UnixListener.Listen(directory.ControlSocket, definition.ControlMode, owner)
            .ValueOr(f => throw new StartRefusedException($"control socket: {f}", ExitCode.SystemRefused));
        // No call takes any.
        _ = UnixSocket.TryPassRights(opened.Descriptor, isAllowed: false);
        return new ControlListener(opened);
    }

    /// <summary>Another mode and owner for its name. Null, or why not.</summary>
    public OpenFailure? Change(int mode, PathOwner owner) => _opened.Path is { } path ? UnixPath.Change(path, mode, owner) : null;

    public void Dispose()
    {
        if (_opened.Path is { } path)
            _ = UnixPath.RemoveIfOurs(path, out _);
        _opened.Descriptor.Dispose();
    }
}
