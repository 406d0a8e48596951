using System.Net.Sockets;
using System.Text;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>Not in parallel with others, whose descriptors would be counted, or who start processes that have copies of ours.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>
/// However many requests, stores and notifications: as many descriptors and as much memory as before. <c>LAUNCHD_LONG=1</c> makes a
/// million of each; the suite makes fewer.
/// </summary>
[Collection(nameof(Alone))]
public sealed class FlatnessTests
{
    private const long MostGrowthBytes = 512 * 1024;

    private static int Count => Environment.GetEnvironmentVariable("LAUNCHD_LONG") == "1" ? 1_000_000 : 20_000;

    [Fact]
    public async Task RequestsAndStores()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 64);
        Task serving = Serve(supervisor, memory);

        await AssertFlat(count => Work(supervisor.Client, memory, count));

        await supervisor.Client.DisposeAsync();
        await serving;
    }

    [Fact]
    public async Task Notifications()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lcs-");
        string path = Path.Combine(folder.FullName, "notify");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        await using LaunchdClient client = new([], null, n => n == "NOTIFY_SOCKET" ? path : null);
        var reading = new Thread(() => ReadAll(socket));
        reading.Start();

        await AssertFlat(count => Notify(client, count));

        Assert.True(client.NotifyStopping());
        reading.Join();
        folder.Delete(recursive: true);
    }

    [Fact]
    public async Task WaitsThatAreCancelled()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
            await AssertFlat(count => Cancel(second, count));
    }

    private static async Task Cancel(Socket socket, int count)
    {
        byte[] buffer = new byte[8];
        for (int i = 0; i < count; i++)
        {
            using var cancelling = new CancellationTokenSource();
            ValueTask<DescriptorMessage> waiting = socket.ReceiveDescriptorsAsync(buffer, cancellation: cancelling.Token);
            cancelling.Cancel();
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await waiting);
        }
    }

    private static async Task Work(LaunchdClient client, FileDescriptor memory, int count)
    {
        for (int i = 0; i < count; i++)
        {
            (await client.RequestAsync("cache", "ring")).Dispose();
            await client.StoreAsync("ring", [memory]);
        }
    }

    private static async Task Serve(FakeSupervisor supervisor, FileDescriptor memory)
    {
        while (await supervisor.Next() is { Length: > 0 } request)
        {
            if (request.Contains("Request", StringComparison.Ordinal))
                await supervisor.Say("""{"parameters":{"way":"taken","descriptors":[{"name":"ring","index":0}]}}""", memory);
            else
                await supervisor.Say("""{"parameters":{"stored":1,"present":0}}""");
        }
    }

    private static Task Notify(LaunchdClient client, int count)
    {
        for (int i = 0; i < count; i++)
            Assert.True(client.NotifyWatchdog());
        return Task.CompletedTask;
    }

    private static void ReadAll(Socket socket)
    {
        byte[] buffer = new byte[64];
        string text;
        do
            text = Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer));
        while (text == "WATCHDOG=1");
        Assert.Equal("STOPPING=1", text);
    }

    // What tests before this one left behind may come or go meanwhile, once. What grows with every round does not come to rest.
    private static async Task AssertFlat(Func<int, Task> work)
    {
        await work(1_000);
        (int descriptors, long bytes) = Measure();
        long growth = 0;
        for (int round = 0; round < 3; round++)
        {
            await work(Count);
            await Patience.Until(() => SettledDescriptorCount() <= descriptors, $"return to {descriptors} descriptors");
            long before = bytes;
            (descriptors, bytes) = Measure();
            growth = bytes - before;
            if (growth < MostGrowthBytes)
                return;
        }
        Assert.Fail($"{growth} bytes more after each {Count}");
    }

    private static (int Descriptors, long Bytes) Measure()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return (SettledDescriptorCount(), GC.GetTotalMemory(forceFullCollection: true));
    }

    // Who waits for a descriptor has a duplicate of it, and the other end of the test may wait just now or not. A wait that begins between
    // the two counts would make the difference one too small, and no later count could come down to it.
    private static int SettledDescriptorCount()
    {
        while (true)
        {
            int waiting = Interop.DescriptorPoller.WaitingCount;
            int descriptors = Kernel.OwnDescriptorCount();
            if (Interop.DescriptorPoller.WaitingCount == waiting)
                return descriptors - waiting;
        }
    }
}
