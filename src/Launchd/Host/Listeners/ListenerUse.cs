using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>
/// For <c>idle_timeout</c>: tells once in a window that somebody came to a running service. The service itself accepts, so each listener
/// is watched one-shot: however many come, the supervisor wakes up once. An epoll of its own, because others may watch the same
/// listeners for other things.
/// </summary>
internal sealed class ListenerUse : IDisposable
{
    private readonly EventLoop _outer;
    private readonly EventLoop _watches = new(isNested: true);

    // Which of a service's listeners could be watched; the descriptors are borrowed from the table of descriptors.
    private readonly Dictionary<ServiceName, List<Listener>> _watched = [];

    public ListenerUse(EventLoop outer)
    {
        _outer = outer;
        Errno refused = outer.Watch(_watches.Descriptor, IoReadiness.Readable, LoopPriority.Listener, _ => _watches.Wait(0));
        if (refused != Errno.None)
            throw new SystemCallException("epoll_ctl", "use of listeners", refused);
    }

    /// <summary>Tells once of the next arrival at each listener; what waits in one counts at once. Again for the next window.</summary>
    /// <returns>How many cannot be watched (a regular file below <c>special:</c>).</returns>
    public int Watch(ServiceName service, IEnumerable<Listener> listeners, Action used)
    {
        if (_watched.TryGetValue(service, out List<Listener>? known))
        {
            foreach (Listener listener in known)
                _watches.Change(listener.Descriptor, IoReadiness.Readable | IoReadiness.Once);
            return 0;
        }
        int refused = 0;
        _watched.Add(service, known = []);
        foreach (Listener listener in listeners)
        {
            if (_watches.Watch(listener.Descriptor, IoReadiness.Readable | IoReadiness.Once, priority: 0, _ => used()) == Errno.None)
            {
                known.Add(listener);
                listener.UsedBy = service;
            }
            else
            {
                refused++;
            }
        }
        return refused;
    }

    public void Unwatch(ServiceName service)
    {
        if (!_watched.Remove(service, out List<Listener>? listeners))
            return;
        foreach (Listener listener in listeners)
        {
            _watches.Unwatch(listener.Descriptor);
            listener.UsedBy = null;
        }
    }

    /// <summary>A listener is about to be closed. One that took its place is watched from the next window on.</summary>
    public void Forget(Listener listener)
    {
        if (listener.UsedBy is not { } service)
            return;
        listener.UsedBy = null;
        _watches.Unwatch(listener.Descriptor);
        _ = _watched[service].Remove(listener);
        Unwatch(service);
    }

    /// <summary>Whether something waits in a listener or a connection that came by it is open. Null: the kernel does not tell.</summary>
    public static bool? IsUsed(FileDescriptor listener) =>
        ListenerState.IsReadable(listener) ? true : ConnectionDiagnostics.HasConnections(listener);

    public void Dispose()
    {
        _outer.Unwatch(_watches.Descriptor);
        _watches.Dispose();
    }
}
