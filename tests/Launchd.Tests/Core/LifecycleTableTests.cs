using System.Collections.Immutable;
using System.Text;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Slots;
using Launchd.Model;
using Launchd.Tests.House;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>
/// Feeds every kind of event to a slot in every phase and writes down what changes: <c>docs/lifecycle.md</c> is that table, and a
/// change of behaviour shows as a difference there.
/// </summary>
public sealed class LifecycleTableTests
{
    private static readonly (string Name, Func<World> Bring)[] Phases =
    [
        ("Idle", () => Fresh()),
        ("Waiting", () => Fresh(Db() with { Ready = Readiness.Notify.Value }).Boot()),
        ("Preparing", () => Fresh(null, "peer").Boot()),
        ("Starting", () => Fresh().Boot()),
        ("Starting, a job", () => new World(Db(), Job()).Boot()),
        ("Ready", () => Fresh().Boot().Say("web", "READY=1")),
        ("Stopping: emptying", Emptying),
        ("Ready, told to reload", () => Asked(Fresh().Boot().Say("web", "READY=1"), Verb.Reload)),
        ("Stopping: signalled", () => Asked(Fresh().Boot().Say("web", "READY=1"), Verb.Stop)),
        ("Stopping: by itself", () => Fresh().Boot().Say("web", "READY=1").Say("web", "STOPPING=1")),
        ("Stopping: leftovers", () => Fresh().Boot().Say("web", "READY=1").Exit("web", 1, leftovers: true)),
        ("Stopping: killed", () => Asked(Fresh().Boot().Say("web", "READY=1"), Verb.Stop).Fire(TimerKind.Stop)),
        ("BackingOff", () => Fresh().Boot().Exit("web", 1)),
        ("Ended", () => Fresh().Boot().Say("web", "READY=1").Exit("web")),
        ("Ended, a completed job", () => new World(Db(), Job()).Boot().Exit("web")),
        ("Failed", () => Failing(Fresh())),
    ];

