using System.Collections.Concurrent;
using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LineQueueTests
{
    private static readonly TimeSpan Generous = TimeSpan.FromSeconds(60);

    private readonly Lanes _lanes = new("lines", most: 3, _ => Assert.Fail("a lane threw"));
    private readonly ConcurrentDictionary<string, long> _lost = new();
    private readonly PumpSeat _nobody = new(_ => { });

    [Fact]
    public void LinesArriveInOrder_AndAReopeningStandsBetweenThem()
    {
        using Target target = new();
        LineQueue queue = Queue(target);
        for (int i = 0; i < 1000; i++)
        {
            queue.Add("web", Encoding.ASCII.GetBytes($"{i}\n"));
            if (i == 500)
                queue.Reopen();
        }

        Assert.True(queue.WaitUntilIdle(End));
        Assert.Equal(string.Concat(Enumerable.Range(0, 1000).Select(i => $"{i}\n" + (i == 500 ? "(reopened)\n" : ""))), target.Text);
        Assert.Empty(_lost);
    }

    [Fact]
    public void ATargetThatHangs_LosesItsOwnLines_CountsThemForTheirService_AndSaysWhere()
    {
        using Target hung = new() { IsHeld = true };
        using Target fine = new();
        LineQueue queue = Queue(hung), other = Queue(fine);
        byte[] line = Encoding.ASCII.GetBytes(new string('x', 999) + "\n");
        const int count = 3000;
        queue.Add("a", line);
        other.Add("c", "fine\n"u8);
        Assert.True(hung.Begun.Wait(Generous));
        for (int i = 1; i < count; i++)
        {
            queue.Add(i % 2 == 0 ? "a" : "b", line);
            other.Add("c", "fine\n"u8);
        }

        Assert.True(other.WaitUntilIdle(End));
        Assert.Equal(count * 5, fine.Text.Length);
        Assert.False(queue.WaitUntilIdle(Environment.TickCount64));
        hung.Release();
        Assert.True(queue.WaitUntilIdle(End));
        queue.Add("a", "after\n"u8);
        Assert.True(queue.WaitUntilIdle(End));

        long lost = _lost["a"] + _lost["b"];
        Assert.InRange(lost, count - (2 * LineQueue.MostBytes / 1000) - 1, count);
        Assert.InRange(_lost["a"] - _lost["b"], -1, 1);
        Assert.EndsWith(" missing)\nafter\n", hung.Text, StringComparison.Ordinal);
        string[] missing = [.. hung.Text.Split('\n').Where(l => l.StartsWith('('))];
        Assert.Equal(lost, missing.Sum(m => long.Parse(m[1..m.IndexOf(' ')])));
        Assert.Equal(count - lost, hung.Text.Count(c => c == '\n') - missing.Length - 1);
    }

    [Fact]
    public void WhatIsMissingAtTheEnd_IsSaidToo_ThoughNoLineFollows()
    {
        using Target hung = new() { IsHeld = true };
        LineQueue queue = Queue(hung);
        byte[] line = Encoding.ASCII.GetBytes(new string('x', 999) + "\n");
        queue.Add("a", line);
        Assert.True(hung.Begun.Wait(Generous));
        for (int i = 0; i < 3000; i++)
            queue.Add("a", line);

        queue.Close();
        hung.Release();
        Assert.True(queue.WaitUntilIdle(End));

        Assert.EndsWith($"x\n({_lost["a"]} missing)\n(closed)\n", hung.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, new[] { 6, 300_001, 6 })]
    [InlineData(true, new[] { 6, 65536, 65536, 65536, 65536, 37857, 6 })]
    public void ALongLineComesWhole_OrInPiecesIfItsTargetTakesThem(bool takesPieces, int[] lengths)
    {
        using Target target = new() { TakesPieces = takesPieces };
        LineQueue queue = Queue(target);
        foreach (string line in (string[])["first\n", new string('x', 300_000) + "\n", "after\n"])
        {
            queue.Add("web", Encoding.ASCII.GetBytes(line));
            Assert.True(queue.WaitUntilIdle(End));
        }

        Assert.Equal(lengths, target.Lengths);
    }

    [Fact]
    public void ALineThatIsLongerThanTheQueue_FindsRoomWhereLittleWaits_AndIsLostWhole()
    {
        using Target target = new() { IsHeld = true };
        LineQueue queue = Queue(target);
        byte[] line = Encoding.ASCII.GetBytes(new string('x', 6 << 20) + "\n");
        queue.Add("web", "first\n"u8);
        Assert.True(target.Begun.Wait(Generous));
        queue.Add("web", line);
        queue.Add("web", line);

        target.Release();
        Assert.True(queue.WaitUntilIdle(End));
        queue.Add("web", "after\n"u8);
        Assert.True(queue.WaitUntilIdle(End));

        Assert.Equal(1, _lost["web"]);
        Assert.Equal("first\n" + Encoding.ASCII.GetString(line) + "(1 missing)\nafter\n", target.Text);
    }

    [Fact]
    public void OneThatHangs_IsPassedOver_UpToSoMany()
    {
        Target[] hung = [new() { IsHeld = true }, new() { IsHeld = true }, new() { IsHeld = true }];
        using Target fine = new();
        LineQueue[] queues = [.. hung.Select(h => Queue(h))];
        foreach (LineQueue queue in queues)
        {
            queue.Add("hung", "x\n"u8);
            Await(LookForLane);
        }
        LineQueue last = Queue(fine);
        last.Add("fine", "y\n"u8);
        _lanes.Look();
        Assert.True(_lanes.HasWaiting);

        hung[1].Release();
        Assert.True(last.WaitUntilIdle(End));
        hung[0].Release();
        hung[2].Release();
        Assert.All(queues, q => Assert.True(q.WaitUntilIdle(End)));
        Assert.Equal("y\n", fine.Text);
        Array.ForEach(hung, h => h.Dispose());
    }

    [Fact]
    public void AFullQueue_TellsWhenThereIsRoom_UnlessItsTargetHangs()
    {
        using Target target = new() { IsHeld = true };
        using SemaphoreSlim room = new(0);
        LineQueue queue = Queue(target, () => room.Release());
        queue.Add("a", "first\n"u8);
        Assert.True(target.Begun.Wait(Generous));
        queue.Add("a", new byte[LineQueue.FullBytes]);
        // It may have been held for longer than anybody waits already: then it is not full but hangs.
        bool full = queue.IsFull;
        Await(() => !queue.IsFull);

        target.Release();
        Assert.True(queue.WaitUntilIdle(End));
        Assert.False(queue.IsFull);
        Assert.InRange(room.CurrentCount, 0, full ? 1 : 0);
    }

    [Fact]
    public void Closing_ComesAfterTheLastLine_AndNotAtAllIfItIsUsedAgain()
    {
        using Target target = new();
        LineQueue queue = Queue(target);
        queue.Add("a", "one\n"u8);
        queue.Close();
        Assert.True(queue.WaitUntilIdle(End));
        Assert.Equal("one\n(closed)\n", target.Text);
        queue.Keep();
        queue.Add("a", "two\n"u8);
        Assert.True(queue.WaitUntilIdle(End));
        using ManualResetEventSlim idle = new();
        queue.WhenIdle(idle.Set);
        Assert.True(idle.Wait(Generous));
        Assert.Equal("one\n(closed)\ntwo\n", target.Text);
    }

    private static long End => Environment.TickCount64 + (long)Generous.TotalMilliseconds;

    private static void Await(Func<bool> condition)
    {
        while (!condition())
            Thread.Yield();
    }

    private bool LookForLane()
    {
        _lanes.Look();
        return !_lanes.HasWaiting;
    }

    private LineQueue Queue(Target target, Action? onRoom = null) =>
        new(target, _lanes, Lose, onRoom) { IsLeftToLanes = true, OnOwed = q => q.WriteOut(_nobody) };

    private void Lose(string? service, long lines) => _lost.AddOrUpdate(service ?? "", lines, (_, before) => before + lines);

    private sealed class Target : ILineTarget
    {
        private readonly StringBuilder _text = new();
        private readonly ManualResetEventSlim _gate = new(true);

        public ManualResetEventSlim Begun { get; } = new();

        public bool IsHeld
        {
            init
            {
                if (value)
                    _gate.Reset();
            }
        }

        public string Text => _text.ToString();

        public bool IsWaiting => false;

        public bool TakesPieces { get; init; }

        public List<int> Lengths { get; } = [];

        public void Release() => _gate.Set();

        public long Write(ReadOnlySpan<byte> lines, long lostBefore)
        {
            Begun.Set();
            Assert.True(_gate.Wait(Generous));
            if (lostBefore > 0)
                _text.Append($"({lostBefore} missing)\n");
            _text.Append(Encoding.ASCII.GetString(lines));
            Lengths.Add(lines.Length);
            return 0;
        }

        public void Reopen() => _text.Append("(reopened)\n");

        public void Dispose() => _text.Append("(closed)\n");
    }
}
