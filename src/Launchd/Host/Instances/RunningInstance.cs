using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>All that the host holds for one instance. Disposing closes the descriptors; the process itself is not touched.</summary>
internal sealed class RunningInstance(InstanceId id, int slot, int generation, Provision provision) : IDisposable
{
    private ReportAllowance? _reports;

    // The process whose number the group bears, once another process is the main one.
    private ProcessHandle? _leader;

    public InstanceId Id => id;
    public int Slot => slot;
    public int Generation => generation;

    /// <summary>
    /// What the instance was started with; a reload that changes only what the program cannot see puts the new provision here.
    /// </summary>
    public Provision Provision { get; set; } = provision;

    public ServiceDefinition Definition => Provision.Definition;

    /// <summary>The mark in the environment of all its processes, unless they removed it: <see cref="InstanceMark"/>.</summary>
    public string Mark { get; init; } = InstanceMark.New();

    /// <summary>The user as whom the instance runs; its commands run as the same user, whatever the configuration says by then.</summary>
    public ResolvedUser User { get; } = provision.User;

    /// <summary>
    /// The listeners that it was given (<see cref="Listeners.DescriptorTable.Give"/>), borrowed: they stay open until it has ended.
    /// </summary>
    public List<FileDescriptor> Given { get; } = [];

    /// <summary>The instance is to end: nobody counts on it to accept new connections.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>
    /// Set while the supervisor keeps the instance from accepting, so that it hears the clients that it accepted last. Null: not so far.
    /// </summary>
    public LastClients.Hearing? Hearing { get; set; }

    /// <summary>
    /// The supervisor, or one before it, was about to keep the instance from accepting: since then nobody can tell by its epoll sets
    /// whether it accepts.
    /// </summary>
    public bool IsHeardOut { get; set; }

    /// <summary>Since when its end waits for its queues, because it cannot be kept from accepting. Null: not so.</summary>
    public Moment? EmptyingSince { get; set; }

    /// <summary>Null until spawned.</summary>
    public ProcessHandle? Process { get; set; }

    /// <summary>By what the main process is recognised in another supervisor; of no meaning where there is no keeper.</summary>
    public ProcessIdentity Identity { get; set; }

    /// <summary>How the main process ended, from the moment that it is known; null: it has not, as far as is known.</summary>
    public ExitStatus? Ended { get; set; }

    /// <summary>It was born under a supervisor before this one, and is not this one's child.</summary>
    public bool IsResumed { get; init; }

    /// <summary>Which of its descriptors the keeper holds: words of <see cref="HeldParts"/>.</summary>
    public List<string> Held { get; } = [];

    /// <summary>The end of what its program sent on its channel was read.</summary>
    public bool IsChannelDrained { get; set; }

    /// <summary>
    /// The process to which the kernel gives its orphans, because its supervisor and the keeper were killed; 0: this process, or the
    /// keeper.
    /// </summary>
    public int Reaper { get; set; }

    /// <summary>
    /// Process group and session of the instance: the pid of the main process that the supervisor started; 0: no group is surely its own.
    /// </summary>
    public int Group
    {
        get;
        set
        {
            field = value;
            FirstGroup = FirstGroup == 0 ? value : FirstGroup;
        }
    }

    /// <summary>The group and session in which the instance began.</summary>
    public int FirstGroup { get; set; }

    /// <summary>
    /// Processes of the instance that became children of the supervisor when their parents ended: kept by <see cref="Instances.Orphans"/>.
    /// </summary>
    public HashSet<int> Orphans { get; } = [];

    /// <summary>The main process is in <see cref="Group"/>: always, unless another process took its place by <c>MAINPID=</c>.</summary>
    public bool IsInGroup { get; set; } = true;

    /// <summary>The main process was reaped.</summary>
    public bool MainEnded { get; set; }

    /// <summary>
    /// The last signal that was sent to the whole tree; processes of it that are found later get it too. 0: none was sent.
    /// </summary>
    public int TreeSignal { get; set; }

    /// <summary>SIGKILL was sent to as much of the instance as <c>kill</c> says.</summary>
    public bool IsKilled { get; set; }

    /// <summary>Its output said that the instance is ready before the loop was told of its birth.</summary>
    public bool WasReadyUnborn { get; set; }

    /// <summary>The loop also watches the pidfd of the main process for its end.</summary>
    public bool IsEndWatched { get; set; }

    /// <summary>The main process has ended and the supervisor cannot reap it, because its tracer has not done so yet (ptrace(2)).</summary>
    public bool IsEndKept { get; set; }

    /// <summary>Borrowed from the <see cref="NotifySockets"/>.</summary>
    public NotifySocket? Notify { get; set; }

    /// <summary>A notification that did not count, the first with <c>READY=1</c> if there was one; null: all did.</summary>
    public Unheard? Unheard { get; set; }

    /// <summary>The first line of the last notification that did count; null: there was none.</summary>
    public string? LastSaid { get; set; }
    public NotifyAccess Access { get; set; } = provision.Definition.NotifyAccess;

    /// <summary>
    /// Read end of the pipe of <c>ready = { descriptor = N }</c>, until the instance is born and the log pump reads the pipe.
    /// </summary>
    public FileDescriptor? ReadyPipe { get; set; }

    /// <summary>The line has not come out of that pipe yet.</summary>
    public bool AwaitsLine { get; set; }
    public Probe? Probe { get; set; }

    /// <summary>Set while the instance is ready and its definition asks for health checks.</summary>
    public HealthMonitor? Health { get; set; }

    /// <summary>The supervisor's end of its channel, from its birth until the channel's connection takes it over.</summary>
    public FileDescriptor? ChannelEnd { get; set; }

    /// <summary>
    /// Whether an event about a descriptor may be reported, and how many before it were not: a program that asks or stores all the time
    /// must not push everything else out of the list of events.
    /// </summary>
    public bool MayReport(Moment now, out long skipped) => (_reports ??= new ReportAllowance()).Take(now, out skipped);

    /// <summary>The instance has left something with the channel server that must be removed when it is over.</summary>
    public bool HasSpoken { get; set; }

    /// <summary>The log pump has a pipe, a terminal or a pattern of it, which it must give up when the instance is over.</summary>
    public bool IsKnownToPump { get; set; }

    /// <summary>
    /// Makes another process the main one. A group that this process does not keep alive may become a
    /// stranger's at any time, so it is forgotten.
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

    /// <summary>
    /// Signals the process group of the instance, and never one that merely bears the same number by now. Signal 0 only asks.
    /// </summary>
    /// <returns>
    /// <see cref="Errno.ESRCH"/>: the instance has no group, or no process is in it. <see cref="Errno.EINVAL"/>: before Linux
    /// 6.9, it cannot be told any more whose number it is.
    /// </returns>
    public Errno SignalGroup(int signal)
    {
        if (Group <= 1 || (_leader ?? Process) is not { } leader)
            return Errno.ESRCH;
        Errno refused = leader.SignalGroup(signal);
        // A child that was not reaped keeps its number, so the group's number is still its own.
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
