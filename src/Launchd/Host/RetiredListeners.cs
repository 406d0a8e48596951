using Launchd.Client;
using Launchd.Core;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// Listeners that the configuration has no more, or that were made anew, from then until they are closed. As long as somebody goes on
/// accepting from one, clients come to it as before. When the last such instance is to end, first no new ones come any more, then those
/// who have come are accepted, then it is told (<see cref="Effect.LookAtQueues"/>). It is closed when nobody has it and nobody may get it.
/// </summary>
internal sealed class RetiredListeners(SupervisorHost host, HostParts parts) : IDisposable
{
    /// <summary>What the kernel was doing for a client when its intake was stopped is over by then.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(10);

    /// <summary>How long a client may take to complete what it has begun: a round trip, with a packet lost once.</summary>
    private static readonly TimeSpan HandshakePatience = TimeSpan.FromSeconds(2);

    private readonly Dictionary<FileDescriptor, StoppedIntake> _stopped = [];

    /// <summary>Whether no new clients come to it at present, by our doing.</summary>
    public bool IsStopped(FileDescriptor listener) => _stopped.ContainsKey(listener);

    /// <summary>An instance is about to be told to end: whether all that only it would accept has been accepted.</summary>
    public bool AreEmpty(InstanceId id)
    {
        if (host.Effects.Instances.Find(id) is not { } leaving)
            return true;
        leaving.IsLeaving = true;
        bool areEmpty = true;
        foreach (FileDescriptor listener in leaving.Given)
        {
            if (parts.Descriptors.FindRetired(listener) is { } retired && !parts.Descriptors.HoldersOf(listener).Any(Accepts))
                areEmpty &= IsEmpty(retired);
        }
        return areEmpty;
    }

    /// <summary>
    /// Listeners that a reload will take away are asleep: nobody accepts from them, but the supervisor waits for who comes. Whoever has come
    /// is still served as before, as far as limits allow, and nobody comes any more.
    /// </summary>
    public void ServeLast(IEnumerable<(HeldSocket Socket, OpenedListener Listener)> leaving)
    {
        foreach ((HeldSocket socket, OpenedListener listener) in leaving)
        {
            if (!host.Guard.IsWatchedForClients(listener.Descriptor))
                continue;
            Stop(socket, listener);
            // A service that is over a limit stops watching; one that accepts each connection itself takes one each time.
            for (int most = socket.Request.BacklogCount + 1; most > 0 && ListenerState.IsReadable(listener.Descriptor); most--)
            {
                if (!host.Guard.TellReadable(listener.Descriptor))
                    break;
            }
        }
    }

    /// <summary>A reload did not take place after all: what <see cref="ServeLast"/> stopped goes on.</summary>
    public void ResumeAll()
    {
        HashSet<FileDescriptor> retired = [.. parts.Descriptors.Retired.Select(r => r.Listener.Descriptor)];
        foreach (StoppedIntake intake in _stopped.Values.Where(s => !retired.Contains(s.Listener.Descriptor)).ToArray())
            Resume(intake);
    }

    /// <summary>A listener is handed out again, because a service goes back to what it was: clients may come.</summary>
    public void Resume(FileDescriptor listener)
    {
        if (_stopped.TryGetValue(listener, out StoppedIntake? intake))
            Resume(intake);
    }

    /// <summary>Closes what nobody has and nobody may get any more.</summary>
    public void CloseUnused()
    {
        // A reload that is being prepared may take one back.
        if (host.Reloads.IsUnderWay)
            return;
        foreach (RetiredListener retired in parts.Descriptors.TakeUnused())
        {
            int waiting = ListenerState.ReadQueue(retired.Listener.Descriptor)?.QueueCount ?? 0;
            if (waiting > 0)
                SupervisorLog.ClosedWithQueue(parts.Logger, retired.Socket.Key, retired.Listener.Address, waiting);
            host.Effects.ForgetListener(retired.Listener.Descriptor);
            host.Guard.Forget(retired.Listener.Descriptor);
            if (_stopped.Remove(retired.Listener.Descriptor, out StoppedIntake? intake))
                RemoveAside(retired, intake);
            DescriptorTable.Close(retired);
        }
    }

    /// <summary>The supervisor ends: what was put aside must not stay behind.</summary>
    public void Dispose()
    {
        foreach (RetiredListener retired in parts.Descriptors.Retired)
        {
            if (_stopped.Remove(retired.Listener.Descriptor, out StoppedIntake? intake))
                RemoveAside(retired, intake);
        }
    }

    private bool MayBeGiven(RetiredListener retired) => parts.Descriptors.Provisions.IsClaimed(retired.Listener.Descriptor);

    private static bool Accepts(RunningInstance holder) => !holder.IsLeaving && !holder.MainEnded;

    private bool IsEmpty(RetiredListener retired)
    {
        (OpenedListener listener, ListenerEndpoint endpoint) = (retired.Listener, retired.Socket.EndpointOf(retired.Listener));
        StoppedIntake intake = Stop(retired.Socket, listener);
        TimeSpan since = SupervisorHost.Now - intake.Since;
        if (intake.IsEnded)
            return ListenerIntake.IsQueueEmpty(listener);
        if (since < Settling || !ListenerIntake.IsEmpty(listener, endpoint, countsHandshakes: since < HandshakePatience))
            return false;
        if (MayBeGiven(retired) || host.Reloads.IsUnderWay || !ListenerIntake.End(listener, endpoint))
            return true;
        intake.IsEnded = true;
        return ListenerIntake.IsQueueEmpty(listener);
    }

    private StoppedIntake Stop(HeldSocket socket, OpenedListener listener)
    {
        if (_stopped.TryGetValue(listener.Descriptor, out StoppedIntake? intake))
            return intake;
        OwnedPath? aside = ListenerIntake.Stop(listener, socket.EndpointOf(listener));
        intake = new StoppedIntake(socket, listener, SupervisorHost.Now, aside);
        _stopped.Add(listener.Descriptor, intake);
        return intake;
    }

    private void Resume(StoppedIntake intake)
    {
        _stopped.Remove(intake.Listener.Descriptor);
        ListenerIntake.Resume(intake.Listener, intake.Socket.EndpointOf(intake.Listener), intake.Socket.Request.BacklogCount, intake.Aside);
    }

    private static void RemoveAside(RetiredListener retired, StoppedIntake intake)
    {
        if (intake.Aside is null)
            return;
        if (retired.RemovePath)
            _ = UnixPath.RemoveIfOurs(intake.Aside, out _);
        else
            ListenerIntake.Resume(intake.Listener, intake.Socket.EndpointOf(intake.Listener), 0, intake.Aside);
    }

    /// <param name="Socket">As it was held.</param>
    /// <param name="Listener">Borrowed.</param>
    /// <param name="Since">When the last client could come.</param>
    /// <param name="Aside">The name that its path has meanwhile; null: it has none, or its own.</param>
    private sealed record StoppedIntake(HeldSocket Socket, OpenedListener Listener, Moment Since, OwnedPath? Aside)
    {
        /// <summary>The last place in its queue was taken away too, and for good.</summary>
        public bool IsEnded { get; set; }
    }
}
