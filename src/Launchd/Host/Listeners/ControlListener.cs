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

/// <summary>
/// The operators' listening socket and its name in the runtime directory; owns both, so that a start that fails leaves none behind.
/// </summary>
internal sealed class ControlListener : IDisposable
{
    private OpenedListener _opened;

    private ControlListener(OpenedListener openedTaken) => _opened = openedTaken;

    public FileDescriptor Descriptor => _opened.Descriptor;

    /// <exception cref="StartRefusedException">With the sentence for the operator.</exception>
    public static ControlListener Open(SupervisorDefinition definition, RuntimeDirectory directory, UserTable users)
    {
        OpenResult<OpenedListener> opened = OpenAt(directory.ControlSocket, definition.ControlMode, OwnerOf(definition, users));
        return new ControlListener(opened.ValueOr(f => throw new StartRefusedException($"control socket: {f}", ExitCode.SystemRefused)));
    }

    /// <summary>Whose it is to be.</summary>
    /// <exception cref="StartRefusedException">No such user or group.</exception>
    public static PathOwner OwnerOf(SupervisorDefinition definition, UserTable users) =>
        users.OwnerOf("supervisor.control_user", definition.ControlUser, definition.ControlGroup);

    /// <summary>Opens such a socket; may wait for the file system.</summary>
    public static OpenResult<OpenedListener> OpenAt(string path, int mode, PathOwner owner)
    {
        OpenResult<OpenedListener> opened = UnixListener.Listen(path, mode, owner);
        // No call takes any.
        if (opened.Failure is null)
            _ = UnixSocket.TryPassRights(opened.Value.Descriptor, isAllowed: false);
        return opened;
    }

    /// <summary>Whether its name is still its own. From any thread.</summary>
    public bool IsNamed() => _opened.Path is not { } path || UnixPath.LooksOurs(path);

    /// <summary>Another was opened in its place.</summary>
    public void Renew(OpenedListener nextTaken)
    {
        _opened.Descriptor.Dispose();
        _opened = nextTaken;
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
