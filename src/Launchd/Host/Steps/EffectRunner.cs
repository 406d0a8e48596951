using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Launching;
using Launchd.Host.Lifecycle;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Notices;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Steps;

/// <summary>
/// Carries out the effects of the core: hands each to the object that does it, and joins what one effect needs of several objects.
/// </summary>
internal sealed class EffectRunner(
    Preparations preparations, InstanceTable instances, InstanceCommands commands, InstanceChecks checks, TimerQueue timers,
    ServiceListeners listeners, AcceptWatch accepts, ListenerConnections connections, QueueLooks queueLooks, KeptDescriptors kept,
    ChannelServer channels, NoticeReporter notices, LoopOrders orders, NotifySockets notifySockets, SlowLanes lanes, LogPump pump)
{
    /// <summary>Answers operators; set once the control server stands.</summary>
    public Action<RequestId, ImmutableArray<Outcome>>? OnReply { get; set; }

    public void Run(Effect effect)
    {
        switch (effect)
        {
            case Effect.Prepare e: preparations.Begin(e.Instance, e.Definition); break;
            case Effect.Spawn e: Spawn(e); break;
            case Effect.EndBirth e: instances.EndBirth(e.Instance); break;
            case Effect.Signal e: Signal(e); break;
            case Effect.RunCommand e: commands.Run(e.Instance, e.Kind, e.Arguments); break;
            case Effect.EndCommand e: commands.Kill(e.Instance, e.Kind); break;
            case Effect.StartProbe e: checks.StartProbe(e.Instance); break;
            case Effect.EndProbe e: checks.EndProbe(e.Instance); break;
            case Effect.Release e: Release(e.Instance); break;
            case Effect.ArmTimer e: timers.Arm(e.Key, e.Due); break;
            case Effect.DisarmTimer e: timers.Disarm(e.Key); break;
            case Effect.WatchListeners e: listeners.Watch(e.Service); break;
            case Effect.UnwatchListeners e: listeners.Unwatch(e.Service); break;
            case Effect.WatchUse e: listeners.WatchUse(e.Service); break;
            case Effect.UnwatchUse e: listeners.UnwatchUse(e.Service); break;
            case Effect.LookForUse e: listeners.LookForUse(e.Service); break;
            case Effect.LookAtQueues e: queueLooks.Begin(e); break;
            case Effect.Accept e: connections.Accept(e); break;
            case Effect.CloseConnection e: connections.Close(e.Connection); break;
            case Effect.Keep e: kept.Keep(e); break;
            case Effect.CloseDescriptor e: kept.Close(e.Descriptor); break;
            case Effect.AnswerStore e: channels.Methods.AnswerStore(e.Call, e.Answer); break;
            case Effect.Reply e: OnReply?.Invoke(e.Request, e.Outcomes); break;
            case Effect.Report e: notices.Report(e.Notice); break;
            case Effect.AwaitTurn { Kind: TurnKind.Stops }: orders.AreStopsAwaited = true; break;
            case Effect.AwaitTurn: orders.AreStartsAwaited = true; break;
            case Effect.Exit e: instances.EndAll(() => orders.ExitCode = e.Code); break;
            case Effect.StartHealth e: checks.StartHealth(e.Instance); break;
            case Effect.EndHealth e: checks.EndHealth(e.Instance); break;
            case Effect.Forget e: Forget(e.Service); break;
            case Effect.TellReload e: TellReload(e.Instance); break;
            case Effect.TellDrain e: channels.TellDrain(e.Instance, e.Deadline, e.Successor); break;
            case Effect.TellHandOver e: channels.TellHandOver(e.Instance, e.Successor); break;
            case Effect.TellPredecessorEnded e: channels.TellPredecessorEnded(e.Instance, e.Predecessor); break;
            default: throw new System.Diagnostics.UnreachableException(effect.GetType().Name);
        }
    }

    /// <summary>Whether an effect must not be carried out twice: somebody outside of the supervisor sees it.</summary>
    public static bool IsOnce(Effect effect) => effect is Effect.Signal or Effect.RunCommand or Effect.TellDrain or Effect.TellHandOver
        or Effect.TellPredecessorEnded or Effect.TellReload;

    /// <summary>Closes what came with an event that the core never took.</summary>
    public void Discard(Event lost)
    {
        if (lost is Event.ConnectionAccepted accepted)
            connections.Close(accepted.Connection);
        if (lost is Event.SpawnFailed { Connection: { } givenBack })
            connections.Close(givenBack);
        ImmutableArray<DescriptorId> received = lost switch
        {
            Event.Notified e => e.Descriptors,
            Event.StoreAsked e => e.Order.Descriptors,
            Event.StateSaved e => [e.Descriptor],
            _ => [],
        };
        foreach (DescriptorId id in received)
            kept.Close(id);
    }

    private void Spawn(Effect.Spawn spawn)
    {
        AcceptedConnection? connection = spawn.Connection is { } id ? connections.Take(id) : null;
        Preparations.Preparation prepared = preparations.Take(spawn.Instance);
        List<(string Name, FileDescriptor Descriptor)> stored = [];
        foreach (StoredDescriptor one in spawn.Stored)
        {
            if (kept.Find(one.Id) is { } descriptor)
                stored.Add((one.Name, descriptor));
        }
        instances.Begin(spawn, connection, prepared, stored, Keep);

        ConnectionId Keep(AcceptedConnection unserved)
        {
            connections.GiveBack(spawn.Connection!.Value, unserved);
            return spawn.Connection.Value;
        }
    }

    private void Signal(Effect.Signal signal)
    {
        instances.Signal(signal);
        // A reload's signal, and an operator's, go to the main process.
        if (signal.Scope == KillScope.Process)
            accepts.LookAfterSignal(signal.Instance, signal.Number);
    }

    private void TellReload(InstanceId id)
    {
        channels.TellReload(id);
        accepts.LookAfterReload(id);
    }

    private void Release(InstanceId id)
    {
        preparations.Cancel(id);
        instances.Release(id);
    }

    private void Forget(ServiceName service)
    {
        listeners.Unwatch(service);
        listeners.UnwatchUse(service);
        kept.Forget(service);
        notifySockets.Forget(service);
        lanes.Forget(service);
        pump.Forget(service.Text);
    }
}
