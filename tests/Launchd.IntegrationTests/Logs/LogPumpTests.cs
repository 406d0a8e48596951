using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Control;
using Launchd.IntegrationTests.Support;
using Launchd.Logs;
using Launchd.Model;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

public sealed class LogPumpTests
{
    [Fact]
    public void LinesOfServices_AreShownWithAlignedPrefixes_InOrder()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var harness = new PumpHarness(display);
        harness.Pump.KnowServices([("web", 1), ("database", 12)]);
        using FileDescriptor web = harness.AddSource(1);
        using FileDescriptor database = harness.AddSource(2, "database", slot: 11);

        PumpHarness.Write(web, "one\r\nt\x1b[31mw\x1b[0mo\x07\n");
        Assert.Equal(["web.0       │ one", "web.0       │ two\\x07"], PumpHarness.ReadLines(reader, 2));
        PumpHarness.Write(database, "three\n");
        Assert.Equal(["database.11 │ three"], PumpHarness.ReadLines(reader, 1));
        display.Dispose();
        reader.Dispose();
    }

    [Fact]
    public void TheEndOfASource_ComesAfterItsLastLine_AlsoWithoutNewline()
    {
        using var harness = new PumpHarness();
        FileDescriptor output = harness.AddSource(7);
        FileDescriptor error = harness.AddSource(7, stream: "error");
        PumpHarness.Write(output, "line\nand the rest");
        output.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 1);
        Assert.Equal(["line", "and the rest"], harness.Tail());

        error.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 2);
        Assert.Equal([(7L, "output"), (7L, "error")], harness.Ended);
        Assert.Empty(harness.Notices);
    }

    [Fact]
    public void Flush_ProcessesEverythingWrittenBefore_AndOnlyThatInstancesLinesAreReported()
    {
        using var harness = new PumpHarness();
        using FileDescriptor first = harness.AddSource(1);
        using FileDescriptor second = harness.AddSource(2);
        PumpHarness.Write(first, string.Concat(Enumerable.Range(0, 500).Select(i => $"first {i}\n")) + "unterminated");
        PumpHarness.Write(second, "other\n");

        harness.Flush(1);
        string[]? lines = null;
        harness.Pump.TailOfInstance("web", 0, instanceId: 1, count: 3, l => lines = l);
        harness.RunUntil(() => lines is not null);

        Assert.Equal(["first 498", "first 499", "unterminated"], lines!);
    }

    [Fact]
    public void ALongLine_IsOneLineEverywhere_AndWhatIsLongerIsMarkedEverywhere()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        string text = string.Concat(Enumerable.Repeat("é\t", 60_000)), ascii = new('x', 40_000);
        string path;
        List<LogLine> followed = [];
        using (var harness = new PumpHarness(display))
        {
            path = harness.Folder + "/web.log";
            using FileDescriptor web = harness.AddSource(1, file: new LogPolicy { FilePath = path, Timestamps = false, MaxSizeBytes = 1 });
            using FileDescriptor cut = harness.AddSource(2, "cut", longest: 25_000);
            LogFollower? follower = null;
            follower = harness.Pump.Follow(["web", "cut"], 0, (lines, lost) =>
            {
                followed.AddRange(lines);
                follower!.Continue();
            });
            Thread writing = PumpHarness.Start(() => PumpHarness.Write(web, text + "\n"));
            Assert.Equal(["web.0 │ " + text], PumpHarness.ReadLines(reader, 1));
            PumpHarness.Join(writing);
            writing = PumpHarness.Start(() => PumpHarness.Write(cut, ascii + "\n"));
            Assert.Equal(
                ["cut.0 │ " + ascii[..25_000] + " [...]", "cut.0 │ [...] " + ascii[25_000..]], PumpHarness.ReadLines(reader, 2));
            PumpHarness.Join(writing);
            harness.Pump.ShowAsJson(true);
            string json = $$"""{"text":"{{new string('y', 200_000)}}"}""";
            writing = PumpHarness.Start(() => PumpHarness.Write(web, json + "\n"));
            Assert.EndsWith($"\"stream\":\"output\",\"object\":{json}}}", Assert.Single(PumpHarness.ReadLines(reader, 1)));
            PumpHarness.Join(writing);

            harness.RunUntil(() => followed.Count == 4);
            LogLine[]? remembered = null;
            harness.Pump.Tail(null, 10, lines => remembered = lines);
            harness.RunUntil(() => remembered is not null);
            Assert.Equal([text, ascii[..25_000], ascii[25_000..], json], followed.Select(l => l.Text));
            Assert.Equal([null, "end", "start", null], followed.Select(l => l.Cut));
            Assert.Equal(followed, remembered);
            // Where the disk was slow once, lanes write the file, for which the pump does not wait.
            long end = Environment.TickCount64 + 60_000;
            while (!File.Exists(path + ".1") || !File.Exists(path) || !File.ReadAllText(path).EndsWith('\n'))
                Assert.True(Environment.TickCount64 < end, "the file is not written");
            Assert.Equal(text + "\n", File.ReadAllText(path + ".1"));
            Assert.Equal(json + "\n", File.ReadAllText(path));
            Assert.Equal(0, harness.Pump.Counters.FollowerLostLines + harness.Pump.Counters.DisplayLostLines);
        }
        display.Dispose();
        reader.Dispose();
    }

    [Fact]
    public void ARestingTail_IsShownAfterAWhile()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var harness = new PumpHarness(display, tailPatience: TimeSpan.FromMilliseconds(20));
        using FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "password: ");

        Assert.Equal(["web.0 │ password: "], PumpHarness.ReadLines(reader, 1));
        PumpHarness.Write(web, "ok\n");
        Assert.Equal(["web.0 │ ok"], PumpHarness.ReadLines(reader, 1));
        display.Dispose();
        reader.Dispose();
    }

    [Fact]
    public void Close_EndsSourcesThatOthersStillHold()
    {
        using var harness = new PumpHarness();
        using FileDescriptor heldByADaemon = harness.AddSource(3);
        PumpHarness.Write(heldByADaemon, "last\n");
        harness.Pump.Close(3);

        harness.RunUntil(() => harness.Ended.Count == 1);

        Assert.Equal(["last"], harness.Tail());
        // A child of a test beside this one may have a copy of the pump's end until it executes its program.
        Assert.NotEqual(0, Polling.Await(heldByADaemon.Number, 0, Deadline.Generous));
        Assert.Equal(-1, PumpCalls.Write(heldByADaemon.Number, "x"u8, out Errno error));
        Assert.Equal(Errno.EPIPE, error);
    }

    [Fact]
    public void AFloodBesideAChatter_LosesNothingOfTheChatter()
    {
        const int chatterLines = 2000;
        using var harness = new PumpHarness();
        FileDescriptor flood = harness.AddSource(1, "flood");
        var policy = new LogPolicy { FilePath = harness.Folder + "/chatter.log", Timestamps = false };
        FileDescriptor chatter = harness.AddSource(2, "chatter", file: policy);
        byte[] block = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(new string('f', 99) + "\n", 600)));
        bool enough = false;
        Thread flooding = PumpHarness.Start(() =>
        {
            while (!Volatile.Read(ref enough))
                PumpHarness.Write(flood, block);
            flood.Dispose();
        });

        for (int i = 0; i < chatterLines; i++)
            PumpHarness.Write(chatter, $"chatter {i}\n");
        chatter.Dispose();
        harness.RunUntil(() => harness.Ended.Contains((2, "output")));
        Volatile.Write(ref enough, true);
        PumpHarness.Join(flooding);
        harness.RunUntil(() => harness.Ended.Contains((1, "output")));

        Assert.True(harness.Pump.Counters.ReadBytes > block.Length, "the flood did not run");
        Assert.Equal(Enumerable.Range(0, chatterLines).Select(i => $"chatter {i}"), File.ReadLines(harness.Folder + "/chatter.log"));
        Assert.Equal(Enumerable.Range(chatterLines - 1000, 1000).Select(i => $"chatter {i}"), harness.Tail("chatter"));
    }

    [Fact]
    public void AMatch_IsPostedOnce_FromEitherStream()
    {
        using var harness = new PumpHarness();
        int matches = 0;
        harness.Pump.WatchForMatch(5, "^listening on [0-9]+$", () => matches++);
        using FileDescriptor output = harness.AddSource(5);
        using FileDescriptor error = harness.AddSource(5, stream: "error");
        using FileDescriptor other = harness.AddSource(6);
        PumpHarness.Write(other, "listening on 1\n");
        harness.Flush(6);
        Assert.Equal(0, matches);

        PumpHarness.Write(error, "starting\nlistening on 8080\n");
        harness.RunUntil(() => matches == 1);
        PumpHarness.Write(output, "listening on 8081\n");
        harness.Flush(5);

        Assert.Equal(1, matches);
    }

    [Fact]
    public void APatternIsForgottenWithItsInstance_ThoughItNeverHadAPipe()
    {
        using var harness = new PumpHarness();
        int matches = 0;
        harness.Pump.WatchForMatch(5, "ready", () => matches++);
        harness.Pump.Close(5);

        using FileDescriptor output = harness.AddSource(5);
        PumpHarness.Write(output, "ready\n");
        harness.Flush(5);

        Assert.Equal(0, matches);
    }

    [Theory]
    [InlineData("(", typeof(ArgumentException))]
    [InlineData(@"(a)\1", typeof(NotSupportedException))]
    public void AWrongPattern_IsRefusedAtOnce(string pattern, Type expected)
    {
        using var harness = new PumpHarness();
        Exception? refusal = Record.Exception(() => harness.Pump.WatchForMatch(1, pattern, () => { }));
        Assert.IsAssignableFrom(expected, refusal);
    }

    [Fact]
    public void AFollower_GetsTheTailAndThenEveryLine_WithoutGap()
    {
        using var harness = new PumpHarness();
        using FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "1\n2\n3\n");
        harness.Flush(1);
        var seen = new List<string>();
        long lost = 0;
        LogFollower? follower = null;
        follower = harness.Pump.Follow(["web"], lines: 2, (lines, missed) =>
        {
            seen.AddRange(lines.Select(l => l.Text));
            lost += missed;
            follower!.Continue();
        });
        harness.Settle();
        for (int i = 4; i <= 300; i++)
            PumpHarness.Write(web, $"{i}\n");

        harness.RunUntil(() => seen.Count == 299);

        Assert.Equal(Enumerable.Range(2, 299).Select(i => $"{i}"), seen);
        Assert.Equal(0, lost);
        follower.Dispose();
    }

    [Fact]
    public void AFollowerThatDoesNotContinue_GetsNothingMore_AndMissesTheOldest()
    {
        using var harness = new PumpHarness();
        using FileDescriptor web = harness.AddSource(1);
        var batches = new List<(LogLine[] Lines, long Lost)>();
        LogFollower follower = harness.Pump.Follow(null, lines: 0, (lines, lost) => batches.Add((lines, lost)));
        PumpHarness.Write(web, "first\n");
        harness.RunUntil(() => batches.Count == 1);

        PumpHarness.Write(web, string.Concat(Enumerable.Range(0, LogFollower.MostLines + 500).Select(i => $"{i}\n")));
        harness.Flush(1);
        Assert.Single(batches);
        follower.Continue();
        harness.RunUntil(() => batches.Count == 2);

        Assert.Equal(500, batches[1].Lost);
        Assert.Equal(LogFollower.MostLines, batches[1].Lines.Length);
        Assert.Equal("500", batches[1].Lines[0].Text);
        Assert.Equal(500, harness.Pump.Counters.FollowerLostLines);
        follower.Dispose();
        follower.Continue();
        PumpHarness.Write(web, "after\n");
        harness.Flush(1);
        Assert.Equal(2, batches.Count);
    }

    [Fact]
    public void WhatIsAskedBeforeALineIsWritten_IsCarriedOutBeforeTheLineIsRead()
    {
        using var harness = new PumpHarness();
        using FileDescriptor web = harness.AddSource(1);
        harness.Settle();
        var lines = new List<string>();

        // Both are ready when the pump comes back.
        using (harness.Hold())
        {
            _ = harness.Pump.Follow(null, lines: 0, (batch, lost) => lines.AddRange(batch.Select(l => l.Text)));
            PumpHarness.Write(web, "first\n");
        }
        harness.RunUntil(() => lines.Count == 1);

        Assert.Equal(["first"], lines);
    }

    [Fact]
    public void AFaultInOneSource_ClosesThatOneOnly()
    {
        using var harness = new PumpHarness();
        using FileDescriptor web = harness.AddSource(1);

        // A directory can be opened but not read, epoll refuses it: the worst that a wrong descriptor can do.
        FileDescriptor directory = PumpCalls.Open(harness.Folder, flags: 0, mode: 0, out _)!;
        harness.Pump.Add(new OutputSource { InstanceId = 2, Service = "odd", Slot = 0, Stream = "output" }, directory);
        harness.RunUntil(() => harness.Ended.Contains((2, "output")));
        harness.RunUntil(() => harness.Notices.Count == 1);
        PumpHarness.Write(web, "still here\n");
        harness.Flush(1);

        Assert.IsType<PumpNotice.SourceFailed>(harness.Notices[0]);
        Assert.Equal(["still here"], harness.Tail());
        Assert.Equal(1, harness.Pump.Counters.Faults);
    }

    [Fact]
    public void AnIdlePump_DoesNotWakeUp()
    {
        (FileDescriptor ownReader, FileDescriptor ownDisplay) = PumpHarness.Pipe();
        using var harness = new PumpHarness(ownDisplay, tailPatience: TimeSpan.FromMilliseconds(1));
        using FileDescriptor quiet = harness.AddSource(1);
        using FileDescriptor busy = harness.AddSource(2, "busy");
        PumpHarness.Write(busy, "a tail that is flushed");
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var other = new PumpHarness(display, tailPatience: TimeSpan.FromMilliseconds(20));
        PumpHarness.ReadLines(ownReader, 1);
        // Time passes while another pump waits for its resting tail ten times: ten timeouts of which this one must see none. Its first
        // window may still see it on the way to its sleep; a pump that wakes by itself shows it in every window.
        using FileDescriptor clock = other.AddSource(3, "clock");
        bool slept = Enumerable.Range(0, 5).Any(_ =>
        {
            long turns = SleepingTurns(harness.Pump);
            for (int i = 0; i < 10; i++)
            {
                PumpHarness.Write(clock, "tick");
                PumpHarness.ReadLines(reader, 1);
            }
            return SleepingTurns(harness.Pump) == turns;
        });

        Assert.True(slept);
        ownDisplay.Dispose();
        ownReader.Dispose();
        display.Dispose();
        reader.Dispose();
    }

    [Fact]
    public void ManySilentSources_RememberNothing_AndAllEnd()
    {
        using var harness = new PumpHarness();
        FileDescriptor[] writers = [.. Enumerable.Range(0, 300).Select(i => harness.AddSource(i, $"s{i}"))];
        harness.Settle();
        LogLine[]? lines = null;
        harness.Pump.Tail(null, 10, l => lines = l);
        harness.RunUntil(() => lines is not null);
        Assert.Empty(lines!);

        foreach (FileDescriptor writer in writers)
            writer.Dispose();
        harness.RunUntil(() => harness.Ended.Count == writers.Length);
    }

    /// <summary>The pump's turns, once its thread sleeps in the kernel; its context switches say the same from outside.</summary>
    private static long SleepingTurns(LogPump pump)
    {
        string status = $"/proc/self/task/{pump.ThreadNumber}/status";
        string[] lines;
        do
        {
            lines = File.ReadAllLines(status);
            Thread.Yield();
        }
        while (!lines.Single(l => l.StartsWith("State:", StringComparison.Ordinal))["State:".Length..].Contains('S'));
        Assert.Equal("log pump", File.ReadAllText($"/proc/self/task/{pump.ThreadNumber}/comm").TrimEnd());
        return pump.Counters.Turns
            + long.Parse(lines.Single(l => l.StartsWith("voluntary_ctxt_switches:", StringComparison.Ordinal)).Split(':')[1]);
    }
}
