using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Launching;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Processes;

namespace Launchd.Host.Lifecycle;

/// <summary>How instances are born: ordered here, born on other threads, and known when the loop is told of the birth.</summary>
internal sealed partial class InstanceTable
{
    private readonly Dictionary<InstanceId, BirthOrder> _unborn = [];

    /// <summary>
    /// Orders the birth of an instance. <see cref="Event.Spawned"/> or <see cref="Event.SpawnFailed"/> follows; the latter as a
    /// result of this step if the birth is refused at once.
    /// </summary>
    /// <param name="spawn">The core's order.</param>
    /// <param name="connectionTaken">The connection that was accepted for the instance; null: none.</param>
    /// <param name="preparedTaken">The descriptors that were prepared for the instance.</param>
    /// <param name="stored">The descriptors in the store of its service, borrowed.</param>
    /// <param name="keep">Takes the connection back if there is no room for the instance; returns its number for the core.</param>
    public void Begin(Effect.Spawn spawn, AcceptedConnection? connectionTaken, Preparations.Preparation preparedTaken,
        IReadOnlyList<(string, FileDescriptor)> stored, Func<AcceptedConnection, ConnectionId> keep)
    {
        Provision provision = _descriptors.Provisions[spawn.Definition];
        RunningInstance instance = new(spawn.Instance, spawn.Slot, spawn.Generation, provision);
        AcceptedConnection? connection = connectionTaken;
        BirthOrder? order = null;
        try
        {
            // Other instances may have spoilt the listeners that they were given: they are checked before they are given again.
            IReadOnlyList<(string, Action)> first = connection is null ? _guard.Check(provision, spawn.Slot) : [];
            order = _launcher.Order(instance, connection, first, preparedTaken, stored, () => ReadyByOutput(instance),
                birth => Born(instance, birth, Refused), Clean, out Failure.SpawnFailed? refusal);
            if (order is null)
                _events.FeedResult(Refused(refusal!));
        }
        finally
        {
            // Also cleans up after an exception, which the caller reports.
            if (order is null)
            {
                Close(instance, mayServeAgain: true);
                Clean();
            }
        }
        if (order is null)
            return;
        _unborn.Add(instance.Id, order);
        State?.Note(instance);
        _births.Begin(order);

        Event.SpawnFailed Refused(Failure.SpawnFailed failure)
        {
            if (!failure.IsShortage || connection is null)
                return new Event.SpawnFailed(spawn.Instance, failure);
            ConnectionId kept = keep(connection);
            connection = null;
            return new Event.SpawnFailed(spawn.Instance, failure, kept);
        }

        // The child has copies of all of them, and a connection must end when the child closes it.
        void Clean()
        {
            connection?.Dispose();
            preparedTaken.Dispose();
        }
    }

    /// <summary>The birth of an instance hangs and is not waited for any longer.</summary>
    public void EndBirth(InstanceId id)
    {
        if (_unborn.TryGetValue(id, out BirthOrder? order))
            order.IsToEnd = true;
    }

    private void Born(RunningInstance instance, BirthOrder birth, Func<Failure.SpawnFailed, Event.SpawnFailed> refused)
    {
        _unborn.Remove(instance.Id);
        TellWarnings(instance, birth);
        if (birth.Failure is { } failure)
        {
            Close(instance, mayServeAgain: true);
            _events.Feed(refused(failure));
            return;
        }
        ProcessHandle process = birth.Child!;
        instance.Process = process;
        instance.Group = process.Pid;
        State?.NoteBorn(instance);
        Add(instance, process);
        _channels.Open(instance);
        if (instance.ReadyPipe is { } pipe)
            AwaitLine(instance, pipe);
        _events.Feed(new Event.Spawned(instance.Id, process.Pid));
        if (instance.WasReadyUnborn)
            _events.Feed(new Event.ReadinessMet(instance.Id));
        if (instance.Notify is { } notify)
            _notifySockets.Listen(notify);
        if (_births.EarlyEndOf(birth) is { } early)
            Ended(early);
    }

    private void Add(RunningInstance instance, ProcessHandle process)
    {
        _running.Add(instance);
        _mains.Add(process.Pid, instance);
        _trees.Orphans.Forget(process.Pid);
        _trees.Orphans.Add(instance);
    }

    private void TellWarnings(RunningInstance instance, BirthOrder birth)
    {
        // A birth that was given up may still be going on in its thread, which adds to the list.
        if (birth.IsGivenUp)
            return;
        string warning = string.Join('\n', birth.Warnings);
        if (warning == instance.Provision.LastWarning)
            return;
        instance.Provision.LastWarning = warning;
        foreach (string one in birth.Warnings)
            SupervisorLog.StartedWith(_logger, instance.Label, one);
    }

    // The log pump may tell of the instance's line before the loop is told of its birth.
    private void ReadyByOutput(RunningInstance instance)
    {
        if (_unborn.ContainsKey(instance.Id))
            instance.WasReadyUnborn = true;
        else
            _events.Feed(new Event.ReadinessMet(instance.Id));
    }
}
