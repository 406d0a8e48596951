using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LineRingTests
{
    [Fact]
    public void LinesComeBackInOrder_WithTheirStamps()
    {
        var ring = new LineRing();
        ring.Add(new LineStamp(1, 10, 7), "first"u8);
        ring.Add(new LineStamp(2, 20, 8), ""u8);
        ring.Add(new LineStamp(5, 30, 8), "third"u8);

        Assert.Equal([(1, 10, 7, "first"), (2, 20, 8, ""), (5, 30, 8, "third")], Read(ring));
    }

    [Fact]
    public void AtMostAThousandLines_TheNewest()
    {
        var ring = new LineRing();
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
        var ring = new LineRing();
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
        var ring = new LineRing();
        ring.Add(new LineStamp(1, 1, 1), "started"u8);

        Assert.True(ring.CapacityBytes <= 2048);
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

    private static List<(long Sequence, long Time, long Instance, string Text)> Read(LineRing ring)
    {
        var lines = new List<(long, long, long, string)>();
        ring.ForEach((stamp, line) => lines.Add((stamp.Sequence, stamp.UnixMicroseconds, stamp.InstanceId, Encoding.UTF8.GetString(line))));
        return lines;
    }
}
