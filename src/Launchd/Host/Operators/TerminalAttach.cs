using Launchd.Client;
using Launchd.Control;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Host.Instances;
using Launchd.Host.Notices;
using Launchd.Linux.Sockets;
using Launchd.Logs;

namespace Launchd.Host.Operators;

/// <summary>
/// <c>Attach</c> gives an operator one end of a socket, to whose other end the log pump copies what the program writes to its terminal. The
/// master of the terminal is never given away: whoever read it would take output out of the log.
/// </summary>
internal sealed class TerminalAttach(Supervisor core, RunningInstances instances, LogPump pump, NoticeReporter notices)
{
    public void Attach(ControlConnection from, AttachRequest request)
    {
        if (request.Service is not { Length: > 0 } wanted || (request.Columns is null) != (request.Rows is null))
        {
            from.Refuse(ControlNames.InvalidParameter,
                new ErrorDetail { Parameter = "service", Text = "give a service, and both columns and rows or none of them" });
            return;
        }
        if (!request.ReadOnly && !from.Peer.May(ControlRights.Typing))
        {
            from.Refuse(ControlNames.NotPermitted, new ErrorDetail { Name = wanted,
                Text = "only root and the supervisor's own user may type to a program, which does with its own rights what it is told: "
                    + "--read-only shows it" });
            return;
        }
        if (NamedSlot.FindOrRefuse(from, core, wanted, out int? slot) is not { } service)
            return;
        if (Find(service, slot) is not { } instance)
        {
            bool hasTerminal = service.Definition.HasTerminal;
            from.Refuse(hasTerminal ? ControlNames.NotRunning : ControlNames.NoTerminal, new ErrorDetail { Name = wanted,
                Text = hasTerminal ? $"'{wanted}' has no running instance" : $"'{wanted}' has no terminal: write terminal = true" });
            return;
        }
        if (!ChannelPair.TryOpen(out FileDescriptor ours, out FileDescriptor theirs, out Errno refused))
        {
            from.Refuse(ControlNames.LimitReached, new ErrorDetail { Text = $"cannot make a socket for the terminal: {refused.Text}" });
            return;
        }
        // Whoever sends us descriptors is told no by the kernel (Linux 6.16), or at worst makes the pump close them.
        _ = UnixSocket.TryPassRights(ours, isAllowed: false);
        (int, int)? size = request is { Columns: { } columns, Rows: { } rows } ? (columns, rows) : null;
        pump.Attach(instance.Id.Number, ours, new TerminalView(!request.ReadOnly, from.Peer.IsOwner, size),
            outcome => from.AnswerLater(nameof(Attach), () => Answer(from, instance, theirs, outcome)));
    }

    private void Answer(ControlConnection from, RunningInstance instance, FileDescriptor theirsTaken, bool? outcome)
    {
        if (outcome is true)
        {
            int pid = instance.Process?.Pid ?? 0;
            from.AnswerWith(new AttachReply(instance.Id.Service.Text, instance.Slot, instance.Generation, pid),
                ControlJson.Default.AttachReply, theirsTaken);
            notices.Report(new Notice.DescriptorSent(
                instance.Id, instance.Slot, instance.Generation, pid, "terminal", "operator", "attached", 0));
            return;
        }
        theirsTaken.Dispose();
        string full = $"has {ServiceTerminal.MostViewers} viewers";
        if (outcome is null)
            Refuse(ControlNames.NotRunning, "has just ended");
        else if (from.Peer.IsOwner)
            Refuse(ControlNames.LimitReached, full);
        else
            Refuse(ControlNames.LimitReached, $"{full}, or all terminals have {ViewerPlaces.MostStrangers} of other users");

        void Refuse(string error, string what) => from.Refuse(error, new ErrorDetail { Text = $"'{instance.Label}' {what}" });
    }

    private RunningInstance? Find(ServiceState service, int? slot) => instances.All
        .Where(i => i.Id.Service == service.Definition.Name && (slot is null || i.Slot == slot) && !i.MainEnded && i.Definition.HasTerminal)
        .OrderByDescending(i => i.Generation).ThenBy(i => i.Slot).FirstOrDefault();
}
