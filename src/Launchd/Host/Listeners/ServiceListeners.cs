using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>
/// The listeners of services, as far as the supervisor itself waits at them: for who comes to a service that is not running, and for the
/// use of one that ends when it is idle. Borrows them from the table of descriptors.
/// </summary>
internal sealed class ServiceListeners(
    Supervisor core, DescriptorTable descriptors, ListenerGuard guard, ListenerUse use,
    AcceptWatch accepts, SlowLanes lanes, Mailbox mailbox, EventFeed events, Counters counters)
    : IDisposable
{
    private readonly Dictionary<ServiceName, List<Listener>> _watched = [];

    /// <summary>Those of a service, in the order of their numbers for the core.</summary>
    public IEnumerable<(ListenerDefinition Definition, Listener Listener)> Of(ServiceName service)
    {
        // A service that a reload took out waits for nobody.
        if (core.Find(service) is not { IsLeaving: false } state
            || !descriptors.Provisions.TryFind(state.Definition, out Provision? provision))
        {
            yield break;
        }
        foreach (HeldSocket socket in provision.Sockets)
        {
            foreach (OpenedListener one in socket.Opened)
            {
                if (descriptors.Find(one.Descriptor) is { } listener)
                    yield return (socket.Definition, listener);
            }
        }
    }

    /// <summary>The bound address of a service's listener, for events and the log.</summary>
    public string? AddressOf(ServiceName service, int listenerIndex) =>
        Of(service).ElementAtOrDefault(listenerIndex) is { Definition: { } definition } ? definition.Key : null;

    public void Watch(ServiceName service)
    {
        Unwatch(service);
        List<Listener> watched = [];
        _watched.Add(service, watched);
        int index = 0;
        foreach ((_, Listener listener) in Of(service))
        {
            int number = index++;
            if (guard.WatchReadable(listener, () => events.Feed(new Event.ListenerReadable(service, number))) == Errno.None)
            {
                watched.Add(listener);
                listener.AwaitedBy = service;
            }
            else
            {
                counters.Count("listeners-unwatchable");
            }
        }
    }

    // By what was watched, not by what the service has: a reload may have given it others.
    public void Unwatch(ServiceName service)
    {
        if (!_watched.Remove(service, out List<Listener>? watched))
            return;
        foreach (Listener listener in watched)
        {
            guard.UnwatchReadable(listener);
            if (listener.AwaitedBy == service)
                listener.AwaitedBy = null;
        }
    }

    /// <summary>Another configuration holds: services that wait for clients wait at the listeners that they have now.</summary>
    public void Rewatch()
    {
        foreach ((ServiceName service, List<Listener> watched) in _watched.ToArray())
        {
            if (core.Find(service) is null)
                Unwatch(service);
            else if (!Of(service).Select(l => l.Listener).SequenceEqual(watched))
                Watch(service);
        }
    }

    public void WatchUse(ServiceName service)
    {
        int refused = use.Watch(service, Of(service).Select(l => l.Listener), () => events.Feed(new Event.ListenerUsed(service)));
        if (refused > 0)
            counters.Count("listeners-unwatchable");
    }

    public void UnwatchUse(ServiceName service) => use.Unwatch(service);

    // What the kernel does not tell counts as use: an open connection is worth more than an idle process. It goes through all sockets of
    // the machine to find some, so that is done in the lane.
    public void LookForUse(ServiceName service)
    {
        FileDescriptor[] listeners = [.. Of(service).Select(l => l.Listener.Descriptor)];
        bool isAsked = lanes.Of(service).TryLook(mailbox, listeners, () => Array.ConvertAll(listeners, ListenerUse.IsUsed), answers =>
        {
            foreach (bool? its in answers)
            {
                if (its is null)
                    counters.Count("idle-unknown");
            }
            events.Feed(new Event.UseSeen(service, answers.Any(its => its ?? true)));
        });
        if (!isAsked)
            events.FeedResult(new Event.UseSeen(service, IsUsed: true));
    }

    /// <summary>A listener is about to be closed.</summary>
    public void Forget(Listener listener)
    {
        if (Stop(listener) is { } place)
            place.Watched.RemoveAt(place.At);
    }

    /// <summary>A listener is about to be closed, and another is watched in its place.</summary>
    public void Exchange(Listener listener, Listener successor)
    {
        if (Stop(listener) is not { } place)
            return;
        place.Watched[place.At] = successor;
        successor.AwaitedBy = place.Service;
    }

    public void Dispose()
    {
        foreach (ServiceName service in _watched.Keys.ToArray())
            Unwatch(service);
    }

    /// <summary>Where it was watched; null: it was not.</summary>
    private (ServiceName Service, List<Listener> Watched, int At)? Stop(Listener listener)
    {
        use.Forget(listener);
        accepts.Forget(listener);
        ServiceName? awaitedBy = listener.AwaitedBy;
        listener.AwaitedBy = null;
        if (awaitedBy is not { } service || !_watched.TryGetValue(service, out List<Listener>? watched))
            return null;
        int at = watched.IndexOf(listener);
        return at < 0 ? null : (service, watched, at);
    }
}
