using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>Where a listener stands between its opening and its closing.</summary>
internal enum ListenerStanding
{
    /// <summary>The present configuration has it.</summary>
    Configured,

    /// <summary>
    /// The configuration has it no more, or another was made in its place. It stays open until the last instance that was given it has
    /// ended and no former definition may be started with it: clients in its queue are served by those.
    /// </summary>
    Retired,

    /// <summary>Its descriptor is closed.</summary>
    Closed,
}

/// <summary>
/// One listener, from its opening to its closing: to which socket of the configuration it belongs, who has it, whether
/// clients come to it, who waits at it, and how its repair stands. The <see cref="DescriptorTable"/> owns it and is the only
/// one that changes where it stands. For the loop's thread.
/// </summary>
internal sealed class Listener(HeldSocket socket, OpenedListener opened)
{
    // Most of thousands of listeners wait for their first.
    private List<RunningInstance>? _holders;

    // By former definitions that the core may yet start something by.
    private int _claimCount;

    /// <summary>The socket of the configuration to which it belongs, or last did.</summary>
    public HeldSocket Socket { get; private set; } = socket;

    /// <summary>As it was opened, with its place among the endpoints and shards of <see cref="Socket"/>.</summary>
    public OpenedListener Opened { get; private set; } = opened;

    /// <summary>Never another's while this object is in the table.</summary>
    public FileDescriptor Descriptor { get; } = opened.Descriptor;

    public ListenerStanding Standing { get; private set; }

    public bool IsConfigured => Standing == ListenerStanding.Configured;

    /// <summary>Where it is bound, with the port that the kernel picked.</summary>
    public ListenAddress Endpoint => Socket.EndpointOf(Opened);

    public int BacklogCount => Socket.Request.BacklogCount;

    /// <summary>Of a retired one: whether its path is unlinked when it is closed, if it is still its own.</summary>
    public bool RemovesPath { get; private set; }

    /// <summary>Of a retired one: the listener to which the kernel leads its clients meanwhile; null: none.</summary>
    public FileDescriptor? Successor { get; private set; }

    /// <summary>Nobody comes to it, by our doing (<see cref="StoppedIntakes"/>); null: clients come.</summary>
    public StoppedIntake? Intake { get; set; }

    /// <summary>How it is watched and repaired (<see cref="ListenerGuard"/>).</summary>
    public ListenerWatch Watch { get; } = new();

    /// <summary>How its path is kept (<see cref="ListenerPaths"/>); null: it has none of ours, or is not kept yet.</summary>
    public KeptPath? Path { get; set; }

    /// <summary>
    /// The service for which the supervisor waits at it, because that is not running (<see cref="ServiceListeners"/>); null: none.
    /// </summary>
    public ServiceName? AwaitedBy { get; set; }

    /// <summary>The running service whose use by clients is watched (<see cref="ListenerUse"/>); null: none.</summary>
    public ServiceName? UsedBy { get; set; }

    /// <summary>Instances that were given it and are not over.</summary>
    public IReadOnlyList<RunningInstance> Holders => _holders ?? (IReadOnlyList<RunningInstance>)[];

    /// <summary>The last instance that had it and is over; null: none.</summary>
    public string? LastHolder { get; private set; }

    /// <summary>Whether a former definition that may be started by gives it to its instances.</summary>
    public bool IsClaimed => _claimCount > 0;

    /// <summary>Whether it may be closed: nobody has it, and nobody may get it.</summary>
    public bool IsUnused => Standing == ListenerStanding.Retired && Holders.Count == 0 && !IsClaimed;

    /// <summary>The configuration has it, for the first time, again, or by another name.</summary>
    public void Configure(HeldSocket socket, OpenedListener opened) =>
        (Standing, Socket, Opened, RemovesPath, Successor) = (ListenerStanding.Configured, socket, opened, false, null);

    public void Retire(bool removesPath, FileDescriptor? successor) =>
        (Standing, RemovesPath, Successor) = (ListenerStanding.Retired, removesPath, successor);

    /// <summary>Closes it, and unlinks its path while that is its own.</summary>
    public void Close()
    {
        if (RemovesPath && Opened.Path is { } path)
            _ = UnixPath.RemoveIfOurs(path, out _);
        Descriptor.Dispose();
        if (Successor is { IsClosed: false } successor)
            ReplacementListener.EndSteering(successor);
        Standing = ListenerStanding.Closed;
    }

    public void AddHolder(RunningInstance instance) => (_holders ??= new List<RunningInstance>(1)).Add(instance);

    public void RemoveHolder(RunningInstance instance)
    {
        LastHolder = instance.Label;
        _holders?.Remove(instance);
    }

    public void Claim() => _claimCount++;

    public void ReleaseClaim() => _claimCount--;
}

/// <summary>The path of a listener with the symbolic links that lead to it, as they are kept.</summary>
/// <param name="Owned">What was made at the path.</param>
/// <param name="Aliases">The links.</param>
/// <param name="Spare">Its second name; null: there is none.</param>
/// <param name="Places">Where the kernel tells of what happens to all of them: numbers of watches, and names in their directories.</param>
internal sealed record KeptPath(
    OwnedPath Owned, ImmutableArray<OwnedPath> Aliases, SpareLink? Spare, ImmutableArray<(int Watch, string Name)> Places)
{
    /// <summary>If not, they are looked at before each hand-out.</summary>
    public bool IsWatched => !IsLost && Places.All(p => p.Watch >= 0);

    /// <summary>A directory that was watched is gone.</summary>
    public bool IsLost { get; init; }
}

/// <summary>What the guard of listeners knows of one, beyond what the kernel tells.</summary>
internal sealed class ListenerWatch
{
    /// <summary>Told while something waits in the listener; null: nobody wants to know.</summary>
    public Action? OnReadable { get; set; }

    public bool IsRegistered { get; set; }

    /// <summary>For what it is registered.</summary>
    public IoReadiness What { get; set; }

    /// <summary>Not registered for a while, because its hang-up would wake the loop for ever.</summary>
    public bool IsResting { get; set; }

    /// <summary>The service of the last instance that got it; null: nobody has.</summary>
    public ServiceName? GivenTo { get; set; }

    /// <summary>Something happened at its path since it was last looked at.</summary>
    public bool IsPathInDoubt { get; set; }

    /// <summary>Who has its path instead, in words; null: nobody, as far as is known.</summary>
    public string? PathTaken { get; set; }

    /// <summary>
    /// That nobody takes clients out of its queue (<see cref="AcceptWatch"/>), in words; null: not so, as far as is known.
    /// </summary>
    public string? Unaccepted { get; set; }

    /// <summary>
    /// The process that has it although its instance is over (<see cref="LeftHolders"/>), in words; null: none, as far as is known.
    /// </summary>
    public string? Held { get; set; }

    /// <summary>A look at it has not come back yet.</summary>
    public bool IsLookedAt { get; set; }

    /// <summary>When it was shut down last, or made anew; null: never.</summary>
    public Moment? HungUpAt { get; set; }

    /// <summary>What was told of it, and when: a program that does the same each time it starts is told of once.</summary>
    public Dictionary<string, Moment>? Told { get; set; }

    /// <summary>Repairs in a row that failed.</summary>
    public int Attempts { get; set; }
}
