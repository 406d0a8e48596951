using System.Collections.Immutable;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// What is to be done: orders in the imperative, a closed family. The host carries them out in order; results of
/// <see cref="Signal"/>, <see cref="Accept"/> and <see cref="LookForUse"/> come back as events before anything from outside.
/// </summary>
internal abstract record Effect
{
    private Effect()
    {
    }

    /// <summary>
    /// Make the connections that an instance is to be born with. Ends with <see cref="Event.Prepared"/> or <see cref="Event.SpawnFailed"/>,
    /// at once as a result or at any time later; <see cref="Release"/> before that takes it back.
    /// </summary>
    /// <param name="Instance">Its id from now on.</param>
    /// <param name="Slot">Its place.</param>
    /// <param name="Definition">Of its generation.</param>
    /// <param name="Reason">Why it is to start.</param>
    /// <param name="Connection">The client's connection, which the host keeps meanwhile; null: none.</param>
    internal sealed record Prepare(
        InstanceId Instance, int Slot, ServiceDefinition Definition, StartReason Reason, ConnectionId? Connection) : Effect;

    /// <summary>Start the program of an instance.</summary>
    /// <param name="Instance">Its id from now on.</param>
    /// <param name="Slot">Its place, which another instance of the service may hold at the same time.</param>
    /// <param name="Generation">The generation to which the instance belongs.</param>
    /// <param name="Definition">Of that generation: not always the newest.</param>
    /// <param name="Reason">What the program may be told.</param>
    /// <param name="Connection">The connection that the instance serves; null: none.</param>
    /// <param name="Stored">The service's fd store.</param>
    internal sealed record Spawn(InstanceId Instance, int Slot, int Generation, ServiceDefinition Definition, StartReason Reason,
        ConnectionId? Connection, ImmutableArray<StoredDescriptor> Stored) : Effect;

    /// <summary>
    /// Send a signal to an instance, by its pidfd, group or tree. Ends with <see cref="Event.SignalSent"/> as a result if it is for an
    /// operator's order, or if the kernel refuses it.
    /// </summary>
    internal sealed record Signal(InstanceId Instance, SignalNumber Number, KillScope Scope) : Effect
    {
        /// <summary>The order to send just this signal; null: it is part of something else.</summary>
        public RequestId? Request { get; init; }
    }

    /// <summary>Run a command beside an instance; ends with <see cref="Event.CommandEnded"/>.</summary>
    internal sealed record RunCommand(InstanceId Instance, CommandKind Kind, ImmutableArray<string> Arguments) : Effect;

    /// <summary>Kill that command; its end is of no interest any more.</summary>
    internal sealed record EndCommand(InstanceId Instance, CommandKind Kind) : Effect;

    /// <summary>Repeat the service's readiness probe until it succeeds.</summary>
    internal sealed record StartProbe(InstanceId Instance) : Effect;

    internal sealed record EndProbe(InstanceId Instance) : Effect;

    /// <summary>Repeat the service's health check, until <see cref="EndHealth"/> or <see cref="Event.HealthFailed"/>.</summary>
    internal sealed record StartHealth(InstanceId Instance) : Effect;

    internal sealed record EndHealth(InstanceId Instance) : Effect;

    /// <summary>Tell an instance on its channel that it is to finish.</summary>
    /// <param name="Instance">The instance, which was sent the stop signal in the same step.</param>
    /// <param name="Deadline">When the instance is killed; null: no limit.</param>
    /// <param name="Successor">The instance that has taken its place; null: there is none.</param>
    internal sealed record TellDrain(InstanceId Instance, Moment? Deadline, InstanceId? Successor) : Effect;

    /// <summary>Tell an instance on its channel that another is being started in its place, to which it may hand over.</summary>
    internal sealed record TellHandOver(InstanceId Instance, InstanceId Successor) : Effect;

    /// <summary>
    /// Tell an instance on its channel that its last predecessor has ended, so that nothing more can be handed over to it.
    /// </summary>
    /// <param name="Instance">The instance that holds the slot.</param>
    /// <param name="Predecessor">The last predecessor.</param>
    internal sealed record TellPredecessorEnded(InstanceId Instance, InstanceId Predecessor) : Effect;

    /// <summary>Tell an instance on its channel to read its configuration again.</summary>
    internal sealed record TellReload(InstanceId Instance) : Effect;

    /// <summary>Close all that the host holds for an instance that is over, also a connection that the instance never got.</summary>
    internal sealed record Release(InstanceId Instance) : Effect;

