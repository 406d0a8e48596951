using System.Net;
using Launchd.Addresses;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Host.Instances;
using Launchd.Host.Lifecycle;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>How the end of an instance that was born a moment ago is told, and what is found out before.</summary>
[Collection("Instances")]
public sealed class EarlyEndTests : IDisposable
{
    private readonly EventLoop _loop = new();
    private readonly Delays _delays;
    // What it posts is never carried out: whoever waits for the pump waits for ever.
    private readonly LogPump _pump = LogPump.TryStart(new LogPumpOptions { Post = _ => { } })!;
    private readonly RunningInstances _running = new();
    private readonly EventFeed _events = new();
    private readonly List<string> _clues = [];
    private OpenedListeners? _listeners;
    private int _told;

    public EarlyEndTests()
    {
        _delays = new Delays(_loop);
        _events.OnEvent = happened => _clues.Add(((Event.ClueFound)happened).Text);
    }

    public void Dispose()
    {
        foreach (RunningInstance instance in _running.All)
            instance.Dispose();
        _listeners?.Undo();
        _pump.Dispose();
        _delays.Dispose();
        _loop.Dispose();
    }

    [Fact]
    public void WhatItLeft_IsLookedFor_WhereItIsTold()
    {
        (Clues clues, RunningInstance daemon) = Begin(A.Service("daemon") with { Restart = RestartKind.Always });
        clues.BeforeEnd(daemon, new ExitStatus(0), () => Environment.ProcessId, Tell);
        Assert.StartsWith($"it left process {Environment.ProcessId} (", Assert.Single(_clues));
        Assert.Equal(1, _told);
    }

    // A walk through all orphans at the end of each job would keep the loop busy.
    [Fact]
    public void WhatItLeft_IsNotLookedFor_WhereItMayEnd()
    {
        (Clues clues, RunningInstance job) = Begin(A.Service("job") with { Restart = RestartKind.OnFailure });
        clues.BeforeEnd(job, new ExitStatus(0), () => throw new InvalidOperationException("nobody asked for it"), Tell);
        Assert.Empty(_clues);
        Assert.Equal(1, _told);
    }

    // Those that clients start would otherwise end as slowly as their output is read, and no number is right for what they were not given.
    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public void OneThatHasNoListenerByNumber_IsNotToldThatItsPortIsTaken(bool isPerConnection, bool isInetd)
    {
        InputSource input = isInetd ? InputSource.Socket.Value : InputSource.Null.Value;
        (Clues clues, RunningInstance web) = Begin((isPerConnection ? A.Connection("web") : A.Demand("web")) with { Input = input });
        clues.BeforeEnd(web, new ExitStatus(1), () => null, Tell);
        Assert.Equal(1, _told);
    }

    [Fact]
    public void TheOutputOfOneThatHoldsListeners_IsReadBefore()
    {
        (Clues clues, RunningInstance web) = Begin(A.Demand("web"));
        clues.BeforeEnd(web, new ExitStatus(1), () => null, Tell);
        Assert.Equal(0, _told);
    }

    // The kernel reports no end a second time.
    [Fact]
    public void TheEndIsTold_WhateverGoesWrongBefore()
    {
        ServiceDefinition service = A.Service("web") with { Restart = RestartKind.Always };
        (Clues clues, RunningInstance web) = Begin(service);
        Assert.Throws<InvalidOperationException>(() => clues.BeforeEnd(web, new ExitStatus(0), Fail, Tell));
        Assert.Equal(1, _told);

        _events.OnEvent = _ => Fail();
        Assert.Throws<InvalidOperationException>(() => clues.BeforeEnd(web, new ExitStatus(0), () => null, Tell));
        Assert.Equal(2, _told);

        static int? Fail() => throw new InvalidOperationException("a defect");
    }

    [Fact]
    public void TheEndIsTold_IfTheReadinessThatDidNotComeCannotBeExplained()
    {
        (Clues clues, RunningInstance web) = Begin(A.Service("web") with { Ready = Readiness.Notify.Value });
        web.Unheard = new Unheard(1, "other", 0, "READY=1");
        web.Process = ProcessHandle.TryOpen(Environment.ProcessId);
        _events.OnEvent = _ => throw new InvalidOperationException("a defect");
        Assert.Throws<InvalidOperationException>(() => clues.BeforeEnd(web, new ExitStatus(1), () => null, Tell));
        Assert.Equal(1, _told);
    }

    private void Tell() => _told++;

    /// <summary>An instance that was born just now.</summary>
    private (Clues Clues, RunningInstance Instance) Begin(ServiceDefinition service)
    {
        SupervisorDefinition definition = A.Definition(service);
        Supervisor core = new(definition, seed: 1);
        InstanceId? born = null;
        Queue<Event> next = new([Event.Booted.Value]);
        if (service.Start != StartKind.Boot)
            next.Enqueue(new Event.ListenerReadable(service.Name, 0));
        if (service.Start == StartKind.Connection)
            next.Enqueue(new Event.ConnectionAccepted(service.Name, new ConnectionId(1), "10.0.0.1"));
        while (next.TryDequeue(out Event? happened))
        {
            foreach (Effect effect in core.Step(happened, HostClock.Now).ToArray())
            {
                if (effect is Effect.AwaitTurn turn)
                    next.Enqueue(new Event.TurnBegan(turn.Kind));
                if (effect is Effect.Spawn spawn)
                    next.Enqueue(new Event.Spawned((born = spawn.Instance).Value, int.MaxValue));
            }
        }

        UserTable users = new(definition);
        HeldSocket[] sockets = [.. definition.Listeners.Select(Open)];
        Provision provision = new(service) { User = users[service.Execution], Sockets = [.. sockets], Files = [], Users = users };
        RunningInstance instance = new(born!.Value, slot: 0, generation: 1, provision) { IsKnownToPump = true };
        _running.Add(instance);
        return (new Clues(core, _running, _pump, _delays, _events), instance);
    }

    private HeldSocket Open(ListenerDefinition definition)
    {
        ListenerRequest request = new() { Endpoints = [new ListenAddress.Tcp(IPAddress.Loopback, 0)] };
        _listeners = ListenerOpener.Open(request).Value;
        return new HeldSocket(definition, request, _listeners.Listeners, []);
    }
}
