using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Host.Instances;
using Launchd.Host.Loop;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// Finds out why an instance is not ready in time or ends early, and tells the core just before the event that makes a failure of it. What
/// the instance has written is asked of the log pump, which may take a moment; the event waits for that, but not for long.
/// </summary>
internal sealed class Clues(Supervisor core, RunningInstances instances, LogPump pump, Delays delays, EventFeed events)
{
    private const int MostLines = 200;
    private const int FirstPassed = 3;

    /// <summary>From its birth; whoever ends later has begun well.</summary>
    private static readonly TimeSpan Early = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PumpPatience = TimeSpan.FromSeconds(1);

    /// <summary>The time in which an instance was to be ready is over.</summary>
    /// <param name="id">The instance.</param>
    /// <param name="then">Called once: at once, or on the loop.</param>
    public void BeforeReadyTimeout(InstanceId id, Action then)
    {
        SlotPhase.Live? phase = core.PhaseOf(id);
        if (instances.Find(id) is not { } instance || phase is not SlotPhase.Starting { Deadline: { } due } || due > HostClock.Now)
            then();
        else
            Look(instance, lines => WhyNotReady(instance, lines), then);
    }

    /// <summary>The main process of an instance has ended, and the core does not know it yet.</summary>
    /// <param name="instance">The instance.</param>
    /// <param name="status">How it ended.</param>
    /// <param name="findLeft">Finds a process that it left; null: there is none. Called only if that is to be told, because it takes a walk
    /// through all orphans.</param>
    /// <param name="then">Called once: at once, or on the loop.</param>
    public void BeforeEnd(RunningInstance instance, ExitStatus status, Func<int?> findLeft, Action then)
    {
        SlotPhase.Live? phase = core.PhaseOf(instance.Id);
        // An early end is what a job is for.
        bool isDone = instance.Definition.IsJob && status.ShellCode == 0;
        if (isDone || phase is not (SlotPhase.Starting or SlotPhase.Ready) || HostClock.Now - phase.Instance.StartedAt > Early)
        {
            then();
            return;
        }
        if (phase is SlotPhase.Starting && instance is { Definition.Ready: Readiness.Notify, Unheard: { } unheard, Process.Pid: var pid })
        {
            // The program of the ended process is not known any more.
            Tell(instance.Id, () => ClueTexts.OfNotification(instance.Access, (pid, "ended"), unheard, instance.LastSaid), then);
        }
        else if (status.ShellCode == 0)
        {
            Tell(instance.Id, () => WhyAtOnce(instance, phase, findLeft), then);
        }
        else if (HeldFor(instance) is { Count: > 0 } held)
        {
            Look(instance, lines => ClueTexts.OfAddressInUse(lines, held), then);
        }
        else
        {
            then();
        }
    }

    private static string? WhyAtOnce(RunningInstance instance, SlotPhase.Live phase, Func<int?> findLeft)
    {
        ServiceDefinition service = instance.Definition;
        bool wasToStay = phase is SlotPhase.Starting || (service.Restart == RestartKind.Always && service.Start == StartKind.Boot);
        if (!wasToStay)
            return null;
        if (findLeft() is { } pid)
            return ClueTexts.OfBackground((pid, ProcessFacts.NameOf(pid)));
        return service.Input is InputSource.Null && !service.HasTerminal ? ClueTexts.OfInput() : null;
    }

    private static string? WhyNotReady(RunningInstance instance, IReadOnlyList<string> lines)
    {
        if (instance.MainEnded || instance.Process is not { } process)
            return null;
        (int Pid, string Name) main = (process.Pid, ProcessFacts.NameOf(process.Pid));
        List<string> clues = [];
        switch (instance.Definition.Ready)
        {
            case Readiness.Notify:
                clues.Add(ClueTexts.OfNotification(instance.Access, main, instance.Unheard, instance.LastSaid));
                break;
            case Readiness.Output output:
                clues.Add(ClueTexts.OfOutput(output.Pattern, lines, instance.Definition.HasTerminal));
                break;
            case Readiness.Descriptor descriptor:
                clues.Add($"no line came on its descriptor {descriptor.Number}");
                break;
            case Readiness.Probed when instance.Probe?.LastText is { } text:
                clues.Add(text);
                break;
        }
        bool hasNamed = !instance.Definition.Sockets.IsEmpty && instance.Definition.Input is not InputSource.Socket;
        if (ClueTexts.OfAddressInUse(lines, HeldFor(instance)) is { } inUse)
            clues.Add(inUse);
        else if (hasNamed && instance.Unheard is null && FirstChildOf(main.Pid) is { } child)
            clues.Add(ClueTexts.OfWrapper(main, (child, ProcessFacts.NameOf(child))));
        return clues.Count > 0 ? string.Join("; ", clues) : null;
    }

    private static int? FirstChildOf(int pid)
    {
        List<int> children = [];
        ChildList.AddOf(pid, ProcessFacts.Read(pid)?.ThreadCount ?? 1, children);
        return children is [var first, ..] ? first : null;
    }

    /// <summary>
    /// The listeners that the program was given, with their numbers. None, if it was given a connection, or the socket as its standard
    /// input.
    /// </summary>
    private static List<(string Address, int Number)> HeldFor(RunningInstance instance)
    {
        List<(string Address, int Number)> held = [];
        if (instance.Definition is { Start: StartKind.Connection } or { Input: InputSource.Socket })
            return held;
        foreach ((_, OpenedListener listener) in instance.Provision.Listeners(instance.Slot))
            held.Add((listener.Address, FirstPassed + held.Count));
        return held;
    }

    private void Look(RunningInstance instance, Func<IReadOnlyList<string>, string?> find, Action then)
    {
        InstanceId id = instance.Id;
        if (!instance.IsKnownToPump)
        {
            Tell(id, () => find([]), then);
            return;
        }
        object wait = new();
        bool isOver = false;
        delays.After(PumpPatience, wait, () => End([]));
        pump.Flush(id.Number, () => pump.TailOfInstance(id.Service.Text, instance.Slot, id.Number, MostLines, End));

        void End(string[] lines)
        {
            if (isOver)
                return;
            isOver = true;
            delays.Cancel(wait);
            Tell(id, () => instances.Contains(id) ? find(lines) : null, then);
        }
    }

    /// <summary>Tells what is found, and in any case what follows: neither the kernel nor a timer tells that a second time.</summary>
    private void Tell(InstanceId id, Func<string?> find, Action then)
    {
        try
        {
            if (find() is { } clue)
                events.Feed(new Event.ClueFound(id, clue));
        }
        finally
        {
            then();
        }
    }
}
