using System.Globalization;
using Launchd.Client;
using Launchd.Config.Diagnostics;
using Launchd.Control;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Notices;
using Launchd.Host.Provisioning;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Operators;

/// <summary>
/// <c>Fetch</c> gives an operator a descriptor of a service. One that the supervisor holds is sent at once; one that an instance has
/// published, or any number of its main process, is taken by pidfd_getfd(2).
/// </summary>
internal sealed class DescriptorFetch(
    Supervisor core, RunningInstances instances, Provisions provisions, ChannelServer channels, SlowLanes lanes, NoticeReporter notices)
{
    private SlowLane LaneOf(ServiceState service) => lanes.Of(service.Definition.Name);

    public void Fetch(ControlConnection from, FetchRequest request)
    {
        if (request.Service is not { Length: > 0 } wanted || (request.Name is null) == (request.Number is null))
        {
            from.Refuse(ControlNames.InvalidParameter,
                new ErrorDetail { Parameter = "service", Text = "give a service, and either a name or a number" });
            return;
        }
        if (NamedSlot.FindOrRefuse(from, core, wanted, out int? slot) is not { } service)
            return;
        if (request.Name is { } name)
            FetchNamed(from, service, slot, name);
        else
            FetchNumber(from, service, slot, request.Number!.Value);
    }

    private void FetchNamed(ControlConnection from, ServiceState service, int? slot, string name)
    {
        ServiceDefinition definition = service.Definition;
        Provision provision = provisions[definition];
        foreach (ListedDescriptor own in channels.Methods.Own(provision, slot ?? 0, name))
        {
            Send(from, definition.Name, name, "held", own.Facts, own.Descriptor!, isOwned: false);
            return;
        }
        if (channels.Siblings.Find(definition.Name, slot, name) is not ({ } published, { } record))
        {
            IEnumerable<string> heldNames = channels.Methods.Own(provision, slot ?? 0).Select(o => o.Name);
            IEnumerable<string> publishedNames = channels.Siblings.Of(definition.Name).Select(p => p.Publication.Name);
            string? hint = Suggestion.Nearest(name, heldNames.Concat(publishedNames).Distinct());
            string text = $"'{definition.Name}' has no descriptor '{name}'"
                + (hint is null ? $"; 'launchd-cs fds {definition.Name}' lists those that it has" : "");
            from.Refuse(ControlNames.NoSuchDescriptor, new ErrorDetail { Name = name, Hint = hint, Text = text });
            return;
        }
        FileDescriptor? taken = instances.Find(published.Owner) is { Process: { } process, MainEnded: false }
            ? TakeOrRefuse(from, process, published.Number, LaneOf(service)) : Refuse(from, service);
        if (taken is null)
            return;
        if (record.IsMeant(taken))
        {
            Send(from, definition.Name, name, "taken", record.Facts!, taken, isOwned: true);
            return;
        }
        taken.Dispose();
        from.Refuse(ControlNames.NoSuchDescriptor,
            new ErrorDetail { Name = name, Text = $"'{definition.Name}' has closed what it published as '{name}'" });
    }

    private void FetchNumber(ControlConnection from, ServiceState service, int? slot, int number)
    {
        RunningInstance? instance = instances.All
            .Where(i => i.Id.Service == service.Definition.Name && (slot is null || i.Slot == slot) && !i.MainEnded)
            .OrderByDescending(i => i.Generation).ThenBy(i => i.Slot).FirstOrDefault();
        FileDescriptor? taken = instance?.Process is { } process
            ? TakeOrRefuse(from, process, number, LaneOf(service))
            : Refuse(from, service);
        if (taken is null)
            return;
        string name = number.ToString(CultureInfo.InvariantCulture);
        Send(from, service.Definition.Name, name, "taken", DescriptorFacts.Read(taken), taken, isOwned: true);
    }

    private static FileDescriptor? Refuse(ControlConnection from, ServiceState service)
    {
        string name = service.Definition.Name.Text;
        from.Refuse(ControlNames.NotRunning, new ErrorDetail { Name = name, Text = $"'{name}' has no running instance" });
        return null;
    }

    private static FileDescriptor? TakeOrRefuse(ControlConnection from, ProcessHandle process, int number, SlowLane lane)
    {
        FileDescriptor? taken = number < 0 ? null
            : ProcessDescriptors.Take(process, number, lane, out Errno refused) ?? RefuseTake(from, process, number, refused);
        if (taken is null && number < 0)
            return RefuseTake(from, process, number, Errno.EBADF);
        if (taken is null || !ChannelPair.IsEnd(taken))
            return taken;
        taken.Dispose();
        from.Refuse(ControlNames.NotPermitted, new ErrorDetail { Text = "that is its instance channel: whoever has it is that instance" });
        return null;
    }

    private static FileDescriptor? RefuseTake(ControlConnection from, ProcessHandle process, int number, Errno refused)
    {
        if (refused == Errno.EBADF)
        {
            from.Refuse(ControlNames.NoSuchDescriptor, new ErrorDetail { Name = number.ToString(CultureInfo.InvariantCulture),
                Text = $"process {process.Pid} has no descriptor {number}" });
        }
        else
        {
            string cause = ProcessDescriptors.Explain(refused, process);
            from.Refuse(ControlNames.NotPermittedByKernel, new ErrorDetail { Text = $"pidfd_getfd: {refused.Text}: {cause}" });
        }
        return null;
    }

    private void Send(ControlConnection from, ServiceName service, string name, string way,
        DescriptorFacts facts, FileDescriptor descriptor, bool isOwned)
    {
        if (isOwned)
            from.AnswerWith(new FetchReply(name, facts.Kind, facts.Address, way), ControlJson.Default.FetchReply, descriptor);
        else if (Files.Duplicate(descriptor, lanes.Of(service), out Errno refused) is { } copy)
            from.AnswerWith(new FetchReply(name, facts.Kind, facts.Address, way), ControlJson.Default.FetchReply, copy);
        else
            from.Refuse(ControlNames.LimitReached, new ErrorDetail { Text = $"cannot duplicate the descriptor: {refused.Text}" });
        RunningInstance? holder = instances.All.FirstOrDefault(i => i.Id.Service == service);
        notices.Report(new Notice.DescriptorSent(holder?.Id ?? new InstanceId(service, 0), holder?.Slot ?? 0, holder?.Generation ?? 0,
            holder?.Process?.Pid ?? 0, name, "operator", way, 0));
    }
}
