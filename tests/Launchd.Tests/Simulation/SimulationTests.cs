using System.Collections.Concurrent;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Simulation;

/// <summary>
/// The core against a world that misbehaves. <c>LAUNCHD_SEED=n</c> replays one seed and prints all of it, <c>LAUNCHD_SEEDS=count</c>
/// runs more of them.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int StandardCount = 20_000;

    [Fact]
    public void EveryPropertyHolds_ForEverySeed()
    {
        if (ulong.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_SEED"), out ulong one))
        {
            Queue<string> trace = [];
            SimulationResult result = Simulation.Run(one, trace: trace);
            foreach (string line in trace)
                output.WriteLine(line);
            Assert.True(result.Broken is null, result.ToString());
            return;
        }
        int count = int.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_SEEDS"), out int asked) ? asked : StandardCount;
        ConcurrentBag<SimulationResult> broken = [];
        long steps = 0;
        Parallel.For(0, count, (seed, loop) =>
        {
            SimulationResult result = Simulation.Run((ulong)seed);
            Interlocked.Add(ref steps, result.Steps);
            if (result.Broken is null)
                return;
            broken.Add(result);
            if (broken.Count >= 20)
                loop.Stop();
        });
        output.WriteLine($"{count} seeds, {steps} events");
        string kinds = string.Join('\n', broken.GroupBy(b => b.Broken!.Split('(')[0]).Select(g => $"{g.Count()} x {g.Key} e.g. seed {g.Min(b => b.Seed)}"));
        Assert.True(broken.IsEmpty, kinds + "\n\n" + broken.MinBy(b => b.Steps));
    }

    [Fact]
    public void SeedsThatOnceFailed_StayGood()
    {
        foreach (string line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Simulation", "Seeds.txt")))
        {
            string number = line.Split('#')[0].Trim();
            if (number.Length == 0)
                continue;
            SimulationResult result = Simulation.Run(ulong.Parse(number));
            Assert.True(result.Broken is null, result.ToString());
        }
    }

    [Fact]
    public void TheSameSeedTwice_GivesTheSameTrace()
    {
        for (ulong seed = 0; seed < 100; seed++)
        {
            Queue<string> first = [], second = [];
            Simulation.Run(seed, trace: first);
            Simulation.Run(seed, trace: second);
            Assert.Equal(string.Join('\n', first), string.Join('\n', second));
            Assert.NotEmpty(first);
        }
    }
}
