using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LineSplitterTests
{
    private readonly Collector _lines = new();
    private readonly LineMemory _memory = new();

    [Fact]
    public void LinesOfOneRead_ArePassedOnWithoutTheirNewline()
    {
        var splitter = new LineSplitter(_memory, LineMemory.ShortBytes);

        splitter.Split("one\n\nthree\n"u8, _lines);

        Assert.Equal(["one", "", "three"], _lines.Texts);
        Assert.False(splitter.HasTail);
    }

    [Fact]
    public void EverySplitOfAStream_GivesTheSameLines()
    {
        byte[] stream = Encoding.UTF8.GetBytes("first\nsécond line\n\nlast ✓\n");
        for (int at = 0; at <= stream.Length; at++)
        {
            for (int second = at; second <= stream.Length; second++)
            {
                var lines = new Collector();
                var splitter = new LineSplitter(_memory, LineMemory.ShortBytes);
                splitter.Split(stream.AsSpan(0, at), lines);
                splitter.Split(stream.AsSpan(at, second - at), lines);
                splitter.Split(stream.AsSpan(second), lines);
                Assert.Equal(["first", "sécond line", "", "last ✓"], lines.Texts);
            }
        }
    }

    [Fact]
    public void AnUnterminatedTail_ComesOnFlush_Once()
    {
        var splitter = new LineSplitter(_memory, LineMemory.ShortBytes);
        splitter.Split("a\nrest"u8, _lines);
        Assert.True(splitter.HasTail);

        splitter.Flush(_lines);
        splitter.Flush(_lines);

        Assert.Equal(["a", "rest"], _lines.Texts);
    }

    [Theory]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(16)]
    [InlineData(17)]
    [InlineData(40)]
    public void ALongLine_ComesInMarkedPieces_HoweverItIsRead(int length)
    {
        byte[] stream = Encoding.ASCII.GetBytes(new string('x', length) + "\nshort\n");
        for (int read = 1; read <= stream.Length; read++)
        {
            var lines = new Collector();
            var splitter = new LineSplitter(_memory, longestBytes: 8);
            for (int at = 0; at < stream.Length; at += read)
                splitter.Split(stream.AsSpan(at, Math.Min(read, stream.Length - at)), lines);

            int pieces = (length + 7) / 8;
            Assert.Equal(pieces + 1, lines.Texts.Count);
            Assert.Equal(new string('x', length), string.Concat(lines.Texts.Take(pieces)));
            Assert.Equal("short", lines.Texts[^1]);
            for (int piece = 0; piece < pieces; piece++)
            {
                LineCut expected = (piece > 0 ? LineCut.AtStart : LineCut.None) | (piece < pieces - 1 ? LineCut.AtEnd : LineCut.None);
                Assert.Equal(expected, lines.Cuts[piece]);
            }
            Assert.Equal(LineCut.None, lines.Cuts[^1]);
        }
    }

    [Fact]
    public void ACut_NeverFallsInsideACharacter()
    {
        byte[] stream = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("a✓😀é", 20)) + "\n");
        for (int read = 1; read < 30; read++)
        {
            var lines = new Collector();
            var splitter = new LineSplitter(_memory, longestBytes: 8);
            for (int at = 0; at < stream.Length; at += read)
                splitter.Split(stream.AsSpan(at, Math.Min(read, stream.Length - at)), lines);

            Assert.DoesNotContain(lines.Texts, t => t.Contains('\uFFFD'));
            Assert.Equal(Encoding.UTF8.GetString(stream.AsSpan(..^1)), string.Concat(lines.Texts));
        }
    }

    [Fact]
    public void ContinuationBytesOnly_StillMakeProgress()
    {
        var splitter = new LineSplitter(_memory, longestBytes: 8);

        splitter.Split(Enumerable.Repeat((byte)0x80, 100).ToArray(), _lines);
        splitter.Flush(_lines);

        Assert.Equal(100, _lines.ByteCount);
    }

    [Theory]
    [InlineData(4096)]
    [InlineData(65536)]
    [InlineData(100_000)]
    [InlineData(1_000_000)]
    public void ALineIsWholeUpToTheLimit_AndItsMemoryIsGivenBack(int read)
    {
        string[] lines = [.. ((int[])[256 << 10, 1, 100_000, (256 << 10) - 1, 16 << 10]).Select(n => new string('x', n))];
        byte[] stream = Encoding.ASCII.GetBytes(string.Join('\n', lines) + "\n");
        var splitter = new LineSplitter(_memory, 256 << 10);
        for (int at = 0; at < stream.Length; at += read)
            splitter.Split(stream.AsSpan(at, Math.Min(read, stream.Length - at)), _lines);

        Assert.Equal(lines, _lines.Texts);
        Assert.All(_lines.Cuts, c => Assert.Equal(LineCut.None, c));
        Assert.Equal(0, _memory.UsedBytes);
    }

    [Fact]
    public void TogetherLongLinesGetOnlySoMuchMemory_AndWhoGetsNoneHasItsLineCut()
    {
        var memory = new LineMemory(mostBytes: 512 << 10);
        var splitters = Enumerable.Range(0, 100).Select(_ => new LineSplitter(memory, 256 << 10)).ToArray();
        var lines = splitters.Select(_ => new Collector()).ToArray();
        string text = string.Concat(Enumerable.Repeat("é✓", 20_000));
        byte[] line = Encoding.UTF8.GetBytes(text);
        for (int at = 0; at < line.Length; at += 65536)
        {
            for (int i = 0; i < splitters.Length; i++)
                splitters[i].Split(line.AsSpan(at, Math.Min(65536, line.Length - at)), lines[i]);
            Assert.InRange(memory.UsedBytes, 64 << 10, 512 << 10);
        }
        foreach (int i in Enumerable.Range(0, splitters.Length))
            splitters[i].Split("\nnext\n"u8, lines[i]);

        Assert.Equal(0, memory.UsedBytes);
        Assert.All(lines, l => Assert.Equal(text + "next", string.Concat(l.Texts)));
        Assert.All(lines, l => Assert.Equal(LineCut.None, l.Cuts[^1]));
        Assert.InRange(lines.Count(l => l.Texts.Count == 2), 1, 8);
        Collector cut = lines[^1];
        Assert.All(cut.Texts.SkipLast(3).Select(Encoding.UTF8.GetByteCount),
            n => Assert.InRange(n, LineMemory.ShortBytes - 3, LineMemory.ShortBytes));
        Assert.Equal([LineCut.AtEnd, LineCut.AtStart | LineCut.AtEnd], cut.Cuts[..2]);
        Assert.Equal(LineCut.AtStart, cut.Cuts[^2]);
    }

    [Fact]
    public void WhatIsLeftWhenASourceFails_HoldsNoMemory()
    {
        var splitter = new LineSplitter(_memory, 256 << 10);
        splitter.Split(new byte[100_000], _lines);
        Assert.NotEqual(0, _memory.UsedBytes);

        splitter.Forget();
        splitter.Flush(_lines);

        Assert.Equal(0, _memory.UsedBytes);
        Assert.Empty(_lines.Texts);
    }

    private sealed class Collector : ILineSink
    {
        public List<string> Texts { get; } = [];

        public List<LineCut> Cuts { get; } = [];

        public int ByteCount { get; private set; }

        public void Take(ReadOnlySpan<byte> line, LineCut cut)
        {
            Texts.Add(Encoding.UTF8.GetString(line));
            Cuts.Add(cut);
            ByteCount += line.Length;
        }
    }
}
