using System.Diagnostics;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Recording;
using Launchd.Model;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Core.Recording;

/// <summary>Measures and prints; asserts nothing about time, which is the machine's and not the code's.</summary>
public sealed class RecordingCostTests(ITestOutputHelper output)
{
    [Fact]
    public void WhatRecordingCosts_With1000Services()
    {
        const int Count = 1000;
        SupervisorDefinition definition = A.Definition([.. Enumerable.Range(0, Count).Select(i => A.Service($"s{i}") with
        {
            Ready = Readiness.Notify.Value,
            StartLimit = RateLimit.Unlimited,
        })]);
        Supervisor core = new(definition, seed: 1);
        NullSink sink = new();
        StateRecorder recorder = new(sink);
        Moment now = new(1);
        Queue<Event> results = new([Event.Booted.Value]);
        List<InstanceId> live = [];
        Tell("boot", Drain);
        Tell("ready", () => live.ForEach(i => Take(new Event.Notified(i, A.Message("READY=1"), 1, 0, []))));
        Tell("status", () => live.ForEach(i => Take(new Event.Notified(i, A.Message("STATUS=serving"), 1, 0, []))));
        Tell("end and back-off", () => live.ForEach(i => Take(new Event.MainExited(i, new ExitStatus(1), HasLeftovers: false))));
        Assert.Equal(Count, live.Count);

        void Drain()
        {
            while (results.TryDequeue(out Event? next))
                Take(next);
        }

        void Take(Event happened)
        {
            now += TimeSpan.FromMilliseconds(1);
            Effect[] effects = [.. core.Step(happened, now)];
            sink.Begin();
            recorder.Note(core, definition, effects);
            sink.End();
            foreach (Effect effect in effects)
            {
                if (effect is Effect.AwaitTurn turn)
                    results.Enqueue(new Event.TurnBegan(turn.Kind));
                if (effect is not Effect.Spawn spawn)
                    continue;
                live.Add(spawn.Instance);
                results.Enqueue(new Event.Spawned(spawn.Instance, live.Count));
            }
        }

        void Tell(string what, Action run)
        {
            sink.Reset();
            run();
            output.WriteLine($"{what}: {sink}");
        }
    }

    /// <summary>Counts what it is given, and what the making of it costs.</summary>
    private sealed class NullSink : IRecordSink
    {
        private long _steps, _records, _bytes, _ticks, _allocated, _began, _before;

        public void Reset() => _steps = _records = _bytes = _ticks = _allocated = 0;

        public void Begin() => (_before, _began) = (GC.GetAllocatedBytesForCurrentThread(), Stopwatch.GetTimestamp());

        public void End()
        {
            _ticks += Stopwatch.GetTimestamp() - _began;
            _allocated += GC.GetAllocatedBytesForCurrentThread() - _before;
        }

        public void Put(RecordKey key, ReadOnlySpan<byte> content)
        {
            _records++;
            _bytes += content.Length;
        }

        public void Remove(RecordKey key) => _records++;

        public void Commit() => _steps++;

        public override string ToString()
        {
            double microseconds = _ticks * 1e6 / Stopwatch.Frequency / _steps;
            return $"{_steps} steps, each {microseconds:N1} µs, {(double)_records / _steps:N1} records with {_bytes / _steps} bytes, "
                + $"{_allocated / _steps} bytes allocated";
        }
    }
}
