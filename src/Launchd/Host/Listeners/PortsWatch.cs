using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Says where programs listen beside the sockets that they were given, and who else listens at the ports of those sockets: both are found
/// by one question about all listening TCP sockets of the machine, asked beside the loop.
/// </summary>
internal sealed class PortsWatch(DescriptorTable descriptors, Mailbox mailbox, Counters counters, Journal journal, ILogger logger)
{
    private const int MostTold = 1024;

    private readonly Offload _offload = new(mailbox);

    // Instances that are looked at when the look that is under way is over.
    private readonly HashSet<RunningInstance> _asked = [];
    private bool _isUnderWay;

    // Who was told of, and where he listens. A program that listens at another port each time must not fill the memory.
    private readonly HashSet<(string Who, string Address)> _told = [];

    /// <summary>Looks at instances that run; while a look is under way, when that is over.</summary>
    public void Look(IEnumerable<RunningInstance> instances)
    {
        _asked.UnionWith(instances);
        if (!_isUnderWay)
            Begin();
    }

    private void Begin()
    {
        RunningInstance[] instances = [.. _asked.Where(i => i is { MainEnded: false, Process: not null })];
        _asked.Clear();
        if (instances.Length == 0)
            return;
        List<OwnPorts> looks = [.. instances.Select(i => new OwnPorts(i.Id, i.Process!.Pid, InodesOf(i.Given)))];
        HashSet<(string Socket, string Address)> given = [.. instances.SelectMany(i => i.Given).Select(descriptors.Find)
            .OfType<Listener>().Select(l => (l.Socket.Key, l.Opened.Address))];
        // Without a thread nothing is looked at this time.
        _isUnderWay = _offload.TryRun(() => Find(looks, [.. given]), defect =>
        {
            mailbox.Fail(defect);
            return [];
        }, sharers =>
        {
            _isUnderWay = false;
            TellElsewhere(looks);
            Tell(sharers);
            Begin();
        });
    }

    private static List<PortSharer> Find(List<OwnPorts> looks, IReadOnlyList<(string Socket, string Address)> given)
    {
        // If /proc shows another pid namespace, its numbers mean other processes.
        if (!ProcFile.IsOwn || ListeningPorts.All() is not { } ports)
            return [];
        foreach (OwnPorts look in looks)
            look.Look(ports);
        return PortSharer.Find(ports, given, looks.SelectMany(l => l.Inodes.Concat(l.Given)).ToHashSet());
    }

    private static HashSet<ulong> InodesOf(IEnumerable<FileDescriptor> given) =>
        [.. given.Select(g => FileStatus.Read(g, out FileStatus status) == Errno.None ? status.Inode : 0)];

    private void TellElsewhere(List<OwnPorts> looks)
    {
        foreach (OwnPorts look in looks)
        {
            string service = look.Instance.Service.Text;
            foreach (string address in look.Addresses.Where(a => IsNew(service, a)))
            {
                counters.Count("listens-elsewhere");
                journal.Add(new ListensElsewhere(service, look.Pid, address));
                SupervisorLog.ListensElsewhere(logger, service, look.Pid, address);
            }
        }
    }

    private void Tell(IReadOnlyList<PortSharer> sharers)
    {
        foreach (PortSharer sharer in sharers.Where(s => IsNew($"{s.Socket} {s.Holder.Pid}", s.Address)))
        {
            counters.Count("ports-shared");
            journal.Add(new PortShared(sharer.Socket, sharer.Address, sharer.Holder.Pid, sharer.Holder.Command));
            SupervisorLog.PortShared(logger, sharer.Socket, sharer.Address, sharer.Holder.ToString());
        }
    }

    private bool IsNew(string who, string address)
    {
        if (_told.Count >= MostTold)
            _told.Clear();
        return _told.Add((who, address));
    }
}
