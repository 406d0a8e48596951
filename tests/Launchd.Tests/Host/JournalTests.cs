using Launchd.Core;
using Launchd.Host.Reporting;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>What is kept of the events when there are more than there is room for.</summary>
public sealed class JournalTests
{
    private const int Most = 100;

    [Fact]
    public void AServiceThatSaysMuchPushesOutNobodyElse_AndWhatIsMissingIsCounted()
    {
        Journal journal = new(Most);
        for (int i = 0; i < 10; i++)
            journal.Add(Stopped("crasher", i));
        for (int i = 0; i < 6000; i++)
            journal.Add(Stopped("chatty", i));

        JournalEntry[] kept = journal.Read(0, journal.Count, Most * 2, out long lost);

        Assert.Equal(Enumerable.Range(0, 10), kept.Take(10).Select(SlotOf));
        Assert.Equal(Enumerable.Range(5910, 90), kept.Skip(10).Select(SlotOf));
        Assert.Equal(5910, lost);
        Assert.Equal((0, 5910), (journal.DroppedOf(new ServiceName("crasher")), journal.DroppedOf(new ServiceName("chatty"))));
    }

    [Fact]
    public void ManyServicesShareTheRoom_AndTheSupervisorsOwnEventsHaveTheirs()
    {
        Journal journal = new(Most);
        journal.Add(new ListenerOpened("http", "127.0.0.1:80"));
        for (int i = 0; i < 10_000; i++)
            journal.Add(Stopped($"s{i % 9}", i));

        JournalEntry[] kept = journal.Read(0, journal.Count, Most * 2, out _);

        Assert.Equal(Most, kept.Length);
        Assert.IsType<ListenerOpened>(kept[0].What);
        Assert.All(kept.Skip(1).GroupBy(e => ((Notice.Stopped)e.What).Of), g => Assert.Equal(11, g.Count()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(64)]
    public void BatchesLeadFromOneToTheNext_WhateverIsMissingBetween(int batch)
    {
        Journal journal = new(Most);
        for (int i = 0; i < 300; i++)
            journal.Add(Stopped(i % 3 == 0 ? "seldom" : "often", i));
        List<JournalEntry> all = [];
        long next = 0, missing = 0;
        while (journal.Read(next, long.MaxValue, batch, out long lost) is { } read && (read.Length > 0 || lost > 0))
        {
            all.AddRange(read);
            missing += lost;
            next += lost + read.Length;
        }

        Assert.Equal((Most, 200L, journal.Count), (all.Count, missing, next));
        Assert.Equal(all.Select(SlotOf).Order(), all.Select(SlotOf));
        Assert.Equal([], journal.Read(journal.Count, long.MaxValue, batch, out long none));
        Assert.Equal(0, none);
    }

    private static int SlotOf(JournalEntry entry) => ((Notice.Stopped)entry.What).Slot;

    private static Notice.Stopped Stopped(string service, int number) => new(new ServiceName(service), number, 1);
}
