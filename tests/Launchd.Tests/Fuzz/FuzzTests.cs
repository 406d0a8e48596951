using Launchd.Fuzz;
using Launchd.Tests.House;
using Xunit;

namespace Launchd.Tests.Fuzz;

/// <summary>
/// Every reader of what others write: its corpus, in which is kept what found something, and some thousand mutations of it.
/// </summary>
public sealed class FuzzTests
{
    private const int Inputs = 3000;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public static TheoryData<string> Names => [.. Targets.All.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task NothingThatIsReadThrows_OrAllocatesWithoutBound(string name)
    {
        byte[][] corpus = Mutator.ReadCorpus(Path.Combine(SourceTree.Root, "tests", "Fuzz", "Corpus", name));
        Assert.NotEmpty(corpus);
        Mutator mutator = new(seed: 10, corpus);

        await Task.Run(() =>
        {
            foreach (byte[] input in corpus.Concat(Enumerable.Range(0, Inputs).Select(_ => mutator.Next())))
            {
                Trial trial = Trial.Of(Targets.All[name], input);
                Assert.True(trial.Problem is null, $"{Convert.ToBase64String(input)}\n{trial.Problem}");
            }
        }).WaitAsync(Patience);
    }

    [Fact]
    public void EveryCorpusHasItsTarget() =>
        Assert.Equal(Targets.All.Keys,
            Directory.GetDirectories(Path.Combine(SourceTree.Root, "tests", "Fuzz", "Corpus")).Select(Path.GetFileName).Order());

    [Fact]
    public void TheSameSeedGivesTheSameInputs()
    {
        byte[][] corpus = [[1, 2, 3], []];
        Mutator first = new(7, corpus), second = new(7, corpus);

        for (int i = 0; i < 1000; i++)
            Assert.Equal(first.Next(), second.Next());
    }

    [Fact]
    public void WhatThrowsAndWhatAllocatesTooMuchIsFound()
    {
        Assert.NotNull(Trial.Of(_ => throw new InvalidOperationException(), []).Problem);
        Assert.NotNull(Trial.Of(_ => GC.KeepAlive(new byte[Trial.MostBytes + 1]), []).Problem);
        Assert.Null(Trial.Of(_ => { }, [1]).Problem);
    }
}
