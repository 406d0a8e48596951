using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>All that the host holds for one instance. Disposing closes it; the process itself is not touched.</summary>
internal sealed class RunningInstance(InstanceId id, int slot, int generation, Provision provision) : IDisposable
{
    private ReportAllowance? _reports;

    // The process whose number the group has, once another one is the main one.
    private ProcessHandle? _leader;

    public InstanceId Id => id;
    public int Slot => slot;
    public int Generation => generation;

    /// <summary>What it was started with; a reload that changes only what the program does not see puts the new one here.</summary>
    public Provision Provision { get; set; } = provision;

    public ServiceDefinition Definition => Provision.Definition;

    /// <summary>What stands in the environment of all its processes, unless they took it away: <see cref="InstanceMark"/>.</summary>
    public string Mark { get; } = InstanceMark.New();

    /// <summary>Who it runs as; its commands run as the same, whatever the configuration says by then.</summary>
    public ResolvedUser User { get; } = provision.User;

    /// <summary>
    /// The listeners that it was given (<see cref="Listeners.DescriptorTable.Give"/>), borrowed: they stay open until it has ended.
    /// </summary>
    public List<FileDescriptor> Given { get; } = [];

    /// <summary>It is to end: nobody counts on it to accept what comes from now on.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>It accepts no more, by our doing, and those whom it accepted last are being heard. Null: not so far.</summary>
    public LastClients.Hearing? Hearing { get; set; }

    /// <summary>Null until spawned.</summary>
    public ProcessHandle? Process { get; set; }

    /// <summary>Process group and session: the pid of the main process that we started; 0: there is none that is surely its own.</summary>
    public int Group
    {
        get;
        set
        {
            field = value;
            FirstGroup = FirstGroup == 0 ? value : FirstGroup;
        }
    }

    /// <summary>The group and session in which it began.</summary>
    public int FirstGroup { get; private set; }

    /// <summary>Processes of it that came to us when their parents ended: kept by <see cref="Instances.Orphans"/>.</summary>
    public HashSet<int> Orphans { get; } = [];

    /// <summary>The main process is in <see cref="Group"/>: always, unless another process took its place by <c>MAINPID=</c>.</summary>
    public bool IsInGroup { get; private set; } = true;

    /// <summary>The main process was reaped.</summary>
    public bool MainEnded { get; set; }

    /// <summary>What all of it was sent at last; whatever else of it is found from then on gets it too. 0: nothing was.</summary>
    public int TreeSignal { get; set; }

    /// <summary>SIGKILL was sent, to as much of it as <c>kill</c> says.</summary>
    public bool IsKilled { get; set; }

    /// <summary>Its output said that it is ready before its birth was told.</summary>
    public bool WasReadyUnborn { get; set; }

    /// <summary>The end of its main process is waited for at its pidfd, too.</summary>
    public bool IsEndWatched { get; set; }

    /// <summary>The main process has ended and we are not told: whoever traces it knows, and keeps it from us (ptrace(2)).</summary>
    public bool IsEndKept { get; set; }

    /// <summary>Borrowed from the <see cref="NotifySockets"/>.</summary>
    public NotifySocket? Notify { get; set; }
    public NotifyAccess Access { get; set; } = provision.Definition.NotifyAccess;

    /// <summary>Read end of the pipe of <c>ready = { descriptor = N }</c>, until it is born and the log pump reads it.</summary>
    public FileDescriptor? ReadyPipe { get; set; }

    /// <summary>The line has not come out of that pipe yet.</summary>
    public bool AwaitsLine { get; set; }
    public Probe? Probe { get; set; }

    /// <summary>While it is ready and its definition asks for it.</summary>
    public HealthMonitor? Health { get; set; }

    /// <summary>The supervisor's end of its channel, from its birth until the channel's connection takes it over.</summary>
    public FileDescriptor? ChannelEnd { get; set; }

    /// <summary>
    /// Whether an event about a descriptor may be reported, and how many before it were not: a program that asks or stores all the time
    /// must not push everything else out of the list of events.
    /// </summary>
    public bool MayReport(Moment now, out long skipped) => (_reports ??= new ReportAllowance()).Take(now, out skipped);

    /// <summary>It has left something with the channel's server that must go when it is over.</summary>
    public bool HasSpoken { get; set; }
    public bool HasLogPipe { get; set; }

    /// <summary>
    /// Another process is the main one from now on. A group that it does not keep alive may any time be a stranger's, so it is forgotten.
    /// </summary>
    public void Become(ProcessHandle mainTaken)
    {
        ProcessHandle? former = Process, leader = _leader ?? former;
        Process = mainTaken;
        _leader = null;
        int group = ProcessFacts.Read(mainTaken.Pid)?.Group ?? 0;
        if (group != Group)
            Group = group == mainTaken.Pid ? group : 0;
        else if (Group != 0 && Group != mainTaken.Pid)
            _leader = leader;
        IsInGroup = Group != 0;
        if (former != _leader)
            former?.Dispose();
        if (leader != _leader && leader != former)
            leader?.Dispose();
    }

    /// <summary>Signals its process group, and never one that merely has the same number by now. 0 sends nothing.</summary>
    /// <returns>
    /// <see cref="Errno.ESRCH"/>: it has none, or nobody is in it. <see cref="Errno.EINVAL"/>: whose the number
    /// is cannot be told any more, before Linux 6.9.
    /// </returns>
    public Errno SignalGroup(int signal)
    {
        if (Group <= 1 || (_leader ?? Process) is not { } leader)
            return Errno.ESRCH;
        Errno refused = leader.SignalGroup(signal);
        // A child that was not reaped keeps its number.
        bool isHeld = leader == Process && !MainEnded;
        return refused != Errno.EINVAL || !isHeld ? refused : Libc.kill(-Group, signal) == 0 ? Errno.None : Errno.Last;
    }

    public string Label => $"{id.Service}.{slot}";

    public void Dispose()
    {
        Process?.Dispose();
        _leader?.Dispose();
        ReadyPipe?.Dispose();
        ChannelEnd?.Dispose();
        Probe?.Dispose();
        Health?.Dispose();
    }
}
