using System.Collections.Immutable;
using System.Text;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// What a hostile program, client or operator brings about: floods, messages for the limits, and events about instances, services, timers
/// and orders that never were, are over, or are another's. Only what a host can be made to hand on: a result of an effect cannot be forged.
/// </summary>
internal sealed class Hostility(
    Scenario scenario, SeededRandom random, SimulatedHost host, Supervisor supervisor, Action<ServiceName> scales)
{
    private static readonly ServiceName Nobody = new("nobody");
    private readonly List<InstanceId> _seen = [];
    private long _orders = 500_000, _calls, _descriptors = 1_000_000_000;

    public void Plan()
    {
        int chaosMs = (int)scenario.Chaos.TotalMilliseconds;
        for (int act = random.Between(0, 12); act > 0; act--)
        {
            int at = random.Between(0, chaosMs), flood = random.Chance(5) ? random.Between(20, 100) : 1;
            for (int i = 0; i < flood; i++)
                host.Plan(at, flood == 1 ? Act : Flood);
        }
    }

    private Event.Notified? Flood() =>
        AnyLive() is { } target ? new Event.Notified(target, Nasty(), 1, 0, Some(random.Between(0, 2))) : null;

    private Event? Act()
    {
        InstanceId stranger = Stranger();
        ServiceName service = AnyService();
        return random.Between(0, 21) switch
        {
            0 or 1 => Flood(),
            2 => AnyLive() is { } target ? new Event.Notified(target, Store(), 1, 0, Some(random.Between(4, 20))) : null,
            3 => new Event.Notified(stranger, Nasty(), 1, 0, Some(random.Between(0, 3))),
            4 => new Event.MainProcessChanged(stranger, random.Between(2, 500)),
            5 => AnyLive() is { } target ? new Event.MainProcessChanged(target, random.Between(2, 500)) : null,
            6 => new Event.MainExited(stranger, new ExitStatus(1), random.Chance(50)),
            7 => new Event.LeftoversEnded(random.Chance(50) ? stranger : AnyLive() is { } live && !IsEnding(live) ? live : stranger),
            8 => new Event.TimerFired(new TimerKey(AnyTimer(), stranger.Service, stranger.Number)),
            9 or 10 => Order(service),
            11 => new Event.ClientLeft(new RequestId(random.Between(900_000, 900_010))),
            12 => random.Pick<Event>(
                new Event.ReadinessMet(stranger), new Event.Prepared(stranger), new Event.QueuesSeen(stranger, AreEmpty: true)),
            13 => random.Pick<Event>(
                new Event.ListenerReadable(Nobody, 0), new Event.ListenerUsed(Nobody), new Event.UseSeen(Nobody, IsUsed: false)),
            14 => new Event.ConnectionAccepted(Nobody, new ConnectionId(++_descriptors), "10.0.0.66"),
            15 => new Event.AcceptFailed(Nobody, IsShortage: true),
            16 => StoreOverChannel(random.Chance(30) ? stranger : AnyLive() ?? stranger),
            17 => new Event.UnstoreAsked(random.Chance(50) ? stranger : AnyLive() ?? stranger, ++_calls, random.Pick("a", "nothing")),
            18 => new Event.StateSaved(random.Chance(30) ? stranger : AnyLive() ?? stranger, new DescriptorId(++_descriptors)),
            19 => new Event.DescriptorHungUp(random.Chance(50) ? Nobody : service, new DescriptorId(-1)),
            20 => new Event.DrainProgress(
                random.Chance(50) ? stranger : AnyLive() ?? stranger, random.Pick(int.MinValue, -1, int.MaxValue)),
            _ => new Event.CommandEnded(stranger, random.Pick(CommandKind.Stop, CommandKind.Reload), random.Chance(50)),
        };
    }

    /// <summary>Names that are nobody's, names twice, all or nothing, counts beyond all limits.</summary>
    private Event.Requested Order(ServiceName service)
    {
        Verb verb = random.Pick(Verb.Start, Verb.Restart, Verb.Reload, Verb.Scale);
        ImmutableArray<ServiceName> services = random.Pick<ImmutableArray<ServiceName>>(
            [], [Nobody], [service, Nobody, service], [Nobody, Nobody], [service, service]);
        if (verb == Verb.Scale && services.Contains(service))
            scales(service);
        return new Event.Requested(new RequestId(++_orders), verb, services)
        {
            Count = verb == Verb.Scale ? random.Pick(int.MinValue, 0, 1) : null,
        };
    }

    private Event.StoreAsked StoreOverChannel(InstanceId instance)
    {
        ImmutableArray<DescriptorId> descriptors = Some(random.Between(0, 6));
        return new Event.StoreAsked(instance, new StoreOrder
        {
            Call = ++_calls,
            Name = random.Pick("a", "b", ""),
            Descriptors = descriptors,
            Duplicates = [.. descriptors.Where(_ => random.Chance(20))],
            Replaces = random.Chance(30),
            OnlyIfAbsent = random.Chance(30),
        });
    }

    private Notification Nasty() => Message(random.Pick(
        "READY=1\nSTOPPING=1\nRELOADING=1\nWATCHDOG=trigger", "MAINPID=1\nMAINPIDFD=1", "FDSTOREREMOVE=1\nFDSTORE=1\nFDNAME=a",
        "STATUS=" + new string('x', 4000),
        "WATCHDOG_USEC=99999999999999999999\nEXTEND_TIMEOUT_USEC=-1",
        "RELOADING=1\nMONOTONIC_USEC=9223372036854775807", "READY=1\nREADY=0\nREADY=2",
        "X=1", "NOTIFYACCESS=all", "WATCHDOG=1", "RESTART_RESET=1", "FDNAME=:\nFDSTORE=1"));

    private Notification Store() =>
        Message(random.Pick("FDSTORE=1\nFDNAME=a", "FDSTORE=1", "FDSTORE=1\nFDPOLL=0\nFDNAME=" + new string('n', 255)));

    private static Notification Message(string text) => Notification.Parse(Encoding.UTF8.GetBytes(text))!;

    private ImmutableArray<DescriptorId> Some(int count) => [.. Enumerable.Range(0, count).Select(_ => new DescriptorId(++_descriptors))];

    private TimerKind AnyTimer() =>
        random.Pick(TimerKind.Prepare, TimerKind.Ready, TimerKind.Reload, TimerKind.Stop, TimerKind.Queue, TimerKind.Watchdog,
            TimerKind.Prove, TimerKind.Backoff);

    /// <summary>An instance that never was, was another service's, or is over.</summary>
    private InstanceId Stranger()
    {
        InstanceId[] over = [.. _seen.Where(s => !IsLive(s))];
        return random.Between(0, 3) switch
        {
            0 => new InstanceId(Nobody, random.Between(1, 10)),
            1 => new InstanceId(AnyService(), 1_000_000 + random.Between(1, 10)),
            2 when over.Length > 0 => random.Pick(over),
            _ => new InstanceId(AnyService(), 0),
        };
    }

    private InstanceId? AnyLive()
    {
        IEnumerable<SlotState> places = supervisor.Services.SelectMany(s => s.Slots.Concat(s.Beside));
        InstanceId[] live = [.. places.Where(s => s.Instance is { Pid: > 0 }).Select(s => s.Instance!.Id)];
        if (live.Length == 0)
            return null;
        InstanceId one = random.Pick(live);
        _seen.Add(one);
        return one;
    }

    private bool IsLive(InstanceId id) => Slot(id) is not null;

    private bool IsEnding(InstanceId id) => Slot(id)?.Phase is SlotPhase.Stopping { Status: not null };

    private SlotState? Slot(InstanceId id) =>
        supervisor.Find(id.Service) is { } state ? state.Slots.Concat(state.Beside).FirstOrDefault(s => s.Instance?.Id == id) : null;

    private ServiceName AnyService() => random.Pick([.. scenario.Definition.Services]).Name;
}
