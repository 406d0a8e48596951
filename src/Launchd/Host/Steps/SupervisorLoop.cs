using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Launching;
using Launchd.Host.Lifecycle;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;

namespace Launchd.Host.Steps;

/// <summary>
/// The loop: waits, and has everything done that became ready. Everything runs on one thread, except the log pump and the work that a
/// program can make last (<see cref="SlowLane"/>, <see cref="Births"/>). Which thread that is may change between two turns
/// (<see cref="LoopSeat"/>). Within one wake-up notifications come first, then requests, listeners, exits
/// (<see cref="LoopPriority"/>), then timers, and last a birth that is alone.
/// </summary>
internal sealed class SupervisorLoop(
    EventLoop loop, LoopOrders orders, TimerQueue timers, EventFeed events, InstanceTable instances, NotificationReader notifications,
    RetiredListeners retired, Births births, LoopSeat seat, Clues clues, Defects defects)
{
    /// <summary>When so many turns have failed one after the other, the loop gives up: going on would only burn a processor.</summary>
    private const int MostFailedTurns = 1000;

    /// <summary>
    /// Further timers that are due wait for the next turn: thousands can be due together, and operators are to be answered meanwhile.
    /// </summary>
    private const int MostTimersInATurn = 64;

    private readonly HeapTrim _heap = new();
    private bool _isUp;

    // The core orders more births when the former ones are about to begin; the end of a birth wakes the loop.
    private bool MayBeginStarts => orders.AreStartsAwaited && births.HasRoom;
    private bool MayBeginTurn => orders.AreStopsAwaited || MayBeginStarts;

    /// <summary>Runs until the core orders the end, and returns the exit code. By the first thread.</summary>
    /// <param name="boot">Sees when everything is up.</param>
    /// <param name="resume">Goes on with what a supervisor before this one had started. Null: everything begins.</param>
    /// <param name="onRunning">Called before the first turn. Null: nobody wants to know.</param>
    public int Run(BootReport boot, Action? resume, Action? onRunning)
    {
        births.Loop = () => RunLent(boot);
        if (resume is not null)
            resume();
        else
            events.Feed(Event.Booted.Value);
        onRunning?.Invoke();
        while (!TakeTurns(boot) && seat.Watch())
            births.PassOver();
        try
        {
            orders.EndTurn();
        }
        catch (Exception defect)
        {
            // The services have ended as they were told to; what is still to be said to operators changes nothing in that.
            defects.Report("turns-failed", defect);
        }
        return orders.ExitCode!.Value;
    }

    private void RunLent(BootReport boot)
    {
        seat.Sit();
        Exception? defect = null;
        try
        {
            if (!TakeTurns(boot))
                return;
        }
        catch (Exception unforeseen)
        {
            // The first thread throws it on, as if it had run the loop itself.
            defect = unforeseen;
        }
        seat.End(defect);
    }

    /// <summary>False: another thread runs the loop now.</summary>
    private bool TakeTurns(BootReport boot)
    {
        int failures = 0;
        while (orders.ExitCode is null)
        {
            try
            {
                TakeTurn(boot);
                failures = 0;
            }
            catch (Exception defect) when (++failures < MostFailedTurns)
            {
                // The last containment: each service is worth more than whatever this turn could not do.
                defects.Report("turns-failed", defect);
            }
            if (orders.ExitCode is null && !births.CarryOutAlone())
                return false;
        }
        return true;
    }

    private void TakeTurn(BootReport boot)
    {
        if (!_isUp && boot.IsOver())
        {
            _isUp = true;
            boot.Write();
        }
        orders.EndTurn();
        retired.CloseUnused();
        bool hasWork = loop.Wait(MayBeginTurn || births.IsAlone || boot.OwesCollection ? 0 : timers.NextDelay(HostClock.Now));
        // Nobody waits for the collector: neither a service that just came up, nor an operator who asks how it went.
        if (boot.OwesCollection && !hasWork && !orders.AreStartsAwaited && !orders.AreStopsAwaited)
            boot.Collect();
        Slice slice = new(MostTimersInATurn);
        while (orders.ExitCode is null && slice.TryTake() && timers.TryTakeDue(HostClock.Now, out TimerKey key))
            Fire(key);
        if (orders.ExitCode is null && MayBeginTurn)
            BeginTurn();
        _heap.Look();
    }

    private void BeginTurn()
    {
        if (orders.AreStopsAwaited)
        {
            orders.AreStopsAwaited = false;
            events.Feed(new Event.TurnBegan(TurnKind.Stops));
        }
        if (MayBeginStarts)
        {
            orders.AreStartsAwaited = false;
            events.Feed(new Event.TurnBegan(TurnKind.Starts));
        }
    }

    private void Fire(TimerKey key)
    {
        // What the instance said while we were busy, or stopped, counts: a program is not killed because its supervisor was late to listen.
        InstanceId instance = new(key.Service, key.Subject);
        bool isLeft = true;
        try
        {
            if (key.Kind is TimerKind.Watchdog or TimerKind.Ready)
                notifications.ReadAll(instance);
            if (key.Kind is TimerKind.Stop)
                instances.LookAtRemains(instance);
            if (key.Kind is TimerKind.Ready)
            {
                clues.BeforeReadyTimeout(instance, Feed);
                isLeft = false;
            }
        }
        finally
        {
            // The timer was taken out of the queue, and will not come again.
            if (isLeft)
                Feed();
        }

        void Feed()
        {
            isLeft = false;
            events.Feed(new Event.TimerFired(key));
        }
    }
}
