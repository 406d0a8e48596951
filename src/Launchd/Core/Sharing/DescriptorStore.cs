using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Sharing;

/// <summary>
/// The fd store of a service. The core knows ids; the host holds the descriptors. Of descriptors that come with <c>FDSTORE=1</c> as many
/// are kept as fit; an order over the instance channel is carried out whole or not at all, and is answered.
/// </summary>
internal static class DescriptorStore
{
    /// <summary>The name of a descriptor that is stored without <c>FDNAME=</c>, as under systemd.</summary>
    public const string UnnamedName = "stored";

    /// <summary>Answers every descriptor that came with a notification: kept or closed.</summary>
    public static void Apply(Draft d, int service, SlotState slot, Instance instance, Event.Notified notified)
    {
        Notification message = notified.Message;
        if (message.IsStoreRemove)
        {
            if (message.DescriptorName is { } removed)
                _ = Remove(d, service, s => s.Name == removed);
            CloseAll(d, notified.Descriptors);
            return;
        }
        if (!message.IsStore)
        {
            CloseAll(d, notified.Descriptors);
            return;
        }
        string name = message.DescriptorName ?? UnnamedName;
        foreach (DescriptorId descriptor in notified.Descriptors)
        {
            if (notified.Duplicates.Contains(descriptor))
            {
                d.Do(new Effect.CloseDescriptor(descriptor));
                continue;
            }
            if ((WhyFull(d[service], 1) ?? WhyTooLong(d[service], name, 1)) is { } refusal)
            {
                d.Do(new Effect.CloseDescriptor(descriptor));
                d.Report(new Notice.Stored(instance.Id, slot.Slot, instance.Generation, instance.Pid, name, refusal));
                continue;
            }
            Keep(d, service, slot, instance, new StoredDescriptor(descriptor, name), message.IsPolled);
        }
    }

    public static void Apply(Draft d, Event.StoreAsked asked)
    {
        StoreOrder order = asked.Order;
        if (d.Find(asked.Instance) is not (int service, SlotState slot, SlotPhase.Live live))
        {
            CloseAll(d, order.Descriptors);
            d.Do(new Effect.AnswerStore(order.Call, new StoreAnswer(Refusal: "the instance is over")));
            return;
        }
        int ofName = d[service].Stored.Count(s => s.Name == order.Name);
        if (order.OnlyIfAbsent && ofName > 0)
        {
            CloseAll(d, order.Descriptors);
            d.Do(new Effect.AnswerStore(order.Call, new StoreAnswer(PresentCount: ofName)));
            return;
        }
        ImmutableArray<DescriptorId> fresh = [.. order.Descriptors.Where(descriptor => !order.Duplicates.Contains(descriptor))];
        int added = fresh.Length - (order.Replaces ? ofName : 0);
        string? isFull = WhyFull(d[service], added), isTooLong = WhyTooLong(d[service], order.Name, added);
        if ((isFull ?? isTooLong) is { } refusal)
        {
            CloseAll(d, order.Descriptors);
            d.Report(new Notice.Stored(live.Instance.Id, slot.Slot, live.Instance.Generation, live.Instance.Pid, order.Name, refusal));
            d.Do(new Effect.AnswerStore(
                order.Call, new StoreAnswer(Refusal: isFull is null ? refusal : $"fd_store = {d[service].Definition.FdStoreCount}")));
            return;
        }
        int removed = order.Replaces ? Remove(d, service, s => s.Name == order.Name) : 0;
        CloseAll(d, order.Duplicates);
        foreach (DescriptorId descriptor in fresh)
            Keep(d, service, slot, live.Instance, new StoredDescriptor(descriptor, order.Name), order.IsPolled);
        d.Do(new Effect.AnswerStore(order.Call, new StoreAnswer(null, fresh.Length, order.Duplicates.Length, removed)));
    }

    public static void Apply(Draft d, Event.UnstoreAsked asked)
    {
        int service = d.Graph.Find(asked.Instance.Service);
        int removed = service < 0 ? 0 : Remove(d, service, s => s.Name == asked.Name);
        d.Do(new Effect.AnswerStore(asked.Call, new StoreAnswer(RemovedCount: removed)));
    }

