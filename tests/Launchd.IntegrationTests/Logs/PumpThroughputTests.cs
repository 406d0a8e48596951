using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Logs;
using Launchd.Model;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.IntegrationTests.Logs;

/// <summary>Checks what must hold under load, and prints how fast it went; the figures themselves are never asserted.</summary>
[Collection("own descriptors")]
public sealed class PumpThroughputTests(ITestOutputHelper output)
{
    private const int LineBytes = 100;
    private const int WarmingBlocks = 256;

    [Theory]
    [InlineData("display", 256)]
    [InlineData("file", 128)]
    [InlineData("display and file", 128)]
    public void AMillionLines_PassWithoutLoss(string way, int megabytes)
    {
        using FileDescriptor nothing = PumpCalls.Open("/dev/null", Libc.O_WRONLY, mode: 0, out _)!;
        using var harness = new PumpHarness(way.Contains("display", StringComparison.Ordinal) ? nothing : null);
        LogPolicy? file = way.Contains("file", StringComparison.Ordinal)
            ? new LogPolicy { FilePath = harness.Folder + "/load.log", MaxSizeBytes = 16 << 20, KeepCount = 1 }
            : null;
        FileDescriptor writer = harness.AddSource(1, "load", file: file);
        byte[] block = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(new string('x', LineBytes - 1) + "\n", 640)));
        long blocks = ((long)megabytes << 20) / block.Length;
        // So much that every queue has its buffers before anything is counted.
        for (int i = 0; i < WarmingBlocks; i++)
            PumpHarness.Write(writer, block);
        harness.Flush(1);

        long before = GC.GetTotalAllocatedBytes(precise: true);
        long start = Stopwatch.GetTimestamp();
        for (long i = 0; i < blocks; i++)
            PumpHarness.Write(writer, block);
        writer.Dispose();
        harness.RunUntil(() => harness.Ended.Count == 1);
        (double user, double system) = ProcessorSeconds(harness.Pump.ThreadNumber);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        string runtime = RuntimeFeature.IsDynamicCodeCompiled ? "JIT" : "AOT";
        double size = blocks * block.Length / 1e6;
        output.WriteLine($"{way}: {size / seconds:F0} MB/s; {size / (user + system):F0} MB per second of the pump's processor time "
            + $"({user:F2} s user, {system:F2} s kernel); {allocated / 1024} KiB allocated by the process; {runtime}");
        Assert.Equal((blocks + WarmingBlocks) * block.Length, harness.Pump.Counters.ReadBytes);
        Assert.Empty(harness.Pump.Counters.Dropped());

        // Nothing for a line: not even one byte each, besides the buffers of the queues, which stay.
        Assert.InRange(allocated, 0, (4 * LineQueue.MostBytes) + (blocks * block.Length / LineBytes));
        Assert.All(harness.Tail("load"), l => Assert.Equal(LineBytes - 1, l.Length));
    }

    /// <summary>proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms.</summary>
    private static (double User, double System) ProcessorSeconds(int thread)
    {
        string stat = File.ReadAllText($"/proc/self/task/{thread}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (int.Parse(fields[11]) / 100.0, int.Parse(fields[12]) / 100.0);
    }
}
