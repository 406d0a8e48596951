using System.Collections.Immutable;
using System.Globalization;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;
using Launchd.Model;

namespace Launchd.Host.Channel;

/// <summary>
/// The descriptors that programs have sent, by the numbers by which the core knows them: those that came a moment ago,
/// and those in the stores of services. Owns them.
/// </summary>
internal sealed class KeptDescriptors(Supervisor core, EventLoop loop, EventFeed events) : IDisposable
{
    private const int PriorityOfHangUps = LoopPriority.Listener;
    private const string ReceivedPrefix = "received.", PolledPrefix = "polled.";

    private readonly Dictionary<DescriptorId, FileDescriptor> _received = [];

    // The descriptors in the stores of services, to find those that are stored already.
    private readonly Dictionary<ServiceName, DescriptorSet> _stored = [];
    private readonly Dictionary<DescriptorId, ServiceName> _storedBy = [];
    private readonly HashSet<DescriptorId> _polled = [], _isHeld = [];
    private long _count;

    /// <summary>Who holds copies for the supervisor after this one; null: nobody.</summary>
    public IDescriptorKeeper? Keeper { get; set; }

    /// <summary>Takes a descriptor that came from a program; the core decides what becomes of it.</summary>
    public DescriptorId Receive(FileDescriptor taken)
    {
        DescriptorId id = new(++_count);
        _received.Add(id, taken);
        return id;
    }

    /// <summary>Has a copy held for the supervisor after this one.</summary>
    public void Hold(DescriptorId id)
    {
        if (Keeper is not null && _received.TryGetValue(id, out FileDescriptor? descriptor) && _isHeld.Add(id))
            Keeper.Store(NameOf(id, isPolled: false), descriptor);
    }

    /// <summary>A descriptor that a supervisor before this one had received, by the number that it had there.</summary>
    public void Resume(DescriptorId id, FileDescriptor taken)
    {
        _received.Add(id, taken);
        _ = _isHeld.Add(id);
        _count = Math.Max(_count, id.Number);
    }

    /// <summary>The name by which a copy is held; of a polled one there is a second copy, whose name says so.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="isPolled">It leaves the store when its far end is gone.</param>
    public static string NameOf(DescriptorId id, bool isPolled) =>
        string.Create(CultureInfo.InvariantCulture, $"{(isPolled ? PolledPrefix : ReceivedPrefix)}{id.Number}");

    /// <summary>The descriptor of a number, borrowed. Null: it was closed.</summary>
    public FileDescriptor? Find(DescriptorId id) => _received.GetValueOrDefault(id);

    /// <summary>
    /// The received descriptors that are duplicates: their open file description is in the store of the service already, or came twice.
    /// </summary>
    /// <param name="service">Whose store.</param>
    /// <param name="replaced">Stored descriptors of this name do not count, because they will be replaced; null: all count.</param>
    /// <param name="received">From <see cref="Receive"/>.</param>
    public ImmutableArray<DescriptorId> FindDuplicates(ServiceName service, string? replaced, ImmutableArray<DescriptorId> received)
    {
        DescriptorSet? stored = _stored.GetValueOrDefault(service);
        DescriptorSet together = new();
        HashSet<FileDescriptor> gone = [.. (replaced is null ? [] : core.Find(service)?.Stored ?? [])
            .Where(s => s.Name == replaced).Select(s => Find(s.Id)).OfType<FileDescriptor>()];
        List<DescriptorId> duplicates = [];
        foreach (DescriptorId id in received)
        {
            FileDescriptor taken = _received[id];
            DescriptorIdentity identity = DescriptorFacts.Of(taken).Identity;
            bool isStored = stored?.Find(identity, taken) is { } same && !gone.Contains(same);
            if (isStored || !together.Add(identity, taken))
                duplicates.Add(id);
        }
        return [.. duplicates];
    }

    /// <summary>The core has put a descriptor into the store of a service.</summary>
    public void Keep(Effect.Keep keep)
    {
        if (!_received.TryGetValue(keep.Descriptor.Id, out FileDescriptor? descriptor))
            return;
        if (!_stored.TryGetValue(keep.Service, out DescriptorSet? stored))
            _stored.Add(keep.Service, stored = new DescriptorSet());
        if (stored.Add(DescriptorFacts.Of(descriptor).Identity, descriptor))
            _storedBy.Add(keep.Descriptor.Id, keep.Service);
        Hold(keep.Descriptor.Id);
        if (!keep.IsPolled)
            return;
        // A file never hangs up, and a user-space file system may not answer when its file is added to epoll.
        if (DescriptorFacts.Of(descriptor).IsFile)
            return;
        if (_polled.Add(keep.Descriptor.Id))
            Keeper?.Store(NameOf(keep.Descriptor.Id, isPolled: true), descriptor);
        // EPERM: epoll_ctl(2) does not take it, so it never hangs up and is kept until it is removed from the store.
        _ = loop.Watch(descriptor, IoReadiness.None, PriorityOfHangUps,
            _ => events.Feed(new Event.DescriptorHungUp(keep.Service, keep.Descriptor.Id)));
    }

    public void Close(DescriptorId id)
    {
        if (!_received.Remove(id, out FileDescriptor? descriptor))
            return;
        if (_storedBy.Remove(id, out ServiceName service))
            _stored[service].Remove(DescriptorFacts.Of(descriptor).Identity, descriptor);
        loop.Unwatch(descriptor);
        descriptor.Dispose();
        if (_isHeld.Remove(id))
            Keeper?.Drop(NameOf(id, isPolled: false));
        if (_polled.Remove(id))
            Keeper?.Drop(NameOf(id, isPolled: true));
    }

    /// <summary>The service is gone, or is to begin anew: forgets its store, if nothing is in it.</summary>
    public void Forget(ServiceName service)
    {
        if (core.Find(service) is null or { Stored.IsEmpty: true })
            _stored.Remove(service);
    }

    public void Dispose()
    {
        foreach (FileDescriptor descriptor in _received.Values)
            descriptor.Dispose();
    }
}