    /// <summary>The newest state of a slot is the one that counts.</summary>
    public static void Apply(Draft d, Event.StateSaved saved)
    {
        if (d.Find(saved.Instance) is not (int service, SlotState slot, SlotPhase.Live))
        {
            d.Do(new Effect.CloseDescriptor(saved.Descriptor));
            return;
        }
        ImmutableArray<SavedState> states = d[service].SavedStates;
        CloseAll(d, [.. states.Where(s => s.Slot == slot.Slot).Select(s => s.Descriptor)]);
        d[service] = d[service] with
        {
            SavedStates = [.. states.Where(s => s.Slot != slot.Slot), new SavedState(slot.Slot, saved.Descriptor)],
        };
    }

    public static void Apply(Draft d, Event.DescriptorHungUp hungUp)
    {
        int service = d.Graph.Find(hungUp.Service);
        if (service >= 0)
            _ = Remove(d, service, s => s.Id == hungUp.Descriptor);
    }

    /// <summary>
    /// A reload may have made the store smaller: what no longer fits is closed, the newest first, as a full store takes nothing new. While
    /// a rollout goes on nothing is, because the service may go back to its former definition.
    /// </summary>
    public static void Fit(Draft d, int service)
    {
        ServiceState state = d[service];
        int limit = state.Definition.FdStoreCount;
        if (state.Stored.Length <= limit || state.Rollout is not null || state.Reborn is not null)
            return;
        ImmutableArray<StoredDescriptor> gone = state.Stored[limit..];
        d[service] = state with { Stored = state.Stored[..limit] };
        CloseAll(d, [.. gone.Select(g => g.Id)]);
        d.Report(new Notice.StoreShrunk(state.Definition.Name, limit, [.. gone.Select(g => g.Name)]));
    }

    /// <summary>A service that came to rest keeps its store only if the file says so.</summary>
    public static void NoteRest(Draft d, int service)
    {
        if (d[service].Definition.FdStoreKeep != FdStoreKeep.Restart)
            return;
        if (!d[service].Stored.IsEmpty)
            _ = Remove(d, service, _ => true);
        if (d[service].SavedStates.IsEmpty)
            return;
        CloseAll(d, [.. d[service].SavedStates.Select(s => s.Descriptor)]);
        d[service] = d[service] with { SavedStates = [] };
    }

    private static string? WhyFull(ServiceState state, int count)
    {
        int limit = state.Definition.FdStoreCount;
        if (state.Stored.Length + count <= limit)
            return null;
        return limit == 0 ? "the service has no fd_store"
            : state.Stored.Length == limit ? $"its fd_store holds {limit} already"
            : $"its fd_store holds {state.Stored.Length} already, of at most {limit}";
    }

    // A program is not executed with a variable of more than 128 KiB (MAX_ARG_STRLEN, execve(2)), and LISTEN_FDNAMES has them all.
    private static string? WhyTooLong(ServiceState state, string name, int count)
    {
        if (count <= 0 || (state.Stored.Length + count) * (long)(Limits.LongestDescriptorName + 1) <= Limits.StoredNamesLength)
            return null;
        long length = count * (long)(name.Length + 1);
        foreach (StoredDescriptor stored in state.Stored)
            length += stored.Name.Length + 1;
        return length <= Limits.StoredNamesLength
            ? null
            : $"the names in its fd_store would have more than {Limits.StoredNamesLength} characters together";
    }

    private static void Keep(Draft d, int service, SlotState slot, Instance instance, StoredDescriptor stored, bool isPolled)
    {
        d[service] = d[service] with { Stored = d[service].Stored.Add(stored) };
        d.Do(new Effect.Keep(instance.Id.Service, stored, isPolled));
        d.Report(new Notice.Stored(instance.Id, slot.Slot, instance.Generation, instance.Pid, stored.Name, Refusal: null));
    }

    private static int Remove(Draft d, int service, Func<StoredDescriptor, bool> which)
    {
        ServiceState state = d[service];
        ImmutableArray<StoredDescriptor> gone = [.. state.Stored.Where(which)];
        if (gone.IsEmpty)
            return 0;
        d[service] = state with { Stored = [.. state.Stored.Where(s => !which(s))] };
        CloseAll(d, [.. gone.Select(g => g.Id)]);
        return gone.Length;
    }

    private static void CloseAll(Draft d, ImmutableArray<DescriptorId> descriptors)
    {
        foreach (DescriptorId descriptor in descriptors)
            d.Do(new Effect.CloseDescriptor(descriptor));
    }
}
