using System.Diagnostics;
using System.Runtime.InteropServices;
using Launchd.Client;

namespace Launchd.ClientProbe;

/// <summary>A service of a real supervisor that uses all that the library can; it prints what it sees, one line for each thing.</summary>
internal static class Service
{
    public static async Task<int> Run(string what)
    {
        await using LaunchdClient client = LaunchdClient.FromEnvironment();
        switch (what)
        {
            case "remember":
                await Remember(client);
                return 0;
            case "many":
                await Many(client);
                return 0;
            default:
                throw new ArgumentException($"no such service: {what}");
        }
    }

    /// <summary>
    /// Says what it inherited, leaves a descriptor and a state for the next, and ends when it is asked to, in whichever way.
    /// </summary>
    private static async Task Remember(LaunchdClient client)
    {
        // The stop signal may come with a drain or without: it must not end the program before it has finished.
        using var ending = new CancellationTokenSource();
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            ending.Cancel();
        });
        byte[]? state = await client.LoadStateAsync();
        int run = (state is null ? 0 : BitConverter.ToInt32(state)) + 1;
        string inherited = string.Join(",", client.Inherited.Select(d => $"{d.Name}:{d.Kind}"));
        IReadOnlyList<NamedDescriptor> again = await client.GetAsync(["http"]);
        IReadOnlyList<AvailableDescriptor> list = await client.ListAsync();
        InstanceDescription who = await client.DescribeAsync();
        using FileDescriptor memory = FileDescriptor.CreateMemory("kept", 8);
        await client.StoreAsync("kept", [memory], StoreMode.Replace);
        await client.SaveStateAsync(BitConverter.GetBytes(run));
        IAsyncEnumerable<LaunchdEvent> events = await client.WatchAsync(ending.Token);
        Console.WriteLine(
            $"run {run} of {who.Service}.{who.Slot} inherited {inherited} got {again[0].Kind} at {again[0].Address} listed {list.Count}");
        _ = client.NotifyReady($"run {run}");
        Console.WriteLine($"told {await client.BarrierAsync()}");
        try
        {
            await foreach (LaunchdEvent happened in events)
            {
                if (happened is DrainAsked)
                    break;
            }
        }
        catch (OperationCanceledException)
        {
            // The signal was faster.
        }
        await client.ReportDrainAsync(0);
        Console.WriteLine("ends with nothing under way");
    }

    /// <summary>Makes many requests, and says how fast they were and what was left open.</summary>
    private static async Task Many(LaunchdClient client)
    {
        int count = int.Parse(Environment.GetEnvironmentVariable("COUNT") ?? "2000");
        using FileDescriptor memory = FileDescriptor.CreateMemory("offer", 8);
        await client.PublishAsync("offer", memory);
        await Round(client, memory, 100);
        int before = Descriptors();
        var clock = Stopwatch.StartNew();
        await Round(client, memory, count);
        Console.WriteLine($"rounds {count} left {Descriptors() - before}, {4 * count / clock.Elapsed.TotalSeconds:0} calls a second");
        _ = client.NotifyReady();
        await new TaskCompletionSource().Task; // until the signal that ends it
    }

    private static async Task Round(LaunchdClient client, FileDescriptor memory, int count)
    {
        for (int i = 0; i < count; i++)
        {
            (await client.GetAsync(["http"]))[0].Dispose();
            await client.StoreAsync("kept", [memory], StoreMode.Replace);
            _ = await client.DescribeAsync();
            _ = client.NotifyWatchdog();
            await client.UnstoreAsync("kept");
        }
    }

    /// <summary>
    /// How many are open of the kinds that the library deals with here. The runtime opens files and queues of its own whenever it
    /// likes, so that a count of everything would also say what the runtime does.
    /// </summary>
    private static int Descriptors() => Directory.GetFileSystemEntries("/proc/self/fd").Count(path =>
        new FileInfo(path).LinkTarget is { } target
        && (target.StartsWith("socket:", StringComparison.Ordinal) || target.StartsWith("/memfd:offer", StringComparison.Ordinal)));
}
