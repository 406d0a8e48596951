using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// What has happened: facts in the past tense, a closed family. The host makes them, <see cref="Supervisor.Step"/> takes them.
/// </summary>
internal abstract record Event
{
    private Event()
    {
    }

    /// <summary>Everything of the configuration is open; services may start.</summary>
    internal sealed record Booted : Event
    {
        public static readonly Booted Value = new();
    }

    /// <summary>Result of <see cref="Effect.AwaitTurn"/>: the core was told everything that had happened by then.</summary>
    internal sealed record TurnBegan(TurnKind Kind) : Event;

    /// <summary>Result of <see cref="Effect.Prepare"/>: all connections that the instance is to be born with are there.</summary>
    internal sealed record Prepared(InstanceId Instance) : Event;

    /// <summary>Result of <see cref="Effect.Spawn"/>: the program was executed.</summary>
    internal sealed record Spawned(InstanceId Instance, int Pid) : Event;

    /// <summary>Result of <see cref="Effect.Spawn"/>, or of <see cref="Effect.Prepare"/>: there is no process.</summary>
    /// <param name="Instance">The instance that has no process.</param>
    /// <param name="Failure">Why.</param>
    /// <param name="Connection">
    /// The client's connection, given back after a shortage: the core closes it or spawns with it again. Null: none, or it is closed.
    /// </param>
    internal sealed record SpawnFailed(InstanceId Instance, Failure.SpawnFailed Failure, ConnectionId? Connection = null) : Event;

    /// <summary>The main process ended and was reaped.</summary>
    /// <param name="Instance">Whose main process it was.</param>
    /// <param name="Status">How it ended.</param>
    /// <param name="HasLeftovers">Whether other processes of the instance still run; <see cref="LeftoversEnded"/> follows then.</param>
    internal sealed record MainExited(InstanceId Instance, ExitStatus Status, bool HasLeftovers) : Event
    {
        /// <summary>The other processes that still run, for people: "process 4712 (gunicorn)". Null: none, or nobody has looked.</summary>
        public string? Leftovers { get; init; }
    }

    /// <summary>The last process of an instance has ended; its main process had ended before.</summary>
    internal sealed record LeftoversEnded(InstanceId Instance) : Event;

    /// <summary>What still lives of an instance a while after SIGKILL.</summary>
    /// <param name="Instance">The instance that was killed.</param>
    /// <param name="Text">One sentence for the operator: which process, and why it lives as far as that can be told.</param>
    internal sealed record RemainsSeen(InstanceId Instance, string Text) : Event;

    /// <summary>A notification of an instance from a sender that may speak for it.</summary>
    /// <param name="Instance">The instance by whose socket the notification came.</param>
    /// <param name="Message">What it says.</param>
    /// <param name="Pid">Sender, as the kernel says.</param>
    /// <param name="Uid">Sender's user.</param>
    /// <param name="Descriptors">The descriptors that came with it: the core answers each with Keep or CloseDescriptor.</param>
    internal sealed record Notified(
        InstanceId Instance, Notification Message, int Pid, uint Uid, ImmutableArray<DescriptorId> Descriptors) : Event
    {
        /// <summary>Those that are in the store already: the same open file description.</summary>
        public ImmutableArray<DescriptorId> Duplicates { get; init; } = [];
    }

    /// <summary>An instance puts descriptors into the store over its channel; answered by <see cref="Effect.AnswerStore"/>.</summary>
    internal sealed record StoreAsked(InstanceId Instance, StoreOrder Order) : Event;

    /// <summary>An instance takes a name out of the store over its channel; answered by <see cref="Effect.AnswerStore"/>.</summary>
    internal sealed record UnstoreAsked(InstanceId Instance, long Call, string Name) : Event;

    /// <summary>An instance leaves a state, one descriptor, for the next one in its slot.</summary>
    internal sealed record StateSaved(InstanceId Instance, DescriptorId Descriptor) : Event;

