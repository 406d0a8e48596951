using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;

namespace Launchd.Host.Listeners;

/// <summary>
/// One listener to which nobody comes at present, by our doing.
/// </summary>
/// <param name="Socket">As it was held.</param>
/// <param name="Listener">Borrowed.</param>
/// <param name="Since">When the last client could come.</param>
/// <param name="Aside">The name that its path has meanwhile; null: it has none, or its own.</param>
internal sealed record StoppedIntake(HeldSocket Socket, OpenedListener Listener, Moment Since, OwnedPath? Aside)
{
    /// <summary>The last place in its queue was taken away too, and for good.</summary>
    public bool IsEnded { get; set; }
}

/// <summary>The listeners to which no new clients come at present, by our doing.</summary>
internal sealed class StoppedIntakes
{
    private readonly Dictionary<FileDescriptor, StoppedIntake> _stopped = [];

    public bool IsStopped(FileDescriptor listener) => _stopped.ContainsKey(listener);

    /// <summary>From now on nobody comes to it.</summary>
    public StoppedIntake Stop(HeldSocket socket, OpenedListener listener)
    {
        if (_stopped.TryGetValue(listener.Descriptor, out StoppedIntake? intake))
            return intake;
        OwnedPath? aside = ListenerIntake.Stop(listener, socket.EndpointOf(listener));
        intake = new StoppedIntake(socket, listener, HostClock.Now, aside);
        _stopped.Add(listener.Descriptor, intake);
        return intake;
    }

    /// <summary>A listener is handed out again, because a service goes back to what it was: clients may come.</summary>
    public void Resume(FileDescriptor listener)
    {
        if (_stopped.TryGetValue(listener, out StoppedIntake? intake))
            Resume(intake);
    }

    /// <summary>Lets clients come to all of them again.</summary>
    /// <param name="but">Those that stay as they are.</param>
    public void ResumeAll(IReadOnlySet<FileDescriptor> but)
    {
        foreach (StoppedIntake intake in _stopped.Values.Where(s => !but.Contains(s.Listener.Descriptor)).ToArray())
            Resume(intake);
    }

    /// <summary>The listener is about to be closed: what was put aside of it must not stay behind.</summary>
    public void Remove(RetiredListener retired)
    {
        if (!_stopped.Remove(retired.Listener.Descriptor, out StoppedIntake? intake) || intake.Aside is null)
            return;
        if (retired.RemovePath)
            _ = UnixPath.RemoveIfOurs(intake.Aside, out _);
        else
            ListenerIntake.Resume(intake.Listener, intake.Socket.EndpointOf(intake.Listener), 0, intake.Aside);
    }

    private void Resume(StoppedIntake intake)
    {
        _stopped.Remove(intake.Listener.Descriptor);
        ListenerIntake.Resume(intake.Listener, intake.Socket.EndpointOf(intake.Listener), intake.Socket.Request.BacklogCount, intake.Aside);
    }
}
