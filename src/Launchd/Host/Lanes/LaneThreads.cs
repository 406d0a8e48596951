using Launchd.Linux.Loop;

namespace Launchd.Host.Lanes;

/// <summary>
/// The threads of all lanes, and of all other work beside the loop that is short where nothing hangs. A thread that has nothing more to do
/// waits a while for the next piece of work: a reload can give thousands of lanes a moment's work each, and a service that starts on demand
/// its own with each client; making a thread for each, and having the garbage collector look through them, would cost more than the work.
/// </summary>
internal static class LaneThreads
{
    /// <summary>Address space. Parsing recurses as deep as the tables of a configuration are nested.</summary>
    private const int StackBytes = 1 << 20;
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private static readonly object Gate = new();
    private static readonly Queue<Action> Waiting = new();
    private static int _resting;

    /// <summary>Has work done on a thread. False: no thread can be made.</summary>
    public static bool TryStart(Action work)
    {
        lock (Gate)
        {
            if (_resting > Waiting.Count)
            {
                Waiting.Enqueue(work);
                Monitor.Pulse(Gate);
                return true;
            }
        }
        return Worker.TryStart("slow lane", StackBytes, () => Run(work)) is not null;
    }

    private static void Run(Action work)
    {
        Action? next = work;
        do
        {
            next!();
        }
        while (TryTake(out next));
    }

    private static bool TryTake(out Action? next)
    {
        lock (Gate)
        {
            _resting++;
            // A thread that is woken may find that another one was quicker.
            while (!Waiting.TryDequeue(out next))
            {
                if (!Monitor.Wait(Gate, Rest) && Waiting.Count == 0)
                    break;
            }
            _resting--;
            return next is not null;
        }
    }
}
