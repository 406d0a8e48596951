using Launchd.Addresses;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Listeners that the configuration has no more, or that were made anew, from then until they are closed. As long as somebody goes on
/// accepting from one, clients come to it as before. When the last such instance is to end, first no new ones come any more, then those
/// who have come are accepted, then it is told (<see cref="Effect.LookAtQueues"/>). It is closed when nobody has it and nobody may get it.
/// </summary>
internal sealed class RetiredListeners(
    DescriptorTable descriptors, RunningInstances instances, StoppedIntakes stopped, ListenerGuard guard, ServiceListeners listeners, SlowLanes lanes,
    Mailbox mailbox, ILogger logger) : IDisposable
{
    /// <summary>What the kernel was doing for a client when its intake was stopped is over by then.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(10);

    /// <summary>How long a client may take to complete what it has begun: a round trip, with a packet lost once.</summary>
    private static readonly TimeSpan HandshakePatience = TimeSpan.FromSeconds(2);

    /// <summary>
    /// An instance is about to be told to end: whether all that only it would accept has been accepted. The kernel goes through all sockets of the machine
    /// to tell that, and who has a socket can make it wait: so it is asked in the lane of the service.
    /// </summary>
    /// <param name="id">The instance.</param>
    /// <param name="then">Told so, at once or later.</param>
    public void AreEmpty(InstanceId id, Action<bool> then)
    {
        List<(RetiredListener Retired, StoppedIntake Intake)> emptying = [];
        if (instances.Find(id) is { } leaving)
        {
            leaving.IsLeaving = true;
            foreach (FileDescriptor listener in leaving.Given)
            {
                if (descriptors.FindRetired(listener) is { } retired && !descriptors.HoldersOf(listener).Any(Accepts))
                    emptying.Add((retired, stopped.Stop(retired.Socket, retired.Listener)));
            }
        }
        Moment now = HostClock.Now;
        if (emptying.Count == 0)
        {
            then(true);
            return;
        }
        (StoppedIntake Intake, ListenAddress Endpoint, bool IsEnded, bool CountsHandshakes)[] questions = [.. emptying.Select(e =>
            (e.Intake, e.Retired.Socket.EndpointOf(e.Retired.Listener), e.Intake.IsEnded, now - e.Intake.Since < HandshakePatience))];
        bool mayBeEmpty = emptying.TrueForAll(e => e.Intake.IsEnded || now - e.Intake.Since >= Settling);
        bool isAsked = mayBeEmpty && lanes.Of(id.Service).TryLook(mailbox, [.. emptying.Select(e => e.Retired.Listener.Descriptor)],
            () => Array.ConvertAll(questions, q => q.IsEnded ? ListenerIntake.IsQueueEmpty(q.Intake.Listener)
                : ListenerIntake.IsEmpty(q.Intake.Listener, q.Endpoint, q.CountsHandshakes)),
            answers => then(Conclude(emptying, answers)));
        if (!isAsked)
            then(false);
    }

    /// <summary>
    /// Listeners that a reload will take away are asleep: nobody accepts from them, but the supervisor waits for who comes. Whoever has come
    /// is still served as before, as far as limits allow, and nobody comes any more.
    /// </summary>
    public void ServeLast(IEnumerable<(HeldSocket Socket, OpenedListener Listener)> leaving)
    {
        foreach ((HeldSocket socket, OpenedListener listener) in leaving)
        {
            if (!guard.IsWatchedForClients(listener.Descriptor))
                continue;
            _ = stopped.Stop(socket, listener);
            // A service that is over a limit stops watching; one that accepts each connection itself takes one each time.
            for (int most = socket.Request.BacklogCount + 1; most > 0 && ListenerState.IsReadable(listener.Descriptor); most--)
            {
                if (!guard.TellReadable(listener.Descriptor))
                    break;
            }
        }
    }

    /// <summary>A reload did not take place after all: what <see cref="ServeLast"/> stopped goes on.</summary>
    public void ResumeAll()
    {
        HashSet<FileDescriptor> retired = [.. descriptors.Retired.Select(r => r.Listener.Descriptor)];
        stopped.ResumeAll(but: retired);
    }

    /// <summary>A listener is handed out again, because a service goes back to what it was: clients may come.</summary>
    public void Resume(FileDescriptor listener) => stopped.Resume(listener);

    /// <summary>Closes what nobody has and nobody may get any more.</summary>
    public void CloseUnused()
    {
        // A reload that is being prepared may take one back.
        if (descriptors.IsAboutToChange)
            return;
        foreach (RetiredListener retired in descriptors.TakeUnused())
        {
            // The kernel is asked how many only if there are any.
            int waiting = !ListenerState.IsReadable(retired.Listener.Descriptor) ? 0
                : ListenerState.ReadQueue(retired.Listener.Descriptor)?.QueueCount ?? 0;
            if (waiting > 0)
                SupervisorLog.ClosedWithQueue(logger, retired.Socket.Key, retired.Listener.Address, waiting);
            listeners.Forget(retired.Listener.Descriptor);
            guard.Forget(retired.Listener.Descriptor);
            stopped.Remove(retired);
            DescriptorTable.Close(retired);
        }
    }

    /// <summary>The supervisor ends: what was put aside must not stay behind.</summary>
    public void Dispose()
    {
        foreach (RetiredListener retired in descriptors.Retired)
            stopped.Remove(retired);
    }

    private bool MayBeGiven(RetiredListener retired) => descriptors.Provisions.IsClaimed(retired.Listener.Descriptor);

    private static bool Accepts(RunningInstance holder) => !holder.IsLeaving && !holder.MainEnded;

    private bool Conclude(List<(RetiredListener Retired, StoppedIntake Intake)> emptying, bool[] answers)
    {
        bool areEmpty = true;
        for (int i = 0; i < answers.Length; i++)
        {
            (RetiredListener retired, StoppedIntake intake) = emptying[i];
            areEmpty &= answers[i];
            bool isOver = intake.IsEnded || !answers[i] || retired.Listener.Descriptor.IsClosed || MayBeGiven(retired) || descriptors.IsAboutToChange;
            if (isOver || !ListenerIntake.End(retired.Listener, retired.Socket.EndpointOf(retired.Listener)))
                continue;
            // Somebody may have come to the one place that was left: it is looked at once more.
            intake.IsEnded = true;
            areEmpty = false;
        }
        return areEmpty;
    }
}
