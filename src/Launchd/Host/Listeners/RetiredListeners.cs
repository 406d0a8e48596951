using Launchd.Addresses;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
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
    DescriptorTable descriptors, RunningInstances instances, StoppedIntakes stopped,
    ListenerGuard guard, ServiceListeners listeners, SlowLanes lanes,
    Mailbox mailbox, ILogger logger) : IDisposable
{
    /// <summary>What the kernel was doing for a client when its intake was stopped is over by then.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(10);

    /// <summary>How long a client may take to complete what it has begun: a round trip, with a packet lost once.</summary>
    private static readonly TimeSpan HandshakePatience = TimeSpan.FromSeconds(2);

    /// <summary>
    /// An instance is about to be told to end: whether all that only it would accept has been accepted. The kernel goes through all sockets
    /// of the machine to tell that, and who has a socket can make it wait: so it is asked in the lane of the service.
    /// </summary>
    /// <param name="id">The instance.</param>
    /// <param name="then">Told so, at once or later.</param>
    public void AreEmpty(InstanceId id, Action<bool> then)
    {
        List<Listener> emptying = [];
        if (instances.Find(id) is { } leaving)
        {
            leaving.IsLeaving = true;
            foreach (FileDescriptor listener in leaving.Given)
            {
                if (descriptors.Find(listener) is not { Standing: ListenerStanding.Retired } retired || retired.Holders.Any(Accepts))
                    continue;
                _ = stopped.Stop(retired);
                emptying.Add(retired);
            }
        }
        Moment now = HostClock.Now;
        if (emptying.Count == 0)
        {
            then(true);
            return;
        }
        (OpenedListener Listener, ListenAddress Endpoint, bool IsEnded, bool CountsHandshakes)[] questions = [.. emptying.Select(e =>
            (e.Opened, e.Endpoint, e.Intake!.IsEnded, now - e.Intake.Since < HandshakePatience))];
        bool mayBeEmpty = emptying.TrueForAll(e => e.Intake!.IsEnded || now - e.Intake.Since >= Settling);
        bool isAsked = mayBeEmpty && lanes.Of(id.Service).TryLook(mailbox, [.. emptying.Select(e => e.Descriptor)],
            () => Array.ConvertAll(questions, q => q.IsEnded ? ListenerIntake.IsQueueEmpty(q.Listener)
                : ListenerIntake.IsEmpty(q.Listener, q.Endpoint, q.CountsHandshakes)),
            answers => then(Conclude(emptying, answers)));
        if (!isAsked)
            then(false);
    }

    /// <summary>
    /// Listeners that a reload will take away are asleep: nobody accepts from them, but the supervisor waits for who comes. Whoever has
    /// come is still served as before, as far as limits allow, and nobody comes any more.
    /// </summary>
    public void ServeLast(IEnumerable<Listener> leaving)
    {
        foreach (Listener listener in leaving)
        {
            if (listener.Watch.OnReadable is null)
                continue;
            _ = stopped.Stop(listener);
            // A service that is over a limit stops watching; one that accepts each connection itself takes one each time.
            for (int most = listener.BacklogCount + 1; most > 0 && ListenerState.IsReadable(listener.Descriptor); most--)
            {
                if (listener.Watch.OnReadable is not { } tell)
                    break;
                tell();
            }
        }
    }

    /// <summary>A reload did not take place after all: what <see cref="ServeLast"/> stopped goes on.</summary>
    public void ResumeAll() => stopped.ResumeConfigured();

    /// <summary>A listener is handed out again, because a service goes back to what it was: clients may come.</summary>
    public void Resume(Listener listener) => stopped.Resume(listener);

    /// <summary>Closes what nobody has and nobody may get any more.</summary>
    public void CloseUnused()
    {
        // A reload that is being prepared may take one back.
        if (descriptors.IsAboutToChange)
            return;
        foreach (Listener retired in descriptors.TakeUnused())
        {
            // The kernel is asked how many only if there are any.
            int waiting = !ListenerState.IsReadable(retired.Descriptor) ? 0
                : ListenerState.ReadQueue(retired.Descriptor)?.QueueCount ?? 0;
            if (waiting > 0)
                SupervisorLog.ClosedWithQueue(logger, retired.Socket.Key, retired.Opened.Address, waiting);
            listeners.Forget(retired);
            guard.Forget(retired);
            stopped.Remove(retired);
            retired.Close();
        }
    }

    /// <summary>The supervisor ends: what was put aside must not stay behind.</summary>
    public void Dispose()
    {
        foreach (Listener retired in descriptors.Retired)
            stopped.Remove(retired);
    }

    private static bool Accepts(RunningInstance holder) => !holder.IsLeaving && !holder.MainEnded;

    private bool Conclude(List<Listener> emptying, bool[] answers)
    {
        bool areEmpty = true;
        for (int i = 0; i < answers.Length; i++)
        {
            areEmpty &= answers[i];
            // Meanwhile it may have been closed, or handed out again.
            if (emptying[i] is not { Standing: ListenerStanding.Retired, IsClaimed: false, Intake: { IsEnded: false } intake } retired)
                continue;
            if (!answers[i] || descriptors.IsAboutToChange || !ListenerIntake.End(retired.Opened, retired.Endpoint))
                continue;
            // Somebody may have come to the one place that was left: it is looked at once more.
            intake.IsEnded = true;
            areEmpty = false;
        }
        return areEmpty;
    }
}
