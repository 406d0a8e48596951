using System.Diagnostics;
using Launchd.Core;
using Launchd.Core.Instances;
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
        SupervisorDefinition definition = A.Definition([.. Enumerable.Range(0, count)
            .Select(i => A.Service($"s{i}") with { Start = StartKind.Manual, Ready = Readiness.Notify.Value })]);
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

    /// <summary>Services that notify, end and come back, over and over.</summary>
    private sealed class Busy(SupervisorDefinition definition)
    {
        private readonly Thin _host = new(new Supervisor(definition, seed: 1));
        private readonly Notification _ready = A.Message("READY=1"), _ping = A.Message("WATCHDOG=1"), _status = A.Message("STATUS=serving");

        public int Replies => _host.Replies;

        public bool HasExited => _host.HasExited;

        public long Run(int atLeast)
        {
            if (_host.Steps == 0)
                Send(Event.Booted.Value);
            long until = _host.Steps + atLeast, from = _host.Steps;
            for (int turn = 0; _host.Steps < until; turn++)
            {
                _host.Now += TimeSpan.FromMilliseconds(1);
                MakeAllReady();
                Say(turn % 2 == 0 ? _ping : _status);
                _host.End(_host.Live.ElementAt(turn % _host.Live.Count), new ExitStatus(1));
                _host.Now += TimeSpan.FromSeconds(31);
                Say(_ping);
                foreach (TimerKey pause in _host.Pauses.ToArray())
                    Send(new Event.TimerFired(pause));
                _host.Pauses.Clear();
            }
            return _host.Steps - from;
        }

        public void MakeAllReady()
        {
            int before;
            do
            {
                before = _host.Live.Count;
                Say(_ready);
            }
            while (_host.Live.Count > before);
        }

        public void EndAll() => _host.EndAll();

        public void Send(Event happened) => _host.Send(happened);

        private void Say(Notification message)
        {
            foreach (InstanceId id in _host.Live.ToArray())
                Send(new Event.Notified(id, message, 1, 0, []));
        }
    }
}
