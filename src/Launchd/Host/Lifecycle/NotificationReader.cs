using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Sharing;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Loop;
using Launchd.Host.Notices;
using Launchd.Host.Reporting;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Lifecycle;

/// <summary>Reads what instances say on their notify sockets, checks who said it, and tells the core.</summary>
/// <param name="instances">Those that run.</param>
/// <param name="sockets">All their sockets.</param>
/// <param name="kept">Takes the descriptors that come along.</param>
/// <param name="notices">Of what is not done.</param>
/// <param name="events">To the core.</param>
/// <param name="isGoneOnWith">
/// Whether another supervisor goes on if this one dies: then a message is taken out of its queue only when what follows from it was written
/// down. One that was read in the moment of a death is read again; none says anything else when it comes twice.
/// </param>
/// <param name="counters">Of what cannot be used.</param>
/// <param name="logger">Of defects.</param>
internal sealed class NotificationReader(
    RunningInstances instances, NotifySockets sockets, KeptDescriptors kept,
    NoticeReporter notices, EventFeed events, bool isGoneOnWith, Counters counters, ILogger logger)
{
    private const int AllOfOne = 1024;

    /// <summary>
    /// Whether a process is a known child of the supervisor and does not belong to the instance. Set
    /// when the table of instances has been made.
    /// </summary>
    public Func<RunningInstance, int, bool> IsOthers { get; set; } = (_, _) => true;

    /// <summary>Called before the core is told of a message, which may name another main process.</summary>
    public Action<RunningInstance, Notification, NotifyMessage>? OnNamed { get; set; }

    /// <summary>Reads a batch of the messages that came for an instance.</summary>
    public void Read(RunningInstance instance) => Read(instance, Limits.MessagesPerTurn);

    /// <summary>Reads all messages that an instance has sent so far.</summary>
    public void ReadAll(RunningInstance instance) => Read(instance, AllOfOne);

    /// <summary>Reads all messages that an instance has sent so far; none if it is over.</summary>
    public void ReadAll(InstanceId id)
    {
        if (instances.Find(id) is { } instance)
            ReadAll(instance);
    }

    /// <summary>Descriptors that a service sent were closed: its notifications are read again.</summary>
    public void Ease(ServiceName service) =>
        sockets.Ease(service, instances.All.Where(i => i.Id.Service == service).Select(i => i.Notify).OfType<NotifySocket>());

    private void Read(RunningInstance instance, int most)
    {
        int descriptors = 0;
        for (int i = 0; i < most && instance.Notify is { } socket; i++)
        {
            // Each descriptor costs some system calls: further messages are left to the next turn. Of an instance that has ended all
            // messages are read at once; the queue of the socket bounds them.
            if (sockets.IsHeldUp(socket) || (most == Limits.MessagesPerTurn && descriptors >= Limits.DescriptorsPerTurn))
                return;
            using NotifyMessage message = socket.Receive(isLeft: isGoneOnWith);
            if (!message.IsThere)
                return;
            descriptors += message.Descriptors.Count * (isGoneOnWith ? 2 : 1);
            bool isVouchedFor = TakeContained(instance, message);
            if (!instances.Contains(instance.Id))
                return;
            if (!isGoneOnWith)
                continue;
            using NotifyMessage over = socket.Receive();
            if (isVouchedFor)
                over.Vouch(socket.Lane);
        }
    }

    /// <returns>Whether the sender may speak for the instance.</returns>
    private bool TakeContained(RunningInstance instance, NotifyMessage message)
    {
        try
        {
            return Take(instance, message);
        }
        catch (Exception defect)
        {
            // Our bug, met by this message alone: what a child sends never ends the supervisor.
            counters.Count("notifications-failed");
            SupervisorLog.EffectFailed(logger, "notification", defect);
            return false;
        }
    }

    private bool Take(RunningInstance instance, NotifyMessage message)
    {
        if (!message.IsSound)
        {
            counters.Count("notifications-unsound");
            return false;
        }
        Notification? notification = message.Parse();
        if (notification is null)
        {
            counters.Count("notifications-unreadable");
            NoteUnheard(instance, message, line: null);
            return false;
        }
        bool isAllowed = NotifySender.MaySpeak(instance, message, IsOthers);
        if (isAllowed)
            message.Vouch(instance.Notify!.Lane);
        // A barrier is answered by closing its pipe, which disposing the message does: everything sent before it is handled by now.
        if (notification.IsBarrier)
            return isAllowed;
        if (!isAllowed)
        {
            counters.Count("notifications-refused");
            NoteUnheard(instance, message, notification.IsReady ? "READY=1" : notification.Lines[0]);
            return false;
        }
        instance.LastSaid = notification.Lines.FirstOrDefault(l => l.StartsWith("READY=", StringComparison.Ordinal), notification.Lines[0]);
        if (notification.Access is { } access)
            NotifySender.Change(instance, access);
        OnNamed?.Invoke(instance, notification, message);
        ImmutableArray<DescriptorId> received = message.Descriptors.Count > 0 ? ReceiveAll(instance, notification, message) : [];
        ImmutableArray<DescriptorId> duplicates =
            notification.IsStore && received.Length > 0 ? kept.FindDuplicates(instance.Id.Service, null, received) : [];
        events.Feed(new Event.Notified(instance.Id, notification, message.Pid, message.Uid, received) { Duplicates = duplicates });
        return true;
    }

    // The name of the sender costs a look at /proc, so that only the messages that may explain something are noted.
    private static void NoteUnheard(RunningInstance instance, NotifyMessage message, string? line)
    {
        const string ready = "READY=1";
        if (instance.Unheard is null || (line == ready && instance.Unheard.Line != ready))
            instance.Unheard = new Unheard(message.Pid, ProcessFacts.NameOf(message.Pid), message.Uid, line);
    }

    /// <summary>Takes the descriptors of a message; those that cannot be stored stay with the message and are closed with it.</summary>
    private ImmutableArray<DescriptorId> ReceiveAll(RunningInstance instance, Notification notification, NotifyMessage message)
    {
        ImmutableArray<DescriptorId>.Builder received = ImmutableArray.CreateBuilder<DescriptorId>(message.Descriptors.Count);
        for (int i = 0; i < message.Descriptors.Count; i++)
        {
            if (message.Descriptors[i] is not { } descriptor)
                continue;
            if (notification.IsStore && ChannelMethods.WhyNotKept(descriptor) is { } kind)
            {
                notices.Report(new Notice.Stored(instance.Id, instance.Slot, instance.Generation, instance.Process!.Pid,
                    notification.DescriptorName ?? DescriptorStore.UnnamedName, $"{kind} cannot be stored"));
                continue;
            }
            received.Add(kept.Receive(message.Descriptors.Take(i)));
        }
        return received.ToImmutable();
    }
}
