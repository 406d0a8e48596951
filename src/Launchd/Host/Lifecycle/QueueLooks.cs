using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// Looks at the queues of instances that are to end (<see cref="Effect.LookAtQueues"/>), at some in each turn of the loop: a reload can
/// remove thousands of services in one step, and all other services would wait until every queue was looked at.
/// </summary>
internal sealed class QueueLooks(
    RunningInstances instances, RetiredListeners retired, LastClients lastClients, Delays delays, LoopOrders orders, EventFeed events)
{
    /// <summary>Each look costs some system calls and, for a listener at a path, a rename: together they take a few milliseconds.</summary>
    public const int MostInATurn = 32;

    private readonly Queue<Effect.LookAtQueues> _waiting = new();
    private int _begunInTurn;

    /// <summary>Begins a look, which ends with <see cref="Event.QueuesSeen"/>, unless the instance is over before.</summary>
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
        // The clients in a retired queue must be accepted before the instance is made to stop accepting.
        // Once it was, queues are looked at no more.
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
