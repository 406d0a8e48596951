using System.Collections.Concurrent;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Tests.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Core.Recording;

/// <summary>
/// The state written down, read back and gone on with is the same as gone on with, at every step of whole lives.
/// <c>LAUNCHD_LONG=1</c> runs 20,000 of each kind of seed; <c>LAUNCHD_PROGRESS=file</c> has a line appended for every so many.
/// </summary>
public sealed class TransparencyTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(0UL, 20)]
    [InlineData(Simulation.Simulation.FirstHostile, 20)]
    [InlineData(Simulation.Simulation.FirstSlow, 60)]
    public void ASupervisorThatIsRestoredAtEveryStep_DoesTheSame(ulong first, int count)
    {
        count = Long.Is ? 20_000 : count;
        ConcurrentBag<SimulationResult> broken = [];
        long steps = 0;
        int done = 0;
        Parallel.For(0, count, (seed, loop) =>
        {
            SeededRandom random = new((ulong)seed);
            // After each step, or only after some: then several steps stand in the records.
            int chance = seed % 2 == 0 ? 100 : 20;
            SimulationResult result = Simulation.Simulation.Run(
                first + (ulong)seed, onlooker: (definition, core) => new Twin(definition, core, () => random.Chance(chance)));
            Interlocked.Add(ref steps, result.Steps);
            if (Interlocked.Increment(ref done) is var so && so % 500 == 0)
                SimulationTests.Progress($"restored at every step: {so} of {count} seeds from {first} on, {broken.Count} broken");
            if (result.Broken is null)
                return;
            broken.Add(result);
            loop.Stop();
        });
        output.WriteLine($"{count} seeds, {steps} steps");
        Assert.True(broken.IsEmpty, broken.MinBy(b => b.Steps)?.ToString());
        Assert.True(steps > count);
    }

    /// <summary>What is lost on the way must show, or that nothing shows would prove nothing.</summary>
    [Theory]
    [InlineData("configured")]
    [InlineData("random state")]
    [InlineData("put off")]
    [InlineData("identity")]
    [InlineData("effects")]
    public void WhatIsLostOnTheWay_IsFound(string what)
    {
        for (ulong seed = 0; seed < 200; seed++)
        {
            SimulationResult result = Simulation.Simulation.Run(
                Simulation.Simulation.FirstSlow + seed,
                onlooker: (definition, core) => new Twin(definition, core, () => true, spoil: r => Lose(what, r)));
            if (result.Broken?.StartsWith("records:", StringComparison.Ordinal) == true)
                return;
        }
        Assert.Fail($"nobody missed {what}");
    }

    private static RestoredState Lose(string what, RestoredState restored)
    {
        SupervisorState state = restored.State;
        switch (what)
        {
            case "configured":
                return restored with { Configured = [.. state.Services.Select(s => s.Definition)] };
            case "random state":
                state.Frame = state.Frame with { RandomState = 0 };
                return restored;
            case "put off":
                state.Frame = state.Frame with { Starts = state.Frame.Starts with { PutOff = [] } };
                return restored;
            case "identity":
                // The same to the letter, but another object than the one by which its instances run.
                for (int i = 0; i < state.Services.Length; i++)
                    state.Services[i] = state.Services[i] with { Definition = state.Services[i].Definition with { } };
                return restored;
            default:
                return restored with { Effects = [] };
        }
    }
}

/// <summary>Whether the long forms of tests are asked for.</summary>
internal static class Long
{
    public static readonly bool Is = Environment.GetEnvironmentVariable("LAUNCHD_LONG") == "1";
}