    private static readonly (string Name, Func<World, Event> Make)[] Events =
    [
        ("Booted", _ => Event.Booted.Value),
        ("Prepared", w => new Event.Prepared(Web(w))),
        ("SpawnFailed", w => new Event.SpawnFailed(Web(w), new Failure.SpawnFailed("file", 111, "file \"peer\": Connection refused"))),
        ("MainExited, 0", w => new Event.MainExited(Web(w), new ExitStatus(0), HasLeftovers: false)),
        ("MainExited, 1", w => new Event.MainExited(Web(w), new ExitStatus(1), HasLeftovers: false)),
        ("MainExited, leftovers", w => new Event.MainExited(Web(w), new ExitStatus(0, 15), HasLeftovers: true)),
        ("QueuesSeen, empty", w => new Event.QueuesSeen(Web(w), AreEmpty: true)),
        ("QueuesSeen, waiting", w => new Event.QueuesSeen(Web(w), AreEmpty: false)),
        ("LeftoversEnded", w => new Event.LeftoversEnded(Web(w))),
        ("RemainsSeen", w => new Event.RemainsSeen(Web(w), "process 7 (x) lives on")),
        ("READY=1", w => Said(w, "READY=1")),
        ("STOPPING=1", w => Said(w, "STOPPING=1")),
        ("RELOADING=1", w => Said(w, "RELOADING=1")),
        ("STATUS=text", w => Said(w, "STATUS=text")),
        ("WATCHDOG=1", w => Said(w, "WATCHDOG=1")),
        ("WATCHDOG=trigger", w => Said(w, "WATCHDOG=trigger")),
        ("WATCHDOG_USEC=", w => Said(w, "WATCHDOG_USEC=9000000")),
        ("EXTEND_TIMEOUT_USEC=", w => Said(w, "EXTEND_TIMEOUT_USEC=99000000")),
        ("FDSTORE=1", w => Said(w, "FDSTORE=1", new DescriptorId(1))),
        ("ReadinessMet", w => new Event.ReadinessMet(Web(w))),
        ("MainProcessChanged", w => new Event.MainProcessChanged(Web(w), 4711)),
        ("Timer Prepare", w => Fired(w, TimerKind.Prepare)),
        ("Timer Ready", w => Fired(w, TimerKind.Ready)),
        ("Timer Stop", w => Fired(w, TimerKind.Stop)),
        ("Timer Queue", w => Fired(w, TimerKind.Queue)),
        ("Timer Reload", w => Fired(w, TimerKind.Reload)),
        ("Timer Watchdog", w => Fired(w, TimerKind.Watchdog)),
        ("Timer Prove", w => Fired(w, TimerKind.Prove)),
        ("Timer Backoff", w => Fired(w, TimerKind.Backoff)),
        ("Timer Activation", w => Fired(w, TimerKind.Activation)),
        ("Timer Shutdown", w => Fired(w, TimerKind.Shutdown)),
        ("CommandEnded, stop", w => new Event.CommandEnded(Web(w), CommandKind.Stop, Succeeded: true)),
        ("CommandEnded, reload", w => new Event.CommandEnded(Web(w), CommandKind.Reload, Succeeded: true)),
        ("Requested start", _ => Asks(Verb.Start)),
        ("Requested stop", _ => Asks(Verb.Stop)),
        ("Requested restart", _ => Asks(Verb.Restart)),
        ("Requested scale", _ => new Event.Requested(new RequestId(50), Verb.Scale, [new ServiceName("web")]) { Count = 2 }),
        ("Requested reload", _ => Asks(Verb.Reload)),
        ("Requested signal", _ => Asks(Verb.Signal)),
        ("Reloaded, the same", w => new Event.Reloaded(Definition(w, w.State("web").Definition), new RequestId(50))),
        ("Reloaded, changed", w => new Event.Reloaded(
            Definition(w, w.State("web").Definition with { Command = ["next"] }), new RequestId(50))),
        ("Reloaded, gone", w => new Event.Reloaded(Definition(w), new RequestId(50))),
        ("SignalSent, SIGKILL refused", w => new Event.SignalSent(Web(w), SignalNumber.Kill, Request: null, "not permitted")),
        ("ClueFound", w => new Event.ClueFound(Web(w), "nothing came")),
        ("WasAway", _ => new Event.WasAway(TimeSpan.FromSeconds(8))),
        ("HealthFailed", w => new Event.HealthFailed(Web(w), "no answer")),
        ("DrainProgress", w => new Event.DrainProgress(Web(w), 3)),
        ("ChannelWatched", w => new Event.ChannelWatched(Web(w), IsWatched: true)),
        ("ClientLeft", _ => new Event.ClientLeft(new RequestId(77))),
        ("ListenerReadable", _ => new Event.ListenerReadable(new ServiceName("web"), 0)),
        ("ConnectionAccepted", _ => new Event.ConnectionAccepted(new ServiceName("web"), new ConnectionId(1), "10.0.0.1")),
        ("AcceptFailed", _ => new Event.AcceptFailed(new ServiceName("web"), IsShortage: true)),
        ("DescriptorHungUp", _ => new Event.DescriptorHungUp(new ServiceName("web"), new DescriptorId(9))),
        ("ShutdownAsked", _ => new Event.ShutdownAsked("SIGTERM", IsImmediate: false)),
        ("ShutdownAsked, now", _ => new Event.ShutdownAsked("SIGINT", IsImmediate: true)),
        ("MachineFaulted", _ => new Event.MachineFaulted(new ServiceName("web"), "planted")),
    ];

