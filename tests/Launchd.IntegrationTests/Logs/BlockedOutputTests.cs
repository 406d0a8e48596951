using System.Runtime.InteropServices;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Host;
using Launchd.Interop;
using Launchd.Logs;
using Launchd.Model;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>
/// The supervisor's own output is full, closed, stuck or slow. Beside no test that starts processes: a child has copies of everything
/// until it executes its program, and a pipe of whose reader there is a copy is not closed.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class BlockedOutputTests
{
    private static readonly string Line = new string('x', 99) + "\n";

    [Fact]
    public void AFullDeviceAsOutput_LosesLinesAndNothingElse()
    {
        using FileDescriptor full = PumpCalls.Open("/dev/full", Libc.O_WRONLY, mode: 0, out _)!;
        using var harness = new PumpHarness(full);
        using FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "one\ntwo\n");
        harness.Flush(1);
        PumpHarness.Write(web, "three\n");
        harness.Flush(1);
        harness.Settle();

        Assert.Equal(["one", "two", "three"], harness.Tail());
        Assert.Equal(3, harness.Pump.Counters.DisplayLostLines);
        Assert.Equal(0, harness.Pump.Counters.Faults);
    }

    [Fact]
    public void LinesThatTheirLabelsMakeManyTimesLonger_AreAllWritten()
    {
        const int count = 100_000;
        using Scratch scratch = new();
        using FileDescriptor file = PumpCalls.Open(scratch.At("shown"), Libc.O_WRONLY | 0x40, mode: 0b110_000_000, out _)!;
        using var harness = new PumpHarness(file);
        using FileDescriptor web = harness.AddSource(1, "a-service-with-a-long-name");
        PumpHarness.Join(PumpHarness.Start(() => PumpHarness.Write(web, string.Concat(Enumerable.Repeat("y\n", count)))));
        harness.Flush(1);

        Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));

        Assert.Equal(0, harness.Pump.Counters.DisplayLostLines);
        Assert.Equal(count, File.ReadLines(scratch.At("shown")).Count());
    }

    [Fact]
    public void AClosedReader_IsSurvived()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var harness = new PumpHarness(display);
        using FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "seen\n");
        PumpHarness.ReadLines(reader, 1);
        reader.Dispose();

        for (int i = 0; i < 20; i++)
        {
            PumpHarness.Write(web, $"{i}\n");
            harness.Flush(1);
        }

        Assert.Equal(21, harness.Tail().Length);
        Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));
        Assert.Equal(20, harness.Pump.Counters.DisplayLostLines);
        display.Dispose();
    }

    [Fact]
    public void AReaderThatWasGoneBefore_IsSurvivedToo()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        reader.Dispose();
        using var harness = new PumpHarness(display);
        using FileDescriptor web = harness.AddSource(1);
        PumpHarness.Write(web, "line\n");
        harness.Flush(1);
        // A lane writes to a pipe, and is waited for at the end.
        Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));

        Assert.Equal(1, harness.Pump.Counters.DisplayLostLines);
        Assert.Equal(Errno.EPIPE, harness.Display!.LastError);
        display.Dispose();
    }

    [Fact]
    public void AStuckReader_DelaysNobody_AndLearnsWhatItMissed()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using var harness = new PumpHarness(display);
        harness.Pump.KnowServices([("web", 1), ("other", 1)]);
        using FileDescriptor web = harness.AddSource(1);
        var policy = new LogPolicy { FilePath = harness.Folder + "/other.log", Timestamps = false };
        using FileDescriptor other = harness.AddSource(2, "other", file: policy);
        const int count = 20_000;
        Thread writing = PumpHarness.Start(() =>
        {
            for (int i = 0; i < count; i++)
                PumpHarness.Write(web, Line);
        });
        PumpHarness.Join(writing);
        harness.Flush(1);
        PumpHarness.Write(other, "other\n");
        harness.Flush(2);
        string path = harness.Folder + "/other.log";
        while (!File.Exists(path) || File.ReadAllText(path) != "other\n")
            Thread.Yield();
        harness.Settle();
        long lost = harness.Pump.Counters.DisplayLostLines;
        Assert.InRange(lost, 1, count);

        Thread ending = PumpHarness.Start(() =>
        {
            Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));
            harness.Display!.Dispose();
            display.Dispose();
        });
        string[] lines = Encoding.UTF8.GetString(PumpHarness.ReadAll(reader)).TrimEnd('\n').Split('\n');
        PumpHarness.Join(ending);

        // The other's short line may still have found room, after the announcement; then none is missing after it.
        string[] announcements = [.. lines.Where(l => l.StartsWith("launchd-cs: ", StringComparison.Ordinal))];
        string[] shown = [.. lines.Except(announcements.Append("web.0   │ " + Line.TrimEnd()))];
        Assert.Equal($"launchd-cs: {lost} lines lost", Assert.Single(announcements));
        Assert.True(shown is [] or ["other.0 │ other"], string.Join('\n', shown));
        Assert.Equal(count + 1, lost + lines.Length - announcements.Length);
        reader.Dispose();
    }

    [Fact]
    public void AReaderThatKeepsUp_LosesNothing()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        var harness = new PumpHarness(display);
        FileDescriptor web = harness.AddSource(1);
        byte[] block = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(Line, 1000)));
        const int blocks = 100;
        byte[] shown = [];
        Thread reading = PumpHarness.Start(() => shown = PumpHarness.ReadAll(reader));
        for (int i = 0; i < blocks; i++)
            PumpHarness.Write(web, block);
        web.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 1);
        Assert.True(harness.Pump.Stop(TimeSpan.FromSeconds(30)));
        long lost = harness.Pump.Counters.DisplayLostLines;
        harness.Dispose();
        display.Dispose();
        PumpHarness.Join(reading);

        int notices = Encoding.UTF8.GetString(shown).Split('\n').Count(l => l.StartsWith("launchd-cs: ", StringComparison.Ordinal));
        Assert.Equal((blocks * 1000) - lost + notices, shown.Count(b => b == '\n'));
        Assert.Equal(lost > 0, notices > 0);
        reader.Dispose();
    }

    [Fact]
    public void TheFlagsOfASharedPipe_StayAsTheyAre()
    {
        (FileDescriptor reader, FileDescriptor display) = PumpHarness.Pipe();
        using (OutputWriter writer = OutputWriter.Open(display))
        {
            while (!writer.IsBlocked)
            {
                writer.WriteLines(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(Line, 100))));
                writer.Flush();
            }
            Assert.Equal(0, Libc.fcntl(display.Number, Libc.F_GETFL, 0) & Libc.O_NONBLOCK);
        }
        reader.Dispose();
        display.Dispose();
    }

    [Fact]
    public void ASocketAsOutput_NeverBlocks_AndItsFlagsStay()
    {
        int[] ends = new int[2];
        Assert.Equal(0, SocketPair(1, 1 | 0x80000, 0, ref ends[0]));
        using var display = new FileDescriptor(ends[0]);
        using var reader = new FileDescriptor(ends[1]);
        using OutputWriter writer = OutputWriter.Open(display);
        for (int i = 0; i < 200_000 && writer.LostLines == 0; i++)
            writer.WriteLines(Encoding.ASCII.GetBytes(Line));

        Assert.True(writer.IsBlocked);
        Assert.True(writer.LostLines > 0);
        Assert.Equal(0, Libc.fcntl(display.Number, Libc.F_GETFL, 0) & Libc.O_NONBLOCK);
    }

    [Fact]
    public void WhatIsMissingBehindTheLastLine_IsSaid()
    {
        string path = Path.GetTempFileName();
        using (FileDescriptor file = PumpCalls.Open(path, Libc.O_WRONLY, mode: 0, out _)!)
        using (OutputWriter writer = OutputWriter.Open(file))
        {
            writer.WriteLines("one\n"u8);
            writer.Miss(2);
            writer.WriteLines([]);
            writer.Flush();
        }
        Assert.Equal("one\nlaunchd-cs: 2 lines lost\n", File.ReadAllText(path));
        File.Delete(path);
    }

    [Fact]
    public void AFileAsOutput_SharesItsOffsetWithOthers()
    {
        string path = Path.GetTempFileName();
        using (FileDescriptor file = PumpCalls.Open(path, Libc.O_WRONLY, mode: 0, out _)!)
        {
            PumpHarness.Write(file, "shell\n");
            using (OutputWriter writer = OutputWriter.Open(file))
            {
                writer.WriteLines("ours\n"u8);
                writer.Flush();
            }
            PumpHarness.Write(file, "shell again\n");
        }
        Assert.Equal("shell\nours\nshell again\n", File.ReadAllText(path));
        File.Delete(path);
    }

    [DllImport("libc", EntryPoint = "socketpair")]
    private static extern int SocketPair(int domain, int type, int protocol, ref int ends);
}
