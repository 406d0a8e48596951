using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LineRingTests
{
    private readonly LineMemory _memory = new();

    [Fact]
    public void LinesComeBackInOrder_WithTheirStamps()
    {
        var ring = new LineRing(_memory);
        ring.Add(new LineStamp(1, 10, 7), "first"u8);
        ring.Add(new LineStamp(2, 20, 8), ""u8);
        ring.Add(new LineStamp(5, 30, 8), "third"u8);

        Assert.Equal([(1, 10, 7, "first"), (2, 20, 8, ""), (5, 30, 8, "third")], Read(ring));
    }

    [Fact]
    public void AtMostAThousandLines_TheNewest()
    {
        var ring = new LineRing(_memory);
        for (int i = 0; i < 2500; i++)
            ring.Add(new LineStamp(i, i, 0), Encoding.ASCII.GetBytes($"{i}"));

        List<(long Sequence, long Time, long Instance, string Text)> lines = Read(ring);
        Assert.Equal(LineRing.MostLines, lines.Count);
        Assert.Equal(Enumerable.Range(1500, 1000).Select(i => $"{i}"), lines.Select(l => l.Text));
    }

    [Fact]
    public void AtMost64KiB_HoweverLongTheLines()
    {
        var random = new Random(4711);
        var ring = new LineRing(_memory);
        var written = new List<string>();
        for (int i = 0; i < 3000; i++)
        {
            string line = new((char)('a' + (i % 26)), random.Next(0, i % 50 == 0 ? 16 * 1024 : 300));
            written.Add(line);
            ring.Add(new LineStamp(i, i, 0), Encoding.ASCII.GetBytes(line));

            Assert.True(ring.CapacityBytes <= LineRing.MostBytes);
            Assert.InRange(ring.Count, 1, LineRing.MostLines);
        }

        List<string> kept = [.. Read(ring).Select(l => l.Text)];
        Assert.Equal(written.TakeLast(kept.Count), kept);
        Assert.True(kept.Sum(l => l.Length + 28) > LineRing.MostBytes / 2);
    }

    [Fact]
    public void AQuietSlot_CostsLittle()
    {
        var ring = new LineRing(_memory);
        ring.Add(new LineStamp(1, 1, 1), "started"u8);

        Assert.True(ring.CapacityBytes <= 2048);
    }

    [Fact]
    public void LongLinesAreWhole_AndTheirMemoryIsGivenBackWhenTheyHaveLeft()
    {
        var ring = new LineRing(_memory);
        string[] lines = [.. Enumerable.Range(0, 3).Select(i => new string((char)('a' + i), 40_000)), new('z', 256 << 10)];
        foreach (string line in lines[..3])
            ring.Add(new LineStamp(1, 1, 1), Encoding.ASCII.GetBytes(line));
        Assert.Equal(lines[..3], Read(ring).Select(l => l.Text));
        Assert.Equal(128 << 10, ring.CapacityBytes);

        ring.Add(new LineStamp(1, 1, 1, LineCut.AtStart), Encoding.ASCII.GetBytes(lines[3]));
        Assert.Equal(lines, Read(ring).Select(l => l.Text));
        Assert.Equal(LineCut.AtStart, CutsOf(ring)[^1]);
        Assert.Equal(ring.CapacityBytes - LineRing.MostBytes, _memory.UsedBytes);

        for (int i = 0; i < LineRing.MostLines; i++)
            ring.Add(new LineStamp(i, i, 1), Encoding.ASCII.GetBytes($"{i} {new string('x', 200)}"));
        Assert.Equal(LineRing.MostBytes, ring.CapacityBytes);
        Assert.Equal(0, _memory.UsedBytes);
        Assert.Equal("999 ", Read(ring)[^1].Text[..4]);
        Assert.InRange(ring.Count, LineRing.MostBytes / 2 / 240, LineRing.MostBytes / 228);
    }

    [Fact]
    public void WithoutMemoryForIt_ALineLongerThanTheRingIsCutToHalfOfIt_AtACharacter()
    {
        var ring = new LineRing(new LineMemory(mostBytes: 0));
        ring.Add(new LineStamp(1, 1, 1), "before"u8);
        ring.Add(new LineStamp(2, 2, 1), Encoding.ASCII.GetBytes(new string('y', 40_000)));
        ring.Add(new LineStamp(3, 3, 1), Encoding.UTF8.GetBytes(new string('é', 100_000)));

        Assert.Equal([new string('é', (LineRing.MostBytes / 4) - 14)], Read(ring).Select(l => l.Text));
        Assert.Equal([LineCut.AtEnd], CutsOf(ring));
        Assert.Equal(LineRing.MostBytes, ring.CapacityBytes);
    }

    [Fact]
    public void TheLinesOfARing_AreTheNewest_HoweverLongTheyAre()
    {
        var random = new Random(815);
        var memory = new LineMemory(mostBytes: 1 << 20);
        var rings = new[] { new LineRing(memory), new LineRing(memory), new LineRing(memory) };
        var written = rings.Select(_ => new List<string>()).ToArray();
        for (int i = 0; i < 600; i++)
        {
            int to = random.Next(rings.Length);
            int length = random.Next(random.Next(20) switch { 0 => 300 << 10, 1 => 40_000, _ => 300 });
            written[to].Add(new string((char)('a' + (i % 26)), length));
            rings[to].Add(new LineStamp(i, i, 0), Encoding.ASCII.GetBytes(written[to][^1]));

            List<(long, long, long, string Text)> kept = Read(rings[to]);
            Assert.Equal(kept.Count, rings[to].Count);
            IEnumerable<(string Kept, string Written)> pairs = kept.Select(k => k.Text).Zip(written[to].TakeLast(kept.Count));
            Assert.All(pairs, p => Assert.StartsWith(p.Kept, p.Written, StringComparison.Ordinal));
            Assert.True(kept[^1].Text == written[to][^1] || CutsOf(rings[to])[^1] == LineCut.AtEnd);
            Assert.InRange(memory.UsedBytes, 0, 1 << 20);
        }
        foreach (LineRing ring in rings)
            ring.Forget();
        Assert.Equal(0, memory.UsedBytes);
    }

    [Fact]
    public void OnlyTheNewestAreVisited_IfSoManyAreAskedFor()
    {
        var ring = new LineRing(_memory);
        for (int i = 0; i < 5; i++)
            ring.Add(new LineStamp(i, i, 0), Encoding.ASCII.GetBytes($"{i}"));
        List<string> seen = [];
        ring.ForEach((_, line) => seen.Add(Encoding.ASCII.GetString(line)), newest: 2);
        ring.ForEach((_, line) => seen.Add("none"), newest: 0);

        Assert.Equal(["3", "4"], seen);
    }

    [Fact]
    public void WhatAnInstanceSaidLast_IsShort_HoweverLongItsLinesAre()
    {
        var history = new LogHistory();
        history.RingOf("web", 0).Add(new LineStamp(1, 1, 1), Encoding.ASCII.GetBytes(new string('x', 100_000)));

        Assert.Equal([new string('x', 16 << 10) + " [...]"], history.TailOfInstance("web", 0, instanceId: 1, count: 10));
        Assert.Null(Assert.Single(history.Tail(null, 1)).Cut);
    }

    [Fact]
    public void TheTailOfServices_IsMergedBySequence_AndLimitedForEach()
    {
        var history = new LogHistory();
        history.RingOf("web", 0).Add(new LineStamp(1, 1_000_001, 1), "a"u8);
        history.RingOf("web", 1).Add(new LineStamp(2, 2_000_000, 2), "b"u8);
        history.RingOf("db", 0).Add(new LineStamp(3, 3_000_000, 3), "c"u8);
        history.RingOf("web", 0).Add(new LineStamp(4, 4_000_000, 4), "d"u8);

        Assert.Equal(["b", "c", "d"], history.Tail(null, 2).Select(l => l.Text));
        Assert.Equal(["a", "b", "d"], history.Tail(["web"], 10).Select(l => l.Text));
        Assert.Equal("1970-01-01T00:00:01.000001Z", history.Tail(["web"], 10)[0].Time);
        Assert.Equal(["d"], history.TailOfInstance("web", 0, instanceId: 4, count: 10));
        Assert.Empty(history.Tail(null, 0));
        history.Forget("web");
        Assert.Equal(["c"], history.Tail(null, 2).Select(l => l.Text));
    }

    private static List<LineCut> CutsOf(LineRing ring)
    {
        List<LineCut> cuts = [];
        ring.ForEach((stamp, _) => cuts.Add(stamp.Cut));
        return cuts;
    }

    private static List<(long Sequence, long Time, long Instance, string Text)> Read(LineRing ring)
    {
        var lines = new List<(long, long, long, string)>();
        ring.ForEach((stamp, line) => lines.Add((stamp.Sequence, stamp.UnixMicroseconds, stamp.InstanceId, Encoding.UTF8.GetString(line))));
        return lines;
    }
}