    [Fact]
    public void TheDocument_SaysWhatTheCoreDoes()
    {
        string path = Path.Combine(SourceTree.Root, "docs", "lifecycle.md");
        string expected = Document();
        if (Environment.GetEnvironmentVariable("LAUNCHD_WRITE_DOCS") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, expected);
        }
        string actual = File.Exists(path) ? File.ReadAllText(path) : "";
        Assert.True(
            expected == actual,
            "docs/lifecycle.md is out of date: review the difference after "
            + "LAUNCHD_WRITE_DOCS=1 dotnet test tests/Launchd.Tests --filter LifecycleTable");
    }

    [Fact]
    public void EachPhase_IsTheOneItsNameSays()
    {
        foreach ((string name, Func<World> bring) in Phases)
            Assert.StartsWith(name.Split(':', ',')[0], bring().Phase("web").GetType().Name, StringComparison.Ordinal);
    }

    private static string Document()
    {
        StringBuilder text = new();
        text.Append(Introduction);
        foreach ((string phase, Func<World> bring) in Phases)
        {
            text.Append($"\n## {phase}\n\n| event | becomes | what is done |\n|---|---|---|\n");
            List<string> nothing = [];
            foreach ((string name, Func<World, Event> make) in Events)
            {
                if (Row(bring(), make) is { } row)
                    text.Append($"| {name} | {row} |\n");
                else
                    nothing.Add(name);
            }
            text.Append($"\nNothing changes on: {string.Join("; ", nothing)}.\n");
        }
        return text.ToString();
    }

    /// <summary>Null: nothing changes.</summary>
    private static string? Row(World world, Func<World, Event> make)
    {
        world.Pass(TimeSpan.FromMilliseconds(1));
        ServiceState before = world.State("web");
        int done = world.Effects.Count;
        world.Do(make(world));
        ServiceState? after = world.Supervisor.Find(new ServiceName("web"));
        Effect[] effects = [.. world.Effects.Skip(done).Where(IsAboutIt)];
        string phase = after is null ? "forgotten" : Name(after.Slots[0].Phase);
        bool isSame = Name(before.Slots[0].Phase) == phase;
        if (effects.Length == 0 && before == after)
            return null;
        string becomes = isSame ? "the same" : phase;
        return $"{becomes} | {(effects.Length == 0 ? "noted" : string.Join(", ", effects.Select(Name)))}";
    }

    /// <summary>What is done about <c>db</c>, which only stands beside it, would make the table hard to read.</summary>
    private static bool IsAboutIt(Effect effect) => effect switch
    {
        Effect.Report { Notice: Notice.Notified or Notice.Spawned or Notice.Stored } => false,
        Effect.Report e => e.Notice.Service?.Text != "db",
        Effect.Spawn e => e.Instance.Service.Text != "db",
        Effect.Signal e => e.Instance.Service.Text != "db",
        Effect.TellDrain e => e.Instance.Service.Text != "db",
        Effect.ArmTimer e => e.Key.Service.Text != "db",
        Effect.DisarmTimer e => e.Key.Service.Text != "db",
        _ => true,
    };

    private static string Name(SlotPhase phase) => phase switch
    {
        SlotPhase.Stopping s =>
            $"Stopping: {s.Stage}, then "
                + (s.Cause is StopCause.Wish ? "rest" : s.Cause is StopCause.Replace ? "another" : "as the policy says"),
        SlotPhase.Failed f => $"Failed: {f.Failure.GetType().Name}",
        _ => phase.GetType().Name,
    };

    private static string Name(Effect effect) => effect switch
    {
        Effect.Report e => $"*{e.Notice.GetType().Name}*",
        Effect.Signal e => $"`{e.Number}` to the {e.Scope.ToString().ToLowerInvariant()}",
        Effect.ArmTimer e => $"arm {e.Key.Kind}",
        Effect.DisarmTimer e => $"disarm {e.Key.Kind}",
        Effect.Exit e => $"Exit {e.Code}",
        Effect.Reply e => e.Outcomes.All(o => o.Succeeded) ? "Reply: yes" : $"Reply: no, {e.Outcomes.First(o => !o.Succeeded).Text}",
        _ => effect.GetType().Name,
    };

    private static World Emptying()
    {
        World world = new(Db(), Web() with { Sockets = ["port"] });
        world.Boot().Say("web", "READY=1");
        world.QueuesAreEmpty = false;
        return Asked(world, Verb.Stop);
    }

    private static World Fresh(ServiceDefinition? db = null, params ImmutableArray<string> files) =>
        new(db ?? Db(), Web() with { Files = files });

    private static ServiceDefinition Web() => A.Service("web", "db") with
    {
        Ready = Readiness.Notify.Value,
        Restart = RestartKind.OnFailure,
        Watchdog = TimeSpan.FromSeconds(10),
        Reload = new ReloadAction.Signal(SignalNumber.Hup),
        FdStoreCount = 1,
    };

    private static ServiceDefinition Job() => Web() with { Ready = Readiness.Exited.Value, Watchdog = null, SuccessSignals = [] };

    private static ServiceDefinition Db() => A.Service("db");

    private static SupervisorDefinition Definition(World world, params ServiceDefinition[] web) =>
        A.Definition([world.State("db").Definition, .. web]);

    private static World Asked(World world, Verb verb)
    {
        world.Ask(verb, "web");
        return world;
    }

    private static World Failing(World world)
    {
        world.Boot();
        for (int start = 1; start < 5; start++)
            world.Exit("web", 1).Fire(TimerKind.Backoff);
        return world.Exit("web", 1);
    }

    private static InstanceId Web(World world) =>
        world.Spawned("web") > 0 || world.Phase("web") is SlotPhase.Preparing
            ? world.Last("web")
            : new InstanceId(new ServiceName("web"), 12345);

    private static Event.Notified Said(World world, string text, params ImmutableArray<DescriptorId> descriptors) =>
        new(Web(world), A.Message(text), 1, 0, descriptors);

    private static Event.TimerFired Fired(World world, TimerKind kind)
    {
        foreach ((TimerKey key, Moment due) in world.Timers)
        {
            if (key.Kind != kind)
                continue;
            if (due > world.Now)
                world.Pass(due - world.Now);
            return new Event.TimerFired(key);
        }
        return new Event.TimerFired(new TimerKey(kind, new ServiceName("web"), kind == TimerKind.Backoff ? 0 : Web(world).Number));
    }

    private static Event.Requested Asks(Verb verb) =>
        new(new RequestId(50), verb, [new ServiceName("web")], verb == Verb.Signal ? SignalNumber.Hup : null);

    private const string Introduction = """
        # The life of a slot

        What each event does to a slot in each phase, for a service `web` with `ready = "notify"`, `restart = "on-failure"`, a watchdog,
        a reload signal and one place in its fd store, which requires a service `db` (ready, except in *Waiting*). A test writes this
        file from the running core (`LAUNCHD_WRITE_DOCS=1 dotnet test tests/Launchd.Tests --filter LifecycleTable`) and fails when it
        differs.

        - An order of an operator goes before the policy: `start` and `restart` of an instance that is ending bring another after it,
          `stop` brings none. `stop` reaches all that require the service; `start` all that it requires or wants.
        - `restart` is a rollout: what stands here is that of one slot, in place; with overlap a successor stands beside the slot and the
          slot itself changes only when it takes over.
        - A restart of a service does not restart what requires it; those that wait go on waiting.
        - What holds listeners is told to end only when nobody waits any more in one that it alone accepts from and that the configuration
          has no more, and when it has heard whom it accepted last (*Stopping: emptying*): almost always within 30 ms, and at the latest
          after the stop timeout.
        - One stop timeout holds for the main process and for what it leaves behind; a stop command has one of its own before it.
        - SIGKILL comes at the end of that time. What even that does not end within ten seconds hangs inside the kernel and is given up.
        - A service whose step in the supervisor failed is *faulted*: it neither runs nor listens until an operator starts or stops it.

        Notices stand in *italics*. The notice of each notification, and what is done about `db`, are left out.

        """;
}