    /// <summary>The instance's own form of readiness (probe, descriptor, output) is met.</summary>
    internal sealed record ReadinessMet(InstanceId Instance) : Event;

    /// <summary>
    /// What the host has found out about why an instance is not ready, or has ended early. Told just before the event that makes a failure
    /// of it.
    /// </summary>
    /// <param name="Instance">The instance.</param>
    /// <param name="Text">For people: what was seen, and what to write.</param>
    internal sealed record ClueFound(InstanceId Instance, string Text) : Event;

    /// <summary>Another process took the place of the main one (<c>MAINPID=</c>), checked by the host.</summary>
    internal sealed record MainProcessChanged(InstanceId Instance, int Pid) : Event;

    /// <summary>Result of <see cref="Effect.Signal"/>.</summary>
    /// <param name="Instance">To which it was to be sent.</param>
    /// <param name="Number">The signal.</param>
    /// <param name="Request">The order; null: the signal is part of something else, and was refused.</param>
    /// <param name="Refusal">
    /// Why none of the processes that it was meant for has got it: a sentence without a subject. Null: it was sent.
    /// </param>
    internal sealed record SignalSent(InstanceId Instance, SignalNumber Number, RequestId? Request, string? Refusal) : Event;

    internal sealed record TimerFired(TimerKey Key) : Event;

    /// <summary>
    /// The supervisor was stopped, or got no processor: by SIGSTOP, a frozen control group, a debugger, a paused machine. Sent before
    /// whatever else came meanwhile.
    /// </summary>
    /// <param name="For">At least as long as it was away.</param>
    internal sealed record WasAway(TimeSpan For) : Event;

    /// <summary>A stop or reload command of an instance ended.</summary>
    /// <param name="Instance">The instance beside which the command ran.</param>
    /// <param name="Kind">Which of them.</param>
    /// <param name="Succeeded">It exited with 0.</param>
    /// <param name="Reason">If it did not, why, without a subject: "exited with 3".</param>
    internal sealed record CommandEnded(InstanceId Instance, CommandKind Kind, bool Succeeded, string? Reason = null) : Event;

    /// <summary>An operator's order; answered by <see cref="Effect.Reply"/>.</summary>
    internal sealed record Requested(
        RequestId Request, Verb Verb, ImmutableArray<ServiceName> Services, SignalNumber? Signal = null) : Event
    {
        /// <summary>For <see cref="Verb.Scale"/>: slots of the pool, 1 to 1,000.</summary>
        public int? Count { get; init; }

        /// <summary>For <see cref="Verb.Restart"/>: instead of the service's own way. Null: as its definition says.</summary>
        public UpdateKind? Update { get; init; }
    }

    /// <summary>The operator waits for the reply no more; the order itself stands.</summary>
    internal sealed record ClientLeft(RequestId Request) : Event;

    /// <summary>Something waits in a listener that is watched for a service.</summary>
    internal sealed record ListenerReadable(ServiceName Service, int ListenerIndex) : Event;

    /// <summary>Result of <see cref="Effect.Accept"/>.</summary>
    /// <param name="Service">The service for which it was accepted.</param>
    /// <param name="Connection">Held by the host until an instance is spawned with it, or it is closed.</param>
    /// <param name="Source">IP address or Unix uid of the peer, for the limit per source.</param>
    internal sealed record ConnectionAccepted(ServiceName Service, ConnectionId Connection, string Source) : Event;

    /// <summary>
    /// Result of <see cref="Effect.Accept"/>: nothing was there any more, or the system is short of descriptors or memory.
    /// </summary>
    internal sealed record AcceptFailed(ServiceName Service, bool IsShortage) : Event;

    /// <summary>A client came to a listener of a running demand service; told once for each <see cref="Effect.WatchUse"/>.</summary>
    internal sealed record ListenerUsed(ServiceName Service) : Event;

    /// <summary>Result of <see cref="Effect.LookForUse"/>.</summary>
    /// <param name="Service">Whose listeners were looked at.</param>
    /// <param name="IsUsed">A connection to one of them is open, something waits in one, or the kernel does not tell.</param>
    internal sealed record UseSeen(ServiceName Service, bool IsUsed) : Event;