    /// <summary>Have <see cref="Event.TimerFired"/> come at a moment; replaces a timer of the same key.</summary>
    internal sealed record ArmTimer(TimerKey Key, Moment Due) : Effect;

    internal sealed record DisarmTimer(TimerKey Key) : Effect;

    /// <summary>Tell when something waits in one of the service's listeners.</summary>
    internal sealed record WatchListeners(ServiceName Service) : Effect;

    internal sealed record UnwatchListeners(ServiceName Service) : Effect;

    /// <summary>Tell once when a client comes to one of the service's listeners; a client that waits there already counts.</summary>
    internal sealed record WatchUse(ServiceName Service) : Effect;

    internal sealed record UnwatchUse(ServiceName Service) : Effect;

    /// <summary>Look whether any client uses the service's listeners now; ends with <see cref="Event.UseSeen"/>.</summary>
    internal sealed record LookForUse(ServiceName Service) : Effect;

    /// <summary>
    /// An instance that is being born is to end: if it is not born soon, its birth is given up and has failed; else
    /// <see cref="Event.Spawned"/> follows as usual.
    /// </summary>
    internal sealed record EndBirth(InstanceId Instance) : Effect;

    /// <summary>
    /// An instance is to end. Of the listeners that the configuration no longer has, keep new clients from those that no other instance
    /// accepts from, and look whether clients wait in one. Ends with <see cref="Event.QueuesSeen"/>, at once or at any time later.
    /// </summary>
    /// <param name="Instance">The instance that is to end.</param>
    /// <param name="HearsOut">
    /// Then also keep the instance from accepting, because its next start or another instance will, and look whether the clients that it
    /// accepted last have been heard. Where it cannot be kept from it: look whether its queues are empty.
    /// </param>
    internal sealed record LookAtQueues(InstanceId Instance, bool HearsOut) : Effect;

    /// <summary>Accept one connection.</summary>
    internal sealed record Accept(ServiceName Service, int ListenerIndex) : Effect;

    internal sealed record CloseConnection(ConnectionId Connection) : Effect;

    /// <summary>Take a received descriptor into the store, watched for hang-up if asked.</summary>
    internal sealed record Keep(ServiceName Service, StoredDescriptor Descriptor, bool IsPolled) : Effect;

    /// <summary>Close a received or stored descriptor.</summary>
    internal sealed record CloseDescriptor(DescriptorId Descriptor) : Effect;

    /// <summary>Answer an instance that asked something of the store.</summary>
    internal sealed record AnswerStore(long Call, StoreAnswer Answer) : Effect;

    /// <summary>Nothing is left of a service that a reload took out: close all that was held for it.</summary>
    internal sealed record Forget(ServiceName Service) : Effect;

    /// <summary>Answer an operator.</summary>
    internal sealed record Reply(RequestId Request, ImmutableArray<Outcome> Outcomes) : Effect;

    /// <summary>Tell what happened: to the log, to those who follow events, to an operator who waits for an order.</summary>
    internal sealed record Report(Notice Notice) : Effect;

    /// <summary>
    /// Handle everything else that has happened, once, and then say so by <see cref="Event.TurnBegan"/>; not ordered again before that.
    /// </summary>
    internal sealed record AwaitTurn(TurnKind Kind) : Effect;

    /// <summary>End the supervisor.</summary>
    internal sealed record Exit(int Code) : Effect;
}

/// <summary>Why an instance is started; <c>Describe</c> tells it to the program.</summary>
internal enum StartReason { Boot, Activation, Restart, Rollout, Reload, Request }

/// <summary>A descriptor in the store of a service, oldest first.</summary>
internal sealed record StoredDescriptor(DescriptorId Id, string Name);

/// <summary>What became of an instance's order to the store.</summary>
/// <param name="Refusal">Null: done. Else the limit that forbids it; nothing was stored.</param>
/// <param name="StoredCount">Descriptors that are in the store because of it.</param>
/// <param name="PresentCount">Descriptors that were there already.</param>
/// <param name="RemovedCount">Descriptors that it removed.</param>
internal sealed record StoreAnswer(string? Refusal = null, int StoredCount = 0, int PresentCount = 0, int RemovedCount = 0);

/// <summary>What became of one service that an order named.</summary>
internal sealed record Outcome(ServiceName Service, bool Succeeded, PublicState State, string? Text, TimeSpan Elapsed, InstanceId? Failed)
{
    /// <summary>Of <see cref="Failed"/>, if a rollout failed with it.</summary>
    public int? FailedSlot { get; init; }
}
