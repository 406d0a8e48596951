using System.Diagnostics;
using Launchd.Core;
using Launchd.Model;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Core;

/// <summary>Measures and prints; asserts nothing about time, which is the machine's and not the code's.</summary>
public sealed class SpeedTests(ITestOutputHelper output)
{
    [Fact]
    public void EventsPerSecond_With100BusyServices()
    {
        ServiceDefinition[] services = [.. Enumerable.Range(0, 100).Select(i => A.Service($"s{i}", i % 10 == 0 ? [] : [$"s{i - 1}"]) with
        {
            Ready = Readiness.Notify.Value,
            Watchdog = TimeSpan.FromSeconds(10),
            StartLimit = RateLimit.Unlimited,
        })];
        Busy busy = new(A.Definition(services));
        busy.Run(20_000);
        Stopwatch watch = Stopwatch.StartNew();
        long before = GC.GetAllocatedBytesForCurrentThread();
        long events = busy.Run(400_000);
        double seconds = watch.Elapsed.TotalSeconds;
        long bytes = (GC.GetAllocatedBytesForCurrentThread() - before) / events;
        output.WriteLine($"{events / seconds:N0} events per second, {bytes} bytes each");
        Assert.True(events >= 400_000);
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(4000)]
    public void BootAndStartAndStop_OfManyServices(int count)
    {
        SupervisorDefinition definition = A.Definition([.. Enumerable.Range(0, count).Select(i => A.Service($"s{i}") with { Start = StartKind.Manual,
            Ready = Readiness.Notify.Value })]);
        Busy busy = new(definition);
        busy.Send(Event.Booted.Value);
        Stopwatch watch = Stopwatch.StartNew();
        busy.Send(new Event.Requested(new RequestId(1), Verb.Start, [.. definition.Services.Select(s => s.Name)]));
        TimeSpan started = watch.Elapsed;
        busy.MakeAllReady();
        TimeSpan ready = watch.Elapsed;
        busy.Send(new Event.ShutdownAsked("test", IsImmediate: false));
        busy.EndAll();
        output.WriteLine($"{count} services: start order {started.TotalMilliseconds:N1} ms, all ready {ready.TotalMilliseconds:N1} ms, "
            + $"all ended {watch.Elapsed.TotalMilliseconds:N1} ms");
        Assert.Equal(1, busy.Replies);
        Assert.True(busy.HasExited);
    }

    /// <summary>A host as thin as can be, so that the core is what is measured.</summary>
    private sealed class Busy
    {
        private readonly Supervisor _supervisor;
        private readonly Notification _ready = A.Message("READY=1"), _ping = A.Message("WATCHDOG=1"), _status = A.Message("STATUS=serving");
        private readonly List<InstanceId> _live = [];
        private readonly Queue<Event> _results = [];
        private readonly List<TimerKey> _pauses = [];
        private Moment _now = new(1);
        private long _events;

        public Busy(SupervisorDefinition definition) => _supervisor = new Supervisor(definition, seed: 1);

        public int Replies { get; private set; }

        public bool HasExited { get; private set; }

        public long Run(int atLeast)
        {
            if (_events == 0)
                Send(Event.Booted.Value);
            long until = _events + atLeast, from = _events;
            for (int turn = 0; _events < until; turn++)
            {
                _now += TimeSpan.FromMilliseconds(1);
                MakeAllReady();
                foreach (InstanceId id in _live)
                    Send(new Event.Notified(id, turn % 2 == 0 ? _ping : _status, 1, 0, []));
                InstanceId ends = _live[turn % _live.Count];
                _live.Remove(ends);
                Send(new Event.MainExited(ends, new ExitStatus(1), HasLeftovers: false));
                _now += TimeSpan.FromSeconds(31);
                foreach (InstanceId id in _live)
                    Send(new Event.Notified(id, _ping, 1, 0, []));
                foreach (TimerKey pause in _pauses.ToArray())
                    Send(new Event.TimerFired(pause));
                _pauses.Clear();
            }
            return _events - from;
        }

        public void MakeAllReady()
        {
            for (int i = 0; i < _live.Count; i++)
                Send(new Event.Notified(_live[i], _ready, 1, 0, []));
        }

        public void EndAll()
        {
            foreach (InstanceId id in _live.ToArray())
                Send(new Event.MainExited(id, new ExitStatus(0), HasLeftovers: false));
        }

        public void Send(Event happened)
        {
            for (Event? next = happened; next is not null; next = _results.TryDequeue(out Event? result) ? result : null)
            {
                _events++;
                foreach (Effect effect in _supervisor.Step(next, _now))
                {
                    if (effect is Effect.Spawn spawn)
                    {
                        _results.Enqueue(new Event.Spawned(spawn.Instance, 1000));
                        _live.Add(spawn.Instance);
                    }
                    else if (effect is Effect.AwaitTurn)
                    {
                        _results.Enqueue(Event.TurnBegan.Value);
                    }
                    else if (effect is Effect.ArmTimer { Key.Kind: TimerKind.Backoff } arm)
                    {
                        _pauses.Add(arm.Key);
                    }
                    else if (effect is Effect.Reply)
                    {
                        Replies++;
                    }
                    else if (effect is Effect.Exit)
                    {
                        HasExited = true;
                    }
                }
            }
        }
    }
}