    /// <summary>Result of <see cref="Effect.LookAtQueues"/>.</summary>
    /// <param name="Instance">Which is to end.</param>
    /// <param name="AreEmpty">
    /// No client waits in a listener from which only this instance accepts, none can come to it, and
    /// all that it has accepted have been heard.
    /// </param>
    internal sealed record QueuesSeen(InstanceId Instance, bool AreEmpty) : Event;

    /// <summary>The far end of a stored descriptor is gone.</summary>
    internal sealed record DescriptorHungUp(ServiceName Service, DescriptorId Descriptor) : Event;

    /// <summary>A signal or an operator wants the supervisor to end.</summary>
    /// <param name="Reason">For the log.</param>
    /// <param name="IsImmediate">Kill what still runs.</param>
    internal sealed record ShutdownAsked(string Reason, bool IsImmediate) : Event;

    /// <summary>
    /// The configuration is another from now on, and everything new in it is open. A service whose definition is the very object of
    /// before is untouched (so whoever reads the file again puts the old object where nothing changed, and a copy where only a socket
    /// or file of the service did). Others roll out, except those in <see cref="Quiet"/>. Services that are gone are stopped and then
    /// forgotten (<see cref="Effect.Forget"/>).
    /// </summary>
    /// <param name="Next">Valid.</param>
    /// <param name="Request">Answered, with an outcome for each service concerned, when all is over. Null: nobody waits.</param>
    internal sealed record Reloaded(SupervisorDefinition Next, RequestId? Request) : Event
    {
        /// <summary>
        /// Services that changed only in what a running program does not see (policies, order, description, count): their instances run on.
        /// </summary>
        public ImmutableArray<ServiceName> Quiet { get; init; } = [];
    }

    /// <summary>The health check of a ready instance failed as often as its definition allows.</summary>
    /// <param name="Instance">The instance that is to be replaced.</param>
    /// <param name="Reason">One sentence without a subject: "was refused by 127.0.0.1:8080 3 times".</param>
    internal sealed record HealthFailed(InstanceId Instance, string Reason) : Event;

    /// <summary>A draining instance tells how much it still has to do.</summary>
    internal sealed record DrainProgress(InstanceId Instance, int Remaining) : Event;

    /// <summary>An instance's program begins to read events from its channel, or its channel is closed.</summary>
    internal sealed record ChannelWatched(InstanceId Instance, bool IsWatched) : Event;

    /// <summary>A step about this service threw an exception: the service is set aside.</summary>
    internal sealed record MachineFaulted(ServiceName Service, string Text) : Event;
}

/// <summary>
/// What an operator may ask of services. <see cref="Verb.Configure"/> is never asked for: a reload of the
/// configuration waits for its outcome as such an order.
/// </summary>
internal enum Verb { Start, Stop, Restart, Reload, Signal, Scale, Configure }

/// <summary>Commands that run beside an instance.</summary>
internal enum CommandKind { Stop, Reload }

/// <summary>What an instance asks of the store. All or none of it is done.</summary>
internal sealed record StoreOrder
{
    /// <summary>The host's number of the request, for the answer.</summary>
    public required long Call { get; init; }
    public required string Name { get; init; }

    /// <summary>Descriptors to be stored: the core answers each with Keep or CloseDescriptor.</summary>
    public required ImmutableArray<DescriptorId> Descriptors { get; init; }

    /// <summary>Those of them that the store has already, or that stand twice in the order.</summary>
    public ImmutableArray<DescriptorId> Duplicates { get; init; } = [];

    /// <summary>Descriptors that are in the store under the name are removed first.</summary>
    public bool Replaces { get; init; }

    /// <summary>Nothing is stored when the store has a descriptor of the name.</summary>
    public bool OnlyIfAbsent { get; init; }
    public bool IsPolled { get; init; } = true;
}
