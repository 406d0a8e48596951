using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// Looks at the queues of instances that are to end (<see cref="Effect.LookAtQueues"/>), of some in each turn of the loop: a reload can
/// take out thousands of services in one step, and everybody else would wait until all of them were looked at.
/// </summary>
internal sealed class QueueLooks(
    RunningInstances instances, RetiredListeners retired, LastClients lastClients, Delays delays, LoopOrders orders, EventFeed events)
{
    /// <summary>Each costs some calls and, of a listener at a path, a rename: a few milliseconds together.</summary>
    public const int MostInATurn = 32;

    private readonly Queue<Effect.LookAtQueues> _waiting = new();
    private int _begunInTurn;

    /// <summary>Ends with <see cref="Event.QueuesSeen"/>, unless the instance is over before.</summary>
    public void Begin(Effect.LookAtQueues look)
    {
        _waiting.Enqueue(look);
        if (_waiting.Count == 1)
            Continue();
    }

    private void Continue()
    {
        while (_waiting.Count > 0)
        {
            if (_begunInTurn == MostInATurn)
            {
                delays.After(TimeSpan.Zero, this, Continue);
                return;
            }
            if (_begunInTurn++ == 0)
                orders.AtEndOfTurn(() => _begunInTurn = 0);
            Look(_waiting.Dequeue());
        }
    }

    private void Look(Effect.LookAtQueues look)
    {
        // Who waits in a queue that is emptied must still be accepted: only then it may stop
        // accepting, and nothing is emptied from then on.
        if (LastClients.IsHearing(instances.Find(look.Instance)))
            Hear(look);
        else
            retired.AreEmpty(look.Instance, areEmpty => { if (areEmpty) Hear(look); else Tell(look, areEmpty: false); });
    }

    private void Hear(Effect.LookAtQueues look)
    {
        bool? areHeard = look.HearsOut ? lastClients.AreHeard(look.Instance) : true;
        if (areHeard is { } known)
            Tell(look, known);
    }

    private void Tell(Effect.LookAtQueues look, bool areEmpty) => events.Feed(new Event.QueuesSeen(look.Instance, areEmpty));
}
