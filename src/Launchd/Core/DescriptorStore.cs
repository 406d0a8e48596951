using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>The fd store of a service: by id here, the descriptors themselves are the host's.</summary>
internal static class DescriptorStore
{
    /// <summary>Answers every descriptor that came with a notification: kept or closed.</summary>
    public static void Apply(Draft d, int service, SlotState slot, Instance instance, Event.Notified notified)
    {
        Notification message = notified.Message;
        if (message.IsStoreRemove)
        {
            if (message.DescriptorName is { } removed)
                Remove(d, service, s => s.Name == removed);
            CloseAll(d, notified.Descriptors);
            return;
        }
        if (!message.IsStore)
        {
            CloseAll(d, notified.Descriptors);
            return;
        }
        string name = message.DescriptorName ?? "stored";
        foreach (DescriptorId descriptor in notified.Descriptors)
        {
            int limit = d[service].Definition.FdStoreCount;
            if (d[service].Stored.Length >= limit)
            {
                d.Do(new Effect.CloseDescriptor(descriptor));
                string refusal = limit == 0 ? "the service has no fd_store" : $"its fd_store holds {limit} already";
                d.Report(new Notice.Stored(instance.Id, slot.Slot, instance.Generation, instance.Pid, name, refusal));
                continue;
            }
            StoredDescriptor stored = new(descriptor, name);
            d[service] = d[service] with { Stored = d[service].Stored.Add(stored) };
            d.Do(new Effect.Keep(instance.Id.Service, stored, message.IsPolled));
            d.Report(new Notice.Stored(instance.Id, slot.Slot, instance.Generation, instance.Pid, name, Refusal: null));
        }
    }

    public static void Apply(Draft d, Event.DescriptorHungUp hungUp)
    {
        int service = d.Graph.Find(hungUp.Service);
        if (service >= 0)
            Remove(d, service, s => s.Id == hungUp.Descriptor);
    }

    /// <summary>A service that came to rest keeps its store only if the file says so.</summary>
    public static void NoteRest(Draft d, int service)
    {
        if (d[service].Definition.FdStoreKeep == FdStoreKeep.Restart && !d[service].Stored.IsEmpty)
            Remove(d, service, _ => true);
    }

    /// <summary>A service that is forgotten keeps nothing.</summary>
    public static void Clear(Draft d, int service) => Remove(d, service, _ => true);

    private static void Remove(Draft d, int service, Func<StoredDescriptor, bool> which)
    {
        ServiceState state = d[service];
        ImmutableArray<StoredDescriptor> gone = [.. state.Stored.Where(which)];
        if (gone.IsEmpty)
            return;
        d[service] = state with { Stored = [.. state.Stored.Where(s => !which(s))] };
        CloseAll(d, [.. gone.Select(g => g.Id)]);
    }

    private static void CloseAll(Draft d, ImmutableArray<DescriptorId> descriptors)
    {
        foreach (DescriptorId descriptor in descriptors)
            d.Do(new Effect.CloseDescriptor(descriptor));
    }
}
