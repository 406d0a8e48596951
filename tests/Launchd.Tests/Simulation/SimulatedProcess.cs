using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>One program as the kernel would show it, with a behaviour drawn at its birth.</summary>
internal sealed class SimulatedProcess
{
    public required InstanceId Id { get; init; }
    public required int Pid { get; init; }
    public required ServiceDefinition Service { get; init; }

    /// <summary>Does what it should: ready soon, runs on, ends when asked.</summary>
    public required bool IsCalm { get; init; }

    /// <summary>The supervisor may not signal it.</summary>
    public bool IsForeign { get; set; }

    public bool IsMainAlive { get; set; } = true;
    public bool IsReaped { get; set; }

    /// <summary>Whether children of it outlive the main process.</summary>
    public bool HasLeftovers { get; set; }
    public bool DoLeftoversObey { get; init; }
    public bool IsReleased { get; set; }

    /// <summary>Milliseconds from the stop signal to its end; -1: it ignores the signal.</summary>
    public int ObeysAfter { get; init; }

    /// <summary>Not even SIGKILL ends it.</summary>
    public bool HangsInKernel { get; init; }

    /// <summary>What it does by itself, in the order of time.</summary>
    public List<Act> Acts { get; } = [];

    /// <param name="AfterMs">From its birth.</param>
    /// <param name="Text">A notification, if not empty.</param>
    /// <param name="DescriptorCount">That come with it.</param>
    /// <param name="Exit">It ends so, if not null.</param>
    /// <param name="SurvivesExit">Sent even after the end, as by a child.</param>
    /// <param name="MeetsReadiness">The service's own form of readiness is met.</param>
    internal sealed record Act(int AfterMs, string Text = "", int DescriptorCount = 0, ExitStatus? Exit = null, bool SurvivesExit = false,
        bool MeetsReadiness = false);

    public static SimulatedProcess Draw(SeededRandom random, InstanceId id, int pid, ServiceDefinition service, bool isCalm)
    {
        SimulatedProcess process = new()
        {
            Id = id,
            Pid = pid,
            Service = service,
            IsCalm = isCalm,
            ObeysAfter = isCalm ? 1 : random.Pick(0, 1, 5, 300, 4000, -1),
            HangsInKernel = !isCalm && random.Chance(3),
            HasLeftovers = !isCalm && random.Chance(20),
            DoLeftoversObey = random.Chance(50),
        };
        if (isCalm)
            process.AddCalm(random);
        else
            process.AddChaos(random);
        return process;
    }

    private void AddCalm(SeededRandom random)
    {
        int ready = random.Between(0, 200);
        Acts.Add(new Act(ready, "READY=1"));
        Acts.Add(new Act(ready, MeetsReadiness: true));
        if (Service.Start == StartKind.Connection)
            Acts.Add(new Act(random.Between(300, 2000), Exit: new ExitStatus(0)));
        if (Service.IsJob)
            Acts.Add(new Act(ready, Exit: new ExitStatus(Service.SuccessCodes[0])));
    }

    private void AddChaos(SeededRandom random)
    {
        int ready = random.Pick(0, 1, 20, 500, 3000, 40000);
        if (random.Chance(80))
        {
            Acts.Add(new Act(ready, random.Pick("READY=1", "READY=1\nSTATUS=serving", "STATUS=x\nREADY=1\nWATCHDOG_USEC=3000000")));
            Acts.Add(new Act(ready, MeetsReadiness: true));
        }
        if (random.Chance(10))
            Acts.Add(new Act(ready + random.Between(0, 50), "READY=1"));
        if (random.Chance(55))
            Acts.Add(new Act(random.Pick(0, 1, 30, 700, 5000, 60000), Exit: Status(random)));
        for (int more = random.Between(0, 3); more > 0; more--)
            Acts.Add(Utterance(random));
        if (Service.Watchdog is { } period && random.Chance(70))
        {
            for (int ping = 1; ping <= random.Between(1, 6); ping++)
                Acts.Add(new Act(ready + (ping * (int)Math.Max(1, period.TotalMilliseconds / 2)), "WATCHDOG=1"));
        }
    }

    private static Act Utterance(SeededRandom random)
    {
        int at = random.Pick(0, 10, 200, 2000, 20000);
        return random.Between(0, 13) switch
        {
            0 => new Act(at, "STOPPING=1"),
            1 => new Act(at, "RELOADING=1\nMONOTONIC_USEC=1"),
            2 => new Act(at, "EXTEND_TIMEOUT_USEC=" + random.Pick("0", "2000000", "7000000")),
            3 => new Act(at, "WATCHDOG=trigger"),
            4 => new Act(at, random.Pick("WATCHDOG_USEC=0", "WATCHDOG_USEC=1500000", "WATCHDOG_USEC=922000000000000")),
            5 or 6 => new Act(at, "FDSTORE=1\nFDNAME=" + random.Pick("a", "b"), random.Between(1, 3)),
            7 => new Act(at, "FDSTORE=1\nFDPOLL=0", 1),
            8 => new Act(at, "FDSTOREREMOVE=1\nFDNAME=a"),
            9 => new Act(at, "RESTART_RESET=1"),
            10 => new Act(at, "STATUS=after the end", random.Between(0, 2), SurvivesExit: true),
            11 => new Act(at, "BARRIER=1", 1),
            12 => new Act(at, "FDSTORE=1", 1, SurvivesExit: true),
            _ => new Act(at, "JUNK=1", random.Between(0, 1)),
        };
    }

    public static ExitStatus Status(SeededRandom random) =>
        random.Pick(new ExitStatus(0), new ExitStatus(0), new ExitStatus(1), new ExitStatus(0, 11, true), new ExitStatus(0, 15));
}
