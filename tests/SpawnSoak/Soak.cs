using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Linux;

namespace Launchd.SpawnSoak;

/// <summary>What many births came to. <c>HeapBytes</c>: more of libc's heap in use after them than before.</summary>
internal readonly record struct SoakResult(int Births, int Failures, int LeakedDescriptors, long HeapBytes);

/// <summary>Births with every attribute, one after the other, while two threads force collections without a pause.</summary>
internal static unsafe partial class Soak
{
    private const int WarmUp = 20;

    public static SoakResult Run(Spawner spawner, int births)
    {
        using FileDescriptor nothing = Files.Open(null, "/dev/null", 2, 0, out _)!;
        SpawnRequest request = Everything(nothing.Number);
        using CancellationTokenSource over = new();
        Thread[] collectors = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() => Collect(over.Token)))];
        foreach (Thread collector in collectors)
            collector.Start();
        try
        {
            int failures = 0;
            for (int i = 0; i < WarmUp; i++)
                failures += Birth(spawner, request) ? 0 : 1;
            int descriptors = CountDescriptors();
            long heap = HeapBytes();
            for (int i = 0; i < births; i++)
                failures += Birth(spawner, request) ? 0 : 1;
            return new SoakResult(births, failures, CountDescriptors() - descriptors, HeapBytes() - heap);
        }
        finally
        {
            over.Cancel();
            foreach (Thread collector in collectors)
                collector.Join();
        }
    }

    private static bool Birth(Spawner spawner, SpawnRequest request)
    {
        if (spawner.Start(request, out PidFd? child) is not null)
            return false;
        using (child)
            return Spawner.Reap(child!) == 0;
    }

    private static SpawnRequest Everything(int nothing)
    {
        bool isRoot = Environment.IsPrivilegedProcess;
        return new SpawnRequest
        {
            Arguments = ["true", "an argument", "ä"],
            Candidates = ["/no/such/true", "/bin/true"],
            Environment = ["PATH=/usr/bin:/bin", "LISTEN_FDS=2", "LISTEN_FDNAMES=one:two"],
            PidVariables = ["LISTEN_PID", "WATCHDOG_PID"],
            PidfdVariable = "LISTEN_PIDFDID",
            Descriptors = [.. Enumerable.Range(0, 5).Select(i => new DescriptorMapping(nothing, i))],
            WorkingDirectory = "/",
            Umask = 0b000_010_111,
            Credentials = isRoot ? new Credentials(65534, 65534, [65534, 7]) : null,
            Limits = [(7, 200, 400), (4, 0, 0)],
            Nice = 5,
            OomScoreAdjust = 100,
            BoundingSet = isRoot ? 1UL << 10 : null,
            AmbientSet = isRoot ? 1UL << 10 : 0,
            NoNewPrivileges = true,
            ParentDeathSignal = 15,
        };
    }

    private static void Collect(CancellationToken over)
    {
        for (int i = 0; !over.IsCancellationRequested; i++)
        {
            GC.KeepAlive(new byte[10_000]);
            GC.Collect(i % 100 == 0 ? 2 : 0);
        }
    }

    // Of the kinds that a birth opens: the runtime, and tests beside it, open and close their own all the time.
    private static int CountDescriptors() => new DirectoryInfo("/proc/self/fd").GetFiles()
        .Count(f => f.LinkTarget is { } target && (target == "/dev/null" || target.Contains("pidfd", StringComparison.Ordinal)
            || target.StartsWith("/memfd:plan", StringComparison.Ordinal)));

    // mallinfo2(3): ten words, of which the eighth says what is in use; the fifth what was mapped beside the heap.
    private static long HeapBytes()
    {
        MallocFacts facts = mallinfo2();
        return facts.InUse + facts.Mapped;
    }

    [LibraryImport("libc")]
    private static partial MallocFacts mallinfo2();

    [StructLayout(LayoutKind.Sequential)]
    private struct MallocFacts
    {
        public nint Arena, FreeChunks, FastChunks, MappedCount, Mapped, Unused, FastBytes, InUse, Free, Keep;
    }
}
