using System.Collections.Concurrent;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Simulation;

/// <summary>
/// The core against a world that misbehaves. <c>LAUNCHD_SEED=n</c> replays one seed and prints all of it, <c>LAUNCHD_SEEDS=count</c>
/// runs more of them, from <c>LAUNCHD_FIRST_SEED</c> on; <c>LAUNCHD_PROGRESS=file</c> has a line appended for every so many.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int StandardCount = 20_000;

    private static readonly Lock ProgressLock = new();

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
        ulong first =
            ulong.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_FIRST_SEED"), out ulong from) ? from : Simulation.FirstSlow;
        ConcurrentBag<SimulationResult> broken = [];
        long steps = 0;
        int done = 0;
        Progress($"{count} seeds from {first} on");
        Parallel.For(0, count, (seed, loop) =>
        {
            SimulationResult result = Simulation.Run(first + (ulong)seed);
            Interlocked.Add(ref steps, result.Steps);
            if (Interlocked.Increment(ref done) is var so && so % 1000 == 0)
                Progress($"{so} of {count} seeds, {broken.Count} broken");
            if (result.Broken is null)
                return;
            Progress($"broken: {result}");
            broken.Add(result);
            if (broken.Count >= 20)
                loop.Stop();
        });
        output.WriteLine($"{count} seeds, {steps} events");
        string kinds = string.Join(
            '\n', broken.GroupBy(b => b.Broken!.Split('(')[0]).Select(g => $"{g.Count()} x {g.Key} e.g. seed {g.Min(b => b.Seed)}"));
        Assert.True(broken.IsEmpty, kinds + "\n\n" + broken.MinBy(b => b.Steps));
    }

    /// <summary>Says how far a long run is, where somebody asked for it.</summary>
    internal static void Progress(string line)
    {
        if (Environment.GetEnvironmentVariable("LAUNCHD_PROGRESS") is not { Length: > 0 } path)
            return;
        lock (ProgressLock)
            File.AppendAllText(path, $"{DateTime.UtcNow:s} {line}\n");
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
