using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Host;
using Launchd.Interop;
using Launchd.Logs;
using Launchd.Model;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>A program that holds the lock of its pipe keeps nobody waiting but itself.</summary>
[Collection(nameof(Host.Supervisors))]
public sealed class HeldPipeTests
{
    [Fact]
    public void AHeldPipe_StopsNoOtherSource_AndItsLinesComeWhenItIsLetGo()
    {
        using var harness = new PumpHarness();
        using FileDescriptor other = harness.AddSource(1, "other");
        (HeldPipe hold, FileDescriptor read, FileDescriptor write) = HeldPipe.With("before\n");
        harness.Pump.Add(Source(2, "held"), read);

        PumpHarness.Write(other, "one\n");
        Await(harness, "other", "one");
        // Its siblings are not touched by the pump any more, and are read all the same.
        using FileDescriptor sibling = harness.AddSource(3, "held", slot: 1);
        PumpHarness.Write(sibling, "sibling\n");
        Await(harness, "held", "sibling");
        PumpHarness.Write(sibling, "again\n");
        Await(harness, "held", "again");
        Assert.DoesNotContain("before", harness.Tail("held"));

        hold.Release("late\n");
        Await(harness, "held", "late");
        PumpHarness.Write(write, "more\n");
        Await(harness, "held", "more");
        Assert.Equal(["before", "late", "more"], harness.Tail("held").Where(l => l is not ("sibling" or "again")));
        Assert.Contains(harness.Notices, n => n is PumpNotice.SourceHangs { Label: "held.0", Stream: "output" });
        Assert.Equal(1, harness.Pump.Counters.PassedOver);
        write.Dispose();
        sibling.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 2);
    }

    [Fact]
    public void ManyHeldPipes_StopNoOtherSource()
    {
        const int count = 40;
        using var harness = new PumpHarness();
        using FileDescriptor other = harness.AddSource(1, "other");
        var holds = new List<(HeldPipe Hold, FileDescriptor Write)>();
        for (int i = 0; i < count; i++)
        {
            (HeldPipe hold, FileDescriptor read, FileDescriptor write) = HeldPipe.With("x\n");
            holds.Add((hold, write));
            harness.Pump.Add(Source(10 + i, $"held{i}"), read);
        }

        PumpHarness.Write(other, "one\n");
        Await(harness, "other", "one");

        foreach ((HeldPipe hold, FileDescriptor write) in holds)
        {
            hold.Release("y\n");
            write.Dispose();
        }
        harness.RunUntil(() => harness.Ended.Count == count);
    }

    [Fact]
    public void WhatWasReadInTheTurnThatHung_IsPassedOnWithoutAnythingMoreHappening()
    {
        using var harness = new PumpHarness();
        using FileDescriptor other = harness.AddSource(1, "other");
        (HeldPipe hold, FileDescriptor read, FileDescriptor write) = HeldPipe.With("");
        harness.Pump.Add(Source(2, "held"), read);
        var lines = new List<string>();
        using LogFollower follower = harness.Pump.Follow(null, lines: 0, (batch, lost) => lines.AddRange(batch.Select(l => l.Text)));
        harness.Settle();

        using (harness.Hold())
        {
            PumpHarness.Write(other, "one\n");
            harness.Pump.Flush(1, () => { });
            harness.Pump.Flush(2, () => { });
        }
        harness.RunUntil(() => lines.Count == 1);

        hold.Release("y\n");
        write.Dispose();
    }

    [Fact]
    public void WhatLanesReadIsReadOn_ThoughAnotherPipeHungBeforeItsTurnCame()
    {
        using var harness = new PumpHarness();
        (HeldPipe first, FileDescriptor firstRead, FileDescriptor firstWrite) = HeldPipe.With("x\n");
        harness.Pump.Add(Source(1, "slow"), firstRead);
        harness.RunUntil(() => harness.Notices.Count == 1);
        first.Release("y\n");
        Await(harness, "slow", "y");
        (HeldPipe second, FileDescriptor secondRead, FileDescriptor secondWrite) = HeldPipe.With("");
        harness.Pump.Add(Source(2, "held"), secondRead);
        harness.Settle();

        // The request is carried out first, and hangs: what the kernel has said of the line, once, is forgotten with the turn.
        using (harness.Hold())
        {
            harness.Pump.Flush(2, () => { });
            PumpHarness.Write(firstWrite, "late\n");
        }
        Await(harness, "slow", "late");

        second.Release("y\n");
        firstWrite.Dispose();
        secondWrite.Dispose();
    }

    [Fact]
    public void LastWordsThatALaneReads_AreShownBeforeTheEnd()
    {
        using Scratch scratch = new();
        using FileDescriptor file = PumpCalls.Open(scratch.At("shown"), Libc.O_WRONLY | 0x40, mode: 0b110_000_000, out _)!;
        using var harness = new PumpHarness(file);
        (HeldPipe hold, FileDescriptor read, FileDescriptor write) = HeldPipe.With("x\n");
        harness.Pump.Add(Source(1, "slow"), read);
        harness.RunUntil(() => harness.Notices.Count == 1);
        hold.Release("y\n");
        Await(harness, "slow", "y");

        // In one turn, as when a service ends and the supervisor with it.
        Thread stopping;
        using (harness.Hold())
        {
            PumpHarness.Write(write, "bye\n");
            write.Dispose();
            harness.Pump.Close(1);
            stopping = PumpHarness.Start(() => Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30))));
        }
        PumpHarness.Join(stopping);

        Assert.EndsWith("bye\n", File.ReadAllText(scratch.At("shown")), StringComparison.Ordinal);
    }

    [Fact]
    public void ClosingAndStopping_WaitForNoHeldPipe()
    {
        var harness = new PumpHarness();
        FileDescriptor other = harness.AddSource(1, "other");
        (HeldPipe hold, FileDescriptor read, FileDescriptor write) = HeldPipe.With("");
        harness.Pump.Add(Source(2, "held"), read);
        PumpHarness.Write(other, "last words\n");

        // Nothing is in it, so the pump does not touch it before this.
        harness.Pump.Close(2);
        bool flushed = false;
        harness.Pump.Flush(2, () => flushed = true);
        harness.RunUntil(() => flushed);
        Await(harness, "other", "last words");
        Assert.False(harness.Pump.Stop(TimeSpan.FromSeconds(30)));

        hold.Release("y\n");
        other.Dispose();
        write.Dispose();
        harness.Dispose();
    }

    [Fact]
    public void AHeldPipeOfReadiness_KeepsNobodyElseFromBeingReady()
    {
        using var harness = new PumpHarness();
        (HeldPipe hold, FileDescriptor held, FileDescriptor heldWrite) = HeldPipe.With("not yet");
        (FileDescriptor read, FileDescriptor write) = PumpHarness.Pipe();
        var ready = new List<string>();
        harness.Pump.WatchReady(Source(1, "held", "ready"), held, () => ready.Add("held"));
        harness.Pump.WatchReady(Source(2, "other", "ready"), read, () => ready.Add("other"));

        PumpHarness.Write(write, "\n");
        harness.RunUntil(() => ready.Count == 1);
        Assert.Equal(["other"], ready);
        hold.Release("now\n");
        harness.RunUntil(() => ready.Count == 2);

        Assert.Equal(["other", "held"], ready);
        write.Dispose();
        heldWrite.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AHeldPipeAsOurOwnOutput_CostsItsLinesAlone(bool byProcess)
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        var harness = new PumpHarness(display, byProcess: byProcess);
        var hold = new HeldPipe(display);
        string path = harness.Folder + "/web.log";
        FileDescriptor web = harness.AddSource(1, file: new LogPolicy { FilePath = path, Timestamps = false });
        string block = string.Concat(Enumerable.Repeat(new string('x', 99) + "\n", 500));
        for (int i = 0; i < 100; i++)
            PumpHarness.Write(web, block);
        web.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 1);

        Assert.Equal(50_000, File.ReadLines(path).Count());
        Assert.InRange(harness.Pump.Counters.DisplayLostLines, 1, 50_000);
        Assert.Equal(harness.Pump.Counters.DisplayLostLines, harness.Pump.Counters.LostLinesOf("web"));
        Assert.False(harness.Pump.Stop(TimeSpan.Zero));
        hold.Release("y\n");
        reader.Dispose();
        display.Dispose();
        harness.Dispose();
    }

    [Fact]
    public void AProcessThatWrites_LosesNothing_AndIsReplacedByUsWhenItIsKilled()
    {
        const int count = 20_000;
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var harness = new PumpHarness(display, byProcess: true);
        FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "first\n");
        Assert.Equal(["web.0 │ first"], PumpHarness.ReadLines(reader, 1));

        Living.Kill(Writer());
        byte[] shown = [];
        Thread reading = PumpHarness.Start(() => shown = PumpHarness.ReadAll(reader));
        for (int i = 0; i < count; i++)
            PumpHarness.Write(web, $"{i}\n");
        web.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 1);
        Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));
        harness.Display!.Dispose();
        display.Dispose();
        PumpHarness.Join(reading);

        // One may come twice, the first as well: nobody knows of a write whether it was before the kill.
        string[] lines = Encoding.UTF8.GetString(shown).Split('\n');
        Assert.Equal(
            count - harness.Pump.Counters.DisplayLostLines,
            lines.Where(l => l.StartsWith("web", StringComparison.Ordinal) && !l.EndsWith("first", StringComparison.Ordinal))
                .Distinct().Count());
        reader.Dispose();
    }

    /// <summary>The one child that a thread of this process made to write.</summary>
    private static int Writer() => Directory.GetDirectories("/proc/self/task")
        .SelectMany(task => File.ReadAllText(task + "/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Select(int.Parse)
        .First(child => File.ReadAllText($"/proc/{child}/comm") == "log writer\n");

    private static OutputSource Source(long instanceId, string service, string stream = "output") =>
        new() { InstanceId = instanceId, Service = service, Slot = 0, Stream = stream };

    private static void Await(PumpHarness harness, string service, string line)
    {
        long end = Environment.TickCount64 + 60_000;
        while (!harness.Tail(service).Contains(line))
            Assert.True(Environment.TickCount64 < end, $"{line} of {service} does not come");
    }
}
