using System.Diagnostics;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;

namespace Launchd.SpawnSoak;

/// <summary>What many births came to. <c>HeapBytes</c>: more of libc's heap in use after them than before.</summary>
internal readonly record struct SoakResult(int Births, int Failures, int LeakedDescriptors, long HeapBytes);

/// <summary>Births with every attribute, one after the other, while two threads force some collections in each.</summary>
internal static unsafe partial class Soak
{
    private const int WarmUp = 20;

    public static SoakResult Run(Spawner spawner, int births)
    {
        using FileDescriptor nothing = Files.Open(null, "/dev/null", 2, 0, out _)!;
        SpawnRequest request = Everything(nothing.Number);
        using CancellationTokenSource over = new();
        Thread[] collectors = [.. Enumerable.Range(0, 2).Select(seed => new Thread(() => Collect(seed, over.Token)))];
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

    /// <summary>
    /// The same from a thread that is younger than the spawner, so that its stack lies elsewhere: whatever the spawner has of its own, a
    /// collection has to find its way over the child's frames to those of this thread.
    /// </summary>
    public static SoakResult RunOnThread(Spawner spawner, int births)
    {
        SoakResult result = default;
        Thread younger = new(() => result = Run(spawner, births));
        younger.Start();
        younger.Join();
        return result;
    }

    private static bool Birth(Spawner spawner, SpawnRequest request)
    {
        // Young, and held by this frame alone: a collection that does not see the frame frees or moves it under our hands.
        string held = new('h', 40);
        if (spawner.Start(request, out ProcessHandle? child) is not null)
            return false;
        using (child)
            return Spawner.Reap(child!) == 0 && held.Length == 40 && held.AsSpan().IndexOfAnyExcept('h') < 0;
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

    // Between two collections the births go on for a random while: with none, every call of a child waits for one, a birth takes a tenth of
    // a second, and a collection meets few of its moments.
    private static void Collect(int seed, CancellationToken over)
    {
        Random random = new(seed);
        for (int i = 0; !over.IsCancellationRequested; i++)
        {
            GC.KeepAlive(new byte[10_000]);
            GC.Collect(i % 100 == 0 ? 2 : 0);
            long until = Stopwatch.GetTimestamp() + random.NextInt64(Stopwatch.Frequency / 2000);
            while (Stopwatch.GetTimestamp() < until)
                Thread.SpinWait(20);
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
